/* SPDX-License-Identifier: Apache-2.0 */
/* Byte strings to numbers, walked byte by byte: a double array (Aoe, 1989) whose children lie at base ^ byte, so that
 * all children of a node share one block of 256. Private to src/text. */
#ifndef WAZN_TEXT_TRIE_H
#define WAZN_TEXT_TRIE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct trie_unit {
    int32_t base;   /* children of this node are at base ^ byte */
    int32_t parent; /* whose child this is; -1: free */
    int32_t value;  /* of the string that ends here; -1: none */
};

struct trie {
    struct trie_unit *units; /* (size); NULL: holds nothing */
    int32_t size;            /* a multiple of 256 */
};

struct trie_key {
    const char *bytes;
    size_t n;      /* not 0 */
    int32_t value; /* not negative */
};

#define TRIE_ROOT 0

/* Sorts keys; of equal ones the lowest value stays. The strings are not needed afterwards. No keys: an empty trie. */
int trie_build(struct trie *t, struct trie_key *keys, size_t count, struct error *err);

/* The node behind `node` on `byte`, or -1. The trie is not empty. */
static inline int32_t trie_step(const struct trie *t, int32_t node, unsigned char byte)
{
    int32_t next = t->units[node].base ^ byte;
    return t->units[next].parent == node ? next : -1;
}

/* Bytes of the longest key that text begins with, its value in *value; 0: none. */
size_t trie_longest(const struct trie *t, const char *text, size_t n, int32_t *value);

void trie_release(struct trie *t);

#endif
