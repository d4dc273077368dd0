/* SPDX-License-Identifier: Apache-2.0 */
#include "model/save_config.h"

#include "model/arch.h"
#include "model/spec_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CLOSE 1e-6 /* GGUF stores reals as float32 */

static bool close_to(double a, double b)
{
    return fabs(a - b) <= CLOSE * fmax(fabs(a), fabs(b));
}

static bool rope_differs(const struct spec_rope *a, const struct spec_rope *b)
{
    bool same = a->dims == b->dims && close_to((double)a->magnitude, (double)b->magnitude);
    for (int i = 0; same && i < a->dims / 2; i++)
        same = close_to(a->inverse_frequency[i], b->inverse_frequency[i]);
    return !same;
}

/* The first failure stays. */
struct config_out {
    json_t *o;
    const struct spec *s;
    const json_t *from; /* the source's config */
    bool failed;
};

static void put(struct config_out *c, const char *key, json_t *value)
{
    if (json_object_set_new(c->o, key, value) != 0)
        c->failed = true;
}

static void whole(struct config_out *c, const char *key, long long value)
{
    put(c, key, json_integer(value));
}

/* A whole number stays one, as the classes have it: 256, not 256.0. */
static void put_squared_inverse(struct config_out *c, const char *key, float scale)
{
    double value = 1 / ((double)scale * (double)scale), near = round(value);
    if (fabs(value - near) < 1e-5 * value)
        whole(c, key, (long long)near);
    else
        put(c, key, json_real(value));
}

static void put_gpt2(struct config_out *c)
{
    const struct spec *s = c->s;
    whole(c, "n_layer", s->layers);
    whole(c, "n_embd", s->dim);
    whole(c, "n_head", s->heads);
    whole(c, "n_inner", s->ffn);
    whole(c, "n_positions", s->context);
    whole(c, "n_ctx", s->context);
    put(c, "layer_norm_epsilon", json_real(json_decimal(s->norm_eps)));
    put(c, "activation_function", json_string("gelu_new"));
}

static void put_sizes(struct config_out *c)
{
    const struct spec *s = c->s;
    whole(c, "num_hidden_layers", s->layers);
    whole(c, "hidden_size", s->dim);
    whole(c, "num_attention_heads", s->heads);
    whole(c, "num_key_value_heads", s->kv_heads);
    whole(c, "head_dim", s->head_dim);
    whole(c, "intermediate_size", s->ffn);
    whole(c, "max_position_embeddings", s->context);
    put(c, "rms_norm_eps", json_real(json_decimal(s->norm_eps)));
    put(c, "attention_bias", json_boolean(s->qkv_bias));
    if (s->ffn_bias)
        put(c, "mlp_bias", json_true());
}

static void put_experts(struct config_out *c)
{
    const struct spec *s = c->s;
    bool qwen = s->arch == &arch_qwen3_moe;
    json_t *dense = json_array();
    if (s->experts == 0) {
        json_decref(dense);
        return;
    }
    whole(c, qwen ? "num_experts" : "num_local_experts", s->experts);
    whole(c, "num_experts_per_tok", s->experts_used);
    if (s->arch == &arch_gpt_oss)
        put(c, "swiglu_limit", json_real(json_decimal(s->activation.limit)));
    for (int i = 0; qwen && i < s->layers; i++)
        if (!s->layer[i].moe && json_array_append_new(dense, json_integer(i)) != 0)
            c->failed = true;
    if (qwen) {
        whole(c, "moe_intermediate_size", s->expert_ffn);
        whole(c, "decoder_sparse_step", 1);
        put(c, "norm_topk_prob", json_boolean(s->experts_renormalize));
        put(c, "mlp_only_layers", json_incref(dense));
    }
    json_decref(dense);
}

