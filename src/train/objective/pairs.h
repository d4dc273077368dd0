/* SPDX-License-Identifier: Apache-2.0 */
/* Preferences as an objective of the trainer: pairs of a chosen and a rejected answer dealt into steps and passes, both
 * of a pair in one pass. Which pairs a step sees follows from the data, the options and the step's number. */
#ifndef WAZN_TRAIN_OBJECTIVE_PAIRS_H
#define WAZN_TRAIN_OBJECTIVE_PAIRS_H

#include "train/dataset.h"
#include "train/objective/preference.h"
#include "train/objective/reference.h"
#include "train/trainer.h"

struct pairs_options {
    struct preference_options preference;
    int tokens_max, texts_max; /* of a pass; texts_max at least 2 */
    int pairs;                 /* of a step; the last one of an epoch may have fewer */
    uint64_t seed;             /* of the order, another one in each epoch; and of an adapter's dropout */
};

struct pairs;

/* Samples 2i and 2i + 1 of the data are chosen and rejected; held_out: the same, or NULL. ERROR_LIMIT where a pair does
 * not fit a pass. The data must outlive it. */
int pairs_open(struct pairs **out, const struct dataset *d, const struct dataset *held_out,
    const struct pairs_options *options, struct error *err);
void pairs_close(struct pairs *p);

/* What the reference says of all pairs, asked of the model as it is now: before anything was learned, and before a run
 * that goes on gets its weights back. Nothing where the loss needs none. */
int pairs_reference(struct pairs *p, const struct model *m, const struct reference_options *options,
    const struct session_watch *watch, struct error *err);

uint64_t pairs_steps(const struct pairs *p); /* of an epoch */

/* Metrics: "accuracy", "margin", "chosen_reward", "rejected_reward", of ORPO "likelihood_loss" and "log_odds". */
struct objective pairs_objective(struct pairs *p);

#endif
