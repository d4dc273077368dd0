/* SPDX-License-Identifier: Apache-2.0 */
/* Private to gguf.c (the file and its tensors) and gguf_value.c (its metadata). */
#ifndef WAZN_FILE_GGUF_IMPL_H
#define WAZN_FILE_GGUF_IMPL_H

#include "base/filemap.h"
#include "base/map.h"
#include "file/gguf.h"

struct gguf {
    struct filemap map; /* when gguf_open mapped it */
    struct gguf_value *values; /* (count) */
    size_t count;
    struct map index; /* key: place in values */
};

struct gguf_cursor { /* at <= size, always */
    const unsigned char *data;
    uint64_t size, at;
};

static inline uint64_t gguf_left(const struct gguf_cursor *c)
{
    return c->size - c->at;
}

/* A little-endian number of `bytes` (1, 2, 4, 8) at any address. */
static inline uint64_t gguf_load(const unsigned char *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = bytes; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

/* Read a number, or the length of a string and its bytes; `what` goes into "it ends inside ...". */
int gguf_take_number(struct gguf_cursor *c, size_t bytes, uint64_t *out, const char *what, struct error *err);
int gguf_take_string(struct gguf_cursor *c, const char **text, size_t *length, const char *what, struct error *err);

/* Read `count` entries into g->values and g->index. */
int gguf_take_values(struct gguf *g, struct gguf_cursor *c, uint64_t count, struct error *err);

#endif
