/* SPDX-License-Identifier: Apache-2.0 */
/* Rewards as an objective of the trainer: each step some prompts are answered by the model as it is now, several times
 * each, the answers are judged, and what was better than its group becomes likelier (grpo.h). One step is made from
 * each set of answers, so the policy that sampled is the one that learns. Everything follows from the options and the
 * step's number. */
#ifndef WAZN_TRAIN_OBJECTIVE_POLICY_H
#define WAZN_TRAIN_OBJECTIVE_POLICY_H

#include "text/tokenizer.h"
#include "train/objective/grpo.h"
#include "train/prompts.h"
#include "train/reward.h"
#include "train/rollout.h"
#include "train/trainer.h"

struct policy_options {
    struct grpo_options grpo;       /* beta must be 0 */
    struct rollout_options rollout; /* prompts_max: prompts of a step */
    int tokens_max, texts_max;      /* of a pass: a prompt with its longest answer fits */
    uint64_t seed;
};

struct policy;

/* held_out: prompts that are answered to measure; NULL: none. All must outlive it. ERROR_USAGE, ERROR_LIMIT where a
 * prompt with an answer does not fit a pass; ERROR_UNSUPPORTED for a beta above 0. */
int policy_open(struct policy **out, const struct model *m, const struct prompts *prompts,
    const struct prompts *held_out, const struct reward *reward, const struct tokenizer *t,
    const struct policy_options *options, struct error *err);
void policy_close(struct policy *p);

uint64_t policy_steps(const struct policy *p); /* of an epoch: until each prompt was answered */

/* The loss of validation is the mean reward with its sign turned. Metrics: "reward", each part's, "reward_deviation",
 * "length" and "cut" (of answers), "equal" (groups without a better one), "entropy", and "sampling_difference": the
 * largest distance between a token's log-probability when it was drawn and in the training pass. */
struct objective policy_objective(struct policy *p);

#endif
