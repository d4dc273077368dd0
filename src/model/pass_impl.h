/* SPDX-License-Identifier: Apache-2.0 */
/* What pass.c lays out and block.c computes with. */
#ifndef WAZN_MODEL_PASS_IMPL_H
#define WAZN_MODEL_PASS_IMPL_H

#include "model/model_impl.h"
#include "model/pass.h"

/* The values of one block, each (tokens, width). Inference has one set for all layers, and lets values whose lives do
 * not overlap share memory. */
struct block_values {
    struct value x;           /* (dim) the residual stream: what blocks read and add to */
    struct value attn_in;     /* (dim) */
    struct value q, k, v;     /* (heads | kv_heads | kv_heads, head_dim) */
    struct value mixed;       /* (heads, head_dim) values mixed by attention */
    struct value attn_out;    /* (dim) */
    struct value mlp_in;      /* (dim) */
    struct value gate, up;    /* (ffn) */
    struct value act;         /* (ffn) */
    struct value mlp_out;     /* (dim) */
};

struct pass {
    const struct model *model;
    struct pass_options options;
    struct arena arena;
    struct flow flow;
    int32_t *ids, *positions; /* (tokens_max) */
    int32_t *rows;            /* (logits_max) rows of the flow whose logits are wanted */
    struct span *spans;       /* (tokens_max) */
    struct block_values values;
    struct value last;   /* (logits_max, dim) their residual streams */
    struct value logits; /* (logits_max, vocabulary) */
    int n_logits;        /* of the last run */
};

/* x = x + attention(x) + feed_forward(x), as the layer's weights say. */
void block_forward(struct pass *p, int layer);

#endif
