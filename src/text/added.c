/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens, with the matching rules of Hugging Face tokenizers (added_vocabulary.rs): of the spellings that
 * begin at the leftmost place where one begins, the longest; a match that its rules then refuse still uses up its
 * text. */
#include "text/tokenizer_impl.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct edge {
    uint32_t node, child; /* child 0: free (node 0 is the root, no one's child) */
    unsigned char byte;
};

struct added_trie {
    unsigned char
        pairs[65536 / 8]; /* does a spelling begin with these two bytes? (one-byte spellings: with any second) */
    struct edge *edges;
    size_t mask;
    int32_t *token; /* (nodes) index into added.tokens of the spelling that ends here; -1: none */
    uint32_t nodes;
};

/* Room for one more token. */
static int grow(struct added *a, struct error *err)
{
    if (a->count < a->capacity)
        return 0;
    size_t capacity = a->capacity * 2 + 16;
    struct added_token *tokens = realloc(a->tokens, capacity * sizeof *tokens);
    if (!tokens)
        return error_memory(err, capacity * sizeof *tokens, "added tokens");
    a->tokens = tokens;
    a->capacity = capacity;
    return a->by_text.slots ? 0 : map_init(&a->by_text, 16, err);
}

int added_put(struct added *a, const struct added_token *token, struct error *err)
{
    if (token->n > PIECE_BYTES_MAX)
        return error_set(err, ERROR_FORMAT, "added token %d has %zu bytes, above the limit of %d", token->id, token->n,
            PIECE_BYTES_MAX);
    int64_t known = map_find(&a->by_text, token->text, token->n, -1);
    if (known >= 0) {
        char *text = a->tokens[known].text;
        a->tokens[known] = *token;
        a->tokens[known].text = text;
        return 0;
    }
    int rc = grow(a, err);
    if (rc)
        return rc;
    char *text = malloc(token->n + 1);
    if (!text)
        return error_memory(err, token->n + 1, "an added token");
    memcpy(text, token->text, token->n);
    text[token->n] = '\0';
    a->tokens[a->count] = *token;
    a->tokens[a->count].text = text;
    rc = map_put(&a->by_text, text, token->n, (int64_t)a->count, err);
    a->count++;
    return rc;
}

const struct added_token *added_find(const struct added *a, const char *text, size_t n)
{
    int64_t known = map_find(&a->by_text, text, n, -1);
    return known < 0 ? NULL : &a->tokens[known];
}

/* -- the trie -- */

static struct edge *edge_of(const struct added_trie *trie, uint32_t node, unsigned char byte)
{
    uint64_t key = ((uint64_t)node << 8 | byte) * 0x9e3779b97f4a7c15u;
    for (size_t at = (size_t)(key >> 32) & trie->mask;; at = (at + 1) & trie->mask) {
        struct edge *e = &trie->edges[at];
        if (e->child == 0 || (e->node == node && e->byte == byte))
            return e;
    }
}

static void trie_close(struct added_trie *trie)
{
    if (trie) {
        free(trie->edges);
        free(trie->token);
    }
    free(trie);
}

/* An empty trie with room for spellings of `bytes` bytes in all. */
static int trie_new(struct added_trie **out, size_t bytes, struct error *err)
{
    struct added_trie *trie = calloc(1, sizeof *trie);
    size_t slots = 16;
    while (slots < bytes * 2)
        slots *= 2;
    *out = trie;
    if (trie) {
        trie->edges = calloc(slots, sizeof *trie->edges);
        trie->token = malloc((bytes + 1) * sizeof *trie->token);
        trie->mask = slots - 1;
    }
    if (!trie || !trie->edges || !trie->token)
        return error_memory(err, slots * sizeof *trie->edges, "the spellings of added tokens");
    trie->token[0] = -1;
    trie->nodes = 1;
    return 0;
}

static void set_pair(struct added_trie *trie, unsigned char first, unsigned char second)
{
    unsigned pair = (unsigned)first << 8 | second;
    trie->pairs[pair / 8] |= (unsigned char)(1u << pair % 8);
}

static void trie_add(struct added_trie *trie, const char *text, size_t n, int32_t token)
{
    uint32_t node = 0;
    for (unsigned second = 0; n == 1 && second < 256; second++)
        set_pair(trie, (unsigned char)text[0], (unsigned char)second);
    if (n > 1)
        set_pair(trie, (unsigned char)text[0], (unsigned char)text[1]);
    for (size_t i = 0; i < n; i++) {
        struct edge *e = edge_of(trie, node, (unsigned char)text[i]);
        if (e->child == 0) {
            *e = (struct edge) { .node = node, .child = trie->nodes, .byte = (unsigned char)text[i] };
            trie->token[trie->nodes++] = -1;
        }
        node = e->child;
    }
    if (n)
        trie->token[node] = token;
}

/* The longest spelling at the front of text; -1: none. *bytes is its length. */
static int32_t trie_longest(const struct added_trie *trie, const char *text, size_t n, size_t *bytes)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        const struct edge *e = edge_of(trie, node, (unsigned char)text[i]);
        if (e->child == 0)
            break;
        node = e->child;
        if (trie->token[node] >= 0) {
            best = trie->token[node];
            *bytes = i + 1;
        }
    }
    return best;
}

/* -- building -- */

