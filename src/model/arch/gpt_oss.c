/* SPDX-License-Identifier: Apache-2.0 */
/* gpt-oss (OpenAI 2025, arXiv 2508.10925): experts in every layer, chosen before the softmax, with biases and a clamped
 * SwiGLU; a sink for every head; a window on every other layer; YaRN whose bounds stay real numbers. Its numbers come
 * under the names of OpenAI's own checkpoint ("original"), of Hugging Face's, or of both. */
#include "model/arch.h"
#include "model/spec_read.h"

#include <string.h>

#define BASE 150000
#define WINDOW 128

/* A whole number that has two names. */
static int read_either(int *out, const json_t *c, const char *key, const char *other, int absent, struct error *err)
{
    int second = 0;
    int rc = spec_whole(&second, c, other, absent, 1, 4096, err);
    if (rc == 0)
        rc = spec_whole(out, c, key, second, 1, 4096, err);
    if (rc == 0 && json_object_get(c, other) && *out != second)
        rc = error_set(err, ERROR_FORMAT, "config key \"%s\" is %d, but \"%s\" is %d", key, *out, other, second);
    return rc;
}

static int read_experts(struct spec *s, const json_t *c, struct error *err)
{
    int rc = read_either(&s->experts, c, "num_local_experts", "num_experts", 128, err);
    if (rc == 0)
        rc = read_either(&s->experts_used, c, "num_experts_per_tok", "experts_per_token", 4, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_act", "silu", err);
    if (rc == 0 && s->activation.kind != ACT_SILU)
        rc = error_set(err, ERROR_UNSUPPORTED, "config key \"hidden_act\" is \"%s\", expected silu",
            json_text(c, "hidden_act", ""));
    s->activation.kind = ACT_SWIGLU_CLAMPED;
    if (rc == 0)
        rc = spec_float(&s->activation.alpha, c, "swiglu_alpha", 1.702, 1e-3, 1e3, err);
    if (rc == 0)
        rc = spec_float(&s->activation.limit, c, "swiglu_limit", 7, 1e-3, 1e6, err);
    s->expert_ffn = s->ffn;
    s->experts_softmax_after = s->expert_bias = s->sinks = true;
    for (int i = 0; i < s->layers; i++)
        s->layer[i].moe = true;
    return rc;
}

/* The parameters of YaRN as the original checkpoint names them, which are the defaults of the other form. */
static json_t *original_rope_new(const json_t *c, double factor)
{
    json_t *p = json_pack("{s:s, s:f, s:b, s:f}", "rope_type", factor > 1 ? "yarn" : "default", "factor", factor,
        "truncate", 0, "original_max_position_embeddings", 4096.0);
    static const char *const renamed[][2] = { { "rope_ntk_alpha", "beta_slow" }, { "rope_ntk_beta", "beta_fast" },
        { "initial_context_length", "original_max_position_embeddings" } };
    for (size_t i = 0; p && i < sizeof renamed / sizeof renamed[0]; i++) {
        json_t *value = json_object_get(c, renamed[i][0]);
        if (value && json_object_set(p, renamed[i][1], value) != 0) {
            json_decref(p);
            p = NULL;
        }
    }
    return p;
}

static int read_rope(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const char *const forms[] = { "rope_parameters", "rope_scaling" };
    double base = BASE, factor = 32;
    const json_t *given = NULL;
    int rc = spec_real(&base, c, "rope_theta", BASE, 1.0001, 1e15, err);
    if (rc == 0)
        rc = spec_real(&factor, c, "rope_scaling_factor", kind == SOURCE_GGUF ? 1 : 32, 1, 1e6, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < 2 && !given; i++)
        if (json_is_object(json_object_get(c, forms[i])))
            given = json_object_get(c, forms[i]);
    json_t *p = original_rope_new(c, factor);
    if (!p || (given && (json_object_del(p, "rope_type"), json_object_update(p, (json_t *)given) != 0)))
        rc = error_memory(err, sizeof(json_t), "a config");
    if (rc == 0)
        rc = spec_read_rope(&s->ropes[0], s, c, p, base, err);
    json_decref(p);
    return rc;
}

/* The original checkpoint says by what its context was stretched, not how long it is. */
static int read_context(struct spec *s, const json_t *c, struct error *err)
{
    double initial = 4096, factor = 32;
    if (json_object_get(c, "max_position_embeddings"))
        return 0;
    int rc = spec_real(&initial, c, "initial_context_length", 4096, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_real(&factor, c, "rope_scaling_factor", 32, 1, 1e6, err);
    if (rc == 0 && initial * factor > 1 << 28)
        rc = error_set(err, ERROR_FORMAT, "config gives a context of %g times %g positions", initial, factor);
    if (rc == 0)
        s->context = (int)(initial * factor);
    return rc;
}

static int gpt_oss_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .heads = 64, .kv_heads = 8, .head_dim = 64, .vocabulary = 201088,
        .context = 131072, .norm_eps = 1e-5, .rope_base = BASE };
    static const struct window_rule even_layers = { 0, 2 };
    int window = 0;
    int rc = spec_read_common(s, c, &defaults, err);
    if (rc == 0)
        rc = read_context(s, c, err);
    if (rc == 0)
        rc = spec_flag(&s->qkv_bias, c, "attention_bias", true, err);
    s->attention_out_bias = s->qkv_bias;
    if (rc == 0)
        rc = read_experts(s, c, err);
    if (rc == 0)
        rc = spec_whole(&window, c, "sliding_window", spec_is_null(c, "sliding_window") ? 0 : WINDOW, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_read_windows(s, c, window, &even_layers, err);
    return rc ? rc : read_rope(s, c, kind, err);
}

#define HF "model.layers.%d."
#define OWN "block.%d."
static const struct weight_name names[] = {
    LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_MLP_NORM,
    { ROLE_sinks, HF "self_attn.sinks", STORED_PLAIN },
    { ROLE_router, HF "mlp.router.weight", STORED_PLAIN },
    { ROLE_router_bias, HF "mlp.router.bias", STORED_PLAIN },
    { ROLE_expert_gate, HF "mlp.experts.gate_up_proj_blocks", STORED_MXFP4 | STORED_INTERLEAVED },
    { ROLE_expert_up, HF "mlp.experts.gate_up_proj_blocks", STORED_MXFP4 | STORED_INTERLEAVED },
    { ROLE_expert_down, HF "mlp.experts.down_proj_blocks", STORED_MXFP4 },
    { ROLE_expert_gate, HF "mlp.experts.gate_up_proj", STORED_TRANSPOSED | STORED_INTERLEAVED },
    { ROLE_expert_up, HF "mlp.experts.gate_up_proj", STORED_TRANSPOSED | STORED_INTERLEAVED },
    { ROLE_expert_down, HF "mlp.experts.down_proj", STORED_TRANSPOSED },
    { ROLE_expert_gate_bias, HF "mlp.experts.gate_up_proj_bias", STORED_INTERLEAVED },
    { ROLE_expert_up_bias, HF "mlp.experts.gate_up_proj_bias", STORED_INTERLEAVED },
    { ROLE_expert_down_bias, HF "mlp.experts.down_proj_bias", STORED_PLAIN },

    { ROLE_token_embedding, "embedding.weight", STORED_PLAIN },
    { ROLE_final_norm, "norm.scale", STORED_PLAIN },
    { ROLE_output, "unembedding.weight", STORED_PLAIN },
    { ROLE_attn_norm, OWN "attn.norm.scale", STORED_PLAIN },
    { ROLE_q, OWN "attn.qkv.weight", STORED_PLAIN },
    { ROLE_k, OWN "attn.qkv.weight", STORED_PLAIN },
    { ROLE_v, OWN "attn.qkv.weight", STORED_PLAIN },
    { ROLE_q_bias, OWN "attn.qkv.bias", STORED_PLAIN },
    { ROLE_k_bias, OWN "attn.qkv.bias", STORED_PLAIN },
    { ROLE_v_bias, OWN "attn.qkv.bias", STORED_PLAIN },
    { ROLE_attn_out, OWN "attn.out.weight", STORED_PLAIN },
    { ROLE_attn_out_bias, OWN "attn.out.bias", STORED_PLAIN },
    { ROLE_sinks, OWN "attn.sinks", STORED_PLAIN },
    { ROLE_mlp_norm, OWN "mlp.norm.scale", STORED_PLAIN },
    { ROLE_router, OWN "mlp.gate.weight", STORED_PLAIN },
    { ROLE_router_bias, OWN "mlp.gate.bias", STORED_PLAIN },
    { ROLE_expert_gate, OWN "mlp.mlp1_weight.blocks", STORED_MXFP4 | STORED_INTERLEAVED },
    { ROLE_expert_up, OWN "mlp.mlp1_weight.blocks", STORED_MXFP4 | STORED_INTERLEAVED },
    { ROLE_expert_down, OWN "mlp.mlp2_weight.blocks", STORED_MXFP4 },
    { ROLE_expert_gate, OWN "mlp.mlp1_weight", STORED_INTERLEAVED },
    { ROLE_expert_up, OWN "mlp.mlp1_weight", STORED_INTERLEAVED },
    { ROLE_expert_down, OWN "mlp.mlp2_weight", STORED_PLAIN },
    { ROLE_expert_gate_bias, OWN "mlp.mlp1_bias", STORED_INTERLEAVED },
    { ROLE_expert_up_bias, OWN "mlp.mlp1_bias", STORED_INTERLEAVED },
    { ROLE_expert_down_bias, OWN "mlp.mlp2_bias", STORED_PLAIN },
    END_OF_NAMES
};
static const struct weight_name gguf[] = {
    { ROLE_mlp_norm, "blk.%d.post_attention_norm.weight", STORED_PLAIN },
    { ROLE_sinks, "blk.%d.attn_sinks.weight", STORED_PLAIN },
    { ROLE_router_bias, "blk.%d.ffn_gate_inp.bias", STORED_PLAIN },
    { ROLE_expert_gate_bias, "blk.%d.ffn_gate_exps.bias", STORED_PLAIN },
    { ROLE_expert_up_bias, "blk.%d.ffn_up_exps.bias", STORED_PLAIN },
    { ROLE_expert_down_bias, "blk.%d.ffn_down_exps.bias", STORED_PLAIN },
    END_OF_NAMES
};
static const char *const model_types[] = { "gpt_oss", NULL };
const struct arch arch_gpt_oss = { "gpt_oss", model_types, "GptOssForCausalLM", names, gguf, NULL, NULL,
    gpt_oss_read, false };
