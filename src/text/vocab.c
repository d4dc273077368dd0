/* SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer_impl.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

/* One array of the table to `capacity` entries of `unit` bytes, the new ones zero. */
static int grow(void **array, size_t unit, int32_t used, int32_t capacity, struct error *err)
{
    char *bigger = realloc(*array, (size_t)capacity * unit);
    if (!bigger)
        return error_memory(err, (size_t)capacity * unit, "a vocabulary");
    memset(bigger + (size_t)used * unit, 0, (size_t)(capacity - used) * unit);
    *array = bigger;
    return 0;
}

int vocab_reserve(struct vocab *v, int64_t size, struct error *err)
{
    if (size > VOCAB_SIZE_MAX)
        return error_set(err, ERROR_LIMIT, "a vocabulary of %lld ids is above the limit of %d", (long long)size,
            VOCAB_SIZE_MAX);
    if (size <= v->capacity)
        return 0;
    int32_t capacity = (int32_t)size, old = v->capacity;
    void *start = v->start, *length = v->length, *kind = v->kind, *score = v->score;
    int rc = grow(&start, sizeof *v->start, old, capacity, err);
    v->start = start;
    if (rc == 0)
        rc = grow(&length, sizeof *v->length, old, capacity, err);
    v->length = length;
    if (rc == 0)
        rc = grow(&kind, sizeof *v->kind, old, capacity, err);
    v->kind = kind;
    if (rc == 0 && score)
        rc = grow(&score, sizeof *v->score, old, capacity, err);
    v->score = score;
    if (rc)
        return rc;
    memset(v->kind + old, TOKEN_UNUSED, (size_t)(capacity - old));
    v->capacity = capacity;
    return 0;
}

int vocab_put(struct vocab *v, int64_t id, const char *piece, size_t n, enum token_kind kind, struct error *err)
{
    if (id < 0 || n > PIECE_BYTES_MAX)
        return error_set(err, ERROR_FORMAT,
            "token %lld has %zu bytes; ids are not negative, pieces have at most %d bytes", (long long)id, n,
            PIECE_BYTES_MAX);
    if (id >= v->capacity) {
        int64_t size = (int64_t)v->capacity * 2 < VOCAB_SIZE_MAX ? (int64_t)v->capacity * 2 : VOCAB_SIZE_MAX;
        int rc = vocab_reserve(v, id < size ? size : id + 1, err);
        if (rc)
            return rc;
    }
    v->kind[id] = (uint8_t)kind;
    if (id >= v->size)
        v->size = (int32_t)id + 1;
    if (v->length[id] == n && n && memcmp(v->bytes.data + v->start[id], piece, n) == 0)
        return 0;
    if (v->bytes.used + n > UINT32_MAX)
        return error_set(err, ERROR_LIMIT, "the pieces of the vocabulary have more than 4 GiB");
    v->start[id] = (uint32_t)v->bytes.used;
    v->length[id] = (uint16_t)n;
    buffer_add(&v->bytes, piece, n);
    return buffer_check(&v->bytes, "a vocabulary", err);
}

int vocab_put_score(struct vocab *v, int32_t id, float score, struct error *err)
{
    if (!v->score) {
        v->score = calloc((size_t)v->capacity, sizeof *v->score);
        if (!v->score)
            return error_memory(err, (size_t)v->capacity * sizeof *v->score, "the scores of a vocabulary");
    }
    v->score[id] = score;
    return 0;
}

static uint64_t load_8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint32_t load_4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Pieces are short: two loads that may overlap, without a call. n > 0. */
static inline bool same_bytes(const char *a, const char *b, size_t n)
{
    if (n > 16)
        return memcmp(a, b, n) == 0;
    if (n >= 8)
        return load_8(a) == load_8(b) && load_8(a + n - 8) == load_8(b + n - 8);
    if (n >= 4)
        return load_4(a) == load_4(b) && load_4(a + n - 4) == load_4(b + n - 4);
    return a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1];
}

