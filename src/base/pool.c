/* SPDX-License-Identifier: Apache-2.0 */
/* The ticket counts the items that were taken, with the number of their job in its upper half: a thread that wakes late
 * and still holds the job before cannot take an item of this one. While the members of a job are written the ticket is
 * closed, so what was read between two equal tickets belongs to their job. */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define CLOSED 0x7fffffffu
#define SPINS 2000 /* looks for the next job, or the end of this one, before sleeping: some 50 microseconds */

struct worker {
    struct pool *pool;
    pthread_t thread;
    int number;
};

struct pool {
    _Atomic uint64_t ticket; /* job number << 32 | next item, or CLOSED */
    char apart[64 - sizeof(uint64_t)];
    _Atomic(pool_fn *) run;
    _Atomic(void *) job;
    atomic_int items;
    char apart_too[64];
    atomic_int done;     /* items of this job */
    atomic_uint jobs;    /* posted so far */
    atomic_int sleepers; /* workers */
    atomic_bool waits;   /* the caller sleeps until all is done */
    atomic_bool over;
    pthread_mutex_t mutex;
    pthread_cond_t posted, finished;
    int threads, started;
    struct worker workers[];
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void finish_item(struct pool *p, int items)
{
    if (atomic_fetch_add(&p->done, 1) + 1 < items || !atomic_load(&p->waits))
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->mutex);
}

/* Take items of the open job until there are none. */
static void work(struct pool *p, int thread)
{
    for (;;) {
        uint64_t ticket = atomic_load(&p->ticket);
        uint32_t item = (uint32_t)ticket;
        pool_fn *run = atomic_load_explicit(&p->run, memory_order_relaxed);
        void *job = atomic_load_explicit(&p->job, memory_order_relaxed);
        int items = atomic_load_explicit(&p->items, memory_order_relaxed);
        if (item == CLOSED || item >= (uint32_t)items)
            return;
        if (atomic_compare_exchange_strong(&p->ticket, &ticket, ticket + 1)) {
            run(job, (int)item, thread);
            finish_item(p, items);
        }
    }
}

/* Wait until another job than number `seen` was posted. */
static unsigned next_job(struct pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->jobs) != seen || atomic_load(&p->over))
            return atomic_load(&p->jobs);
        pause_briefly();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->jobs) == seen && !atomic_load(&p->over))
        pthread_cond_wait(&p->posted, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return atomic_load(&p->jobs);
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    unsigned seen = 0;
    while (!atomic_load(&w->pool->over)) {
        work(w->pool, w->number);
        seen = next_job(w->pool, seen);
    }
    return NULL;
}

static void post(struct pool *p, int items, pool_fn *run, void *job)
{
    uint64_t number = (atomic_load(&p->ticket) >> 32) + 1;
    atomic_store(&p->ticket, number << 32 | CLOSED);
    atomic_store_explicit(&p->run, run, memory_order_relaxed);
    atomic_store_explicit(&p->job, job, memory_order_relaxed);
    atomic_store_explicit(&p->items, items, memory_order_relaxed);
    atomic_store(&p->done, 0);
    atomic_store(&p->ticket, number << 32);
    atomic_fetch_add(&p->jobs, 1);
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->posted);
    pthread_mutex_unlock(&p->mutex);
}

/* All items are taken; the last may still be at work elsewhere. */
static void wait_done(struct pool *p, int items)
{
    for (int i = 0; i < SPINS && atomic_load(&p->done) < items; i++)
        pause_briefly();
    if (atomic_load(&p->done) >= items)
        return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->waits, true);
    while (atomic_load(&p->done) < items)
        pthread_cond_wait(&p->finished, &p->mutex);
    atomic_store(&p->waits, false);
    pthread_mutex_unlock(&p->mutex);
}

void pool_run(struct pool *p, int items, pool_fn *run, void *job)
{
    if (p->threads == 1 || items <= 1) {
        for (int i = 0; i < items; i++)
            run(job, i, 0);
        return;
    }
    post(p, items, run, job);
    work(p, 0);
    wait_done(p, items);
}

int pool_open(struct pool **out, int threads, struct error *err)
{
    size_t size = sizeof(struct pool) + (size_t)threads * sizeof(struct worker);
    struct pool *p = calloc(1, size);
    *out = NULL;
    if (!p)
        return error_memory(err, size, "threads");
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->posted, NULL);
    pthread_cond_init(&p->finished, NULL);
    atomic_store(&p->ticket, CLOSED);
    p->threads = threads;
    for (; p->started < threads - 1; p->started++) {
        struct worker *w = &p->workers[p->started];
        *w = (struct worker) { .pool = p, .number = p->started + 1 };
        int rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc == 0)
            continue;
        rc = error_set(err, ERROR_MEMORY, "could not start thread %d of %d: error %d of the system", w->number + 1,
            threads, rc);
        pool_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->over, true);
    pthread_cond_broadcast(&p->posted);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->posted);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}
