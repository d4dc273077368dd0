/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"

#include "base/utf8.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NO_RANK INT32_MAX
#define SMALL 96 /* bytes up to which looking for the lowest rank beats keeping a heap; starts fit a byte */

struct merge_slot {
    uint32_t left, right; /* ids */
    uint32_t behind;      /* rank + 1; 0: free */
};

/* Merges are looked up in batches: each look-up waits for memory, together they wait once. */
#define BATCH 64

struct waiting_merge {
    size_t at;                /* in waiting_text: left, right */
    size_t left_n, right_n;
    uint32_t left_hash, right_hash;
    int32_t left, right, joined;
};

struct bpe {
    struct bpe_options options;
    struct merge_slot *slots;
    size_t mask;
    int32_t *byte_pairs; /* (65536) rank of each pair of bytes: what every piece begins with; NULL for characters */
    int32_t *merged; /* (merges) id of the pair of that rank */
    size_t merges, capacity;
    bool joined_by_bytes; /* merges look at ids, but only bytes that are a piece merge: a cheap first question */
    struct waiting_merge waiting[BATCH];
    size_t waiting_count;
    struct buffer waiting_text;
    char *prefix, *suffix;
    size_t prefix_n, suffix_n;
    /* Is merging a piece's own bytes giving that piece? Found out at first need: 0 unknown, else enum whole. Writing it
     * twice writes the same, so threads need no more than whole bytes. */
    _Atomic unsigned char *whole;
    int32_t wholes;
};

enum whole { WHOLE = 1, NOT_WHOLE };

struct symbol {
    uint32_t start, n; /* in the piece; n 0: merged into the one before */
    int32_t id;
};

/* -- ranks -- */

static size_t first_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (size_t)(key ^ key >> 29) & b->mask;
}

static struct merge_slot *slot_of(const struct bpe *b, uint32_t left, uint32_t right)
{
    for (size_t at = first_slot(b, left, right);; at = (at + 1) & b->mask) {
        struct merge_slot *slot = &b->slots[at];
        if (slot->behind == 0 || (slot->left == left && slot->right == right))
            return slot;
    }
}

/* Rank of merging two neighbours: their ids, and the n bytes they cover. */
static inline int32_t rank_of(const struct tokenizer *t, const struct bpe *b, int32_t left, int32_t right,
    const char *bytes, size_t n)
{
    if (n == 2 && b->byte_pairs)
        return b->byte_pairs[(unsigned)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1]];
    if (b->joined_by_bytes && !vocab_may_hold(&t->vocab, bytes, n))
        return NO_RANK;
    if (!b->options.by_rank)
        return (int32_t)((slot_of(b, (uint32_t)left, (uint32_t)right)->behind - 1) & NO_RANK); /* a free one: NO_RANK */
    int32_t id = vocab_find(&t->vocab, bytes, n);
    return id < 0 ? NO_RANK : id;
}

static int32_t merged_id(const struct bpe *b, int32_t rank)
{
    return b->options.by_rank ? rank : b->merged[rank];
}

/* -- a piece as symbols -- */

static int no_token(const char *piece, size_t n, struct error *err)
{
    return error_set(err, ERROR_UNSUPPORTED,
        "the vocabulary has neither a token for \"%.*s\" (byte 0x%02x) nor an unknown "
        "token",
        (int)(n > 4 ? 4 : n), piece, (unsigned char)piece[0]);
}

/* The id of a character with its word prefix and suffix; -1: none. */
static int32_t character_id(const struct tokenizer *t, const struct bpe *b, const char *text, size_t n, bool first,
    bool last)
{
    char spelled[PIECE_BYTES_MAX];
    size_t prefix = first ? 0 : b->prefix_n, suffix = last ? b->suffix_n : 0;
    if (prefix + suffix == 0)
        return vocab_find(&t->vocab, text, n);
    if (prefix + n + suffix > sizeof spelled)
        return -1;
    if (prefix)
        memcpy(spelled, b->prefix, prefix);
    memcpy(spelled + prefix, text, n);
    if (suffix)
        memcpy(spelled + prefix + n, b->suffix, suffix);
    return vocab_find(&t->vocab, spelled, prefix + n + suffix);
}

static bool has_all_bytes(const struct tokenizer *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->vocab.byte_id[(unsigned char)text[i]] < 0)
            return false;
    return true;
}