static void put_windows(struct config_out *c)
{
    const struct spec *s = c->s;
    int window = 0;
    bool listed = s->arch != &arch_mistral && s->arch != &arch_mixtral && s->arch != &arch_llama;
    json_t *types = json_array();
    for (int i = 0; i < s->layers; i++)
        window = s->layer[i].window > window ? s->layer[i].window : window;
    for (int i = 0; i < s->layers; i++)
        if (json_array_append_new(types,
                json_string(s->layer[i].window ? "sliding_attention" : "full_attention")) != 0)
            c->failed = true;
    if (window)
        whole(c, "sliding_window", window);
    else if (s->arch == &arch_mistral || s->arch == &arch_gpt_oss) /* the classes take silence for a window */
        put(c, "sliding_window", json_null());
    if (window && strncmp(s->arch->name, "qwen", 4) == 0)
        put(c, "use_sliding_window", json_true());
    if (window && listed)
        put(c, "layer_types", json_incref(types));
    json_decref(types);
}

/* The parameters of one rope, whichever form the config has: {rope_type, factor, ...}, NULL: plain. */
static const json_t *rope_given(const json_t *from, const char *layers)
{
    const json_t *p = json_object_get(from, "rope_parameters"), *part = json_object_get(p, layers);
    if (json_is_object(part))
        return part;
    p = json_is_object(p) ? p : json_object_get(from, "rope_scaling");
    return json_is_object(p) ? p : NULL;
}

static json_t *gpt_oss_scaling_new(const json_t *from, const struct spec_rope *r)
{
    double factor = json_real_of(from, "rope_scaling_factor", 32);
    if (rope_given(from, "full_attention") || r->magnitude == 1.0f)
        return NULL;
    return json_pack("{s:s, s:f, s:f, s:f, s:b, s:f}", "rope_type", "yarn", "factor", factor, "beta_slow",
        json_real_of(from, "rope_ntk_alpha", 1), "beta_fast", json_real_of(from, "rope_ntk_beta", 32), "truncate", 0,
        "original_max_position_embeddings", json_real_of(from, "initial_context_length", 4096));
}

static bool is_divided(const struct spec_rope *r)
{
    for (int i = 0; i < r->dims / 2; i++)
        if (!close_to(r->inverse_frequency[i], pow(r->base, -2.0 * i / r->dims)))
            return true;
    return false;
}

/* Llama 3.1 and later state their rope by four numbers, GGUF by the divisors that follow from them. The factors of all
 * published models are these; the context is found by trying. NULL: none gives these divisors. */
static json_t *llama3_scaling_new(const struct config_out *c)
{
    const struct spec_rope *r = &c->s->ropes[0];
    int last = r->dims / 2 - 1;
    double factor = pow(r->base, -2.0 * last / r->dims) / r->inverse_frequency[last];
    for (int context = 1; context <= 1 << 24; context *= 2) {
        struct spec_rope tried;
        json_t *p = json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", round(factor * 1e4) / 1e4,
            "low_freq_factor", 1.0, "high_freq_factor", 4.0, "original_max_position_embeddings", context);
        if (p && spec_read_rope(&tried, c->s, c->from, p, r->base, NULL) == 0 && !rope_differs(&tried, r))
            return p;
        json_decref(p);
    }
    return NULL;
}

static void put_ropes(struct config_out *c)
{
    const struct spec *s = c->s;
    const json_t *given = rope_given(c->from, "full_attention");
    json_t *scaling = given ? json_copy((json_t *)(uintptr_t)given) : NULL;
    const char *type = json_text(given, "rope_type", json_text(given, "type", "default"));
    put(c, "rope_theta", json_real(s->ropes[0].base));
    if (s->ropes[1].dims)
        put(c, "rope_local_base_freq", json_real(s->ropes[1].base));
    if (!given && s->arch != &arch_gpt_oss && is_divided(&s->ropes[0]))
        scaling = llama3_scaling_new(c);
    else if (s->arch == &arch_gpt_oss && !given)
        scaling = gpt_oss_scaling_new(c->from, &s->ropes[0]);
    else if (strcmp(type, "default") == 0) {
        json_decref(scaling);
        scaling = NULL;
    } else {
        if (json_object_set_new(scaling, "rope_type", json_string(type)) != 0)
            c->failed = true;
        json_object_del(scaling, "type");
        json_object_del(scaling, "rope_theta");
    }
    if (scaling)
        put(c, "rope_scaling", scaling);
}

