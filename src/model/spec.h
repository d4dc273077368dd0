/* SPDX-License-Identifier: Apache-2.0 */
/* A model as data: every number a block needs. Filled by an architecture file from the config, checked, then
 * constant. */
#ifndef WAZN_MODEL_SPEC_H
#define WAZN_MODEL_SPEC_H

#include "backend/backend.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEC_LAYERS_MAX 512
#define SPEC_ROPE_DIMS_MAX 1024

struct spec_rope { /* one of a model's (at most two) rope settings */
    double base;
    int dims;
    float magnitude;
    double inverse_frequency[SPEC_ROPE_DIMS_MAX / 2];
};

struct spec_layer {
    int window;  /* visible positions, self included; 0: all */
    int rope;    /* which of the rope settings; -1: none */
    bool moe;    /* experts instead of a dense feed-forward part */
};

struct spec {
    const struct arch *arch;
    int layers, dim, heads, kv_heads, head_dim, ffn;
    int64_t vocabulary; /* rows of the output */
    int context;        /* positions the model was made for */
    enum norm_kind norm;
    float norm_eps, norm_offset;
    enum activation activation;
    float embedding_scale, attention_scale;
    float attention_softcap, logit_softcap; /* 0: none */
    bool rope_interleaved;
    bool tied; /* the output matrix is the embedding */
    int experts, experts_used, expert_ffn;
    bool experts_softmax_after, experts_renormalize;
    struct spec_rope ropes[2];
    struct spec_layer layer[SPEC_LAYERS_MAX];
};

#endif
