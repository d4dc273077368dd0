/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_BACKEND_CPU_ACT_IMPL_H
#define WAZN_BACKEND_CPU_ACT_IMPL_H

#include "backend/backend.h"

/* `act` on any number of rows. */
void act_rows(struct flow *f, float *y, const float *gate, const float *up, int rows, int width,
    const struct act_shape *shape);
void act_backward_rows(struct flow *f, const struct value *y, struct value *gate, struct value *up, int rows,
    const struct act_shape *shape);

#endif
