/* SPDX-License-Identifier: Apache-2.0 */
/* A transformer block, once for all families. A step whose weight is absent is skipped, its output being its input: so
 * biases, norms of heads and norms behind a part need no flag. Forward is read downwards, backward upwards. */
#include "model/block.h"

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

void blocks_shape_add(struct flow_shape *shape, const struct low_rank *low)
{
    for (; low; low = low->next) {
        shape->rank_max = at_least(shape->rank_max, low->rank);
        shape->magnitudes = shape->magnitudes || low->magnitude;
        shape->dropout = shape->dropout || low->dropout > 0;
    }
}

struct flow_shape blocks_shape(const struct model *m, int tokens_max, int context_max, int threads)
{
    const struct spec *s = &m->spec;
    struct flow_shape shape = { .tokens_max = tokens_max, .threads = threads, .dim = s->dim,
        .width_max = at_least(at_least(s->dim, s->ffn), s->heads * s->head_dim), .heads = s->heads,
        .kv_heads = s->kv_heads, .head_dim = s->head_dim, .context_max = context_max, .experts = s->experts,
        .experts_used = s->experts_used, .expert_ffn = s->expert_ffn };
    for (int l = 0; m->layers && l < s->layers; l++) /* one that is only measured has none yet */
        for (int r = 0; r < N_LAYER_ROLES; r++)
            blocks_shape_add(&shape, m->layers[l].at[r].low_rank);
    return shape;
}

static struct norm_shape norm_of(const struct spec *s, int groups)
{
    return (struct norm_shape) { .kind = s->norm, .eps = s->norm_eps, .offset = s->norm_offset, .groups = groups };
}

static struct rope_shape rope_of(const struct spec *s, const struct spec_layer *l, int heads)
{
    const struct spec_rope *r = &s->ropes[l->rope];
    return (struct rope_shape) { .heads = heads, .head_dim = s->head_dim, .dims = r->dims,
        .interleaved = s->rope_interleaved, .magnitude = r->magnitude, .inverse_frequency = r->inverse_frequency };
}

static struct attention_shape attention_of(const struct blocks *b, int layer)
{
    const struct spec *s = b->spec;
    return (struct attention_shape) { .layer = layer, .heads = s->heads, .kv_heads = s->kv_heads,
        .head_dim = s->head_dim, .scale = s->attention_scale, .softcap = s->attention_softcap,
        .window = s->layer[layer].window, .sinks = &b->layers[layer].sinks, .sums = block_values(b, layer)->sums };
}

/* The value that the step before a norm makes: the norm's input, or its output where there is no such norm. */
static struct value *before(const struct weight *norm_weight, struct value *plain, struct value *out)
{
    return weight_present(norm_weight) ? plain : out;
}

/* Scale q and k per head, then turn them to their positions. */
static void place_heads(struct blocks *b, int layer)
{
    const struct spec *s = b->spec;
    const struct spec_layer *l = &s->layer[layer];
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    struct norm_shape q_norm = norm_of(s, s->heads), k_norm = norm_of(s, s->kv_heads);
    if (weight_present(&w->q_norm))
        norm(&b->flow, &v->q, &v->q_plain, &w->q_norm, NULL, &q_norm);
    if (weight_present(&w->k_norm))
        norm(&b->flow, &v->k, &v->k_plain, &w->k_norm, NULL, &k_norm);
    if (l->rope < 0)
        return;
    struct rope_shape q_rope = rope_of(s, l, s->heads), k_rope = rope_of(s, l, s->kv_heads);
    rope(&b->flow, &v->q, &q_rope);
    rope(&b->flow, &v->k, &k_rope);
}

static void place_heads_backward(struct blocks *b, int layer)
{
    const struct spec *s = b->spec;
    const struct spec_layer *l = &s->layer[layer];
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    struct norm_shape q_norm = norm_of(s, s->heads), k_norm = norm_of(s, s->kv_heads);
    if (l->rope >= 0) {
        struct rope_shape q_rope = rope_of(s, l, s->heads), k_rope = rope_of(s, l, s->kv_heads);
        rope_backward(&b->flow, &v->k, &k_rope);
        rope_backward(&b->flow, &v->q, &q_rope);
    }
    if (weight_present(&w->k_norm))
        norm_backward(&b->flow, &v->k, &v->k_plain, &w->k_norm, NULL, &k_norm);
    if (weight_present(&w->q_norm))
        norm_backward(&b->flow, &v->q, &v->q_plain, &w->q_norm, NULL, &q_norm);
}

