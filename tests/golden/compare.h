/* SPDX-License-Identifier: Apache-2.0 */
/* Logits against a reference's, within a bound that scales with the sum of absolute products behind each. */
#ifndef WAZN_TESTS_GOLDEN_COMPARE_H
#define WAZN_TESTS_GOLDEN_COMPARE_H

#include "base/json.h"
#include "runner.h"

struct worst {
    double scaled;  /* |difference| / (unit roundoff * sum of absolute products) */
    double allowed; /* of that logit */
    double share;   /* scaled / allowed: the largest */
};

enum reference { REFERENCE_FLOAT32, REFERENCE_FLOAT64 };

/* Units allowed behind `layers` layers whose rope turns by position (0: learned positions). */
double compare_bound(int layers, int position, enum reference reference);

/* rows: a list of {position, logits, sums}; logits: (tokens, vocabulary). Fails the test beyond the bound. exact: rows
 * of the same positions in float64, which tell the reference's own error from ours; NULL: not known. */
void compare_rows(const struct runner *r, const json_t *rows, const json_t *exact, const float *logits,
    enum reference reference, struct worst *worst);

/* What rounding activations changes: root of the mean square, as a share of the exact logits' own. */
double compare_share(const float *rounded, const float *exact, int64_t n);

#endif
