/* SPDX-License-Identifier: Apache-2.0 */
/* Byte pair encoding: of all adjacent pairs that may merge, the one of lowest rank merges first, the leftmost of equals
 * (Sennrich et al., 2016). Ranks come as a list of merges, or as the ids of the joined pieces (tiktoken). Private to
 * src/text. */
#ifndef WAZN_TEXT_BPE_H
#define WAZN_TEXT_BPE_H

#include "text/tokenizer_impl.h"

struct bpe_options {
    bool by_rank;       /* two pieces merge where the joined bytes are a piece; its id is the rank */
    bool whole_first;   /* a piece of text that is in the vocabulary is that token, whatever merging gives */
    bool characters;    /* merging starts from characters, not from bytes */
    bool byte_fallback; /* a character that is no piece becomes the tokens of its bytes */
    bool fuse_unknown;  /* a run of unknown characters is one unknown token */
    int32_t unknown;    /* -1: none */
    const char *prefix; /* of pieces that do not begin a word; NULL or "": none (copied) */
    const char *suffix; /* of the last piece of a word (copied) */
};

/* Give t this model. Call after vocab_index. merges: how many to expect. */
int bpe_new(struct tokenizer *t, const struct bpe_options *options, size_t merges, struct error *err);

/* The next merge of the list, by the spelling of its halves. ERROR_FORMAT where a half or the whole is no piece; that
 * may show some merges later, in bpe_end_merges at the latest. */
int bpe_add_merge(struct tokenizer *t, const char *left, size_t left_n, const char *right, size_t right_n,
    struct error *err);
int bpe_end_merges(struct tokenizer *t, struct error *err); /* after the last one, before anything is encoded */

/* The merges, the first to be tried first, as pairs of ids; the caller frees them. A model by rank gets the merges it
 * is equal to: of each piece, the two parts that merging leaves before the piece itself. *whole_first: the option. */
struct bpe_merge {
    int32_t left, right;
};
int bpe_merges_new(struct bpe_merge **out, size_t *count, bool *whole_first, const struct tokenizer *t,
    struct error *err);

/* The printable spelling that byte-level vocabularies are stored in ("\u0120the") back to bytes, in place of at most n
 * bytes at `out`. Returns how many, or -1 where a character stands for no byte. */
ptrdiff_t byte_level_decode(char *out, const char *text, size_t n);

/* The other way: the spelling of n bytes at `out`, which has room for 2 n. Returns its length. */
size_t byte_level_encode(char *out, const char *bytes, size_t n);

/* "left right" of merges.txt and its kin, in byte-level spelling. */
int bpe_add_merge_line(struct tokenizer *t, const char *line, size_t n, struct error *err);

#endif
