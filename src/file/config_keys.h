/* SPDX-License-Identifier: Apache-2.0 */
/* Which GGUF key is which key of Hugging Face's config.json, for each family: read one way to open a GGUF (config.c),
 * the other way to write one (gguf_write_config.c). Private to the folder. */
#ifndef WAZN_FILE_CONFIG_KEYS_H
#define WAZN_FILE_CONFIG_KEYS_H

#include <stddef.h>

#define LAYERS_MAX 65536

enum family_bit {
    GPT2 = 1,
    LLAMA = 2,
    QWEN = 4,     /* Qwen2 and 3, dense */
    QWEN_MOE = 8, /* Qwen2 and 3 with experts */
    GEMMA2 = 16,
    GEMMA3 = 32,
    GPT_OSS = 64,
    GEMMA = GEMMA2 | GEMMA3,
    ALL = 127,
};

/* The first of those that share an architecture is what a GGUF of it is read as; others are written as it. */
struct config_family {
    const char *architecture, *model_type;
    unsigned bit;
    const char *activation_key, *activation;
    int period; /* of sliding layers: the last of so many is full; 0: none slide */
};
extern const struct config_family config_families[];
extern const size_t config_family_count;

enum number { WHOLE, REAL, PER_LAYER };

struct config_key {
    unsigned families;
    const char *key, *config; /* key: behind the architecture's name */
    enum number number;
};
extern const struct config_key config_keys[];
extern const size_t config_key_count;

#endif