/* Symbols of a piece by characters; room for n. */
static int by_characters(const struct tokenizer *t, const struct bpe *b, const char *piece, size_t n,
    struct symbol *symbols, size_t *count, struct error *err)
{
    size_t used = 0;
    bool fuse = false;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        int32_t point;
        bytes = (size_t)utf8_decode(piece + at, n - at, &point);
        int32_t id = character_id(t, b, piece + at, bytes, at == 0, at + bytes == n);
        if (id < 0 && b->options.byte_fallback && has_all_bytes(t, piece + at, bytes)) {
            for (size_t i = 0; i < bytes; i++, used++)
                symbols[used] = (struct symbol){(uint32_t)(at + i), 1, t->vocab.byte_id[(unsigned char)piece[at + i]]};
            fuse = false;
            continue;
        }
        if (id < 0 && b->options.unknown < 0)
            return no_token(piece + at, bytes, err);
        if (id < 0 && fuse)
            symbols[used - 1].n += (uint32_t)bytes;
        else
            symbols[used++] = (struct symbol) { (uint32_t)at, (uint32_t)bytes, id < 0 ? b->options.unknown : id };
        fuse = id < 0 && b->options.fuse_unknown;
    }
    *count = used;
    return 0;
}

static int by_bytes(const struct tokenizer *t, const struct bpe *b, const char *piece, size_t n, struct symbol *symbols,
    struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->vocab.byte_id[(unsigned char)piece[i]];
        if (id < 0)
            id = b->options.unknown;
        if (id < 0)
            return no_token(piece + i, 1, err);
        symbols[i] = (struct symbol) { (uint32_t)i, 1, id };
    }
    return 0;
}

/* -- merging -- */

/* Few symbols: look through all for the lowest rank, close the gap. The bytes of symbol i are [start[i], start[i + 1]),
 * rank[i] is that of merging it with the next. */
struct few {
    int32_t rank[SMALL], id[SMALL];
    unsigned char start[SMALL + 1];
    int count;
};

static inline int32_t few_rank(
    const struct tokenizer *t, const struct bpe *b, const char *piece, const struct few *f, int i)
{
    return rank_of(t, b, f->id[i], f->id[i + 1], piece + f->start[i], (size_t)(f->start[i + 2] - f->start[i]));
}

static void close_gap(struct few *f, int at)
{
    for (int i = at; i + 1 < f->count; i++) {
        f->rank[i] = f->rank[i + 1];
        f->id[i] = f->id[i + 1];
        f->start[i] = f->start[i + 1];
    }
    f->start[f->count - 1] = f->start[f->count];
    f->count--;
}

static void merge_few(const struct tokenizer *t, const struct bpe *b, const char *piece, struct few *f)
{
    for (int i = 0; i + 1 < f->count; i++)
        f->rank[i] = few_rank(t, b, piece, f, i);
    for (;;) {
        int32_t lowest = NO_RANK;
        int at = 0;
        for (int i = 0; i < f->count - 1; i++)
            lowest = f->rank[i] < lowest ? f->rank[i] : lowest;
        if (lowest == NO_RANK)
            return;
        while (f->rank[at] != lowest)
            at++;
        f->id[at] = merged_id(b, lowest);
        close_gap(f, at + 1);
        if (at + 1 < f->count)
            f->rank[at] = few_rank(t, b, piece, f, at);
        if (at > 0)
            f->rank[at - 1] = few_rank(t, b, piece, f, at - 1);
    }
}

/* Many symbols: a heap of pairs. A pair is stale once either half has merged, which shows in its length. */
struct pair {
    int32_t rank;
    uint32_t at; /* symbol of the left half */
    uint32_t n;  /* bytes of both halves */
};

struct heap {
    struct pair *pairs;
    size_t used;
};

static bool before(const struct pair *a, const struct pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct heap *h, struct pair pair)
{
    size_t at = h->used++;
    for (; at > 0 && before(&pair, &h->pairs[(at - 1) / 2]); at = (at - 1) / 2)
        h->pairs[at] = h->pairs[(at - 1) / 2];
    h->pairs[at] = pair;
}

static struct pair heap_pop(struct heap *h)
{
    struct pair top = h->pairs[0], last = h->pairs[--h->used];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->used; at = child) {
        if (child + 1 < h->used && before(&h->pairs[child + 1], &h->pairs[child]))
            child++;
        if (!before(&h->pairs[child], &last))
            break;
        h->pairs[at] = h->pairs[child];
    }
    h->pairs[at] = last;
    return top;
}

