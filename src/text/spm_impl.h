/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of SentencePiece share, private to src/text: normalisation (spm_normalize.c), the two models
 * (spm_bpe.c, unigram.c) and the loaders (load_spm.c, load_spm_gguf.c, load_unigram.c). */
#ifndef WAZN_TEXT_SPM_IMPL_H
#define WAZN_TEXT_SPM_IMPL_H

#include "base/utf8.h"
#include "text/charsmap.h"
#include "text/tokenizer_impl.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPM_SPACE "\xe2\x96\x81" /* U+2581, what spaces become */
#define SPM_SPACE_BYTES 3

/* State of a tokenizer of this kind (tokenizer.state). */
struct spm {
    /* normalisation */
    struct charsmap rules;
    bool dummy_prefix;        /* a space in front of the text */
    bool whitespace_suffix;   /* ... or rather behind it, where words end in their space */
    bool collapse_whitespace; /* runs become one, none at the ends (remove_extra_whitespaces) */
    bool escape_whitespace;   /* spaces become U+2581 */
    /* pieces */
    struct trie user;   /* pieces matched first, as wholes */
    struct trie pieces; /* unigram: every piece that may be chosen */
    int32_t size;       /* ids below are the model's own; later ones are added tokens, which merging never makes */
    int32_t unknown;
    bool byte_fallback;    /* characters without a piece become their bytes */
    bool has_unused;       /* some pieces only serve as steps of merging */
    bool words_apart;      /* no piece goes on into a next word: merging needs to look at one word at a time */
    double *exact; /* (size) unigram of tokenizer.json: scores, and then sums, in double as the tokenizers library has
                      them; NULL: those of the vocabulary, in float */
    double lowest; /* score of a normal piece */
};

extern const struct tokenizer_model spm_bpe_model, unigram_model;

/* A zeroed struct spm in t->state, which the model's close releases. */
int spm_new(struct tokenizer *t, const struct tokenizer_model *model, struct error *err);
void spm_close(struct tokenizer *t);

/* Once all pieces are in t->vocab: tries, score range, what may be done word by word. */
int spm_finish(struct tokenizer *t, struct error *err);

/* The normalisation that t->state describes, as a step of t. */
int spm_add_normalizer(struct tokenizer *t, struct error *err);

/* Bytes of the first character: 1 for ASCII and for a byte that belongs to none. n > 0. */
static inline size_t spm_character(const char *text, size_t n)
{
    int32_t point;
    if ((unsigned char)*text < 0x80)
        return 1;
    int length = utf8_decode(text, n, &point);
    return point < 0 ? 1 : (size_t)length;
}

/* How both models put ids out: runs of unknown characters are one token, or go by bytes. */
struct spm_output {
    const struct tokenizer *t;
    struct tokens *out;
    bool unknown_before;
};
void spm_put(struct spm_output *o, int32_t id, const char *piece, size_t n);

#endif
