/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens to bytes: all at once, or as they come. */
#include "text/tokenizer_impl.h"

#include "base/utf8.h"

#include <string.h>

#define UNDERLINE "\xe2\x96\x81" /* U+2581 */

static void add_spaced(struct buffer *out, const char *piece, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *found = memmem(piece + at, n - at, UNDERLINE, 3);
        size_t stretch = found ? (size_t)(found - piece) - at : n - at;
        buffer_add(out, piece + at, stretch);
        if (found)
            buffer_add_byte(out, ' ');
        at += stretch + (found ? 3 : 0);
    }
}

/* Append one token; *begun tells whether text came before and is set once some has. */
static int decode_one(const struct tokenizer *t, int32_t id, bool special, bool *begun, struct buffer *out,
    struct error *err)
{
    if (id < 0 || id >= t->vocab.size)
        return error_set(err, ERROR_USAGE, "id %d is not in the vocabulary of %d", id, t->vocab.size);
    size_t n, before = out->used;
    const char *piece = vocab_piece(&t->vocab, id, &n);
    enum token_kind kind = (enum token_kind)t->vocab.kind[id];
    int byte = kind == TOKEN_BYTE ? vocab_byte_value(piece, n) : -1;
    if (kind == TOKEN_CONTROL && !special)
        return 0;
    if (byte >= 0)
        buffer_add_byte(out, (char)byte);
    else if (kind == TOKEN_UNKNOWN && t->decode.unknown)
        buffer_add_text(out, t->decode.unknown);
    else if (t->decode.spaces && kind != TOKEN_CONTROL)
        add_spaced(out, piece, n);
    else
        buffer_add(out, piece, n);
    if (out->used == before)
        return 0;
    if (t->decode.drop_first && !*begun && kind != TOKEN_UNKNOWN && out->data[before] == ' ') {
        memmove(out->data + before, out->data + before + 1, out->used - before);
        out->used--;
    }
    *begun = !t->decode.drop_every || out->used > before;
    return 0;
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buffer *out,
    struct error *err)
{
    bool begun = false;
    for (size_t i = 0; i < n; i++) {
        int rc = decode_one(t, ids[i], special, &begun, out, err);
        if (rc)
            return rc;
    }
    return buffer_check(out, "decoded text", err);
}

int tokenizer_add_bytes(const struct tokenizer *t, int32_t id, struct buffer *out, struct error *err)
{
    bool begun = true;
    return decode_one(t, id, false, &begun, out, err);
}

/* Append bytes with every malformed sequence as U+FFFD; what may still become whole stays out. Returns the bytes used.
 */
static size_t add_whole(struct buffer *out, const char *bytes, size_t n)
{
    size_t end = n - utf8_incomplete_tail(bytes, n);
    for (size_t at = 0; at < end;) {
        int32_t point;
        size_t good = utf8_valid_prefix(bytes + at, end - at);
        buffer_add(out, bytes + at, good);
        at += good;
        if (at < end) {
            at += (size_t)utf8_decode(bytes + at, end - at, &point);
            buffer_add_text(out, "\xef\xbf\xbd");
        }
    }
    return end;
}

int detokenizer_push(struct detokenizer *d, int32_t id, struct buffer *out, struct error *err)
{
    struct buffer bytes = { 0 };
    buffer_add(&bytes, d->held, d->held_bytes);
    bool begun = d->begun || d->held_bytes;
    int rc = decode_one(d->tokenizer, id, d->special, &begun, &bytes, err);
    if (rc == 0)
        rc = buffer_check(&bytes, "decoded text", err);
    if (rc == 0 && bytes.used) {
        size_t used = add_whole(out, bytes.data, bytes.used);
        d->held_bytes = bytes.used - used;
        memcpy(d->held, bytes.data + used, d->held_bytes);
    }
    if (rc == 0)
        d->begun = begun; /* also by a token of which the dropped space was all */
    buffer_release(&bytes);
    return rc ? rc : buffer_check(out, "decoded text", err);
}

void detokenizer_end(struct detokenizer *d, struct buffer *out)
{
    if (d->held_bytes)
        buffer_add_text(out, "\xef\xbf\xbd");
    d->held_bytes = 0;
    d->begun = false;
}
