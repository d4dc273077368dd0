/* SPDX-License-Identifier: Apache-2.0 */
/* Timelines that grow together, each by one token a pass: weights are read once for all of them. They need not be of
 * one length, and some may wait. */
#ifndef WAZN_INFER_BATCH_H
#define WAZN_INFER_BATCH_H

#include "base/error.h"
#include "model/model.h"

#include <stdint.h>

struct batch_options {
    const struct format *kv_format;
    int sequences, context; /* context: positions of each */
    int chunk; /* tokens in one pass of batch_prompt; 0: 1 */
    int threads;
};

struct batch;

uint64_t batch_bytes(const struct model *m, const struct batch_options *options); /* what batch_open will take */

/* Errors of kv_check and pass_open; ERROR_MEMORY. After it nothing fails for lack of memory. The model must outlive the
 * batch. */
int batch_open(struct batch **out, const struct model *m, const struct batch_options *options, struct error *err);
void batch_close(struct batch *b);

/* Token ids[i] (sequences) behind what sequence i holds. ERROR_LIMIT, before anything changes, where the context is
 * full. */
int batch_push(struct batch *b, const int32_t *ids, struct error *err);
/* Token ids[i] behind what sequence which[i] holds, i < n, each sequence at most once; the others wait.
 * which NULL: the first n. */
int batch_push_some(struct batch *b, const int *which, const int32_t *ids, int n, struct error *err);
void batch_clear(struct batch *b); /* all sequences are empty again */

/* The sequence holds these `count` tokens and nothing else; 0: it is empty. ERROR_LIMIT, before anything changes, where
 * they pass the context; after other errors it is empty. */
int batch_prompt(struct batch *b, int sequence, const int32_t *ids, int count, struct error *err);
void batch_copy(struct batch *b, int to, int from); /* sequence `to` holds what `from` does */

const float *batch_logits(const struct batch *b, int row); /* (vocabulary), of token `row` of the last push */
/* Of the tokens that follow those of the last push; as pass_logprobs. */
void batch_logprobs(struct batch *b, const int32_t *ids, float temperature, float *logprobs);
struct pool *batch_pool(const struct batch *b); /* as pass_pool */

#endif
