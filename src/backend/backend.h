/* SPDX-License-Identifier: Apache-2.0 */
/* Math on tensors: the operations a transformer block is made of. backend/cpu/ runs them with threads over kernels, one
 * file per operation; a GPU implements the same list.
 *
 * A pass is a flat list of tokens. Values are float32 matrices (tokens, width). Results depend neither on the number of
 * threads nor on what else is in the batch: sums are cut at fixed places.
 *
 * NAME_backward takes the arguments of NAME in the same order, reads the gradient of the first and adds to those of the
 * others (weights: where they have one). Inputs must still hold the data that NAME read; outputs theirs only where a
 * comment says so. The flow must be laid out for training.
 * After a `struct flow` is laid out nothing here can fail. */
#ifndef WAZN_BACKEND_BACKEND_H
#define WAZN_BACKEND_BACKEND_H

#include "base/arena.h"
#include "base/pool.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* What flows between operations. Training adds a gradient of the same shape beside the data. */
struct value {
    float *data; /* (tokens, width) */
    int width;
    float *gradient; /* (tokens, width) of the loss; NULL when inferring */
};

/* Keys and values of one layer of one sequence, after rope, encoded. Position p lives in slot p % capacity; a layer
 * that sees only a window keeps window + flow tokens slots, so a pass never overwrites what its own tokens still
 * need. */
struct kv_layer {
    const struct format *format; /* f32, f16, bf16, q8_0 */
    int capacity;                /* slots */
    unsigned char *k, *v;        /* (kv_heads, capacity, head_dim), one encoded row per head and slot */
    float *k_gradient, *v_gradient; /* the same shape, when training (f32, spans from position 0 on); else NULL */
};

/* A sequence's rows in the flow. Rows of one span follow each other and so do their positions. */
struct span {
    int first, count;        /* rows [first, first + count) of the flow */
    int position;            /* of its first row */
    struct kv_layer *layers; /* (layers of the model); its cache holds positions before `position` */
};

struct flow {
    int tokens; /* rows in this pass, at most tokens_max */
    const int32_t *ids, *positions; /* (tokens) */
    const struct span *spans; /* (n_spans) of all rows, in their order */
    int n_spans;
    int threads;                  /* flow_layout sets it; results do not depend on it */
    struct pool *pool;            /* of so many threads, set by the flow's owner; may be NULL where threads is 1 */
    /* Called by `linear` with what it is about to multiply; for measuring. NULL: not. */
    void (*observe)(void *context, const struct weight *w, const struct value *x, int tokens);
    void *observe_context;
    uint64_t dropout_seed;        /* of this pass; 0: nothing is left out. Its backward needs the same */
    struct flow_scratch *scratch; /* private to the backend; flow_layout sets it */
};

/* Largest things a flow must carry; from them the backend's scratch follows. */
struct flow_shape {
    int tokens_max, threads;
    int width_max;                     /* widest input of a linear or a norm (dim, ffn, heads * head_dim) */
    int dim;                           /* width between blocks: what experts take and give */
    int heads, kv_heads, head_dim;
    int context_max;
    int experts, experts_used, expert_ffn; /* 0 without experts */
    bool training; /* backward operations will run */
    int rank_max;  /* of all that lies beside weights (struct low_rank); 0: nothing does */
    bool magnitudes, dropout; /* some of it has a magnitude, leaves out inputs; asked where training */
};
void flow_layout(struct flow *f, const struct flow_shape *shape, struct arena *a); /* twice, as arena.h says */

/* y = rows `ids` of table, times scale. */
void embed(struct flow *f, struct value *y, const struct weight *table, float scale);
void embed_backward(struct flow *f, const struct value *y, const struct weight *table, float scale);
/* y += rows `positions` of table (GPT-2's learned positions). */
void embed_positions(struct flow *f, struct value *y, const struct weight *table);
void embed_positions_backward(struct flow *f, const struct value *y, const struct weight *table);

enum norm_kind { NORM_RMS, NORM_LAYER };
struct norm_shape {
    enum norm_kind kind;
    float eps, offset; /* gain + offset: 1 for Gemma's checkpoints, else 0 */
    int groups;        /* the row is `groups` rows of width / groups sharing one gain (norm per head); else 1 */
};
/* y = norm(x) with gain (1, width / groups) and bias (same, may be absent). y may be x. */
void norm(struct flow *f, struct value *y, const struct value *x, const struct weight *gain, const struct weight *bias,
    const struct norm_shape *shape);
void norm_backward(struct flow *f, const struct value *y, struct value *x, const struct weight *gain,
    const struct weight *bias, const struct norm_shape *shape);

/* y = x W^T + bias. W (y width, x width); bias (1, y width), may be absent. What lies beside W is added: for each one,
 * y = (y + scale (x A^T) B^T) magnitude / norms, before the bias. */
void linear(struct flow *f, struct value *y, const struct value *x, const struct weight *w, const struct weight *bias);
/* Through weights of any format, as the numbers they stand for; that activations were rounded on the way to encoded
 * weights is not seen. But where they were (all formats but f32 and f16), the factors of the backward's products are
 * rounded too, to bf16; products are exact, sums float32. */
void linear_backward(struct flow *f, const struct value *y, struct value *x, const struct weight *w,
    const struct weight *bias);

/* Fill low->norms for a weight that is no expert's. */
void low_rank_norms(struct flow *f, const struct weight *w, const struct low_rank *low);

