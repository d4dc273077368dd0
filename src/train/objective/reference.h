/* SPDX-License-Identifier: Apache-2.0 */
/* What a reference model says of texts: asked once, before training changes anything, and kept. */
#ifndef WAZN_TRAIN_OBJECTIVE_REFERENCE_H
#define WAZN_TRAIN_OBJECTIVE_REFERENCE_H

#include "infer/session.h"
#include "model/train_pass.h"

struct reference_options {
    int tokens_max, texts_max; /* of a pass: only speed and memory depend on them */
    int logits_max, threads;   /* as train_options */
};

uint64_t reference_bytes(const struct model *m, const struct reference_options *options); /* of memory, while it runs */

/* sums[i]: of the log-probabilities of the targets of texts[i]; every text must have one. Errors of train_pass_open and
 * train_pass_score; ERROR_CANCELLED between passes. watch may be NULL. */
int reference_sums(const struct model *m, const struct train_text *texts, size_t n,
    const struct reference_options *options, const struct session_watch *watch, double *sums, struct error *err);

#endif
