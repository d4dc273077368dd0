/* SPDX-License-Identifier: Apache-2.0 */
/* A model as data: every number a block needs. Filled by an architecture file from the config, checked, then constant.
 */
#ifndef WAZN_MODEL_SPEC_H
#define WAZN_MODEL_SPEC_H

#include "backend/backend.h"
#include "base/error.h"
#include "base/json.h"
#include "file/source.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEC_LAYERS_MAX 512
#define SPEC_ROPE_DIMS_MAX 1024

struct spec_rope { /* one of a model's (at most two) rope settings */
    double base;
    int dims;        /* leading elements of a head that are rotated; 0: this setting is not used */
    float magnitude; /* of sine and cosine: YaRN's concentration, 1 else */
    double inverse_frequency[SPEC_ROPE_DIMS_MAX / 2]; /* (dims / 2) */
};

struct spec_layer {
    int window; /* visible positions, self included; 0: all */
    int rope;   /* which of the rope settings; -1: none */
    bool moe;   /* experts instead of a dense feed-forward part */
};

struct spec {
    const struct arch *arch;
    int layers, dim, heads, kv_heads, head_dim;
    int ffn;            /* inner width of the dense layers */
    int64_t vocabulary; /* rows of the embedding and of the output */
    int context;        /* positions the model was made for */
    enum norm_kind norm;
    float norm_eps, norm_offset;
    struct act_shape activation;
    float embedding_scale, attention_scale;
    float attention_softcap, logit_softcap; /* 0: none */
    bool rope_interleaved;
    int experts, experts_used, expert_ffn; /* 0 without experts */
    bool experts_softmax_after, experts_renormalize;
    /* Which weights there are; role.h asks. */
    bool tied;              /* the output matrix is the embedding */
    bool learned_positions; /* a table of them instead of rope (GPT-2) */
    bool qkv_bias, attention_out_bias, ffn_bias;
    bool expert_bias;  /* of the router and of the experts' three matrices */
    bool sinks;        /* a logit for every head that only joins the denominator of its softmax (gpt-oss) */
    bool ffn_gate;     /* down(act(gate x) * up x); else down(act(up x)) */
    bool head_norms;   /* of every query and key head (Qwen3, Gemma 3) */
    bool post_norms;   /* of what attention and feed-forward give back (Gemma) */
    bool rope_factors; /* the file divides ropes[0]'s frequencies (GGUF of Llama 3.1) */
    struct spec_rope ropes[2]; /* 0: all layers, or those without a window; 1: those with one, where they differ */
    struct spec_layer layer[SPEC_LAYERS_MAX];
};

/* Read a config (config.json's keys) and check it. kind tells what the file's writer did to the numbers (GGUF stores
 * Gemma's gains with the 1 added and llama's heads interleaved). Errors name the key and its number:
 * ERROR_FORMAT for what contradicts itself, ERROR_UNSUPPORTED for what nothing here computes. */
int spec_read(struct spec *s, const json_t *config, enum source_kind kind, struct error *err);

/* The sizes fit together and every product a layout will form is small. */
int spec_check(const struct spec *s, struct error *err);

#endif
