/* SPDX-License-Identifier: Apache-2.0 */
/* Text to learn from: documents of files, read one by one in an order that never changes, and samples made of them. */
#ifndef WAZN_TRAIN_CORPUS_H
#define WAZN_TRAIN_CORPUS_H

#include "base/error.h"
#include "text/tokenizer.h"
#include "train/dataset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus_options {
    const char *separator; /* of documents in a .txt file: "\n\n", "<|endoftext|>"; NULL: the file is one */
    const char *key;       /* member of a JSON record that holds the text; NULL: "text" */
    size_t bytes_max;      /* of a document; 0: RECORDS_BYTES_MAX */
    /* Called now and then with bytes of the files, packed as they are; false stops with ERROR_CANCELLED. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct document {
    const char *text; /* (n) UTF-8, not empty; valid until the next document */
    size_t n;
    const char *file; /* valid as long as the corpus is open */
    uint64_t line;
};

struct corpus;

/* paths: see records_open. */
int corpus_open(struct corpus **out, const char *const *paths, size_t n, const struct corpus_options *options,
    struct error *err);
void corpus_close(struct corpus *c);
/* The next document: 1, 0 behind the last, or an error that names file and line. Empty ones are passed over. */
int corpus_next(struct corpus *c, struct document *out, struct error *err);
void corpus_rewind(struct corpus *c); /* from the first document on again */

/* ---- samples ---- */

struct corpus_data_options {
    int context;       /* tokens of a sample; the last ones may be shorter */
    bool apart;        /* no sample goes over the end of a document; else they follow each other as one text */
    double validation; /* share that is not learned from, 0 to below 1 */
    uint64_t seed;     /* of that share */
    int threads;
};

struct corpus_counts {
    uint64_t documents, validation_documents, bytes, tokens;
    uint64_t single; /* texts of one token, which has no next: there is nothing to learn */
    char first_single[256]; /* file:line of the first of them; "" */
};

/* Read what is left of the corpus. Each document begins and ends as the tokenizer's files say, EOS behind it in any
 * case where the vocabulary has one. Every token but the first has a place as target in exactly one sample: where a
 * text is cut, the target of a sample's last token is the first token of the next sample.
 * Validation takes whole documents, told by a hash of their text, so that equal ones are on one side and it does not
 * matter which others are there; where that gives none (one document, or few), it is the tail of all. *validation is
 * NULL where no share was asked for. The same samples for any number of threads. */
int corpus_datasets(struct dataset **train, struct dataset **validation, struct corpus_counts *counts,
    struct corpus *c, const struct tokenizer *t, const struct corpus_data_options *options, struct error *err);

#endif
