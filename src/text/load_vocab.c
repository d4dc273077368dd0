/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"
#include "text/load.h"

#include <string.h>

/* Ids may leave holes (for padding, for added tokens), within reason: the tables are as long as the highest id. */
#define HOLES_MAX 65536

static int put_entry(struct tokenizer *t, const char *key, size_t n, const json_t *value, size_t entries,
    bool byte_level, bool *odd, struct error *err)
{
    char piece[PIECE_BYTES_MAX];
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= (json_int_t)(entries * 2 + HOLES_MAX) || n > sizeof piece)
        return error_set(err, ERROR_FORMAT, "token \"%.*s\" has id %lld in a vocabulary of %zu",
            (int)(n < 100 ? n : 100), key, (long long)id, entries);
    ptrdiff_t bytes = byte_level ? byte_level_decode(piece, key, n) : -1;
    *odd = byte_level && bytes < 0;
    /* Text that no bytes spell can never come out of merging: kept out of the index for now. */
    if (bytes < 0)
        return vocab_put(&t->vocab, id, key, n, *odd ? TOKEN_CONTROL : TOKEN_NORMAL, err);
    return vocab_put(&t->vocab, id, piece, (size_t)bytes, TOKEN_NORMAL, err);
}

int load_vocab_object(struct tokenizer *t, const json_t *vocab, bool byte_level, struct error *err)
{
    size_t entries = json_object_size(vocab), odd_ones = 0;
    const char *key;
    size_t n;
    json_t *value;
    if (!json_is_object(vocab) || entries == 0)
        return error_set(err, ERROR_FORMAT, "the vocabulary is not an object with entries");
    int rc = vocab_reserve(&t->vocab, (int64_t)entries, err);
    json_object_keylen_foreach((json_t *)(uintptr_t)vocab, key, n, value)
    {
        bool odd = false;
        rc = rc ? rc : put_entry(t, key, n, value, entries, byte_level, &odd, err);
        odd_ones += odd;
    }
    if (rc == 0)
        rc = vocab_index(&t->vocab, err);
    for (int32_t id = 0; rc == 0 && odd_ones && id < t->vocab.size; id++)
        if (t->vocab.kind[id] == TOKEN_CONTROL)
            t->vocab.kind[id] = TOKEN_NORMAL;
    return rc;
}

static size_t count_lines(const char *text, size_t n)
{
    size_t lines = 0;
    for (const char *at = text, *end = text + n; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
        lines++;
    return lines + 1;
}

int load_vocab(struct tokenizer *t, const json_t *vocab, const char *merges, size_t merges_n, const char *pattern,
    struct error *err)
{
    struct bpe_options options = { .unknown = -1 };
    int rc = pretoken_new_named(&t->pretoken, pattern, err);
    if (rc == 0)
        rc = load_vocab_object(t, vocab, true, err);
    if (rc == 0)
        rc = bpe_new(t, &options, count_lines(merges, merges_n), err);
    for (size_t at = 0, line = 0; rc == 0 && at < merges_n; line++) {
        const char *end = memchr(merges + at, '\n', merges_n - at);
        size_t n = end ? (size_t)(end - merges) - at : merges_n - at;
        size_t bare = n && merges[at + n - 1] == '\r' ? n - 1 : n;
        bool version = line == 0 && bare >= 8 && memcmp(merges + at, "#version", 8) == 0;
        if (bare && !version)
            rc = bpe_add_merge_line(t, merges + at, bare, err);
        at += n + 1;
    }
    if (rc == 0)
        rc = bpe_end_merges(t, err);
    return rc ? rc : vocab_index(&t->vocab, err); /* what no bytes spell may still be a mark: it can be found now */
}
