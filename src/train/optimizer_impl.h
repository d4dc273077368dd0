/* SPDX-License-Identifier: Apache-2.0 */
/* What the optimizers share. */
#ifndef WAZN_TRAIN_OPTIMIZER_IMPL_H
#define WAZN_TRAIN_OPTIMIZER_IMPL_H

#include "model/parameter.h"

#include <stdint.h>

/* A parameter with what the optimizer remembers of it, (count) each. */
struct slot {
    struct parameter parameter;
    float *m, *v;  /* moments; v: NULL with Muon */
    int16_t *rest; /* of masters of bf16 parameters; NULL else */
};

/* The master's values [first, first + n). */
void slot_read(const struct slot *s, size_t first, float *out, int n);
void slot_write(const struct slot *s, size_t first, const float *in, int n);

#endif
