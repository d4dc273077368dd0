/* SPDX-License-Identifier: Apache-2.0 */
/* A transformer block, once for all families. A step whose weight is absent is skipped, its output being its input: so
 * biases, norms of heads and norms behind a part need no flag. */
#include "model/pass_impl.h"

static struct norm_shape norm_of(const struct spec *s, int groups)
{
    return (struct norm_shape) { .kind = s->norm, .eps = s->norm_eps, .offset = s->norm_offset, .groups = groups };
}

/* Scale q and k per head, then turn them to their positions. */
static void place_heads(struct pass *p, const struct layer_weights *w, const struct spec_layer *l)
{
    const struct spec *s = &p->model->spec;
    struct block_values *v = &p->values;
    struct norm_shape q_norm = norm_of(s, s->heads), k_norm = norm_of(s, s->kv_heads);
    if (weight_present(&w->q_norm))
        norm(&p->flow, &v->q, &v->q, &w->q_norm, NULL, &q_norm);
    if (weight_present(&w->k_norm))
        norm(&p->flow, &v->k, &v->k, &w->k_norm, NULL, &k_norm);
    if (l->rope < 0)
        return;
    const struct spec_rope *r = &s->ropes[l->rope];
    struct rope_shape shape = { .heads = s->heads, .head_dim = s->head_dim, .dims = r->dims,
        .interleaved = s->rope_interleaved, .magnitude = r->magnitude, .inverse_frequency = r->inverse_frequency };
    rope(&p->flow, &v->q, &shape);
    shape.heads = s->kv_heads;
    rope(&p->flow, &v->k, &shape);
}

static void attend(struct pass *p, const struct layer_weights *w, int layer)
{
    const struct spec *s = &p->model->spec;
    const struct spec_layer *l = &s->layer[layer];
    struct block_values *v = &p->values;
    struct attention_shape shape = { .layer = layer, .heads = s->heads, .kv_heads = s->kv_heads,
        .head_dim = s->head_dim, .scale = s->attention_scale, .softcap = s->attention_softcap, .window = l->window,
        .sinks = &w->sinks };
    linear(&p->flow, &v->q, &v->attn_in, &w->q, &w->q_bias);
    linear(&p->flow, &v->k, &v->attn_in, &w->k, &w->k_bias);
    linear(&p->flow, &v->v, &v->attn_in, &w->v, &w->v_bias);
    place_heads(p, w, l);
    kv_store(&p->flow, &v->k, &v->v, &shape);
    attention(&p->flow, &v->mixed, &v->q, &shape);
    linear(&p->flow, &v->attn_out, &v->mixed, &w->attn_out, &w->attn_out_bias);
}

static void mix_experts(struct pass *p, const struct layer_weights *w)
{
    const struct spec *s = &p->model->spec;
    struct moe_shape shape = { .experts = s->experts, .used = s->experts_used, .ffn = s->expert_ffn,
        .activation = s->activation, .softmax_after = s->experts_softmax_after,
        .renormalize = s->experts_renormalize };
    struct moe_weights weights = { .router = &w->router, .router_bias = &w->router_bias, .gate = &w->expert_gate,
        .up = &w->expert_up, .down = &w->expert_down, .gate_bias = &w->expert_gate_bias,
        .up_bias = &w->expert_up_bias, .down_bias = &w->expert_down_bias };
    moe(&p->flow, &p->values.mlp_out, &p->values.mlp_in, &weights, &shape);
}

static void feed_forward(struct pass *p, const struct layer_weights *w)
{
    struct block_values *v = &p->values;
    const struct act_shape *shape = &p->model->spec.activation;
    linear(&p->flow, &v->up, &v->mlp_in, &w->up, &w->up_bias);
    if (weight_present(&w->gate)) {
        linear(&p->flow, &v->gate, &v->mlp_in, &w->gate, &w->gate_bias);
        act(&p->flow, &v->act, &v->gate, &v->up, shape);
    } else {
        act(&p->flow, &v->act, &v->up, NULL, shape);
    }
    linear(&p->flow, &v->mlp_out, &v->act, &w->down, &w->down_bias);
}

void block_forward(struct pass *p, int layer)
{
    const struct spec *s = &p->model->spec;
    const struct layer_weights *w = &p->model->layers[layer];
    struct norm_shape whole = norm_of(s, 1);
    struct block_values *v = &p->values;

    norm(&p->flow, &v->attn_in, &v->x, &w->attn_norm, &w->attn_norm_bias, &whole);
    attend(p, w, layer);
    if (weight_present(&w->attn_post_norm))
        norm(&p->flow, &v->attn_out, &v->attn_out, &w->attn_post_norm, NULL, &whole);
    add(&p->flow, &v->x, &v->attn_out);

    norm(&p->flow, &v->mlp_in, &v->x, &w->mlp_norm, &w->mlp_norm_bias, &whole);
    if (s->layer[layer].moe)
        mix_experts(p, w);
    else
        feed_forward(p, w);
    if (weight_present(&w->mlp_post_norm))
        norm(&p->flow, &v->mlp_out, &v->mlp_out, &w->mlp_post_norm, NULL, &whole);
    add(&p->flow, &v->x, &v->mlp_out);
}
