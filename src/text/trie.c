/* SPDX-License-Identifier: Apache-2.0 */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 256
#define OPEN_BLOCKS 16 /* the newest blocks are searched for room; older ones stay as full as they are */

/* A node whose children are not placed yet: keys [low, high) run through it and agree on `depth` bytes. */
struct pending {
    int32_t node;
    size_t low, high, depth;
};

struct builder {
    struct trie *trie;
    const struct trie_key *keys;
    struct pending *stack;
    size_t used, capacity, unit_capacity;
};

static int compare_keys(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order)
        return order;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int push(struct builder *b, struct pending p, struct error *err)
{
    if (b->used == b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 256;
        struct pending *stack = realloc(b->stack, capacity * sizeof *stack);
        if (!stack)
            return error_memory(err, capacity * sizeof *stack, "building a trie");
        b->stack = stack;
        b->capacity = capacity;
    }
    b->stack[b->used++] = p;
    return 0;
}

static int add_block(struct builder *b, struct error *err)
{
    struct trie *t = b->trie;
    if ((size_t)t->size + BLOCK > b->unit_capacity) {
        size_t capacity = b->unit_capacity ? b->unit_capacity * 2 : 4 * BLOCK;
        if (capacity > INT32_MAX / 2)
            return error_set(err, ERROR_LIMIT, "a vocabulary needs a trie of more than %d nodes", INT32_MAX / 2);
        struct trie_unit *units = realloc(t->units, capacity * sizeof *units);
        if (!units)
            return error_memory(err, capacity * sizeof *units, "a trie");
        t->units = units;
        b->unit_capacity = capacity;
    }
    for (int i = 0; i < BLOCK; i++)
        t->units[t->size + i] = (struct trie_unit){.base = 0, .parent = -1, .value = -1};
    t->size += BLOCK;
    return 0;
}

/* A base in the block at `block` that puts all labels on free units, or -1. */
static int32_t base_in_block(const struct trie *t, int32_t block, const unsigned char *labels, int count)
{
    for (int32_t at = 0; at < BLOCK; at++) {
        if (t->units[block + at].parent >= 0)
            continue;
        int32_t base = (block + at) ^ labels[0];
        int i = 1;
        while (i < count && t->units[base ^ labels[i]].parent < 0)
            i++;
        if (i == count)
            return base;
    }
    return -1;
}

static int find_base(struct builder *b, const unsigned char *labels, int count, int32_t *base, struct error *err)
{
    const struct trie *t = b->trie;
    int32_t oldest = t->size > OPEN_BLOCKS * BLOCK ? t->size - OPEN_BLOCKS * BLOCK : 0;
    for (int32_t block = oldest; block < t->size; block += BLOCK) {
        *base = base_in_block(t, block, labels, count);
        if (*base >= 0)
            return 0;
    }
    int rc = add_block(b, err);
    *base = t->size - BLOCK;
    return rc;
}

/* Place the children of one node and leave them pending. */
static int place(struct builder *b, struct pending p, struct error *err)
{
    struct trie *t = b->trie;
    const struct trie_key *keys = b->keys;
    unsigned char labels[BLOCK];
    int count = 0, rc;
    int32_t base;
    for (; p.low < p.high && keys[p.low].n == p.depth; p.low++)
        if (t->units[p.node].value < 0)
            t->units[p.node].value = keys[p.low].value;
    for (size_t i = p.low; i < p.high; i++) {
        unsigned char label = (unsigned char)keys[i].bytes[p.depth];
        if (count == 0 || labels[count - 1] != label)
            labels[count++] = label;
    }
    if (count == 0)
        return 0;
    rc = find_base(b, labels, count, &base, err);
    if (rc)
        return rc;
    t->units[p.node].base = base;
    for (int i = 0; i < count; i++)
        t->units[base ^ labels[i]].parent = p.node;
    size_t low = p.low;
    for (int i = 0; i < count && rc == 0; i++) {
        size_t high = low;
        while (high < p.high && (unsigned char)keys[high].bytes[p.depth] == labels[i])
            high++;
        rc = push(b, (struct pending){base ^ labels[i], low, high, p.depth + 1}, err);
        low = high;
    }
    return rc;
}

int trie_build(struct trie *t, struct trie_key *keys, size_t count, struct error *err)
{
    struct builder b = {.trie = t, .keys = keys};
    memset(t, 0, sizeof *t);
    if (count == 0)
        return 0;
    qsort(keys, count, sizeof *keys, compare_keys);
    int rc = add_block(&b, err);
    if (rc == 0) {
        t->units[TRIE_ROOT].parent = INT32_MAX; /* taken, and nobody's child */
        rc = push(&b, (struct pending){TRIE_ROOT, 0, count, 0}, err);
    }
    while (rc == 0 && b.used > 0)
        rc = place(&b, b.stack[--b.used], err);
    free(b.stack);
    if (rc)
        trie_release(t);
    return rc;
}

size_t trie_longest(const struct trie *t, const char *text, size_t n, int32_t *value)
{
    size_t longest = 0;
    int32_t node = TRIE_ROOT;
    if (!t->units)
        return 0;
    for (size_t i = 0; i < n; i++) {
        node = trie_step(t, node, (unsigned char)text[i]);
        if (node < 0)
            break;
        if (t->units[node].value >= 0) {
            longest = i + 1;
            *value = t->units[node].value;
        }
    }
    return longest;
}

void trie_release(struct trie *t)
{
    free(t->units);
    memset(t, 0, sizeof *t);
}