#define NO_SYMBOL UINT32_MAX

struct link {
    uint32_t before, behind;
};

static void push_pair(const struct tokenizer *t, const struct bpe *b, const char *piece, const struct symbol *symbols,
    const struct link *links, uint32_t at, struct heap *heap)
{
    uint32_t behind = at == NO_SYMBOL ? NO_SYMBOL : links[at].behind;
    if (behind == NO_SYMBOL)
        return;
    uint32_t n = symbols[at].n + symbols[behind].n;
    int32_t rank = rank_of(t, b, symbols[at].id, symbols[behind].id, piece + symbols[at].start, n);
    if (rank != NO_RANK)
        heap_push(heap, (struct pair) { rank, at, n });
}

/* At most count - 1 pairs at first and two more for each merge: 3 * count. Returns how many symbols are left. */
static size_t merge_many(const struct tokenizer *t, const struct bpe *b, const char *piece, struct symbol *symbols,
    size_t count, struct link *links, struct pair *pairs)
{
    struct heap heap = { pairs, 0 };
    size_t left = 0;
    for (uint32_t i = 0; i < count; i++)
        links[i] = (struct link) { i ? i - 1 : NO_SYMBOL, i + 1 < count ? i + 1 : NO_SYMBOL };
    for (uint32_t i = 0; i < count; i++)
        push_pair(t, b, piece, symbols, links, i, &heap);
    while (heap.used) {
        struct pair pair = heap_pop(&heap);
        struct symbol *l = &symbols[pair.at];
        uint32_t behind = links[pair.at].behind;
        if (l->n == 0 || behind == NO_SYMBOL || l->n + symbols[behind].n != pair.n)
            continue;
        l->n = pair.n;
        l->id = merged_id(b, pair.rank);
        symbols[behind].n = 0;
        links[pair.at].behind = links[behind].behind;
        if (links[behind].behind != NO_SYMBOL)
            links[links[behind].behind].before = pair.at;
        push_pair(t, b, piece, symbols, links, pair.at, &heap);
        push_pair(t, b, piece, symbols, links, links[pair.at].before, &heap);
    }
    for (size_t i = 0; i < count; i++)
        if (symbols[i].n)
            symbols[left++] = symbols[i];
    return left;
}

/* -- encoding -- */

static int room_for_many(struct scratch *s, size_t n, struct symbol **symbols, struct link **links, struct pair **pairs,
    struct error *err)
{
    if (n >= UINT32_MAX / 4)
        return error_set(err, ERROR_LIMIT, "a stretch of %zu bytes without a cut is too long to encode", n);
    buffer_clear(&s->memory[0]);
    buffer_clear(&s->memory[1]);
    buffer_clear(&s->memory[2]);
    *symbols = (struct symbol *)(void *)buffer_room(&s->memory[0], n * sizeof **symbols);
    *links = (struct link *)(void *)buffer_room(&s->memory[1], n * sizeof **links);
    *pairs = (struct pair *)(void *)buffer_room(&s->memory[2], 3 * n * sizeof **pairs);
    return *symbols && *links && *pairs ? 0 : error_memory(err, n * 60, "merging a long stretch of text");
}

static int put_symbols(const struct symbol *symbols, size_t count, struct tokens *out, struct error *err)
{
    int32_t *ids = tokens_room(out, count);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = symbols[i].id;
    out->used += ids ? count : 0;
    return ids ? 0 : tokens_check(out, err);
}

static int symbols_of(const struct tokenizer *t, const struct bpe *b, const char *piece, size_t n,
    struct symbol *symbols, size_t *count, struct error *err)
{
    *count = n;
    return b->options.characters ? by_characters(t, b, piece, n, symbols, count, err)
                                 : by_bytes(t, b, piece, n, symbols, err);
}

static int merge_short(const struct tokenizer *t, const struct bpe *b, const char *piece, size_t n, struct tokens *out,
    struct error *err)
{
    struct symbol symbols[SMALL];
    struct few f;
    size_t count;
    int rc = symbols_of(t, b, piece, n, symbols, &count, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        f.id[i] = symbols[i].id;
        f.start[i] = (unsigned char)symbols[i].start;
    }
    f.start[count] = (unsigned char)n;
    f.count = (int)count;
    merge_few(t, b, piece, &f);
    int32_t *ids = tokens_room(out, (size_t)f.count);
    if (!ids)
        return tokens_check(out, err);
    memcpy(ids, f.id, (size_t)f.count * sizeof *ids);
    out->used += (size_t)f.count;
    return 0;
}

