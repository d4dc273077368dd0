/* SPDX-License-Identifier: Apache-2.0 */
/* One block of memory per lifetime: model, session, trainer, request.
 *
 * A layout function runs twice: on a zeroed arena it only counts; after arena_reserve the same code hands out pointers.
 * So a plan is exact, and after the reserve nothing can fail. Nothing is freed alone.
 *
 *     session_layout(s, &s->arena);
 *     rc = arena_reserve(&s->arena, err);
 *     if (rc == 0) session_layout(s, &s->arena);
 */
#ifndef WAZN_BASE_ARENA_H
#define WAZN_BASE_ARENA_H

#include "base/error.h"

#include <stddef.h>

#define ARENA_ALIGN 64

struct arena {
    unsigned char *base; /* NULL while measuring */
    size_t used, size;
};

/* Get a->used bytes from the system (zero pages, untouched until used) and rewind. ERROR_MEMORY where refused or where
 * the measured sizes overflowed. */
int arena_reserve(struct arena *a, struct error *err);

/* count * size bytes, ARENA_ALIGN-aligned, zeroed; NULL while measuring (and for 0 bytes). */
void *arena_take(struct arena *a, size_t count, size_t size);

/* Give everything back; the arena is empty again. Safe on a zeroed arena. */
/* Of a reserved arena that will be written whole: ask the system for large pages, of which fewer must be looked up. A
 * page counts as used with its first byte. */
void arena_use_large_pages(const struct arena *a);
void arena_release(struct arena *a);

#endif
