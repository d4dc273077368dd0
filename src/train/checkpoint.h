/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of a run: a folder each, "checkpoint-00000100", with everything a later step depends on
 * (state.safetensors: parameters and moments, bit for bit; run.json) and what has been learned as people use it. A
 * folder appears when it is whole. */
#ifndef WAZN_TRAIN_CHECKPOINT_H
#define WAZN_TRAIN_CHECKPOINT_H

#include "base/error.h"
#include "base/json.h"
#include "train/optimizer.h"

#include <stdint.h>

struct checkpoint_identity {
    const char *folder;   /* of the run */
    const json_t *json;   /* what must be the same for a run to go on; NULL: nothing */
};

struct checkpoint_best {
    double loss;   /* of validation, INFINITY before the first */
    uint64_t step; /* behind which it was measured */
};

/* save: NULL, or writes what has been learned into the folder it is given, which is not there yet. */
int checkpoint_write(const struct checkpoint_identity *identity, const struct optimizer *o, uint64_t step,
    const struct checkpoint_best *best, int (*save)(void *context, const char *folder, struct error *err),
    void *context, struct error *err);

/* The newest one into the optimizer and its parameters. *step: 0 where there is none. Takes away what a run that was
 * killed left half-written. ERROR_USAGE where it is another run's, naming what differs. */
int checkpoint_read(const struct checkpoint_identity *identity, struct optimizer *o, uint64_t *step,
    struct checkpoint_best *best, struct error *err);

/* Take all away but the `keep` newest and the one of step `best`. */
int checkpoint_prune(const char *folder, int keep, uint64_t best, struct error *err);

#endif
