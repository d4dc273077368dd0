/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 (Radford et al. 2019): LayerNorm with biases, learned positions, no gate; matrices stored as Conv1D, q, k and v
 * fused. */
#include "model/arch.h"
#include "model/spec_read.h"

static int refuse_variants(const json_t *c, struct error *err)
{
    bool scaled = true, by_layer = false, crossed = false;
    int rc = spec_flag(&scaled, c, "scale_attn_weights", true, err);
    if (rc == 0)
        rc = spec_flag(&by_layer, c, "scale_attn_by_inverse_layer_idx", false, err);
    if (rc == 0)
        rc = spec_flag(&crossed, c, "add_cross_attention", false, err);
    if (rc == 0 && (!scaled || by_layer || crossed))
        rc = error_set(err, ERROR_UNSUPPORTED,
            "config changes GPT-2's attention (%s), which is not supported",
            !scaled ? "scale_attn_weights" : by_layer ? "scale_attn_by_inverse_layer_idx" : "add_cross_attention");
    return rc;
}

static int gpt2_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    int vocabulary = 0;
    (void)kind;
    int rc = refuse_variants(c, err);
    if (rc == 0)
        rc = spec_whole(&s->layers, c, "n_layer", SPEC_REQUIRED, 1, SPEC_LAYERS_MAX, err);
    if (rc == 0)
        rc = spec_whole(&s->dim, c, "n_embd", SPEC_REQUIRED, 1, 1 << 20, err);
    if (rc == 0)
        rc = spec_whole(&s->heads, c, "n_head", SPEC_REQUIRED, 1, s->dim, err);
    if (rc == 0 && s->dim % s->heads != 0)
        rc = error_set(err, ERROR_FORMAT, "config key \"n_embd\" is %d, which is not a multiple of n_head %d", s->dim,
            s->heads);
    if (rc == 0)
        rc = spec_whole(&s->ffn, c, "n_inner", 4LL * s->dim, 1, 1 << 22, err);
    if (rc == 0)
        rc = spec_whole(&s->context, c, "n_positions", 1024, 1, 1 << 24, err);
    if (rc == 0)
        rc = spec_whole(&vocabulary, c, "vocab_size", SPEC_REQUIRED, 1, 1 << 24, err);
    if (rc == 0)
        rc = spec_float(&s->norm_eps, c, "layer_norm_epsilon", 1e-5, 0, 1, err);
    if (rc == 0)
        rc = spec_flag(&s->tied, c, "tie_word_embeddings", true, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "activation_function", "gelu_new", err);
    if (rc)
        return rc;
    s->vocabulary = vocabulary;
    s->kv_heads = s->heads;
    s->head_dim = s->dim / s->heads;
    s->norm = NORM_LAYER;
    s->learned_positions = s->qkv_bias = s->attention_out_bias = s->ffn_bias = true;
    s->embedding_scale = 1.0f;
    s->attention_scale = (float)(1.0 / sqrt((double)s->head_dim));
    for (int i = 0; i < s->layers; i++)
        s->layer[i].rope = -1;
    return 0;
}

static const struct weight_name names[] = {
    { ROLE_token_embedding, "wte.weight", STORED_PLAIN },
    { ROLE_position_table, "wpe.weight", STORED_PLAIN },
    { ROLE_attn_norm, "h.%d.ln_1.weight", STORED_PLAIN },
    { ROLE_attn_norm_bias, "h.%d.ln_1.bias", STORED_PLAIN },
    { ROLE_q, "h.%d.attn.c_attn.weight", STORED_TRANSPOSED },
    { ROLE_k, "h.%d.attn.c_attn.weight", STORED_TRANSPOSED },
    { ROLE_v, "h.%d.attn.c_attn.weight", STORED_TRANSPOSED },
    { ROLE_q_bias, "h.%d.attn.c_attn.bias", STORED_PLAIN },
    { ROLE_k_bias, "h.%d.attn.c_attn.bias", STORED_PLAIN },
    { ROLE_v_bias, "h.%d.attn.c_attn.bias", STORED_PLAIN },
    { ROLE_attn_out, "h.%d.attn.c_proj.weight", STORED_TRANSPOSED },
    { ROLE_attn_out_bias, "h.%d.attn.c_proj.bias", STORED_PLAIN },
    { ROLE_mlp_norm, "h.%d.ln_2.weight", STORED_PLAIN },
    { ROLE_mlp_norm_bias, "h.%d.ln_2.bias", STORED_PLAIN },
    { ROLE_up, "h.%d.mlp.c_fc.weight", STORED_TRANSPOSED },
    { ROLE_up_bias, "h.%d.mlp.c_fc.bias", STORED_PLAIN },
    { ROLE_down, "h.%d.mlp.c_proj.weight", STORED_TRANSPOSED },
    { ROLE_down_bias, "h.%d.mlp.c_proj.bias", STORED_PLAIN },
    { ROLE_final_norm, "ln_f.weight", STORED_PLAIN },
    { ROLE_final_norm_bias, "ln_f.bias", STORED_PLAIN },
    { ROLE_output, "lm_head.weight", STORED_PLAIN },
    END_OF_NAMES
};

static const struct weight_name gguf[] = {
    { ROLE_q, "blk.%d.attn_qkv.weight", STORED_PLAIN },
    { ROLE_k, "blk.%d.attn_qkv.weight", STORED_PLAIN },
    { ROLE_v, "blk.%d.attn_qkv.weight", STORED_PLAIN },
    { ROLE_q_bias, "blk.%d.attn_qkv.bias", STORED_PLAIN },
    { ROLE_k_bias, "blk.%d.attn_qkv.bias", STORED_PLAIN },
    { ROLE_v_bias, "blk.%d.attn_qkv.bias", STORED_PLAIN },
    END_OF_NAMES
};

/* The class for text saves its trunk under "transformer."; the head stays outside. */
static const struct name_prefix prefixes[] = { { "wte", "transformer.wte" }, { "wpe", "transformer.wpe" },
    { "h.", "transformer.h." }, { "ln_f", "transformer.ln_f" }, { NULL, NULL } };

static const char *const ignored[] = { "h.%d.attn.bias", "h.%d.attn.masked_bias", NULL }; /* the causal mask */
static const char *const model_types[] = { "gpt2", NULL };
const struct arch arch_gpt2 = { "gpt2", model_types, "GPT2LMHeadModel", names, gguf, prefixes, ignored, gpt2_read,
    true };