static int merge_piece(const struct tokenizer *t, const struct bpe *b, struct scratch *s, const char *piece, size_t n,
    struct tokens *out, struct error *err)
{
    struct symbol *symbols = NULL;
    struct link *links = NULL;
    struct pair *pairs = NULL;
    size_t count = 0;
    if (n <= SMALL)
        return merge_short(t, b, piece, n, out, err);
    int rc = room_for_many(s, n, &symbols, &links, &pairs, err);
    if (rc == 0)
        rc = symbols_of(t, b, piece, n, symbols, &count, err);
    if (rc)
        return rc;
    return put_symbols(symbols, merge_many(t, b, piece, symbols, count, links, pairs), out, err);
}

static int encode_piece(const struct tokenizer *t, struct scratch *s, const char *piece, size_t n, struct tokens *out,
    struct error *err)
{
    const struct bpe *b = t->state;
    int32_t id = vocab_find(&t->vocab, piece, n);
    if (id < 0 || id >= b->wholes)
        return merge_piece(t, b, s, piece, n, out, err);
    unsigned char known = b->options.whole_first ? WHOLE : atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (known == WHOLE) {
        tokens_add(out, id);
        return out->failed ? tokens_check(out, err) : 0;
    }
    size_t first = out->used;
    int rc = merge_piece(t, b, s, piece, n, out, err);
    if (rc == 0 && !known)
        atomic_store_explicit(&b->whole[id], out->used == first + 1 && out->ids[first] == id ? WHOLE : NOT_WHOLE,
            memory_order_relaxed);
    return rc;
}

/* -- building -- */

static void bpe_close(struct tokenizer *t)
{
    struct bpe *b = t->state;
    if (b) {
        free(b->slots);
        free(b->merged);
        free(b->byte_pairs);
        buffer_release(&b->waiting_text);
        free(b->prefix);
        free(b->suffix);
        free((void *)b->whole);
    }
    free(b);
    t->state = NULL;
}

static const struct tokenizer_model bpe_model = { "BPE", encode_piece, bpe_close };
static const struct tokenizer_model byte_level_bpe_model = { "byte-level BPE", encode_piece, bpe_close };

/* Slots for at least `merges`, half of them free. */
static int make_slots(struct bpe *b, size_t merges, struct error *err)
{
    size_t slots = 16;
    while (slots < merges * 2)
        slots *= 2;
    struct merge_slot *bigger = calloc(slots, sizeof *bigger), *old = b->slots;
    int32_t *merged = realloc(b->merged, slots / 2 * sizeof *merged);
    if (merged)
        b->merged = merged;
    if (!bigger || !merged) {
        free(bigger);
        return error_memory(err, slots * (sizeof *bigger + 2), "merges");
    }
    size_t old_slots = old ? b->mask + 1 : 0;
    b->slots = bigger;
    b->mask = slots - 1;
    b->capacity = slots / 2;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].behind)
            *slot_of(b, old[i].left, old[i].right) = old[i];
    free(old);
    return 0;
}

/* No pair merges yet; by rank, those whose bytes are a piece do. */
static int make_byte_pairs(struct tokenizer *t, struct bpe *b, struct error *err)
{
    b->byte_pairs = malloc(65536 * sizeof *b->byte_pairs);
    if (!b->byte_pairs)
        return error_memory(err, 65536 * sizeof *b->byte_pairs, "pairs of bytes");
    for (int i = 0; i < 65536; i++) {
        const char bytes[2] = { (char)(i >> 8), (char)i };
        int32_t id = b->options.by_rank ? vocab_find(&t->vocab, bytes, 2) : -1;
        b->byte_pairs[i] = id < 0 ? NO_RANK : id;
    }
    return 0;
}

