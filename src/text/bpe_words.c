/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the pieces of text on several threads. Each thread counts what it cuts in tables of its own; after every
 * batch they are added to the common ones, each of which one thread at a time owns. So memory grows with the different
 * words of all texts and those of one batch, and no count waits for another thread. */
#include "text/bpe_train_impl.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20) /* of texts that are counted together */
#define ITEM_BYTES ((size_t)256 << 10) /* of text for one thread at a time */

int budget_grow(struct budget *b, void *array, size_t *capacity, size_t wanted, size_t unit, struct error *err)
{
    void *old, *bigger;
    size_t room = *capacity + *capacity / 2 + 64;
    if (wanted <= *capacity)
        return 0;
    room = room < wanted ? wanted : room;
    if (room > PTRDIFF_MAX / unit)
        return error_memory(err, UINT64_MAX, "counting words");
    int64_t more = (int64_t)((room - *capacity) * unit);
    if (b->size && atomic_fetch_sub(&b->left, more) < more)
        return error_set(err, ERROR_LIMIT, "the words of the texts and their pairs take more than %llu MiB, the memory "
            "that is available: give less text", (unsigned long long)(b->size >> 20));
    memcpy(&old, array, sizeof old);
    bigger = realloc(old, room * unit);
    if (!bigger)
        return error_memory(err, room * unit, "counting words");
    memcpy(array, &bigger, sizeof bigger);
    *capacity = room;
    return 0;
}

void budget_return(struct budget *b, void *array, size_t *capacity, size_t unit)
{
    void *old, *none = NULL;
    memcpy(&old, array, sizeof old);
    memcpy(array, &none, sizeof none);
    free(old);
    atomic_fetch_add(&b->left, (int64_t)(*capacity * unit));
    *capacity = 0;
}

/* -- a table -- */

static uint32_t *slot_of(const struct words *w, const char *text, size_t n, uint32_t hash)
{
    size_t mask = w->slot_count - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        uint32_t *slot = &w->slots[at];
        const struct word *word = *slot ? &w->list[*slot - 1] : NULL;
        if (!word || (word->hash == hash && word->n == n && memcmp(w->bytes + word->at, text, n) == 0))
            return slot;
    }
}

static int more_slots(struct words *w, struct budget *b, struct error *err)
{
    size_t wanted = w->slot_count ? w->slot_count * 2 : 256, none = 0;
    uint32_t *bigger = NULL;
    int rc = budget_grow(b, &bigger, &none, wanted, sizeof *bigger, err);
    if (rc)
        return rc;
    memset(bigger, 0, wanted * sizeof *bigger);
    for (size_t i = 0; i < w->used; i++) {
        size_t at = w->list[i].hash & (wanted - 1);
        while (bigger[at])
            at = (at + 1) & (wanted - 1);
        bigger[at] = (uint32_t)i + 1;
    }
    budget_return(b, &w->slots, &w->slot_count, sizeof *w->slots);
    w->slots = bigger;
    w->slot_count = wanted;
    return 0;
}

int words_add(struct words *w, struct budget *b, const char *text, size_t n, uint32_t hash, uint64_t count,
    struct error *err)
{
    int rc = 0;
    if (w->used * 2 >= w->slot_count)
        rc = more_slots(w, b, err);
    if (rc)
        return rc;
    uint32_t *slot = slot_of(w, text, n, hash);
    if (*slot) {
        w->list[*slot - 1].count += count;
        return 0;
    }
    if (w->used >= UINT32_MAX / SHARDS || n > UINT32_MAX)
        return error_set(err, ERROR_LIMIT, "%zu different words are above the limit", w->used);
    rc = budget_grow(b, &w->list, &w->capacity, w->used + 1, sizeof *w->list, err);
    if (rc == 0)
        rc = budget_grow(b, &w->bytes, &w->bytes_capacity, w->bytes_used + n, 1, err);
    if (rc)
        return rc;
    memcpy(w->bytes + w->bytes_used, text, n);
    w->list[w->used] = (struct word) { w->bytes_used, (uint32_t)n, hash, count };
    w->bytes_used += n;
    *slot = (uint32_t)++w->used;
    return 0;
}

void words_clear(struct words *w)
{
    if (w->used)
        memset(w->slots, 0, w->slot_count * sizeof *w->slots);
    w->used = w->bytes_used = 0;
}

void words_release(struct words *w, struct budget *b)
{
    budget_return(b, &w->list, &w->capacity, sizeof *w->list);
    budget_return(b, &w->slots, &w->slot_count, sizeof *w->slots);
    budget_return(b, &w->bytes, &w->bytes_capacity, 1);
    w->used = w->bytes_used = 0;
}

/* -- threads -- */

struct item {
    const char *text;
    size_t n;
    enum place place;
};

struct counting_thread {
    struct words shards[SHARDS];
    struct scratch scratch;
    struct budget *budget;
    int rc;
    struct error err;
};

struct word_counter {
    struct pretoken *pretoken;
    struct budget *budget;
    struct pool *pool;
    struct counting_thread *threads; /* (threads) */
    int thread_count;
    struct words shards[SHARDS];
    int shard_rc[SHARDS];
    struct error shard_err[SHARDS];
    struct buffer batch, items; /* texts, copied; struct item */
    struct buffer ends;         /* (size_t) where each text of the batch ends */
};

