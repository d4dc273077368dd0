/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of training, private to src/text: words are counted, pairs of their tokens merge, the outcome
 * becomes a tokenizer. */
#ifndef WAZN_TEXT_BPE_TRAIN_IMPL_H
#define WAZN_TEXT_BPE_TRAIN_IMPL_H

#include "base/map.h"
#include "base/pool.h"
#include "text/bpe_train.h"
#include "text/tokenizer_impl.h"

/* What may still be taken. Threads take from it at once. */
struct budget {
    _Atomic int64_t left;
    uint64_t size; /* 0: no limit */
};

/* Make room for `wanted` units in an array of *capacity. ERROR_MEMORY, or ERROR_LIMIT past the budget. */
int budget_grow(struct budget *b, void *array, size_t *capacity, size_t wanted, size_t unit, struct error *err);
void budget_return(struct budget *b, void *array, size_t *capacity, size_t unit); /* release an array */

/* ---- bpe_words.c: different pieces of text, and how often each occurs ---- */

struct word {
    size_t at; /* in bytes */
    uint32_t n, hash;
    uint64_t count;
};

struct words {
    struct word *list;
    uint32_t *slots; /* index + 1; 0: free */
    char *bytes;
    size_t used, capacity, slot_count, bytes_used, bytes_capacity;
};

int words_add(struct words *w, struct budget *b, const char *text, size_t n, uint32_t hash, uint64_t count,
    struct error *err);
void words_clear(struct words *w); /* keeps the memory */
void words_release(struct words *w, struct budget *b);

#define SHARDS 32 /* words are shared out by their hash: each is merged by one thread */

struct word_counter;

int word_counter_open(struct word_counter **out, struct pretoken *pretoken, struct budget *budget, struct pool *pool,
    struct error *err); /* borrows all of them */
void word_counter_close(struct word_counter *c);
int word_counter_add(struct word_counter *c, const char *text, size_t n, struct error *err);
/* All that were added: (SHARDS), owned by the counter, which adds no more. */
int word_counter_finish(struct words **out, struct word_counter *c, struct error *err);

/* ---- bpe_merge.c: pairs merge ---- */

struct learned_token {
    char *bytes; /* (n) owned; NULL: a special token that no bytes spell */
    size_t n;
};

struct learned_merge {
    uint32_t pair[2]; /* ids */
    bool again; /* the same pair comes later in the list: that one counts */
};

struct learned {
    struct learned_token *tokens; /* (vocabulary) */
    uint32_t token_count;
    struct map ids; /* by bytes */
    uint32_t byte_id[256];
    struct learned_merge *merges;
    size_t merge_count, merge_capacity;
    uint64_t words, text_tokens; /* different words; tokens of all texts */
};

/* learned: with special tokens and bytes. Releases the words as it goes. */
int learn_merges(struct learned *l, struct words *shards, const struct bpe_training_options *options,
    struct budget *budget, struct error *err);
/* Append a token, or find it; *id is its own. */
int learned_put(struct learned *l, const char *bytes, size_t n, uint32_t *id, struct error *err);

#endif
