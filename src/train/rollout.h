/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says: a group of completions for each of some prompts, sampled together by the inference engine. Each
 * has random numbers of its own, so it does not depend on how many grow at once. Keys and values are f32, so the
 * log-probabilities are those of train_pass_score, bit for bit. */
#ifndef WAZN_TRAIN_ROLLOUT_H
#define WAZN_TRAIN_ROLLOUT_H

#include "infer/sampler.h"
#include "infer/session.h"
#include "model/model.h"

struct rollout_options {
    int prompts_max;            /* of one run */
    int group;                  /* completions of each prompt */
    int sequences;              /* completions that grow at once: each takes keys and values of a whole context */
    int prompt_max, tokens_max; /* tokens of a prompt, and of a completion with its stop token */
    int chunk;                  /* tokens of a prompt in one pass; 0: ROLLOUT_CHUNK */
    const int32_t *stops;       /* (n_stops); borrowed */
    size_t n_stops;
    struct sampling sampling;   /* its seed is not used. What leaves tokens out (top_k ...) makes the log-probabilities
                                 * others than those that were drawn from */
    int threads;
};
#define ROLLOUT_CHUNK 256

struct rollout;

/* Errors of batch_open and sampler_open; ERROR_USAGE for sizes under 1. The model must outlive it; its weights may
 * change between runs. */
int rollout_open(struct rollout **out, const struct model *m, const struct rollout_options *options, struct error *err);
void rollout_close(struct rollout *r);
uint64_t rollout_bytes(const struct model *m, const struct rollout_options *options); /* what opening will take */

struct rollout_prompt {
    const int32_t *ids;
    int count;
};

enum rollout_end { ROLLOUT_STOP, ROLLOUT_LENGTH };

struct completion {
    const int32_t *ids;    /* (count) its stop token included */
    const float *logprobs; /* (count) among all tokens, at the temperature of sampling (1 where that is 0) */
    int count;
    enum rollout_end end;
};

/* *out: (n, group), borrowed until the next run. Errors: more or longer prompts than prepared for, an empty one, ids
 * outside the vocabulary, ERROR_CANCELLED between passes, logits that are not finite. watch may be NULL; its progress
 * counts completions. */
int rollout_run(struct rollout *r, const struct rollout_prompt *prompts, int n, uint64_t seed,
    const struct session_watch *watch, const struct completion **out, struct error *err);

#endif
