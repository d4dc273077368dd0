/* SPDX-License-Identifier: Apache-2.0 */
/* Learning from pairs of answers of which one was preferred: from log-probabilities to a loss and its derivative by
 * each of them. docs/objectives.md has the formulas.
 *
 * The mean is taken over the pairs of a step, which may be cut into passes: losses and metrics of its passes add up. */
#ifndef WAZN_TRAIN_OBJECTIVE_PREFERENCE_H
#define WAZN_TRAIN_OBJECTIVE_PREFERENCE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum preference_loss {
    PREFERENCE_SIGMOID, /* DPO (Rafailov et al. 2023); with label smoothing cDPO (Mitchell 2023) */
    PREFERENCE_ROBUST,  /* rDPO (Chowdhury et al. 2024): label smoothing without bias */
    PREFERENCE_HINGE,   /* (Zhao et al. 2023) */
    PREFERENCE_IPO,     /* (Azar et al. 2023), with means over tokens */
    PREFERENCE_ORPO     /* (Hong et al. 2024): no reference model, and a likelihood term */
};

struct preference_options {
    enum preference_loss loss;
    double beta;            /* above 0; ORPO: lambda, at least 0 */
    double label_smoothing; /* share of pairs that may be the wrong way round, 0 to below 0.5; sigmoid and robust */
};

/* ERROR_USAGE for numbers out of range. */
int preference_check(const struct preference_options *o, struct error *err);

/* Whether the log-probabilities of a reference model are needed. */
static inline bool preference_needs_reference(const struct preference_options *o)
{
    return o->loss != PREFERENCE_ORPO;
}

/* Pairs whose texts lie in one pass: chosen, rejected, chosen, rejected ... */
struct preference_pairs {
    int n;
    const int *counts;       /* (n, 2) tokens that count, at least 1 */
    const float *logprobs;   /* of those tokens, one text behind the other */
    const double *reference; /* (n, 2) sums of the reference model's; NULL where not needed */
    int64_t step_pairs;      /* of all passes of the step; 0: n */
};

/* Parts of means over the step's pairs. A reward is beta times the log-ratio to the reference; ORPO: beta times the
 * mean log-probability. */
struct preference_metrics {
    double loss;
    double chosen_reward, rejected_reward, margin;
    double accuracy; /* share of pairs whose chosen reward is above the rejected one's */
    double chosen_logprob, rejected_logprob; /* sums over tokens */
    double likelihood_loss; /* ORPO: its first term */
    double log_odds;        /* ORPO */
};

/* Adds to the metrics; weights: the loss's derivative by each log-probability. */
void preference_weigh(const struct preference_options *o, const struct preference_pairs *p, float *weights,
    struct preference_metrics *metrics);

#endif
