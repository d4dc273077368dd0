/* SPDX-License-Identifier: Apache-2.0 */
/* Gemma 3, text (Gemma Team 2025): five layers with a window and a rope of their own to one without; norms on every
 * query and key head. Models that also see carry the same text part under a prefix. */
#include "model/arch.h"
#include "model/arch/gemma.h"

static int gemma3_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct gemma_defaults defaults = {
        .common = { .heads = 8, .kv_heads = 4, .head_dim = 256, .vocabulary = 262208, .context = 131072,
            .norm_eps = 1e-6, .rope_base = 1e6, .tied = true },
        .period = 6 };
    double local_base = 1e4;
    int rc = gemma_read(s, c, &defaults, kind, err);
    s->head_norms = true;
    if (rc == 0)
        rc = spec_real(&local_base, c, "rope_local_base_freq", local_base, 1.0001, 1e15, err);
    if (rc == 0) /* replaced below where rope_parameters says more */
        rc = spec_read_rope(&s->ropes[1], s, c, NULL, local_base, err);
    return rc ? rc : spec_read_ropes(s, c, defaults.common.rope_base, err);
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_HEAD_NORMS, GEMMA_NORMS, LLAMA_MLP,
    END_OF_NAMES };
static const struct name_prefix prefixes[] = { { "model.", "model.language_model." },
    { "model.", "language_model.model." }, { "lm_head.", "language_model.lm_head." }, { NULL, NULL } };
static const char *const ignored[] = { "vision_tower.*", "model.vision_tower.*", "multi_modal_projector.*",
    "model.multi_modal_projector.*", NULL };
static const char *const model_types[] = { "gemma3_text", "gemma3", NULL };
const struct arch arch_gemma3 = { "gemma3", model_types, "Gemma3ForCausalLM", names, NULL, prefixes, ignored,
    gemma3_read, false };
