/* SPDX-License-Identifier: Apache-2.0 */
/* What a model computes behind each layer, kept to be compared with a run of it whose activations are rounded. What
 * fails here fails the test. */
#ifndef WAZN_TESTS_GOLDEN_RECORDED_H
#define WAZN_TESTS_GOLDEN_RECORDED_H

#include "case.h"
#include "runner.h"

#define RECORDED_LAYERS_MAX 8

struct recorded {
    const struct golden_case *c;
    float *layers[RECORDED_LAYERS_MAX]; /* (ids, dim) */
    float *logits;                      /* (ids, vocabulary) */
    int64_t vocabulary;
};

/* Of the case's ids, with keys and values in float32. */
void recorded_make(struct recorded *to, const struct runner *r, const struct golden_case *c);
void recorded_release(struct recorded *to);

/* As `wazn selftest --reference` compares: each step agrees within what rounding may do, and the rounding shows. Then
 * with the states behind the last layer `stretch` times as long, which rounding cannot be blamed for: that step alone
 * differs. */
void recorded_compare(struct recorded *run, const struct runner *r, float stretch);

#endif
