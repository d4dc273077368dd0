/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level BPE learned from text: the pair of neighbours that occurs most often becomes a token, again and again. The
 * merges are those of Hugging Face tokenizers' BpeTrainer for the same texts, pattern and settings, with
 * ByteLevel.alphabet() as initial alphabet; the same for any number of threads.
 *
 *     rc = bpe_training_open(&b, &options, err);
 *     while (rc == 0 && there is text) rc = bpe_training_add(b, text, n, err);
 *     if (rc == 0) rc = bpe_training_finish(&tokenizer, &report, b, err);
 *     bpe_training_close(b);
 *
 * What differs: tokens have at most 4096 bytes; counts do not wrap at 2^31; text need not be UTF-8 (malformed bytes are
 * kept apart, as in encoding). */
#ifndef WAZN_TEXT_BPE_TRAIN_H
#define WAZN_TEXT_BPE_TRAIN_H

#include "base/error.h"
#include "text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe_training_options {
    const char *pattern;    /* name of a known one: "gpt2", "llama3" ... */
    bool digits_apart;      /* every digit is a piece before the pattern cuts the rest */
    bool space;             /* a space goes in front of a text that has none there (gpt2 only) */
    int32_t vocabulary;     /* ids, with the 256 bytes and special tokens */
    uint64_t frequency_min; /* pairs that occur less often never merge */
    size_t length_limit;    /* tokens from two bytes on have fewer bytes than this; 0: no limit */
    const char *const *specials; /* (n_specials) get the first ids; text that spells them is learned from as it is */
    size_t n_specials;
    int threads;
    uint64_t memory_max;    /* bytes; 0: no limit. ERROR_LIMIT where counting or merging would take more */
    /* Called while merging with tokens made and wanted; false stops with ERROR_CANCELLED. May be NULL. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct bpe_training_report {
    uint64_t texts, bytes;  /* added */
    uint64_t words;         /* different pieces of the pre-tokenizer */
    uint64_t tokens;        /* that all texts have after merging */
    int32_t merges;         /* in the vocabulary */
};

struct bpe_training;

/* Options are copied, but for specials, which are borrowed. ERROR_USAGE: an unknown pattern, a vocabulary below bytes
 * and special tokens, a special token that is empty, repeated or not UTF-8. */
int bpe_training_open(struct bpe_training **out, const struct bpe_training_options *options, struct error *err);
void bpe_training_close(struct bpe_training *b);

/* One more text; it is counted now or later, but not looked at after the return. */
int bpe_training_add(struct bpe_training *b, const char *text, size_t n, struct error *err);

/* The tokenizer; smaller than wished where the texts have no more pairs. Once. ERROR_USAGE: no text was added. */
int bpe_training_finish(struct tokenizer **out, struct bpe_training_report *report, struct bpe_training *b,
    struct error *err);

#endif
