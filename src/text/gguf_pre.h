/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.ggml.pre: the names llama.cpp gives to pre-tokenizers, read one way by load_gguf.c, the other way by
 * save_gguf.c. Private to src/text. */
#ifndef WAZN_TEXT_GGUF_PRE_H
#define WAZN_TEXT_GGUF_PRE_H

#include <stdbool.h>
#include <stddef.h>

struct gguf_pre {
    const char *name, *pattern; /* pattern: name of the known one it stands for */
    bool digits_apart;          /* every digit is a piece before the pattern cuts the rest */
    bool whole_first, nfc, adds_bos;
};
extern const struct gguf_pre gguf_pres[];
extern const size_t gguf_pre_count;

#endif
