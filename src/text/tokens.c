/* SPDX-License-Identifier: Apache-2.0 */
#include "text/tokens.h"

#include <stdlib.h>
#include <string.h>

int32_t *tokens_room(struct tokens *t, size_t n)
{
    if (t->failed)
        return NULL;
    if (n >= SIZE_MAX / 16 - t->used) {
        t->failed = true;
        return NULL;
    }
    if (t->used + n > t->capacity) {
        size_t capacity = t->capacity * 2 > t->used + n ? t->capacity * 2 : t->used + n + 16;
        int32_t *ids = realloc(t->ids, capacity * sizeof *ids);
        if (!ids) {
            t->failed = true;
            return NULL;
        }
        t->ids = ids;
        t->capacity = capacity;
    }
    return t->ids + t->used;
}

void tokens_add(struct tokens *t, int32_t id)
{
    int32_t *to = tokens_room(t, 1);
    if (to) {
        *to = id;
        t->used++;
    }
}

void tokens_clear(struct tokens *t)
{
    t->used = 0;
    t->failed = false;
}

int tokens_check(const struct tokens *t, struct error *err)
{
    return t->failed ? error_memory(err, t->used * sizeof *t->ids, "token ids") : 0;
}

void tokens_release(struct tokens *t)
{
    free(t->ids);
    memset(t, 0, sizeof *t);
}
