/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen3-MoE: Qwen3 with experts in the layers that decoder_sparse_step and mlp_only_layers leave. */
#include "model/arch.h"
#include "model/arch/qwen.h"

static int read_sparse_layers(struct spec *s, const json_t *c, struct error *err)
{
    const json_t *dense = json_object_get(c, "mlp_only_layers"), *entry;
    size_t i;
    int step = 1;
    int rc = spec_whole(&step, c, "decoder_sparse_step", 1, 1, SPEC_LAYERS_MAX, err);
    for (int l = 0; rc == 0 && l < s->layers; l++)
        s->layer[l].moe = (l + 1) % step == 0;
    json_array_foreach(dense, i, entry)
    {
        json_int_t l = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (rc == 0 && (l < 0 || l >= s->layers))
            rc = error_set(err, ERROR_FORMAT, "config key \"mlp_only_layers\" names layer %lld of %d", (long long)l,
                s->layers);
        if (rc == 0)
            s->layer[l].moe = false;
    }
    return rc;
}

static int qwen3_moe_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .kv_heads = 4, .context = 32768, .norm_eps = 1e-6,
        .rope_base = 1e4 };
    (void)kind;
    int rc = spec_flag(&s->qkv_bias, c, "attention_bias", false, err);
    s->attention_out_bias = s->qkv_bias;
    s->head_norms = true;
    if (rc == 0)
        rc = qwen_read(s, c, &defaults, 0, err);
    if (rc == 0) /* newer writers say num_local_experts */
        rc = spec_whole(&s->experts, c, "num_experts", json_whole(c, "num_local_experts", 128), 1, 4096, err);
    if (rc == 0)
        rc = spec_whole(&s->experts_used, c, "num_experts_per_tok", 8, 1, 4096, err);
    if (rc == 0)
        rc = spec_whole(&s->expert_ffn, c, "moe_intermediate_size", 768, 1, 1 << 20, err);
    if (rc == 0)
        rc = spec_flag(&s->experts_renormalize, c, "norm_topk_prob", kind == SOURCE_GGUF, err);
    return rc ? rc : read_sparse_layers(s, c, err);
}

static const struct weight_name names[] = {
    LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_HEAD_NORMS, LLAMA_MLP_NORM, LLAMA_MLP,
    { ROLE_router, "model.layers.%d.mlp.gate.weight", STORED_PLAIN },
    { ROLE_expert_gate, "model.layers.%d.mlp.experts.%d.gate_proj.weight", STORED_PLAIN },
    { ROLE_expert_up, "model.layers.%d.mlp.experts.%d.up_proj.weight", STORED_PLAIN },
    { ROLE_expert_down, "model.layers.%d.mlp.experts.%d.down_proj.weight", STORED_PLAIN },
    END_OF_NAMES
};
static const char *const model_types[] = { "qwen3_moe", NULL };
const struct arch arch_qwen3_moe = { "qwen3_moe", model_types, "Qwen3MoeForCausalLM", names, NULL, NULL, NULL,
    qwen3_moe_read, false };