int word_counter_open(struct word_counter **out, struct pretoken *pretoken, struct budget *budget, struct pool *pool,
    struct error *err)
{
    struct word_counter *c = calloc(1, sizeof *c);
    int n = pool_threads(pool);
    *out = c;
    if (!c)
        return error_memory(err, sizeof *c, "counting words");
    *c = (struct word_counter) { .pretoken = pretoken, .budget = budget, .pool = pool, .thread_count = n };
    c->threads = calloc((size_t)n, sizeof *c->threads);
    if (!c->threads) {
        c->thread_count = 0;
        return error_memory(err, (size_t)n * sizeof *c->threads, "counting words");
    }
    for (int i = 0; i < n; i++)
        c->threads[i].budget = budget;
    return 0;
}

static void release_threads(struct word_counter *c)
{
    for (int i = 0; i < c->thread_count; i++) {
        for (int k = 0; k < SHARDS; k++)
            words_release(&c->threads[i].shards[k], c->budget);
        scratch_release(&c->threads[i].scratch);
    }
    free(c->threads);
    c->threads = NULL;
    c->thread_count = 0;
    buffer_release(&c->batch);
    buffer_release(&c->items);
    buffer_release(&c->ends);
}

void word_counter_close(struct word_counter *c)
{
    if (!c)
        return;
    release_threads(c);
    for (int k = 0; k < SHARDS; k++)
        words_release(&c->shards[k], c->budget);
    free(c);
}

static int count_piece(void *context, const char *piece, size_t n, struct error *err)
{
    struct counting_thread *t = context;
    uint32_t hash = map_hash(piece, n);
    return words_add(&t->shards[hash / (UINT32_MAX / SHARDS + 1)], t->budget, piece, n, hash, 1, err);
}

static void count_item(void *job, int item, int thread)
{
    struct word_counter *c = job;
    struct counting_thread *t = &c->threads[thread];
    const struct item *i = (const struct item *)(const void *)c->items.data + item;
    if (t->rc == 0)
        t->rc = pretoken_run(c->pretoken, &t->scratch, i->text, i->n, i->place, count_piece, t, &t->err);
}

static void merge_shard(void *job, int item, int thread)
{
    struct word_counter *c = job;
    int rc = 0;
    (void)thread;
    for (int i = 0; i < c->thread_count; i++) {
        struct words *from = &c->threads[i].shards[item];
        for (size_t k = 0; k < from->used && rc == 0; k++) {
            const struct word *w = &from->list[k];
            rc = words_add(&c->shards[item], c->budget, from->bytes + w->at, w->n, w->hash, w->count,
                &c->shard_err[item]);
        }
        words_clear(from);
    }
    c->shard_rc[item] = rc;
}

static int count_items(struct word_counter *c, struct error *err)
{
    int rc = buffer_check(&c->items, "pieces of texts", err);
    if (rc)
        return rc;
    pool_run(c->pool, (int)(c->items.used / sizeof(struct item)), count_item, c);
    for (int i = 0; i < c->thread_count; i++)
        if (c->threads[i].rc)
            return error_set(err, c->threads[i].rc, "%s", c->threads[i].err.text);
    pool_run(c->pool, SHARDS, merge_shard, c);
    for (int k = 0; k < SHARDS; k++)
        if (c->shard_rc[k])
            return error_set(err, c->shard_rc[k], "%s", c->shard_err[k].text);
    buffer_clear(&c->items);
    return 0;
}

/* A text as items, cut where that changes nothing. */
static void add_items(struct word_counter *c, const char *text, size_t n, enum place place)
{
    for (size_t at = 0; at < n;) {
        size_t end = n - at > ITEM_BYTES ? at + pretoken_cut(c->pretoken, text + at, n - at, ITEM_BYTES) : n;
        struct item item = { text + at, end - at, place };
        buffer_add(&c->items, &item, sizeof item);
        place = PLACE_BEHIND;
        at = end;
    }
}

static int count_batch(struct word_counter *c, struct error *err)
{
    size_t at = 0;
    int rc = buffer_check(&c->batch, "texts", err);
    if (rc == 0)
        rc = buffer_check(&c->ends, "texts", err);
    for (size_t i = 0; rc == 0 && i < c->ends.used / sizeof(size_t); i++) {
        size_t end;
        memcpy(&end, c->ends.data + i * sizeof end, sizeof end);
        add_items(c, c->batch.data + at, end - at, PLACE_FIRST);
        at = end;
    }
    if (rc == 0)
        rc = count_items(c, err);
    buffer_clear(&c->batch);
    buffer_clear(&c->ends);
    return rc;
}

int word_counter_add(struct word_counter *c, const char *text, size_t n, struct error *err)
{
    int rc = c->batch.used + n > BATCH_BYTES ? count_batch(c, err) : 0;
    if (rc)
        return rc;
    if (n < BATCH_BYTES) {
        buffer_add(&c->batch, text, n);
        buffer_add(&c->ends, &c->batch.used, sizeof c->batch.used);
        return buffer_check(&c->batch, "texts", err);
    }
    for (enum place place = PLACE_FIRST; rc == 0 && n; place = PLACE_BEHIND) {
        size_t end = n > BATCH_BYTES ? pretoken_cut(c->pretoken, text, n, BATCH_BYTES) : n;
        add_items(c, text, end, place);
        rc = count_items(c, err);
        text += end;
        n -= end;
    }
    return rc;
}

int word_counter_finish(struct words **out, struct word_counter *c, struct error *err)
{
    int rc = count_batch(c, err);
    release_threads(c);
    *out = c->shards;
    return rc;
}