/* Append the spelling to match for a token, as text normalised on its own. */
static int spelling(const struct tokenizer *t, const struct added_token *token, struct buffer *out, struct error *err)
{
    struct buffer half[2] = { { 0 }, { 0 } };
    int from = 0, rc = 0;
    buffer_add(&half[0], token->text, token->n);
    for (int i = 0; rc == 0 && token->normalized && token->n && i < t->normalizer_count; i++, from = !from) {
        const struct normalizer *step = &t->normalizers[i];
        buffer_clear(&half[!from]);
        rc = step->run(step, half[from].data ? half[from].data : "", half[from].used, PLACE_FIRST, &half[!from], err);
    }
    if (rc == 0)
        rc = buffer_check(&half[0], "an added token", err);
    if (rc == 0)
        rc = buffer_check(&half[1], "an added token", err);
    if (rc == 0)
        buffer_add(out, half[from].data ? half[from].data : "", half[from].used);
    buffer_release(&half[0]);
    buffer_release(&half[1]);
    return rc ? rc : buffer_check(out, "an added token", err);
}

/* The trie of the tokens with this `normalized`; *out stays NULL where there are none. */
static int build(struct added_trie **out, const struct tokenizer *t, bool normalized, struct error *err)
{
    const struct added *a = &t->added;
    struct buffer all = { 0 };
    size_t *ends = malloc((a->count + 1) * sizeof *ends);
    int rc = ends ? 0 : error_memory(err, a->count * sizeof *ends, "added tokens");
    size_t found = 0, at = 0;
    for (size_t i = 0; rc == 0 && i < a->count; i++) {
        if (a->tokens[i].normalized == normalized) {
            rc = spelling(t, &a->tokens[i], &all, err);
            found++;
        }
        ends[i] = all.used;
    }
    if (rc == 0 && found)
        rc = trie_new(out, all.used, err);
    for (size_t i = 0; rc == 0 && found && i < a->count; i++) {
        if (a->tokens[i].normalized == normalized && ends[i] > at)
            trie_add(*out, all.data + at, ends[i] - at, (int32_t)i);
        at = ends[i];
    }
    free(ends);
    buffer_release(&all);
    return rc;
}

int added_finish(struct tokenizer *t, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->added.count; i++) {
        const struct added_token *token = &t->added.tokens[i];
        enum token_kind kind = token->special ? TOKEN_CONTROL : TOKEN_USER;
        if (token->id < t->vocab.size && token->id >= 0 && t->vocab.kind[token->id] == TOKEN_UNKNOWN)
            kind = TOKEN_UNKNOWN;
        rc = vocab_put(&t->vocab, token->id, token->text, token->n, kind, err);
    }
    if (rc == 0)
        rc = build(&t->added.raw, t, false, err);
    if (rc == 0)
        rc = build(&t->added.normalized, t, true, err);
    return rc;
}

/* -- matching -- */

/* Class of the character that ends at text[n]; *bytes is its length. Malformed: class 0. */
static unsigned class_before(const char *text, size_t n, size_t *bytes)
{
    size_t back = 1;
    int32_t point = -1;
    while (back < 4 && back < n && ((unsigned char)text[n - back] & 0xc0) == 0x80)
        back++;
    *bytes = back;
    return n && utf8_decode(text + n - back, back, &point) == (int)back && point >= 0 ? unicode_class(point) : 0;
}

static unsigned class_at(const char *text, size_t n, size_t *bytes)
{
    int32_t point = -1;
    *bytes = n ? (size_t)utf8_decode(text, n, &point) : 0;
    return point >= 0 ? unicode_class(point) : 0;
}

static bool stands_alone(const char *text, size_t n, size_t start, size_t stop)
{
    size_t bytes;
    return !(class_before(text, start, &bytes) & UNICODE_WORD) &&
           !(class_at(text + stop, n - stop, &bytes) & UNICODE_WORD);
}

const struct added_token *added_next(const struct added *a, const struct added_trie *trie, const char *text, size_t n,
    bool special, size_t floor, size_t *from, size_t *start, size_t *stop)
{
    for (size_t at = *from, bytes = 0; at < n; at += bytes) {
        unsigned pair = (unsigned)(unsigned char)text[at] << 8 | (at + 1 < n ? (unsigned char)text[at + 1] : 0);
        int32_t found = trie->pairs[pair / 8] & 1u << pair % 8 ? trie_longest(trie, text + at, n - at, &bytes) : -1;
        if (found < 0) {
            bytes = 1;
            continue;
        }
        const struct added_token *token = &a->tokens[found];
        *start = at;
        *stop = at + bytes;
        if ((token->special && !special) || (token->single_word && !stands_alone(text, n, *start, *stop)))
            continue;
        size_t step;
        while (token->lstrip && *start > floor && class_before(text, *start, &step) & UNICODE_SPACE)
            *start -= step;
        while (token->rstrip && class_at(text + *stop, n - *stop, &step) & UNICODE_SPACE)
            *stop += step;
        *from = at + bytes;
        return token;
    }
    *from = n;
    return NULL;
}

void added_release(struct added *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->tokens[i].text);
    free(a->tokens);
    map_release(&a->by_text);
    trie_close(a->raw);
    trie_close(a->normalized);
    memset(a, 0, sizeof *a);
}
