/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/constraint.h"

#include "base/arena.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MASKS_KEPT 64

/* Trees lie in the order of a walk from the root, children in order. */
struct tree_node {
    uint32_t after;  /* the node that follows everything below this one */
    uint32_t tokens; /* the first of its tokens in `order` */
    uint16_t n_tokens;
    uint16_t depth;  /* bytes up to here: 1 below the root, which is not stored */
    uint8_t byte;
};

struct tree {
    struct tree_node *nodes; /* (n) */
    uint32_t n;
};

struct token {
    uint32_t at; /* of its bytes in `bytes` */
    uint16_t n;  /* 0: never allowed */
    bool plain;  /* characters that stand for themselves in a JSON string */
};

struct kept_mask {
    uint32_t configuration, epoch;
    bool filled;
};

struct constraint {
    struct matcher *matcher;
    int64_t vocabulary;
    size_t words; /* of a mask */
    struct buffer bytes;
    struct token *tokens;     /* (vocabulary) */
    int32_t *order;           /* tokens sorted by their bytes, plain ones first */
    struct tree_node *nodes;  /* of both trees */
    struct tree plain, other; /* two parts of the vocabulary */
    uint32_t plain_characters; /* of the longest plain token */
    uint64_t *plain_mask;     /* (words) */
    uint64_t *stop_mask;      /* (words) */
    uint64_t *masks;          /* (MASKS_KEPT, words) */
    struct kept_mask kept[MASKS_KEPT];
    unsigned next_mask;
    struct arena arena;
};

static void layout(struct constraint *c, struct arena *a)
{
    c->plain_mask = arena_take(a, c->words, sizeof *c->plain_mask);
    c->stop_mask = arena_take(a, c->words, sizeof *c->stop_mask);
    c->masks = arena_take(a, MASKS_KEPT * c->words, sizeof *c->masks);
    c->order = arena_take(a, (size_t)c->vocabulary, sizeof *c->order);
    c->nodes = arena_take(a, c->bytes.used, sizeof *c->nodes); /* at most: one for each byte */
}

static void set_bit(uint64_t *mask, int32_t id)
{
    mask[id / 64] |= UINT64_C(1) << (id % 64);
}

static bool is_plain(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)bytes[i] < ' ' || bytes[i] == '"' || bytes[i] == '\\')
            return false;
    return utf8_valid_prefix(bytes, n) == n;
}

