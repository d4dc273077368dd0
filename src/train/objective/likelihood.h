/* SPDX-License-Identifier: Apache-2.0 */
/* Maximum likelihood: the mean cross entropy of the targets, over all tokens that count in a step. Pretraining and
 * fine-tuning on what an assistant should say are this. */
#ifndef WAZN_TRAIN_OBJECTIVE_LIKELIHOOD_H
#define WAZN_TRAIN_OBJECTIVE_LIKELIHOOD_H

#include "train/packing.h"
#include "train/trainer.h"

struct likelihood {
    struct packing *packing;
    uint64_t seed;                /* of an adapter's dropout */
    struct packing *held_out;     /* of validation data, one pass a step, not shuffled; NULL: none */
    const struct dataset *held;   /* the same data */
};

/* `l` must outlive it. Validation gives the loss (nats per token) and the metric "bits_per_byte". */
struct objective likelihood_objective(struct likelihood *l);

#endif