/* The slot of a piece: its own, or the free one where it would go. */
static uint64_t *slot_of(const struct vocab *v, const char *piece, size_t n, uint32_t hash)
{
    for (size_t at = hash & v->mask;; at = (at + 1) & v->mask) {
        uint64_t slot = v->slots[at];
        if (slot == 0)
            return &v->slots[at];
        if (slot >> 32 == hash) {
            uint32_t id = (uint32_t)slot - 1;
            if (v->length[id] == n && same_bytes(v->bytes.data + v->start[id], piece, n))
                return &v->slots[at];
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vocab_byte_value(const char *piece, size_t n)
{
    if (n != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>')
        return -1;
    int high = hex_digit(piece[3]), low = hex_digit(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void find_bytes(struct vocab *v)
{
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        v->byte_id[byte] = vocab_find(v, &c, 1);
    }
    for (int32_t id = v->size - 1; id >= 0; id--) {
        int byte = v->kind[id] == TOKEN_BYTE ? vocab_byte_value(v->bytes.data + v->start[id], v->length[id]) : -1;
        if (byte >= 0)
            v->byte_id[byte] = id;
    }
}

int vocab_index(struct vocab *v, struct error *err)
{
    size_t slots = 16;
    while (slots < (size_t)v->size * 2)
        slots *= 2;
    free(v->slots);
    free(v->filter);
    v->slots = calloc(slots, sizeof *v->slots);
    v->filter = calloc(slots / 16, sizeof *v->filter);
    if (!v->slots || !v->filter)
        return error_memory(err, slots * sizeof *v->slots, "the index of a vocabulary");
    v->mask = slots - 1;
    v->filter_shift = 30 - (unsigned)__builtin_ctzll(slots); /* 4 bits for each slot, told by the hash's upper bits */
    v->longest = 0;
    v->plain = v->size;
    for (int32_t id = 0; id < v->size; id++) {
        size_t n = v->length[id];
        if (n == 0 || (v->kind[id] != TOKEN_NORMAL && v->kind[id] != TOKEN_USER && v->kind[id] != TOKEN_UNUSED)) {
            v->plain = id < v->plain ? id : v->plain;
            continue;
        }
        const char *piece = v->bytes.data + v->start[id];
        uint32_t hash = map_hash(piece, n);
        uint64_t *slot = slot_of(v, piece, n, hash);
        if (*slot == 0)
            *slot = (uint64_t)hash << 32 | (uint32_t)(id + 1);
        else
            v->plain = id < v->plain ? id : v->plain;
        v->filter[hash >> v->filter_shift >> 6] |= (uint64_t)1 << (hash >> v->filter_shift & 63);
        if (n > v->longest)
            v->longest = n;
    }
    find_bytes(v);
    return 0;
}

static inline bool in_filter(const struct vocab *v, uint32_t hash)
{
    return v->filter[hash >> v->filter_shift >> 6] >> (hash >> v->filter_shift & 63) & 1;
}

bool vocab_may_hold(const struct vocab *v, const char *piece, size_t n)
{
    return n <= v->longest && v->filter && in_filter(v, map_hash(piece, n));
}

int32_t vocab_find_hashed(const struct vocab *v, const char *piece, size_t n, uint32_t hash)
{
    if (n == 0 || n > v->longest || !v->filter || !in_filter(v, hash))
        return -1;
    return (int32_t)(uint32_t)*slot_of(v, piece, n, hash) - 1;
}

int32_t vocab_find(const struct vocab *v, const char *piece, size_t n)
{
    return n == 0 || n > v->longest ? -1 : vocab_find_hashed(v, piece, n, map_hash(piece, n));
}

void vocab_prefetch(const struct vocab *v, uint32_t hash)
{
    if (v->slots)
        __builtin_prefetch(&v->slots[hash & v->mask]);
}

bool vocab_finds(const struct vocab *v, const char *piece, size_t n, int32_t id)
{
    return id < v->plain && v->length[id] == n && same_bytes(v->bytes.data + v->start[id], piece, n);
}

int32_t vocab_search(const struct vocab *v, const char *piece, size_t n)
{
    for (int32_t id = 0; n && id < v->size; id++)
        if (v->length[id] == n && memcmp(v->bytes.data + v->start[id], piece, n) == 0)
            return id;
    return -1;
}

const char *vocab_piece(const struct vocab *v, int32_t id, size_t *n)
{
    *n = v->length[id];
    return *n ? v->bytes.data + v->start[id] : "";
}

void vocab_release(struct vocab *v)
{
    buffer_release(&v->bytes);
    free(v->start);
    free(v->length);
    free(v->kind);
    free(v->score);
    free(v->slots);
    free(v->filter);
    memset(v, 0, sizeof *v);
}
