/* SPDX-License-Identifier: Apache-2.0 */
/* Gemma 2 (Gemma Team 2024): windows on even layers, soft caps on scores and logits. */
#include "model/arch.h"
#include "model/arch/gemma.h"

static int gemma2_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct gemma_defaults defaults = {
        .common = { .heads = 8, .kv_heads = 4, .head_dim = 256, .vocabulary = 256000, .context = 8192,
            .norm_eps = 1e-6, .rope_base = 1e4, .tied = true },
        .period = 2, .cap_attention = 50, .cap_logits = 30 };
    int rc = gemma_read(s, c, &defaults, kind, err);
    return rc ? rc : spec_read_ropes(s, c, defaults.common.rope_base, err);
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, GEMMA_NORMS, LLAMA_MLP, END_OF_NAMES };
static const char *const model_types[] = { "gemma2", NULL };
const struct arch arch_gemma2 = { "gemma2", model_types, "Gemma2ForCausalLM", names, NULL, NULL, NULL,
    gemma2_read, false };
