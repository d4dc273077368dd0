/* SPDX-License-Identifier: Apache-2.0 */
/* Learning from rewards of groups of completions: GRPO (Shao et al. 2024) with what DAPO (Yu et al. 2025), Dr. GRPO
 * (Liu et al. 2025) and GSPO (Zheng et al. 2025) changed. From rewards to advantages, from log-probabilities to a loss
 * and its derivative by each of them. docs/objectives.md has the formulas. */
#ifndef WAZN_TRAIN_OBJECTIVE_GRPO_H
#define WAZN_TRAIN_OBJECTIVE_GRPO_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What a reward's distance from its group's mean is divided by. */
enum grpo_scale {
    GRPO_SCALE_GROUP, /* the standard deviation of its group */
    GRPO_SCALE_BATCH, /* that of all rewards */
    GRPO_SCALE_NONE   /* nothing (Dr. GRPO) */
};

/* What the sum of the tokens' losses is divided by. */
enum grpo_mean {
    GRPO_MEAN_COMPLETIONS, /* each completion by its own tokens, then by the completions (GRPO) */
    GRPO_MEAN_TOKENS,      /* all tokens of the step (DAPO) */
    GRPO_MEAN_LENGTH       /* completions times the longest that could have been (Dr. GRPO) */
};

enum grpo_ratio {
    GRPO_RATIO_TOKEN,
    GRPO_RATIO_SEQUENCE /* one for the completion: its tokens' geometric mean (GSPO) */
};

struct grpo_options {
    enum grpo_scale scale;
    enum grpo_mean mean;
    enum grpo_ratio ratio;
    double epsilon_low, epsilon_high; /* ratios are clipped to 1 - low .. 1 + high; DAPO clips higher than lower */
    double ratio_max; /* above it no ratio counts for more, also where the advantage is negative; 0: no bound */
    double beta;      /* of the divergence from the reference; 0: none */
    bool drop_equal;  /* groups whose rewards are all equal take no part (DAPO's dynamic sampling) */
    bool mask_cut;    /* completions that were cut off by their length take no part */
    int tokens_max;   /* of a completion; for GRPO_MEAN_LENGTH */
};

/* ERROR_USAGE for numbers out of range. */
int grpo_check(const struct grpo_options *o, struct error *err);

struct grpo_rewards {
    int groups, group;     /* completions of each */
    const double *rewards; /* (groups, group) finite */
    const bool *cut;       /* (groups, group) ended by its length; NULL: none */
};

struct grpo_reward_metrics {
    double mean, deviation; /* of all rewards */
    double equal;           /* share of groups whose rewards are all equal */
    double kept;            /* share of completions that take part */
};

/* advantages, kept: (groups, group). A completion that was cut counts for its group's mean even if it is not kept. */
void grpo_advantages(const struct grpo_options *o, const struct grpo_rewards *r, double *advantages, bool *kept,
    struct grpo_reward_metrics *metrics);

/* Completions whose texts lie in one pass. */
struct grpo_completions {
    int n;
    const int *counts;       /* (n) tokens, at least 1 */
    const float *logprobs;   /* of those tokens, one completion behind the other */
    const float *old;        /* the same by the policy that sampled them; NULL: this one */
    const float *reference;  /* the same by the reference model; NULL where beta is 0 */
    const float *entropies;  /* the same; NULL: not measured */
    const double *advantages; /* (n) */
    const bool *kept;        /* (n); NULL: all */
    int64_t step_completions, step_tokens; /* that are kept, of all passes of the step; 0: those here */
};

/* Parts of means over the step's kept tokens, but for the loss; those of its passes add up. */
struct grpo_metrics {
    double loss;
    double divergence;          /* from the reference */
    double entropy;
    double clip_low, clip_high; /* share of tokens whose ratio was clipped */
    double ratio;               /* mean */
};

/* Adds to the metrics; weights: the loss's derivative by each log-probability. */
void grpo_weigh(const struct grpo_options *o, const struct grpo_completions *c, float *weights,
    struct grpo_metrics *metrics);

#endif
