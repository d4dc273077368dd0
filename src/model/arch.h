/* SPDX-License-Identifier: Apache-2.0 */
/* A family of models: how to read its numbers and how its weights are called. Nothing else. */
#ifndef WAZN_MODEL_ARCH_H
#define WAZN_MODEL_ARCH_H

#include "model/role.h"
#include "model/spec.h"

/* How a weight lies in its tensor: bits. */
enum stored {
    STORED_PLAIN = 0,       /* (rows, columns), as operations use it */
    STORED_TRANSPOSED = 1,  /* (columns, rows): GPT-2's Conv1D */
    STORED_INTERLEAVED = 2, /* the parts of a fused matrix take turns, one output each, and do not follow each other */
    STORED_MXFP4 = 4, /* bytes, in two tensors: this one, whose name ends in "blocks" (rows, columns / 32, 16 bytes of
                         nibbles), and one of the same name ending in "scales" (rows, columns / 32) */
};

/* What a weight is called in files. "%d" is the layer, a second "%d" the expert; a role with one matrix per expert
 * whose name has no second "%d" is stored as one stack (experts, rows, columns). Entries that follow each other under
 * one name are parts of a fused matrix, in this order. Several entries for a role are alternatives: the first found
 * counts. */
struct weight_name {
    int role;
    const char *name; /* NULL: end of the table */
    unsigned stored;
};
#define END_OF_NAMES { -1, NULL, STORED_PLAIN }

/* Some writers put a model inside another: names that start with `plain` then start with `nested`. */
struct name_prefix {
    const char *plain, *nested; /* plain NULL: end of the list */
};

struct arch {
    const char *name;
    const char *const *model_types;    /* config.json's `model_type`; ends in NULL */
    const char *class_name;            /* and its `architectures`, where model_type is missing */
    const struct weight_name *names;   /* in safetensors and llama2.c checkpoints */
    const struct weight_name *gguf;    /* looked up before gguf_names, for GGUF; may be NULL */
    const struct name_prefix *prefixes; /* may be NULL */
    const char *const *ignored;        /* names of buffers that no operation needs ("*" ends a name); may be NULL */
    int (*read)(struct spec *s, const json_t *c, enum source_kind kind, struct error *err);
    bool nested; /* its class in transformers calls modules by the first of the nested prefixes, whatever files do */
};

#define ARCHS(X) X(gpt2) X(llama) X(mistral) X(mixtral) X(qwen2) X(qwen3) X(qwen3_moe) X(gemma2) X(gemma3) X(gpt_oss)

#define X(name) extern const struct arch arch_##name;
ARCHS(X)
#undef X
extern const struct arch *const archs[]; /* ends in NULL */

extern const struct weight_name gguf_names[]; /* the same for all families */
extern const char *const ignored_everywhere[];

/* By the config's model_type or architectures. ERROR_UNSUPPORTED names what is known. */
int arch_find(const struct arch **out, const json_t *config, struct error *err);

/* The names most families share (after Llama's). */
#define LLAMA_ENDS \
    { ROLE_token_embedding, "model.embed_tokens.weight", STORED_PLAIN }, \
    { ROLE_final_norm, "model.norm.weight", STORED_PLAIN }, \
    { ROLE_output, "lm_head.weight", STORED_PLAIN }
#define LLAMA_ATTENTION \
    { ROLE_attn_norm, "model.layers.%d.input_layernorm.weight", STORED_PLAIN }, \
    { ROLE_q, "model.layers.%d.self_attn.q_proj.weight", STORED_PLAIN }, \
    { ROLE_k, "model.layers.%d.self_attn.k_proj.weight", STORED_PLAIN }, \
    { ROLE_v, "model.layers.%d.self_attn.v_proj.weight", STORED_PLAIN }, \
    { ROLE_q_bias, "model.layers.%d.self_attn.q_proj.bias", STORED_PLAIN }, \
    { ROLE_k_bias, "model.layers.%d.self_attn.k_proj.bias", STORED_PLAIN }, \
    { ROLE_v_bias, "model.layers.%d.self_attn.v_proj.bias", STORED_PLAIN }, \
    { ROLE_q, "model.layers.%d.self_attn.qkv_proj.weight", STORED_PLAIN }, \
    { ROLE_k, "model.layers.%d.self_attn.qkv_proj.weight", STORED_PLAIN }, \
    { ROLE_v, "model.layers.%d.self_attn.qkv_proj.weight", STORED_PLAIN }, \
    { ROLE_q_bias, "model.layers.%d.self_attn.qkv_proj.bias", STORED_PLAIN }, \
    { ROLE_k_bias, "model.layers.%d.self_attn.qkv_proj.bias", STORED_PLAIN }, \
    { ROLE_v_bias, "model.layers.%d.self_attn.qkv_proj.bias", STORED_PLAIN }, \
    { ROLE_attn_out, "model.layers.%d.self_attn.o_proj.weight", STORED_PLAIN }, \
    { ROLE_attn_out_bias, "model.layers.%d.self_attn.o_proj.bias", STORED_PLAIN }
#define LLAMA_MLP \
    { ROLE_gate, "model.layers.%d.mlp.gate_proj.weight", STORED_PLAIN }, \
    { ROLE_up, "model.layers.%d.mlp.up_proj.weight", STORED_PLAIN }, \
    { ROLE_gate_bias, "model.layers.%d.mlp.gate_proj.bias", STORED_PLAIN }, \
    { ROLE_up_bias, "model.layers.%d.mlp.up_proj.bias", STORED_PLAIN }, \
    { ROLE_gate, "model.layers.%d.mlp.gate_up_proj.weight", STORED_PLAIN }, \
    { ROLE_up, "model.layers.%d.mlp.gate_up_proj.weight", STORED_PLAIN }, \
    { ROLE_gate_bias, "model.layers.%d.mlp.gate_up_proj.bias", STORED_PLAIN }, \
    { ROLE_up_bias, "model.layers.%d.mlp.gate_up_proj.bias", STORED_PLAIN }, \
    { ROLE_down, "model.layers.%d.mlp.down_proj.weight", STORED_PLAIN }, \
    { ROLE_down_bias, "model.layers.%d.mlp.down_proj.bias", STORED_PLAIN }
#define LLAMA_MLP_NORM { ROLE_mlp_norm, "model.layers.%d.post_attention_layernorm.weight", STORED_PLAIN }
#define LLAMA_HEAD_NORMS \
    { ROLE_q_norm, "model.layers.%d.self_attn.q_norm.weight", STORED_PLAIN }, \
    { ROLE_k_norm, "model.layers.%d.self_attn.k_norm.weight", STORED_PLAIN }

#endif
