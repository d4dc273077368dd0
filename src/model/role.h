/* SPDX-License-Identifier: Apache-2.0 */
/* Every weight one of our transformers can have, once. Loading, checking, counting and saving are loops over it. */
#ifndef WAZN_MODEL_ROLE_H
#define WAZN_MODEL_ROLE_H

#include "model/spec.h"
#include "tensor/tensor.h"

enum role_kind {
    ROLE_GAIN,    /* of a norm */
    ROLE_BIAS,
    ROLE_MATRIX,  /* of a linear */
    ROLE_EXPERTS, /* one such matrix per expert */
    ROLE_EXPERT_BIASES, /* a row per expert */
    ROLE_TABLE,   /* rows are picked by index */
    ROLE_OTHER
};

/* Rows, columns and whether a model has it are expressions of a `const struct spec *s` and, for layers, of a
 * `const struct spec_layer *l`.
 *    name             rows                 columns                  kind          wanted */
#define GLOBAL_ROLES(R) \
    R(token_embedding, s->vocabulary,       s->dim,                  ROLE_TABLE,   true) \
    R(position_table,  s->context,          s->dim,                  ROLE_TABLE,   s->learned_positions) \
    R(rope_factors,    1,                   s->ropes[0].dims / 2,    ROLE_OTHER,   s->rope_factors) \
    R(final_norm,      1,                   s->dim,                  ROLE_GAIN,    true) \
    R(final_norm_bias, 1,                   s->dim,                  ROLE_BIAS,    s->norm == NORM_LAYER) \
    R(output,          s->vocabulary,       s->dim,                  ROLE_MATRIX,  !s->tied)

#define LAYER_ROLES(R) \
    R(attn_norm,       1,                   s->dim,                  ROLE_GAIN,    true) \
    R(attn_norm_bias,  1,                   s->dim,                  ROLE_BIAS,    s->norm == NORM_LAYER) \
    R(q,               s->heads * s->head_dim,    s->dim,            ROLE_MATRIX,  true) \
    R(k,               s->kv_heads * s->head_dim, s->dim,            ROLE_MATRIX,  true) \
    R(v,               s->kv_heads * s->head_dim, s->dim,            ROLE_MATRIX,  true) \
    R(q_bias,          1,                   s->heads * s->head_dim,  ROLE_BIAS,    s->qkv_bias) \
    R(k_bias,          1,                   s->kv_heads * s->head_dim, ROLE_BIAS,  s->qkv_bias) \
    R(v_bias,          1,                   s->kv_heads * s->head_dim, ROLE_BIAS,  s->qkv_bias) \
    R(q_norm,          1,                   s->head_dim,             ROLE_GAIN,    s->head_norms) \
    R(k_norm,          1,                   s->head_dim,             ROLE_GAIN,    s->head_norms) \
    R(attn_out,        s->dim,              s->heads * s->head_dim,  ROLE_MATRIX,  true) \
    R(attn_out_bias,   1,                   s->dim,                  ROLE_BIAS,    s->attention_out_bias) \
    R(attn_post_norm,  1,                   s->dim,                  ROLE_GAIN,    s->post_norms) \
    R(mlp_norm,        1,                   s->dim,                  ROLE_GAIN,    true) \
    R(mlp_norm_bias,   1,                   s->dim,                  ROLE_BIAS,    s->norm == NORM_LAYER) \
    R(gate,            s->ffn,              s->dim,                  ROLE_MATRIX,  !l->moe && s->ffn_gate) \
    R(gate_bias,       1,                   s->ffn,                  ROLE_BIAS, !l->moe && s->ffn_bias && s->ffn_gate) \
    R(up,              s->ffn,              s->dim,                  ROLE_MATRIX,  !l->moe) \
    R(up_bias,         1,                   s->ffn,                  ROLE_BIAS,    !l->moe && s->ffn_bias) \
    R(down,            s->dim,              s->ffn,                  ROLE_MATRIX,  !l->moe) \
    R(down_bias,       1,                   s->dim,                  ROLE_BIAS,    !l->moe && s->ffn_bias) \
    R(sinks,           1,                   s->heads,                ROLE_OTHER,   s->sinks) \
    R(router,          s->experts,          s->dim,                  ROLE_MATRIX,  l->moe) \
    R(router_bias,     1,                   s->experts,              ROLE_BIAS,    l->moe && s->expert_bias) \
    R(expert_gate,     s->expert_ffn,       s->dim,                  ROLE_EXPERTS, l->moe) \
    R(expert_up,       s->expert_ffn,       s->dim,                  ROLE_EXPERTS, l->moe) \
    R(expert_down,     s->dim,              s->expert_ffn,           ROLE_EXPERTS, l->moe) \
    R(expert_gate_bias, s->experts,         s->expert_ffn,           ROLE_EXPERT_BIASES, l->moe && s->expert_bias) \
    R(expert_up_bias,  s->experts,          s->expert_ffn,           ROLE_EXPERT_BIASES, l->moe && s->expert_bias) \
    R(expert_down_bias, s->experts,         s->dim,                  ROLE_EXPERT_BIASES, l->moe && s->expert_bias) \
    R(mlp_post_norm,   1,                   s->dim,                  ROLE_GAIN,    s->post_norms)

enum role {
#define R(name, rows, columns, kind, wanted) ROLE_##name,
    LAYER_ROLES(R) N_LAYER_ROLES,
    ROLE_BEFORE_GLOBAL = N_LAYER_ROLES - 1,
    GLOBAL_ROLES(R) N_ROLES
#undef R
};
#define N_GLOBAL_ROLES (N_ROLES - N_LAYER_ROLES)

#define R(name, rows, columns, kind, wanted) struct weight name;
struct layer_weights {
    union {
        struct weight at[N_LAYER_ROLES]; /* for loops:    w->at[ROLE_q] */
        struct {                         /* for formulas: w->q */
            LAYER_ROLES(R)
        };
    };
};
struct global_weights {
    union {
        struct weight at[N_GLOBAL_ROLES]; /* w->at[ROLE_output - N_LAYER_ROLES] */
        struct {
            GLOBAL_ROLES(R)
        };
    };
};
#undef R

struct role_shape {
    int64_t rows, cols; /* of each expert's matrix where kind is ROLE_EXPERTS */
    enum role_kind kind;
    bool wanted; /* a model of this spec has it; the rest is meaningless where not */
};
/* layer is ignored for global roles. */
struct role_shape role_shape(const struct spec *s, int role, int layer);

/* One row: its length is what a fused vector is cut by. */
static inline bool role_is_vector(const struct role_shape *shape)
{
    return shape->kind == ROLE_GAIN || shape->kind == ROLE_BIAS || (shape->kind == ROLE_OTHER && shape->rows == 1);
}

/* Output of a model's q or k (or their biases) that is output `to` where heads are ordered for the other kind of rope:
 * the pairs that turn together are halves of a head in one, neighbours (interleaved) in the other. `to` itself for
 * other roles. */
int64_t role_output(const struct spec *s, int role, bool interleaved, int64_t to);

const char *role_name(int role);
int role_find(const char *name, size_t n); /* not 0-terminated; -1: none */

#endif
