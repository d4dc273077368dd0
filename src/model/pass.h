/* SPDX-License-Identifier: Apache-2.0 */
/* One pass through the model over a flat list of tokens: a prompt, one more token, forty chats at once are one call. */
#ifndef WAZN_MODEL_PASS_H
#define WAZN_MODEL_PASS_H

#include "base/arena.h"
#include "base/error.h"
#include "model/kv.h"
#include "model/model.h"

/* Called with the residual stream (tokens, width) once the tokens are embedded (layer -1) and behind each layer; for
 * comparing implementations. What it leaves in x is what the next layer starts from. */
typedef void pass_trace(void *context, int layer, float *x, int tokens, int width);

struct pass_options {
    int tokens_max;  /* rows in one pass */
    int logits_max;  /* rows whose logits may be asked for in one pass */
    int context_max; /* longest sequence */
    int threads;
    pass_trace *trace; /* NULL: not */
    void *trace_context;
    /* Called with the input of every matrix product but those of experts (backend.h); for calibrating. NULL: not. */
    void (*observe)(void *context, const struct weight *w, const struct value *x, int tokens);
    void *observe_context;
};

struct pass; /* values, scratch, logits: one arena */

/* A sequence's share of a pass: `count` new tokens behind the kv->length it already holds. */
struct pass_sequence {
    struct kv *kv;
    const int32_t *ids;
    int count;
    bool all_logits; /* of every token; else of the last one only */
};

int pass_open(struct pass **out, const struct model *m, const struct pass_options *options, struct error *err);
void pass_close(struct pass *p);
uint64_t pass_bytes(const struct model *m, const struct pass_options *options); /* what pass_open will take */

/* Run. Raises each kv->length by count. Errors (before anything changes): an id outside the vocabulary, more tokens or
 * logits than the options allow, a kv without room (ERROR_LIMIT). */
int pass_run(struct pass *p, const struct pass_sequence *sequences, int n, struct error *err);

/* logprobs[i] = log(probability of ids[i]) from row i of the logits of the last run divided by `temperature`, for all
 * rows: bit for bit what train_pass_score says of the same tokens where keys and values are f32. The logits are spent
 * after it. */
void pass_logprobs(struct pass *p, const int32_t *ids, float temperature, float *logprobs);

/* The pass's threads, for what its owner does between runs. Borrowed. */
struct pool *pass_pool(const struct pass *p);

/* Row i of the logits of the last run, in order of sequences and tokens; (vocabulary) floats, until the next run. */
float *pass_logits(const struct pass *p, int row);

#endif
