/* SPDX-License-Identifier: Apache-2.0 */
/* Rewards that can be checked: a weighted sum of what simple rules, or a program, say of a completion.
 *
 * A specification is a list "NAME[:WEIGHT],..." of the kinds that need no arguments, or JSON (it begins with '['): a
 * list of objects with "kind", "weight" (1) and the kind's own members:
 *
 *     exact                             1 where the answer is the expected one, spaces at both ends left out
 *     numeric                           1 where both end in the same number (number.h)
 *     regex     "pattern"               1 where the pattern (PCRE2) is found in the completion
 *     length    "least", "most"         1 where the completion's tokens lie between them (0, no bound)
 *     overlong  "most", "margin"        0, falling to -1 over the last `margin` tokens before `most` (DAPO)
 *     format    "open", "close"         1 where thoughts between "<think>" and "</think>" stand first and once, and an
 *                                       answer behind them
 *     json                              1 where the answer is one JSON document
 *     command   "argv", "seconds" (10)  the number that the program writes; it reads a JSON object with "prompt",
 *                                       "completion" and "answer" on its standard input. No shell runs it
 *
 * The answer of a completion is what stands behind the last "</think>", or all of it. */
#ifndef WAZN_TRAIN_REWARD_H
#define WAZN_TRAIN_REWARD_H

#include "base/error.h"
#include "base/pool.h"

#include <stddef.h>

#define REWARD_SPEC_MAX 65536 /* bytes of a specification */
#define REWARD_PARTS_MAX 16

struct reward;

/* ERROR_USAGE or ERROR_FORMAT with the part that is wrong; ERROR_LIMIT above the limits. */
int reward_open(struct reward **out, const char *spec, size_t n, struct error *err);
void reward_close(struct reward *r);
int reward_parts(const struct reward *r);
const char *reward_part_name(const struct reward *r, int part); /* "numeric" */
double reward_part_weight(const struct reward *r, int part);

struct reward_text {
    const char *data; /* any bytes */
    size_t n;
};

struct reward_case {
    struct reward_text prompt, completion, answer; /* answer: the expected one */
    int tokens; /* of the completion */
};

/* What could not be judged: a pattern that took too long, a program that failed. Its part is 0 then. */
struct reward_failures {
    int count;
    struct error first; /* of the first case with one */
};

/* Judge n cases on the threads of a pool (NULL: here). parts: (n, reward_parts) before weighting; totals: (n) the
 * weighted sums. ERROR_MEMORY; all else that goes wrong is counted. */
int reward_run(const struct reward *r, const struct reward_case *cases, int n, struct pool *pool, double *totals,
    double *parts, struct reward_failures *failures, struct error *err);

#endif
