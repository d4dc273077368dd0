/* SPDX-License-Identifier: Apache-2.0 */
/* What test_failure.c puts under test beside its own: a run of training. */
#ifndef WAZN_TESTS_UNIT_FAILURE_TRAIN_H
#define WAZN_TESTS_UNIT_FAILURE_TRAIN_H

#include "base/error.h"

extern const char *failure_train_root; /* has an empty folder "run" */

/* A new model learns one step, keeps it and reads it again. */
int failure_train(struct error *err);

#endif