static void attend(struct blocks *b, int layer)
{
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    struct attention_shape shape = attention_of(b, layer);
    linear(&b->flow, before(&w->q_norm, &v->q_plain, &v->q), &v->attn_in, &w->q, &w->q_bias);
    linear(&b->flow, before(&w->k_norm, &v->k_plain, &v->k), &v->attn_in, &w->k, &w->k_bias);
    linear(&b->flow, &v->v, &v->attn_in, &w->v, &w->v_bias);
    place_heads(b, layer);
    kv_store(&b->flow, &v->k, &v->v, &shape);
    attention(&b->flow, &v->mixed, &v->q, &shape);
    linear(&b->flow, before(&w->attn_post_norm, &v->attn_plain, &v->attn_out), &v->mixed, &w->attn_out,
        &w->attn_out_bias);
}

static void attend_backward(struct blocks *b, int layer)
{
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    struct attention_shape shape = attention_of(b, layer);
    linear_backward(&b->flow, before(&w->attn_post_norm, &v->attn_plain, &v->attn_out), &v->mixed, &w->attn_out,
        &w->attn_out_bias);
    attention_backward(&b->flow, &v->mixed, &v->q, &shape);
    kv_store_backward(&b->flow, &v->k, &v->v, &shape);
    place_heads_backward(b, layer);
    linear_backward(&b->flow, &v->v, &v->attn_in, &w->v, &w->v_bias);
    linear_backward(&b->flow, before(&w->k_norm, &v->k_plain, &v->k), &v->attn_in, &w->k, &w->k_bias);
    linear_backward(&b->flow, before(&w->q_norm, &v->q_plain, &v->q), &v->attn_in, &w->q, &w->q_bias);
}

static struct moe_shape moe_of(const struct spec *s)
{
    return (struct moe_shape) { .experts = s->experts, .used = s->experts_used, .ffn = s->expert_ffn,
        .activation = s->activation, .softmax_after = s->experts_softmax_after,
        .renormalize = s->experts_renormalize };
}

static struct moe_weights experts_of(const struct layer_weights *w)
{
    return (struct moe_weights) { .router = &w->router, .router_bias = &w->router_bias, .gate = &w->expert_gate,
        .up = &w->expert_up, .down = &w->expert_down, .gate_bias = &w->expert_gate_bias,
        .up_bias = &w->expert_up_bias, .down_bias = &w->expert_down_bias };
}

static void feed_forward(struct blocks *b, int layer, struct value *out)
{
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    const struct act_shape *shape = &b->spec->activation;
    if (b->spec->layer[layer].moe) {
        struct moe_shape moe_shape = moe_of(b->spec);
        struct moe_weights experts = experts_of(w);
        moe(&b->flow, out, &v->mlp_in, &experts, &moe_shape);
        return;
    }
    linear(&b->flow, &v->up, &v->mlp_in, &w->up, &w->up_bias);
    if (weight_present(&w->gate)) {
        linear(&b->flow, &v->gate, &v->mlp_in, &w->gate, &w->gate_bias);
        act(&b->flow, &v->act, &v->gate, &v->up, shape);
    } else {
        act(&b->flow, &v->act, &v->up, NULL, shape);
    }
    linear(&b->flow, out, &v->act, &w->down, &w->down_bias);
}

