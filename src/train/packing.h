/* SPDX-License-Identifier: Apache-2.0 */
/* Which samples meet in which pass of which step. Everything follows from the data, the options and the step's number,
 * so a run that resumes needs to remember nothing else.
 *
 * Shuffled, an epoch is a permutation cut into windows of some 64 passes; within a window each sample, longest first,
 * goes to the fullest pass that still has room, and the passes come in random order. So passes are nearly full, and
 * which samples meet is as random as their lengths allow. In the order of the data, a pass ends before the sample that
 * does not fit. */
#ifndef WAZN_TRAIN_PACKING_H
#define WAZN_TRAIN_PACKING_H

#include "base/error.h"
#include "train/dataset.h"

struct packing_options {
    int tokens_max, texts_max; /* of one pass: see train_options */
    int passes;                /* of one step, whose gradients are added up; the last step of an epoch may have fewer */
    uint64_t seed;             /* of the order, another one in each epoch */
    bool shuffle;              /* else in the order of the data */
};

struct packing;

/* ERROR_LIMIT where a sample is longer than a pass, ERROR_USAGE for numbers under 1. The data must outlive it. */
int packing_open(struct packing **out, const struct dataset *d, const struct packing_options *options,
    struct error *err);
void packing_close(struct packing *p);
/* In that epoch, at least 1. What a step gave stays valid. */
uint64_t packing_steps(struct packing *p, uint64_t epoch);

/* One step, counted from 0 over all epochs. Borrowed until the next call. */
struct packed_step {
    uint64_t epoch;
    int passes;
    const struct packed_pass {
        const struct train_text *texts;
        const size_t *samples; /* their numbers in the data */
        int n;
    } *pass; /* (passes) */
    int64_t tokens, counted; /* of all passes */
};
const struct packed_step *packing_step(struct packing *p, uint64_t step);

#endif