static uint32_t characters(const char *bytes, size_t n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

/* The bytes of every token that may ever come. */
static int read_tokens(struct constraint *c, const struct tokenizer *t, const int32_t *stops, size_t n_stops,
    struct error *err)
{
    c->tokens = calloc((size_t)c->vocabulary, sizeof *c->tokens);
    if (!c->tokens)
        return error_memory(err, (unsigned long long)c->vocabulary * sizeof *c->tokens, "a vocabulary");
    for (int32_t id = 0; id < c->vocabulary && id < tokenizer_size(t); id++) {
        enum token_kind kind = tokenizer_kind(t, id);
        size_t before = c->bytes.used;
        bool never = kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN || kind == TOKEN_UNUSED;
        for (size_t i = 0; i < n_stops && !never; i++)
            never = stops[i] == id;
        int rc = never ? 0 : tokenizer_add_bytes(t, id, &c->bytes, err);
        if (rc)
            return rc;
        size_t n = c->bytes.used - before;
        if (n > CONSTRAINT_TOKEN_MAX || c->bytes.used > UINT32_MAX)
            c->bytes.used = before;
        else if (n > 0)
            c->tokens[id] = (struct token) { (uint32_t)before, (uint16_t)n, is_plain(c->bytes.data + before, n) };
    }
    return buffer_check(&c->bytes, "the bytes of a vocabulary", err);
}

static int by_bytes(const void *a, const void *b, void *context)
{
    const struct constraint *c = context;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    const struct token *x = &c->tokens[i], *y = &c->tokens[k];
    if (x->plain != y->plain)
        return x->plain ? -1 : 1;
    int order = memcmp(c->bytes.data + x->at, c->bytes.data + y->at, x->n < y->n ? x->n : y->n);
    if (order == 0)
        order = (x->n > y->n) - (x->n < y->n);
    return order ? order : (i > k) - (i < k);
}

/* The tree of order[from .. to), which is sorted. */
static void build_tree(struct constraint *c, struct tree *tree, uint32_t from, uint32_t to)
{
    uint32_t path[CONSTRAINT_TOKEN_MAX + 1], depth = 0;
    const char *last = NULL;
    for (uint32_t i = from; i < to; i++) {
        const struct token *t = &c->tokens[c->order[i]];
        const char *bytes = c->bytes.data + t->at;
        uint32_t same = 0;
        while (same < depth && same < t->n && last[same] == bytes[same])
            same++;
        while (depth > same)
            tree->nodes[path[depth--]].after = tree->n;
        while (depth < t->n) {
            tree->nodes[tree->n] = (struct tree_node) { .tokens = i, .depth = (uint16_t)(depth + 1),
                .byte = (uint8_t)bytes[depth] };
            path[++depth] = tree->n++;
        }
        tree->nodes[path[depth]].n_tokens++;
        last = bytes;
    }
    while (depth > 0)
        tree->nodes[path[depth--]].after = tree->n;
}

static void build_trees(struct constraint *c, const int32_t *stops, size_t n_stops)
{
    uint32_t n = 0, n_plain = 0;
    for (int32_t id = 0; id < c->vocabulary; id++) {
        const struct token *t = &c->tokens[id];
        if (t->n == 0)
            continue;
        c->order[n++] = id;
        if (!t->plain)
            continue;
        uint32_t its = characters(c->bytes.data + t->at, t->n);
        c->plain_characters = its > c->plain_characters ? its : c->plain_characters;
        set_bit(c->plain_mask, id);
        n_plain++;
    }
    if (n > 0)
        qsort_r(c->order, n, sizeof *c->order, by_bytes, c);
    c->plain.nodes = c->nodes;
    build_tree(c, &c->plain, 0, n_plain);
    c->other.nodes = c->nodes + c->plain.n;
    build_tree(c, &c->other, n_plain, n);
    for (size_t i = 0; i < n_stops; i++)
        if (stops[i] >= 0 && stops[i] < c->vocabulary)
            set_bit(c->stop_mask, stops[i]);
}

int constraint_open(struct constraint **out, const struct grammar *g, const struct tokenizer *t, int64_t vocabulary,
    const int32_t *stops, size_t n_stops, struct error *err)
{
    struct constraint *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return error_memory(err, sizeof *c, "a constraint");
    c->vocabulary = vocabulary;
    c->words = ((size_t)vocabulary + 63) / 64;
    int rc = read_tokens(c, t, stops, n_stops, err);
    if (rc == 0)
        rc = matcher_open(&c->matcher, g, err);
    if (rc == 0) {
        layout(c, &c->arena);
        rc = arena_reserve(&c->arena, err);
    }
    if (rc) {
        constraint_close(c);
        return rc;
    }
    layout(c, &c->arena);
    build_trees(c, stops, n_stops);
    *out = c;
    return 0;
}

void constraint_close(struct constraint *c)
{
    if (!c)
        return;
    matcher_close(c->matcher);
    arena_release(&c->arena);
    buffer_release(&c->bytes);
    free(c->tokens);
    free(c);
}

/* Set the bits of all tokens whose bytes the grammar lets through from here. */
static void walk(struct constraint *c, const struct tree *tree, uint64_t *mask)
{
    uint32_t path[CONSTRAINT_TOKEN_MAX + 1];
    path[0] = matcher_here(c->matcher);
    for (uint32_t i = 0; i < tree->n;) {
        const struct tree_node *node = &tree->nodes[i];
        uint32_t next = matcher_step(c->matcher, node->byte, path, node->depth);
        if (next == MATCHER_DEAD) {
            i = node->after;
            continue;
        }
        path[node->depth] = next;
        for (uint32_t k = 0; k < node->n_tokens; k++)
            set_bit(mask, c->order[node->tokens + k]);
        i++;
    }
}

static void fill_mask(struct constraint *c, uint64_t *mask)
{
    size_t bytes = c->words * sizeof *mask;
    if (matcher_characters(c->matcher) >= c->plain_characters) {
        memcpy(mask, c->plain_mask, bytes);
    } else {
        memset(mask, 0, bytes);
        walk(c, &c->plain, mask);
    }
    walk(c, &c->other, mask);
    for (size_t i = 0; i < c->words && matcher_complete(c->matcher); i++)
        mask[i] |= c->stop_mask[i];
}

const uint64_t *constraint_mask(struct constraint *c)
{
    uint32_t here = matcher_here(c->matcher), epoch = matcher_epoch(c->matcher);
    for (unsigned i = 0; i < MASKS_KEPT; i++)
        if (c->kept[i].filled && c->kept[i].configuration == here && c->kept[i].epoch == epoch)
            return c->masks + i * c->words;
    unsigned slot = c->next_mask++ % MASKS_KEPT;
    uint64_t *mask = c->masks + slot * c->words;
    fill_mask(c, mask);
    c->kept[slot] = (struct kept_mask) { matcher_here(c->matcher), matcher_epoch(c->matcher), true };
    return mask;
}

int constraint_accept(struct constraint *c, int32_t id, struct error *err)
{
    if (id < 0 || id >= c->vocabulary)
        return error_set(err, ERROR_USAGE, "token %d is not in the vocabulary of %lld", id, (long long)c->vocabulary);
    if (c->stop_mask[id / 64] >> (id % 64) & 1 && matcher_complete(c->matcher))
        return 0;
    const struct token *t = &c->tokens[id];
    if (t->n == 0 || !matcher_advance(c->matcher, c->bytes.data + t->at, t->n))
        return error_set(err, ERROR_USAGE, "token %d does not follow the grammar", id);
    return 0;
}

struct matcher *constraint_matcher(struct constraint *c)
{
    return c->matcher;
}
