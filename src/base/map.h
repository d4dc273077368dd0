/* SPDX-License-Identifier: Apache-2.0 */
/* Byte strings to integers. Keys are borrowed: they must outlive the map. Hostile keys cannot make it slow: the hash is
 * seeded per process. */
#ifndef WAZN_BASE_MAP_H
#define WAZN_BASE_MAP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    const char *key; /* NULL: free */
    uint32_t length, hash;
    int64_t value;
};

struct map {
    struct map_slot *slots;
    size_t capacity, used; /* capacity is a power of two, at least 1.5 times used */
};

/* Room for `expected` keys; grows beyond. */
int map_init(struct map *m, size_t expected, struct error *err);

/* Add or replace. Returns 0, or ERROR_MEMORY. Keys of up to UINT32_MAX bytes. */
int map_put(struct map *m, const char *key, size_t length, int64_t value, struct error *err);

/* The value of a key, or `absent`. */
int64_t map_find(const struct map *m, const char *key, size_t length, int64_t absent);

void map_release(struct map *m);

/* The hash the map uses (wyhash-like, 64-bit multiply and fold, seeded). */
uint32_t map_hash(const char *key, size_t length);

#endif