int bpe_new(struct tokenizer *t, const struct bpe_options *options, size_t merges, struct error *err)
{
    struct bpe *b = calloc(1, sizeof *b);
    if (!b)
        return error_memory(err, sizeof *b, "a BPE model");
    t->state = b;
    t->model = options->characters ? &bpe_model : &byte_level_bpe_model;
    b->options = *options;
    b->options.prefix = b->options.suffix = NULL;
    b->prefix_n = options->prefix ? strlen(options->prefix) : 0;
    b->suffix_n = options->suffix ? strlen(options->suffix) : 0;
    b->joined_by_bytes = !options->by_rank && !options->characters && options->unknown < 0;
    b->wholes = t->vocab.size;
    b->whole = calloc((size_t)b->wholes + 1, 1);
    b->prefix = strdup(options->prefix ? options->prefix : "");
    b->suffix = strdup(options->suffix ? options->suffix : "");
    if (!b->whole || !b->prefix || !b->suffix)
        return error_memory(err, (size_t)b->wholes, "a BPE model");
    int rc = options->characters ? 0 : make_byte_pairs(t, b, err);
    return rc ? rc : make_slots(b, merges, err);
}

/* The id of a merge's joined bytes. Lists come in the order of ids, with one merge or several for each: the id of the
 * merge before and the one behind it are looked at first. */
static int32_t joined_id(const struct tokenizer *t, int32_t before, const char *joined, size_t n)
{
    for (int32_t id = before; id <= before + 1; id++)
        if (vocab_finds(&t->vocab, joined, n, id))
            return id;
    return vocab_find(&t->vocab, joined, n);
}

/* The ids of a merge. Its text is the joined piece but for a word prefix in the middle, which this takes out. */
static int find_merge(const struct tokenizer *t, const struct bpe *b, struct waiting_merge *m, int32_t before,
    size_t number, struct error *err)
{
    char *left = b->waiting_text.data + m->at, *right = left + m->left_n;
    m->left = vocab_find_hashed(&t->vocab, left, m->left_n, m->left_hash);
    m->right = vocab_find_hashed(&t->vocab, right, m->right_n, m->right_hash);
    if (m->left < 0 || m->right < 0)
        return error_set(err, ERROR_FORMAT, "merge %zu: \"%.*s\" is not in the vocabulary", number,
            (int)(m->left < 0 ? m->left_n : m->right_n), m->left < 0 ? left : right);
    size_t skip = m->right_n >= b->prefix_n && memcmp(right, b->prefix, b->prefix_n) == 0 ? b->prefix_n : 0;
    if (skip)
        memmove(right, right + skip, m->right_n - skip);
    m->joined = joined_id(t, before, left, m->left_n + m->right_n - skip);
    if (m->joined < 0)
        return error_set(err, ERROR_FORMAT, "merge %zu: joined, \"%.*s\" is not in the vocabulary", number,
            (int)(m->left_n + m->right_n - skip), left);
    return 0;
}

static void put_merge(struct bpe *b, const struct waiting_merge *m)
{
    const char *text = b->waiting_text.data + m->at;
    *slot_of(b, (uint32_t)m->left, (uint32_t)m->right)
        = (struct merge_slot) { (uint32_t)m->left, (uint32_t)m->right, (uint32_t)b->merges + 1 };
    if (b->byte_pairs && m->left_n == 1 && m->right_n == 1)
        b->byte_pairs[(unsigned)(unsigned char)text[0] << 8 | (unsigned char)text[1]] = (int32_t)b->merges;
    b->merged[b->merges++] = m->joined;
}

int bpe_end_merges(struct tokenizer *t, struct error *err)
{
    struct bpe *b = t->state;
    int32_t before = b->merges ? b->merged[b->merges - 1] : 0;
    int rc = buffer_check(&b->waiting_text, "merges", err);
    if (rc == 0 && b->merges + b->waiting_count > INT32_MAX / 2)
        rc = error_set(err, ERROR_LIMIT, "%zu merges are above the limit", b->merges + b->waiting_count);
    if (rc == 0 && b->merges + b->waiting_count > b->capacity)
        rc = make_slots(b, b->merges + b->waiting_count, err);
    for (size_t i = 0; rc == 0 && i < b->waiting_count; i++) {
        struct waiting_merge *m = &b->waiting[i];
        rc = find_merge(t, b, m, before, b->merges + i, err);
        before = m->joined;
        __builtin_prefetch(&b->slots[first_slot(b, (uint32_t)m->left, (uint32_t)m->right)], 1);
    }
    for (size_t i = 0; rc == 0 && i < b->waiting_count; i++)
        put_merge(b, &b->waiting[i]);
    b->waiting_count = 0;
    buffer_clear(&b->waiting_text);
    return rc;
}

