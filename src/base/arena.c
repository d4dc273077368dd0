/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/size.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_OVERFLOW SIZE_MAX /* `used` of an arena whose measured size does not fit */

int arena_reserve(struct arena *a, struct error *err)
{
    assert(!a->base);
    if (a->used == ARENA_OVERFLOW)
        return error_set(err, ERROR_MEMORY, "could not reserve memory: the size does not fit in 64 bits");
    a->size = a->used;
    a->used = 0;
    if (a->size == 0)
        return 0;
    void *base = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        size_t wanted = a->size;
        a->size = 0;
        return error_errno(err, errno, "could not reserve %zu bytes of memory", wanted);
    }
    a->base = base;
    return 0;
}

void arena_use_large_pages(const struct arena *a)
{
    if (a->base)
        (void)madvise(a->base, a->size, MADV_HUGEPAGE); /* refused: it stays as it is */
}

void *arena_take(struct arena *a, size_t count, size_t size)
{
    uint64_t bytes, end;
    if (a->used == ARENA_OVERFLOW)
        return NULL;
    if (!size_mul(&bytes, count, size) || !size_add(&end, a->used, bytes) || end > ARENA_OVERFLOW - 2 * ARENA_ALIGN) {
        assert(!a->base);
        a->used = ARENA_OVERFLOW;
        return NULL;
    }
    size_t start = a->used;
    a->used = size_align(end, ARENA_ALIGN);
    if (!a->base || bytes == 0)
        return NULL;
    assert(a->used <= a->size);
    return a->base + start;
}

void arena_release(struct arena *a)
{
    if (a->base)
        munmap(a->base, a->size);
    memset(a, 0, sizeof *a);
}
