/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen3, dense (Yang et al. 2025): Llama with a norm on every query and key head. */
#include "model/arch.h"
#include "model/arch/qwen.h"

static int qwen3_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .head_dim = 128, .context = 32768, .norm_eps = 1e-6,
        .rope_base = 1e4 };
    (void)kind;
    int rc = spec_flag(&s->qkv_bias, c, "attention_bias", false, err);
    s->attention_out_bias = s->qkv_bias;
    s->head_norms = true;
    return rc ? rc : qwen_read(s, c, &defaults, 28, err);
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_HEAD_NORMS, LLAMA_MLP_NORM, LLAMA_MLP,
    END_OF_NAMES };
static const char *const model_types[] = { "qwen3", NULL };
const struct arch arch_qwen3 = { "qwen3", model_types, "Qwen3ForCausalLM", names, NULL, NULL, NULL, qwen3_read, false };
