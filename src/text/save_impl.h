/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers of tokenizers share, private to src/text. */
#ifndef WAZN_TEXT_SAVE_IMPL_H
#define WAZN_TEXT_SAVE_IMPL_H

#include "text/save.h"
#include "text/tokenizer_impl.h"

bool save_is_byte_level(const struct tokenizer *t);
bool save_is_unigram(const struct tokenizer *t);

/* How text is prepared, found out by preparing some. */
struct save_steps {
    bool nfc;          /* characters are composed */
    bool digits_apart; /* every digit is a piece before the pattern cuts the rest */
    bool space;        /* byte-level: a space goes in front of a text that has none there (gpt2's pattern only) */
    bool prefix;       /* SentencePiece: a space goes in front */
    bool collapses;    /* SentencePiece: runs of spaces become one */
    bool rules;        /* SentencePiece: characters are replaced by a table (save_charsmap) */
    const char *pattern; /* name of the known pattern; NULL: another */
};
int save_find_steps(const struct tokenizer *t, struct save_steps *out, struct error *err);

/* SentencePiece's score of a piece; of a model with merges, one that gives their order. *out: (size), new. */
int save_scores_new(float **out, const struct tokenizer *t, struct error *err);

/* A piece's kind as SentencePiece and GGUF number it: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6
 * byte. */
int save_kind(const struct tokenizer *t, int32_t id);

/* The rules of normalisation as the bytes they were read from; empty: none. */
void save_charsmap(const struct tokenizer *t, struct buffer *out);

#endif
