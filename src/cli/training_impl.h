/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of training.h share. */
#ifndef WAZN_CLI_TRAINING_IMPL_H
#define WAZN_CLI_TRAINING_IMPL_H

#include "cli/training.h"

/* What is shown and logged of each step. */
struct trainer_watch training_watch(struct training *t);

/* The page of the run, anew. That it cannot be written is told, and does not end a run. */
void training_report(const struct training *t);

#endif
