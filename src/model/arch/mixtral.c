/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtral (Jiang et al. 2024): Mistral with experts in every layer; chosen weights divided by their sum. */
#include "model/arch.h"
#include "model/spec_read.h"

static int mixtral_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .kv_heads = 8, .context = 131072, .norm_eps = 1e-5,
        .rope_base = 1e6 };
    static const struct window_rule all_layers = { 0, 0 };
    int window = 0;
    int rc = spec_read_common(s, c, &defaults, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_act", "silu", err);
    if (rc == 0)
        rc = spec_whole(&window, c, "sliding_window", 0, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_whole(&s->experts, c, "num_local_experts", 8, 1, 4096, err);
    if (rc == 0)
        rc = spec_whole(&s->experts_used, c, "num_experts_per_tok", 2, 1, 4096, err);
    if (rc == 0)
        rc = spec_read_windows(s, c, window, &all_layers, err);
    if (rc == 0)
        rc = spec_read_ropes(s, c, defaults.rope_base, err);
    s->expert_ffn = s->ffn;
    s->experts_renormalize = true;
    s->rope_interleaved = kind != SOURCE_SAFETENSORS;
    for (int i = 0; i < s->layers; i++)
        s->layer[i].moe = true;
    return rc;
}

static const struct weight_name names[] = {
    LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_MLP_NORM,
    { ROLE_router, "model.layers.%d.block_sparse_moe.gate.weight", STORED_PLAIN },
    { ROLE_expert_gate, "model.layers.%d.block_sparse_moe.experts.%d.w1.weight", STORED_PLAIN },
    { ROLE_expert_up, "model.layers.%d.block_sparse_moe.experts.%d.w3.weight", STORED_PLAIN },
    { ROLE_expert_down, "model.layers.%d.block_sparse_moe.experts.%d.w2.weight", STORED_PLAIN },
    END_OF_NAMES
};
static const char *const model_types[] = { "mixtral", NULL };
const struct arch arch_mixtral = { "mixtral", model_types, "MixtralForCausalLM", names, NULL, NULL, NULL,
    mixtral_read, false };