int bpe_add_merge(struct tokenizer *t, const char *left, size_t left_n, const char *right, size_t right_n,
    struct error *err)
{
    struct bpe *b = t->state;
    struct waiting_merge *m = &b->waiting[b->waiting_count++];
    *m = (struct waiting_merge) { .at = b->waiting_text.used, .left_n = left_n, .right_n = right_n,
        .left_hash = map_hash(left, left_n), .right_hash = map_hash(right, right_n) };
    buffer_add(&b->waiting_text, left, left_n);
    buffer_add(&b->waiting_text, right, right_n);
    vocab_prefetch(&t->vocab, m->left_hash);
    vocab_prefetch(&t->vocab, m->right_hash);
    return b->waiting_count < BATCH ? 0 : bpe_end_merges(t, err);
}

int bpe_add_merge_line(struct tokenizer *t, const char *line, size_t n, struct error *err)
{
    const struct bpe *b = t->state;
    char text[2 * PIECE_BYTES_MAX];
    const char *space = n > 1 ? memchr(line + 1, ' ', n - 1) : NULL;
    if (!space || n > sizeof text)
        return error_set(err, ERROR_FORMAT, "merge %zu: \"%.*s\" is not two pieces and a space", b->merges,
            (int)(n < 100 ? n : 100), line);
    size_t left_n = (size_t)(space - line), right_n = n - left_n - 1;
    if (b->options.characters)
        return bpe_add_merge(t, line, left_n, space + 1, right_n, err);
    ptrdiff_t l = byte_level_decode(text, line, left_n), r = byte_level_decode(text + left_n, space + 1, right_n);
    if (l < 0 || r < 0)
        return error_set(err, ERROR_FORMAT, "merge %zu: \"%.*s\" is not in byte-level spelling", b->merges,
            (int)(n < 100 ? n : 100), line);
    return bpe_add_merge(t, text, (size_t)l, text + left_n, (size_t)r, err);
}

/* -- reading the list back -- */

/* The two parts that a piece is made of by merges of lower ranks, as a split of its bytes; 0: it is not made so. */
static size_t split_by_rank(const struct tokenizer *t, int32_t rank, const char *piece, size_t n, uint16_t *ends)
{
    size_t parts = n;
    for (size_t i = 0; i < n; i++)
        ends[i] = (uint16_t)(i + 1);
    while (parts > 2) {
        int32_t lowest = rank;
        size_t at = 0;
        for (size_t i = 0; i + 1 < parts; i++) {
            size_t start = i ? ends[i - 1] : 0;
            int32_t id = vocab_find(&t->vocab, piece + start, ends[i + 1] - start);
            if (id >= 0 && id < lowest) {
                lowest = id;
                at = i + 1;
            }
        }
        if (at == 0)
            return 0;
        memmove(ends + at - 1, ends + at, (parts - at) * sizeof *ends);
        parts--;
    }
    return parts == 2 ? ends[0] : 0;
}

static size_t merges_by_rank(struct bpe_merge *list, const struct tokenizer *t)
{
    uint16_t ends[PIECE_BYTES_MAX];
    size_t count = 0;
    for (int32_t id = 0; id < t->vocab.size; id++) {
        size_t n;
        const char *piece = vocab_piece(&t->vocab, id, &n);
        size_t cut = n > 1 && vocab_find(&t->vocab, piece, n) == id ? split_by_rank(t, id, piece, n, ends) : 0;
        if (cut)
            list[count++] = (struct bpe_merge) { vocab_find(&t->vocab, piece, cut),
                vocab_find(&t->vocab, piece + cut, n - cut) };
    }
    return count;
}

int bpe_merges_new(struct bpe_merge **out, size_t *count, bool *whole_first, const struct tokenizer *t,
    struct error *err)
{
    const struct bpe *b = t->state;
    size_t room = b->options.by_rank ? (size_t)t->vocab.size : b->merges;
    struct bpe_merge *list = calloc(room + 1, sizeof *list);
    *out = list;
    *count = b->merges;
    *whole_first = b->options.whole_first;
    if (!list)
        return error_memory(err, (room + 1) * sizeof *list, "a list of merges");
    if (b->options.by_rank)
        *count = merges_by_rank(list, t);
    for (size_t i = 0; !b->options.by_rank && i <= b->mask; i++)
        if (b->slots[i].behind)
            list[b->slots[i].behind - 1] = (struct bpe_merge) { (int32_t)b->slots[i].left,
                (int32_t)b->slots[i].right };
    return 0;
}