/* Rotate pairs of q or k in place. Half-split: element i pairs with i + dims / 2; interleaved: 2 i with 2 i + 1.
 * Angle of pair i at position p: p * inverse_frequency[i], computed in double; sine and cosine times `magnitude`
 * (YaRN's concentration; 1 else). Elements from dims on stay. (Su et al. 2021) */
struct rope_shape {
    int heads, head_dim, dims;
    bool interleaved;
    float magnitude;
    const double *inverse_frequency; /* (dims / 2) */
};
void rope(struct flow *f, struct value *x, const struct rope_shape *shape);
void rope_backward(struct flow *f, struct value *x, const struct rope_shape *shape); /* turns the gradient back */

struct attention_shape {
    int layer; /* which of a span's layers */
    int heads, kv_heads, head_dim;
    float scale, softcap;       /* softcap c: s = c tanh(s / c); 0: none */
    int window;                 /* visible positions, self included; 0: all */
    const struct weight *sinks; /* (1, heads): a logit a head, only in the denominator; may be absent or NULL */
    float *sums; /* (tokens, heads, 2): maximum and sum of each softmax, kept for the backward; NULL: not kept */
};
/* Encode k and v (tokens, kv_heads * head_dim) into the caches of their spans. */
void kv_store(struct flow *f, const struct value *k, const struct value *v, const struct attention_shape *shape);
/* Reads the gradients of the caches. */
void kv_store_backward(struct flow *f, struct value *k, struct value *v, const struct attention_shape *shape);
/* out = softmax(scale q k^T, causal, window) v over each span's cache, which already holds this pass's own k and v.
 * Positions are summed in blocks cut at absolute multiples of a fixed size: splitting a prompt changes nothing. */
void attention(struct flow *f, struct value *out, const struct value *q, const struct attention_shape *shape);
/* Adds to the gradients of q, the caches and the sinks. Reads the data of `out` and shape->sums. Weights of positions
 * are computed again, a block at a time: nothing of tokens by tokens is kept. */
void attention_backward(struct flow *f, const struct value *out, struct value *q, const struct attention_shape *shape);

enum activation { ACT_SILU, ACT_GELU_TANH, ACT_SWIGLU_CLAMPED };
struct act_shape {
    enum activation kind;
    float alpha, limit; /* of ACT_SWIGLU_CLAMPED (gpt-oss): kernel.h has the formula */
};
/* y = act(gate) * up; up NULL: y = act(gate), which ACT_SWIGLU_CLAMPED has not. */
void act(struct flow *f, struct value *y, const struct value *gate, const struct value *up,
    const struct act_shape *shape);
void act_backward(struct flow *f, const struct value *y, struct value *gate, struct value *up,
    const struct act_shape *shape);

struct moe_shape {
    int experts, used, ffn; /* `used` experts a token, each with an inner width of ffn */
    struct act_shape activation;
    bool softmax_after; /* softmax over the chosen logits only (gpt-oss); else over all, then choose */
    bool renormalize;   /* chosen weights divided by their sum (Mixtral; Qwen3 by config) */
};
struct moe_weights {
    const struct weight *router, *router_bias;      /* (experts, dim) */
    const struct weight *gate, *up, *down;          /* experts[e]: (ffn, dim), (ffn, dim), (dim, ffn) */
    const struct weight *gate_bias, *up_bias, *down_bias; /* tensor (experts, ffn | dim), may be absent */
};
/* y = sum over a token's chosen experts of weight * down(act(gate x) * up x), each with its bias. Highest logits first,
 * lower index on ties; experts are summed in rising index. Tokens are grouped by expert: each expert's rows are read
 * once a pass. */
void moe(struct flow *f, struct value *y, const struct value *x, const struct moe_weights *w,
    const struct moe_shape *shape);
/* Needs nothing but the data of x: the choice of experts and what is inside them are computed again. The router learns
 * through the weights of the chosen experts. */
void moe_backward(struct flow *f, const struct value *y, struct value *x, const struct moe_weights *w,
    const struct moe_shape *shape);

/* y = a + b. y may be a. */
void add(struct flow *f, struct value *y, const struct value *a, const struct value *b);
/* Where two of the three have one gradient in common it already is what it should be. */
void add_backward(struct flow *f, const struct value *y, struct value *a, struct value *b);

/* Rows `rows[0..n)` of x, packed into y (n, width). */
void gather(struct flow *f, struct value *y, const struct value *x, const int32_t *rows, int n);
void gather_backward(struct flow *f, const struct value *y, struct value *x, const int32_t *rows, int n);
/* x = cap * tanh(x / cap) on `rows` rows. */
void softcap(struct flow *f, struct value *x, int rows, float cap);
void softcap_backward(struct flow *f, struct value *x, int rows, float cap); /* scales the gradient, reads the data */

/* x = x / temperature on `rows` rows. */
void temper(struct flow *f, struct value *x, int rows, float temperature);
void temper_backward(struct flow *f, struct value *x, int rows, float temperature); /* the gradient likewise */
/* n numbers become 0. */
void clear(const struct flow *f, float *x, size_t n);

/* loss (tokens, 1) = log(sum exp(logits)) - logits[target], targets (tokens) below the width of logits. The backward
 * writes the whole gradient of the logits, which may lie where their data lie. */
void cross_entropy(struct flow *f, struct value *loss, const struct value *logits, const int32_t *targets);
void cross_entropy_backward(struct flow *f, const struct value *loss, struct value *logits, const int32_t *targets);
/* y (tokens, 1) = -sum p log(p), p = softmax(logits). For measuring: nothing learns from it. */
void entropy(struct flow *f, struct value *y, const struct value *logits);

#endif
