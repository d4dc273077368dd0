/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets of tokenizers share: finish one that a loader filled, and put text through it. */
#ifndef WAZN_TESTS_FUZZ_TOKENIZE_H
#define WAZN_TESTS_FUZZ_TOKENIZE_H

#include "text/load.h"

#include <assert.h>
#include <string.h>

/* Encode, check the ids, decode whole and piece by piece. exact: the decoded bytes must be the text. */
static inline void put_through(const struct tokenizer *t, const char *text, size_t n, unsigned flags, bool exact)
{
    struct tokens ids = { 0 };
    struct buffer whole = { 0 }, stream = { 0 };
    struct detokenizer d = { .tokenizer = t, .special = true };
    struct error err = { 0 };
    int rc = tokenizer_encode(t, text, n, flags, &ids, &err);
    assert((rc == 0) == (err.code == 0));
    assert(rc == 0 || !exact);
    for (size_t i = 0; i < ids.used; i++) {
        assert(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_size(t));
        assert(detokenizer_push(&d, ids.ids[i], &stream, NULL) == 0);
    }
    detokenizer_end(&d, &stream);
    assert(tokenizer_decode(t, ids.ids, ids.used, true, &whole, NULL) == 0);
    assert(!exact || (whole.used == n && (n == 0 || memcmp(whole.data, text, n) == 0)));
    tokens_release(&ids);
    buffer_release(&whole);
    buffer_release(&stream);
}

/* rc: what the loader said. Closes t. */
static inline void finish_and_try(struct tokenizer *t, int rc)
{
    static const char text[] =
        "The cat's  hat\n\n 1984 \xd8\xb3\xd9\x84\xd8\xa7\xd9\x85 <s> \xe4\xb8\xad\xe6\x96\x87 "
        "\xff\xf0\x9f\x98\x80 e\xcc\x81 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct error err = { 0 };
    if (rc == 0 && tokenizer_finish(t, &err) == 0) {
        guess_roles(t);
        put_through(t, text, sizeof text - 1, 0, false);
        put_through(t, text, sizeof text - 1, TOKENIZE_SPECIAL | TOKENIZE_DEFAULT | TOKENIZE_BOS, false);
    }
    tokenizer_close(t);
}

#endif
