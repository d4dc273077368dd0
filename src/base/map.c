/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The address of a static moves with address space randomisation: a seed without reading the environment. */
static uint64_t seed(void)
{
    static const char anchor;
    return (uint64_t)(uintptr_t)&anchor ^ 0x9e3779b97f4a7c15u;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint64_t load_8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Up to 8 bytes by two loads that may overlap: with the length in the hash, no two keys of one length read alike. */
static uint64_t load_tail(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n >= 4)
        return load_4(p) << 32 | load_4(p + n - 4);
    return n ? (uint64_t)u[0] << 16 | (uint64_t)u[n / 2] << 8 | u[n - 1] : 0;
}

uint32_t map_hash(const char *key, size_t length)
{
    uint64_t h = seed() ^ length;
    while (length > 8) {
        h = mix(h ^ load_8(key), 0xa0761d6478bd642fu);
        key += 8;
        length -= 8;
    }
    h = mix(h ^ load_tail(key, length), 0xe7037ed1a0b428dbu);
    return (uint32_t)(h ^ h >> 32);
}

int map_init(struct map *m, size_t expected, struct error *err)
{
    size_t capacity = 16;
    memset(m, 0, sizeof *m);
    while (capacity < expected + expected / 2 + 1)
        capacity *= 2;
    m->slots = calloc(capacity, sizeof *m->slots);
    if (!m->slots)
        return error_memory(err, capacity * sizeof *m->slots, "a hash map");
    m->capacity = capacity;
    return 0;
}

static struct map_slot *slot_of(const struct map *m, const char *key, size_t length, uint32_t hash)
{
    size_t at = hash & (m->capacity - 1);
    for (;; at = (at + 1) & (m->capacity - 1)) {
        struct map_slot *s = &m->slots[at];
        if (!s->key || (s->hash == hash && s->length == length && memcmp(s->key, key, length) == 0))
            return s;
    }
}

static int grow(struct map *m, struct error *err)
{
    struct map bigger;
    int rc = map_init(&bigger, m->capacity, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < m->capacity; i++) {
        const struct map_slot *s = &m->slots[i];
        if (s->key)
            *slot_of(&bigger, s->key, s->length, s->hash) = *s;
    }
    bigger.used = m->used;
    free(m->slots);
    *m = bigger;
    return 0;
}

int map_put(struct map *m, const char *key, size_t length, int64_t value, struct error *err)
{
    assert(length <= UINT32_MAX);
    if (m->used + m->used / 2 + 2 > m->capacity) {
        int rc = grow(m, err);
        if (rc)
            return rc;
    }
    uint32_t hash = map_hash(key, length);
    struct map_slot *s = slot_of(m, key, length, hash);
    if (!s->key)
        m->used++;
    *s = (struct map_slot) { .key = key, .length = (uint32_t)length, .hash = hash, .value = value };
    return 0;
}

int64_t map_find(const struct map *m, const char *key, size_t length, int64_t absent)
{
    if (!m->capacity || length > UINT32_MAX)
        return absent;
    const struct map_slot *s = slot_of(m, key, length, map_hash(key, length));
    return s->key ? s->value : absent;
}

void map_release(struct map *m)
{
    free(m->slots);
    memset(m, 0, sizeof *m);
}
