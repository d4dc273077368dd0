/* SPDX-License-Identifier: Apache-2.0 */
#include "text/gguf_pre.h"

/* The first stands for a file that names none. Of those that stand for the same, the first but it is written. */
const struct gguf_pre gguf_pres[] = {
    { "default", "gpt2", .whole_first = false },
    { "gpt-2", "gpt2", .whole_first = false },
    { "phi-2", "gpt2", .whole_first = false },
    { "olmo", "gpt2", .whole_first = false },
    { "jais", "gpt2", .whole_first = false },
    { "mpt", "gpt2", .whole_first = false },
    { "smollm", "gpt2", .digits_apart = true },
    { "starcoder", "gpt2", .digits_apart = true },
    { "refact", "gpt2", .digits_apart = true },
    { "command-r", "gpt2", .digits_apart = true, .nfc = true },
    { "codeshell", "gpt2", .digits_apart = true },
    { "exaone", "gpt2", .digits_apart = true },
    { "llama-bpe", "llama3", .whole_first = true, .adds_bos = true },
    { "llama3", "llama3", .whole_first = true, .adds_bos = true },
    { "llama-v3", "llama3", .whole_first = true, .adds_bos = true },
    { "dbrx", "llama3", .whole_first = false },
    { "smaug-bpe", "llama3", .whole_first = false },
    { "chatglm-bpe", "llama3", .whole_first = false },
    { "glm4", "llama3", .whole_first = false },
    { "qwen2", "qwen2", .nfc = true },
    { "stablelm2", "qwen2", .nfc = false },
    { "deepseek-r1-qwen", "qwen2", .nfc = true },
    { "qwen35", "qwen35", .nfc = true },
    { "gpt-4o", "o200k", .whole_first = false },
    { "llama4", "o200k", .adds_bos = true },
    { "tekken", "tekken", .whole_first = true, .adds_bos = true },
};
const size_t gguf_pre_count = sizeof gguf_pres / sizeof gguf_pres[0];
