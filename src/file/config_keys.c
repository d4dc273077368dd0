/* SPDX-License-Identifier: Apache-2.0 */
#include "file/config_keys.h"

const struct config_family config_families[] = {
    { "gpt2", "gpt2", GPT2, "activation_function", "gelu_new", 0 },
    { "llama", "llama", LLAMA, "hidden_act", "silu", 0 },
    { "llama", "mistral", LLAMA, "hidden_act", "silu", 0 },
    { "llama", "mixtral", LLAMA, "hidden_act", "silu", 0 },
    { "qwen2", "qwen2", QWEN, "hidden_act", "silu", 0 },
    { "qwen2moe", "qwen2_moe", QWEN_MOE, "hidden_act", "silu", 0 },
    { "qwen3", "qwen3", QWEN, "hidden_act", "silu", 0 },
    { "qwen3moe", "qwen3_moe", QWEN_MOE, "hidden_act", "silu", 0 },
    { "gemma2", "gemma2", GEMMA2, "hidden_activation", "gelu_pytorch_tanh", 2 },
    { "gemma3", "gemma3_text", GEMMA3, "hidden_activation", "gelu_pytorch_tanh", 6 },
    { "gpt-oss", "gpt_oss", GPT_OSS, "hidden_act", "silu", 2 },
};
const size_t config_family_count = sizeof config_families / sizeof config_families[0];

const struct config_key config_keys[] = {
    { GPT2, "context_length", "n_positions", WHOLE },
    { GPT2, "embedding_length", "n_embd", WHOLE },
    { GPT2, "block_count", "n_layer", WHOLE },
    { GPT2, "feed_forward_length", "n_inner", WHOLE },
    { GPT2, "attention.head_count", "n_head", WHOLE },
    { GPT2, "attention.layer_norm_epsilon", "layer_norm_epsilon", REAL },
    { ALL & ~GPT2, "context_length", "max_position_embeddings", WHOLE },
    { ALL & ~GPT2, "embedding_length", "hidden_size", WHOLE },
    { ALL & ~GPT2, "block_count", "num_hidden_layers", WHOLE },
    { ALL & ~GPT2, "feed_forward_length", "intermediate_size", PER_LAYER },
    { GPT_OSS, "expert_feed_forward_length", "intermediate_size", WHOLE }, /* a later line wins */
    { ALL & ~GPT2, "attention.head_count", "num_attention_heads", PER_LAYER },
    { ALL & ~GPT2, "attention.head_count_kv", "num_key_value_heads", PER_LAYER },
    { ALL & ~GPT2, "attention.key_length", "head_dim", WHOLE },
    { ALL & ~GPT2, "attention.layer_norm_rms_epsilon", "rms_norm_eps", REAL },
    { LLAMA | GPT_OSS, "expert_count", "num_local_experts", WHOLE },
    { QWEN_MOE, "expert_count", "num_experts", WHOLE },
    { LLAMA | GPT_OSS | QWEN_MOE, "expert_used_count", "num_experts_per_tok", WHOLE },
    { QWEN_MOE, "expert_feed_forward_length", "moe_intermediate_size", WHOLE },
    { QWEN_MOE, "expert_shared_feed_forward_length", "shared_expert_intermediate_size", WHOLE },
    { ALL & ~GPT2, "attention.sliding_window", "sliding_window", WHOLE },
    { GEMMA2, "attn_logit_softcapping", "attn_logit_softcapping", REAL },
    { GEMMA2, "final_logit_softcapping", "final_logit_softcapping", REAL },
};
const size_t config_key_count = sizeof config_keys / sizeof config_keys[0];
