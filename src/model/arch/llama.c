/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 1, 2, 3 (Touvron et al. 2023; Dubey et al. 2024): RMSNorm, rotary positions, gated SiLU, grouped heads. */
#include "model/arch.h"
#include "model/spec_read.h"

static int llama_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .context = 2048, .norm_eps = 1e-6, .rope_base = 1e4 };
    int rc = spec_read_common(s, c, &defaults, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_act", "silu", err);
    if (rc == 0)
        rc = spec_flag(&s->qkv_bias, c, "attention_bias", false, err);
    if (rc == 0)
        rc = spec_flag(&s->ffn_bias, c, "mlp_bias", false, err);
    if (rc == 0)
        rc = spec_read_ropes(s, c, defaults.rope_base, err);
    s->attention_out_bias = s->qkv_bias;
    s->rope_interleaved = kind != SOURCE_SAFETENSORS;
    return rc;
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_MLP_NORM, LLAMA_MLP, END_OF_NAMES };
static const char *const model_types[] = { "llama", NULL };
const struct arch arch_llama = { "llama", model_types, "LlamaForCausalLM", names, NULL, NULL, NULL, llama_read, false };
