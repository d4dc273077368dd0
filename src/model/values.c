/* SPDX-License-Identifier: Apache-2.0 */
#include "model/block.h"

static float *take(struct arena *a, int rows, int width)
{
    return arena_take(a, (size_t)rows, (size_t)width * sizeof(float));
}

static struct value take_value(struct arena *a, int rows, int width)
{
    return (struct value) { .data = take(a, rows, width), .width = width };
}

static bool any_dense(const struct spec *s)
{
    for (int i = 0; i < s->layers; i++)
        if (!s->layer[i].moe)
            return true;
    return false;
}

void values_layout(struct blocks *b, int tokens_max, struct arena *a)
{
    const struct spec *s = b->spec;
    struct block_values *v = b->values;
    int dense_rows = any_dense(s) ? tokens_max : 0;
    v->x = v->x_mid = v->x_out = take_value(a, tokens_max, s->dim);
    v->attn_in = v->mlp_in = take_value(a, tokens_max, s->dim);
    v->attn_plain = v->attn_out = v->mlp_plain = v->mlp_out = take_value(a, tokens_max, s->dim);
    v->q_plain = v->q = take_value(a, tokens_max, s->heads * s->head_dim);
    v->k_plain = v->k = take_value(a, tokens_max, s->kv_heads * s->head_dim);
    v->v = take_value(a, tokens_max, s->kv_heads * s->head_dim);
    v->mixed = take_value(a, tokens_max, s->heads * s->head_dim);
    v->up = v->act = take_value(a, dense_rows, s->ffn);
    if (s->ffn_gate)
        v->gate = v->act = take_value(a, dense_rows, s->ffn);
}

/* The data of a layer's values that its backward reads, but for what is cheap to compute again. */
static void take_kept(struct block_values *v, const struct spec *s, bool moe, int rows, struct arena *a)
{
    int heads = s->heads * s->head_dim, kv_heads = s->kv_heads * s->head_dim;
    v->q.data = take(a, rows, heads);
    v->mixed.data = take(a, rows, heads);
    v->x_mid.data = take(a, rows, s->dim);
    v->sums = take(a, rows, 2 * s->heads);
    v->k_cache = take(a, rows, kv_heads);
    v->v_cache = take(a, rows, kv_heads);
    if (s->head_norms) {
        v->q_plain.data = take(a, rows, heads);
        v->k_plain.data = take(a, rows, kv_heads);
    }
    if (s->post_norms) {
        v->attn_plain.data = take(a, rows, s->dim);
        v->mlp_plain.data = take(a, rows, s->dim);
    }
    if (moe)
        return;
    v->up.data = take(a, rows, s->ffn);
    if (s->ffn_gate)
        v->gate.data = take(a, rows, s->ffn);
}

/* The gradients inside a block, but for the residual stream's: those of attention and those of the feed-forward part,
 * never alive together, have memory in common. */
static void take_gradients(struct blocks *b, struct block_values *v, int rows, struct arena *a)
{
    const struct spec *s = b->spec;
    int heads = s->heads * s->head_dim, kv_heads = s->kv_heads * s->head_dim, dense_rows = any_dense(s) ? rows : 0;
    size_t before = a->used;
    b->gradients = v->attn_in.gradient = take(a, rows, s->dim);
    v->q.gradient = take(a, rows, heads);
    v->k.gradient = take(a, rows, kv_heads);
    v->v.gradient = take(a, rows, kv_heads);
    v->k_gradient = take(a, rows, kv_heads);
    v->v_gradient = take(a, rows, kv_heads);
    v->mixed.gradient = take(a, rows, heads);
    v->q_plain.gradient = take(a, s->head_norms ? rows : 0, heads);
    v->k_plain.gradient = take(a, s->head_norms ? rows : 0, kv_heads);
    v->attn_plain.gradient = take(a, s->post_norms ? rows : 0, s->dim);
    b->n_attention_gradients = (a->used - before) / sizeof(float);
    size_t end = a->used;
    a->used = before;
    v->mlp_in.gradient = take(a, rows, s->dim);
    v->up.gradient = take(a, dense_rows, s->ffn);
    v->gate.gradient = take(a, s->ffn_gate ? dense_rows : 0, s->ffn);
    v->act.gradient = take(a, dense_rows, s->ffn);
    v->mlp_plain.gradient = take(a, s->post_norms ? rows : 0, s->dim);
    b->n_mlp_gradients = (a->used - before) / sizeof(float);
    a->used = a->used > end ? a->used : end;
}

/* What all layers have in common: widths, gradients, and the data that no backward reads or that it makes again. */
static struct block_values take_common(struct blocks *b, int rows, struct arena *a)
{
    const struct spec *s = b->spec;
    int heads = s->heads * s->head_dim, kv_heads = s->kv_heads * s->head_dim, dense_rows = any_dense(s) ? rows : 0;
    struct block_values v = { .k = take_value(a, rows, kv_heads), .v = take_value(a, rows, kv_heads) };
    v.attn_out = v.mlp_out = take_value(a, rows, s->dim);
    v.attn_out.gradient = v.mlp_out.gradient = take(a, rows, s->dim); /* the residual stream's: add passes it on */
    v.x = v.x_mid = v.x_out = (struct value) { .width = s->dim, .gradient = v.attn_out.gradient };

    v.attn_in.data = take(a, rows, s->dim);
    v.mlp_in.data = take(a, rows, s->dim);
    v.act.data = take(a, dense_rows, s->ffn);
    take_gradients(b, &v, rows, a);

    v.attn_in.width = v.mlp_in.width = v.attn_plain.width = v.mlp_plain.width = s->dim;
    v.q.width = v.q_plain.width = v.mixed.width = heads;
    v.k.width = v.k_plain.width = v.v.width = kv_heads;
    v.up.width = v.gate.width = v.act.width = s->ffn;
    return v;
}

void values_layout_training(struct blocks *b, int tokens_max, bool checkpoint, struct arena *a)
{
    const struct spec *s = b->spec;
    struct block_values common = take_common(b, tokens_max, a), unused;
    float *x = take(a, tokens_max, s->dim);
    b->values = arena_take(a, (size_t)s->layers, sizeof *b->values);
    if (checkpoint)
        take_kept(&common, s, !any_dense(s), tokens_max, a);
    for (int i = 0; i < s->layers; i++) {
        struct block_values *v = b->values ? &b->values[i] : &unused;
        *v = common;
        if (!checkpoint)
            take_kept(v, s, s->layer[i].moe, tokens_max, a);
        v->x.data = x;
        v->x_out.data = x = take(a, tokens_max, s->dim);
    }
}