static void feed_forward_backward(struct blocks *b, int layer, const struct value *out)
{
    const struct layer_weights *w = &b->layers[layer];
    struct block_values *v = block_values(b, layer);
    const struct act_shape *shape = &b->spec->activation;
    if (b->spec->layer[layer].moe) {
        struct moe_shape moe_shape = moe_of(b->spec);
        struct moe_weights experts = experts_of(w);
        moe_backward(&b->flow, out, &v->mlp_in, &experts, &moe_shape);
        return;
    }
    act(&b->flow, &v->act, weight_present(&w->gate) ? &v->gate : &v->up, weight_present(&w->gate) ? &v->up : NULL,
        shape); /* again: not kept */
    linear_backward(&b->flow, out, &v->act, &w->down, &w->down_bias);
    if (weight_present(&w->gate)) {
        act_backward(&b->flow, &v->act, &v->gate, &v->up, shape);
        linear_backward(&b->flow, &v->gate, &v->mlp_in, &w->gate, &w->gate_bias);
    } else {
        act_backward(&b->flow, &v->act, &v->up, NULL, shape);
    }
    linear_backward(&b->flow, &v->up, &v->mlp_in, &w->up, &w->up_bias);
}

void block_forward(struct blocks *b, int layer)
{
    const struct layer_weights *w = &b->layers[layer];
    struct norm_shape whole = norm_of(b->spec, 1);
    struct block_values *v = block_values(b, layer);

    norm(&b->flow, &v->attn_in, &v->x, &w->attn_norm, &w->attn_norm_bias, &whole);
    attend(b, layer);
    if (weight_present(&w->attn_post_norm))
        norm(&b->flow, &v->attn_out, &v->attn_plain, &w->attn_post_norm, NULL, &whole);
    add(&b->flow, &v->x_mid, &v->x, &v->attn_out);

    norm(&b->flow, &v->mlp_in, &v->x_mid, &w->mlp_norm, &w->mlp_norm_bias, &whole);
    feed_forward(b, layer, before(&w->mlp_post_norm, &v->mlp_plain, &v->mlp_out));
    if (weight_present(&w->mlp_post_norm))
        norm(&b->flow, &v->mlp_out, &v->mlp_plain, &w->mlp_post_norm, NULL, &whole);
    add(&b->flow, &v->x_out, &v->x_mid, &v->mlp_out);
}

void block_backward(struct blocks *b, int layer)
{
    const struct layer_weights *w = &b->layers[layer];
    struct norm_shape whole = norm_of(b->spec, 1);
    struct block_values *v = block_values(b, layer);

    clear(&b->flow, b->gradients, b->n_mlp_gradients);
    add_backward(&b->flow, &v->x_out, &v->x_mid, &v->mlp_out);
    if (weight_present(&w->mlp_post_norm))
        norm_backward(&b->flow, &v->mlp_out, &v->mlp_plain, &w->mlp_post_norm, NULL, &whole);
    norm(&b->flow, &v->mlp_in, &v->x_mid, &w->mlp_norm, &w->mlp_norm_bias, &whole); /* again */
    feed_forward_backward(b, layer, before(&w->mlp_post_norm, &v->mlp_plain, &v->mlp_out));
    norm_backward(&b->flow, &v->mlp_in, &v->x_mid, &w->mlp_norm, &w->mlp_norm_bias, &whole);

    clear(&b->flow, b->gradients, b->n_attention_gradients);
    add_backward(&b->flow, &v->x_mid, &v->x, &v->attn_out);
    if (weight_present(&w->attn_post_norm))
        norm_backward(&b->flow, &v->attn_out, &v->attn_plain, &w->attn_post_norm, NULL, &whole);
    norm(&b->flow, &v->attn_in, &v->x, &w->attn_norm, &w->attn_norm_bias, &whole); /* again */
    attend_backward(b, layer);
    norm_backward(&b->flow, &v->attn_in, &v->x, &w->attn_norm, &w->attn_norm_bias, &whole);
}

void blocks_embed(struct blocks *b)
{
    struct block_values *v = block_values(b, 0);
    embed(&b->flow, &v->x, &b->global->token_embedding, b->spec->embedding_scale);
    if (b->spec->learned_positions)
        embed_positions(&b->flow, &v->x, &b->global->position_table);
}

void blocks_embed_backward(struct blocks *b)
{
    struct block_values *v = block_values(b, 0);
    if (b->spec->learned_positions)
        embed_positions_backward(&b->flow, &v->x, &b->global->position_table);
    embed_backward(&b->flow, &v->x, &b->global->token_embedding, b->spec->embedding_scale);
}
