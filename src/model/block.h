/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a model and what they compute with, the same for inference (pass.c) and training (train_pass.c). */
#ifndef WAZN_MODEL_BLOCK_H
#define WAZN_MODEL_BLOCK_H

#include "model/model_impl.h"

/* The values of one block, each (tokens, width). One "before its norm" is unused where the model has no such norm. */
struct block_values {
    struct value x;                /* (dim) the residual stream: what the block reads */
    struct value attn_in;          /* (dim) */
    struct value q_plain, k_plain; /* q and k before their norm */
    struct value q, k, v;          /* (heads | kv_heads | kv_heads, head_dim) */
    struct value mixed;            /* (heads, head_dim) values mixed by attention */
    struct value attn_plain;       /* (dim) attn_out before its norm */
    struct value attn_out;         /* (dim) */
    struct value x_mid;            /* (dim) x + attn_out */
    struct value mlp_in;           /* (dim) */
    struct value gate, up;         /* (ffn) */
    struct value act;              /* (ffn) */
    struct value mlp_plain;        /* (dim) mlp_out before its norm */
    struct value mlp_out;          /* (dim) */
    struct value x_out;            /* (dim) x_mid + mlp_out: x of the next block */
    /* NULL when inferring, where sessions have caches. */
    float *sums;                   /* (tokens, heads, 2) of attention, for its backward */
    float *k_cache, *v_cache;      /* (kv_heads, tokens, head_dim) k and v as attention reads them */
    float *k_gradient, *v_gradient; /* of the caches */
};

struct blocks {
    const struct spec *spec;
    const struct global_weights *global;
    const struct layer_weights *layers; /* (spec.layers) */
    struct flow flow;
    struct block_values *values; /* (spec.layers) when training; else one for all */
    float *gradients; /* of all values but the residual stream, one set for all layers; NULL when inferring */
    size_t n_attention_gradients, n_mlp_gradients; /* both from `gradients` on */
};

static inline struct block_values *block_values(const struct blocks *b, int layer)
{
    return &b->values[b->gradients ? layer : 0];
}

/* values.c: lay out the one set that all layers share when inferring. Values whose lives do not overlap have memory in
 * common, and so have all of the residual stream. */
void values_layout(struct blocks *b, int tokens_max, struct arena *a);

/* Lay out a set for each layer and one set of gradients. checkpoint: layers keep their x alone and have the rest in
 * common, so block_backward needs a block_forward of its layer just before. */
void values_layout_training(struct blocks *b, int tokens_max, bool checkpoint, struct arena *a);

/* What flow_layout asks of a model's blocks, with what lies beside its weights. */
struct flow_shape blocks_shape(const struct model *m, int tokens_max, int context_max, int threads);
void blocks_shape_add(struct flow_shape *shape, const struct low_rank *low); /* and these */

/* The first x from the flow's ids and positions; its backward. */
void blocks_embed(struct blocks *b);
void blocks_embed_backward(struct blocks *b);

/* x_out = x + attention(x) + feed_forward(x), as the layer's weights say. */
void block_forward(struct blocks *b, int layer);
/* From the gradient of x_out, in place, to that of x: the residual stream has one gradient. */
void block_backward(struct blocks *b, int layer);

#endif