static void put_gemma(struct config_out *c)
{
    const struct spec *s = c->s;
    put(c, "hidden_activation", json_string("gelu_pytorch_tanh"));
    put_squared_inverse(c, "query_pre_attn_scalar", s->attention_scale);
    put(c, "attn_logit_softcapping",
        s->attention_softcap > 0 ? json_real(json_decimal(s->attention_softcap)) : json_null());
    put(c, "final_logit_softcapping", s->logit_softcap > 0 ? json_real(json_decimal(s->logit_softcap)) : json_null());
}

static void put_all(struct config_out *c)
{
    static const char *const taken[] = { "bos_token_id", "eos_token_id", "pad_token_id" };
    const struct spec *s = c->s;
    bool gemma = s->arch == &arch_gemma2 || s->arch == &arch_gemma3;
    put(c, "architectures", json_pack("[s]", s->arch->class_name));
    put(c, "model_type", json_string(s->arch->model_types[0]));
    whole(c, "vocab_size", s->vocabulary);
    put(c, "tie_word_embeddings", json_boolean(s->tied));
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (json_object_get(c->from, taken[i]))
            put(c, taken[i], json_incref(json_object_get(c->from, taken[i])));
    if (s->arch == &arch_gpt2) {
        put_gpt2(c);
        return;
    }
    put_sizes(c);
    put_experts(c);
    put_windows(c);
    put_ropes(c);
    if (gemma)
        put_gemma(c);
    else
        put(c, "hidden_act", json_string("silu"));
}

int save_config_new(json_t **out, const struct spec *s, const json_t *config, struct error *err)
{
    const json_t *inner = json_object_get(config, "text_config");
    struct config_out c = { .o = json_object(), .s = s, .from = json_is_object(inner) ? inner : config };
    *out = NULL;
    if (c.o)
        put_all(&c);
    if (!c.o || c.failed) {
        json_decref(c.o);
        return error_memory(err, sizeof(json_t), "a config");
    }
    *out = c.o;
    return 0;
}

/* ---- comparing ---- */

static const char *numbers_differ(const struct spec *a, const struct spec *b)
{
    const struct {
        const char *name;
        double a, b;
    } list[] = {
#define SAME(field) { #field, (double)a->field, (double)b->field }
        SAME(layers), SAME(dim), SAME(heads), SAME(kv_heads), SAME(head_dim), SAME(vocabulary), SAME(context),
        SAME(norm), SAME(norm_eps), SAME(activation.kind), SAME(activation.alpha), SAME(activation.limit),
        SAME(attention_scale), SAME(attention_softcap), SAME(logit_softcap), SAME(experts),
        SAME(experts_used), SAME(expert_ffn), SAME(experts_softmax_after), SAME(experts_renormalize), SAME(tied),
        SAME(learned_positions), SAME(qkv_bias), SAME(attention_out_bias), SAME(ffn_bias), SAME(expert_bias),
        SAME(sinks), SAME(ffn_gate), SAME(head_norms), SAME(post_norms), SAME(ropes[0].dims), SAME(ropes[0].magnitude)
#undef SAME
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (!close_to(list[i].a, list[i].b))
            return list[i].name;
    return NULL;
}

const char *spec_difference(const struct spec *a, const struct spec *b, char text[64])
{
    const char *name = numbers_differ(a, b);
    if (name)
        return name;
    for (int i = 0; i < a->layers; i++) {
        const struct spec_layer *x = &a->layer[i], *y = &b->layer[i];
        const char *what = x->window != y->window ? "window" : x->moe != y->moe ? "experts"
            : !x->moe && a->ffn != b->ffn ? "feed-forward width"
            : (x->rope < 0) != (y->rope < 0) || (x->rope >= 0 && rope_differs(&a->ropes[x->rope], &b->ropes[y->rope]))
            ? "rope" : NULL;
        if (what) {
            snprintf(text, 64, "%s of layer %d", what, i);
            return text;
        }
    }
    return NULL;
}
