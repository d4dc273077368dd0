/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's precompiled normalisation rules (normalizer_spec.precompiled_charsmap, also "Precompiled" in
 * tokenizer.json and GGUF's tokenizer.ggml.precompiled_charsmap): a double array in the layout of darts-clone that maps
 * the longest matching prefix to a replacement. Private to src/text. */
#ifndef WAZN_TEXT_CHARSMAP_H
#define WAZN_TEXT_CHARSMAP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct charsmap {
    uint32_t *units; /* (count); NULL: no rules */
    size_t count;
    char *texts; /* 0-terminated replacements, one after another */
    size_t texts_size;
};

/* Copies data. n == 0 gives no rules. ERROR_FORMAT where sizes disagree or a replacement is unreasonably long. */
int charsmap_init(struct charsmap *c, const void *data, size_t n, struct error *err);
void charsmap_release(struct charsmap *c);

/* Bytes of the longest prefix of text that a rule replaces (0: none), and by what. */
size_t charsmap_match(const struct charsmap *c, const char *text, size_t n, const char **by, size_t *by_n);

#endif
