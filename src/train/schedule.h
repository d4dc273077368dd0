/* SPDX-License-Identifier: Apache-2.0 */
/* The learning rate over a run. */
#ifndef WAZN_TRAIN_SCHEDULE_H
#define WAZN_TRAIN_SCHEDULE_H

#include <stdint.h>

enum schedule_kind {
    SCHEDULE_COSINE,   /* half a cosine from lr to lr_min (Loshchilov and Hutter 2017) */
    SCHEDULE_LINEAR,   /* a straight line from lr to lr_min */
    SCHEDULE_WSD,      /* lr, then in the last `decay` steps a straight line to lr_min (Hu et al. 2024) */
    SCHEDULE_CONSTANT,
    SCHEDULE_COUNT
};

struct schedule {
    enum schedule_kind kind;
    double lr, lr_min;
    uint64_t warmup; /* steps in which the rate rises from lr / warmup to lr */
    uint64_t decay;  /* of SCHEDULE_WSD */
    uint64_t steps;  /* of the run */
};

/* The rate of step 0, 1, ..., steps - 1. The first step behind the warm-up has lr, the last lr_min. */
double schedule_lr(const struct schedule *s, uint64_t step);

const char *schedule_name(enum schedule_kind kind); /* "cosine" */

#endif
