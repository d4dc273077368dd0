/* SPDX-License-Identifier: Apache-2.0 */
/* What Gemma 2 and 3 share. */
#ifndef WAZN_MODEL_ARCH_GEMMA_H
#define WAZN_MODEL_ARCH_GEMMA_H

#include "model/spec_read.h"

/* The common keys, gains with 1 added (GGUF has it added already), norms behind each part, scaled embeddings, soft caps
 * (absent: cap_attention and cap_logits), windows on all but every `period`-th layer. Rope is left to the caller. */
struct gemma_defaults {
    struct spec_defaults common;
    int period;
    double cap_attention, cap_logits; /* 0: none */
};
int gemma_read(struct spec *s, const json_t *c, const struct gemma_defaults *d, enum source_kind kind,
    struct error *err);

#define GEMMA_NORMS \
    { ROLE_attn_post_norm, "model.layers.%d.post_attention_layernorm.weight", STORED_PLAIN }, \
    { ROLE_mlp_norm, "model.layers.%d.pre_feedforward_layernorm.weight", STORED_PLAIN }, \
    { ROLE_mlp_post_norm, "model.layers.%d.post_feedforward_layernorm.weight", STORED_PLAIN }

#endif
