/* SPDX-License-Identifier: Apache-2.0 */
/* Mistral (Jiang et al. 2023): Llama, in its first version with a sliding window on all layers. */
#include "model/arch.h"
#include "model/spec_read.h"

static int mistral_read(struct spec *s, const json_t *c, enum source_kind kind, struct error *err)
{
    static const struct spec_defaults defaults = { .kv_heads = 8, .context = 131072, .norm_eps = 1e-6,
        .rope_base = 1e4 };
    static const struct window_rule all_layers = { 0, 0 };
    bool silent = kind == SOURCE_SAFETENSORS && !spec_is_null(c, "sliding_window"); /* then the class means 4096 */
    int window = 0;
    int rc = spec_read_common(s, c, &defaults, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_act", "silu", err);
    if (rc == 0)
        rc = spec_whole(&window, c, "sliding_window", silent ? 4096 : 0, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_read_windows(s, c, window, &all_layers, err);
    if (rc == 0)
        rc = spec_read_ropes(s, c, defaults.rope_base, err);
    s->rope_interleaved = kind != SOURCE_SAFETENSORS;
    return rc;
}

static const struct weight_name names[] = { LLAMA_ENDS, LLAMA_ATTENTION, LLAMA_MLP_NORM, LLAMA_MLP, END_OF_NAMES };
static const char *const model_types[] = { "mistral", NULL };
const struct arch arch_mistral = { "mistral", model_types, "MistralForCausalLM", names, NULL, NULL, NULL,
    mistral_read, false };
