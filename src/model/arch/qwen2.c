/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on q, k and v; upper layers may have a sliding window. */
#include "model/arch.h"
#include "model/arch/qwen.h"

static int qwen2_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .context = 32768, .norm_eps = 1e-6, .rope_base = 1e4 };
    (void)kind;
    s->qkv_bias = true;
    return qwen_read(s, c, &defaults, 28, err);
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_MLP_NORM, LLAMA_MLP, END_OF_NAMES };
static const char *const model_types[] = { "qwen2", NULL };
const struct arch arch_qwen2 = { "qwen2", model_types, "Qwen2ForCausalLM", names, NULL, NULL, NULL, qwen2_read, false };
