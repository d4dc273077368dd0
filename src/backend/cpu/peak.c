/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/peak.h"

#include "base/clock.h"
#include "base/pool.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TRIES 4 /* the best counts: whoever takes the processor for a moment does not lower a peak */
#define PRODUCTS_SECONDS 0.01 /* of a try: long against the start of threads, short against a change of the clock */
#define PRODUCTS_ROUNDS 20000L

struct reads {
    const unsigned char *data;
    size_t share;
};

static void read_share(void *job, int item, int thread)
{
    const struct reads *r = job;
    (void)thread;
    uint64_t sum = probe_read(r->data + (size_t)item * r->share, r->share);
    __asm__ volatile("" : : "r"(sum)); /* used, so the reads happen */
}

int peak_read(double *bytes_per_second, int threads, struct error *err)
{
    struct pool *pool = NULL;
    struct reads r = { .share = PEAK_READ_BYTES / (size_t)threads / 256 * 256 };
    unsigned char *data = mmap(NULL, PEAK_READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *bytes_per_second = 0;
    if (data == MAP_FAILED)
        return error_memory(err, PEAK_READ_BYTES, "measuring the read bandwidth");
    madvise(data, PEAK_READ_BYTES, MADV_HUGEPAGE);
    memset(data, 1, PEAK_READ_BYTES);
    r.data = data;
    int rc = pool_open(&pool, threads, err);
    for (int i = 0; rc == 0 && i < TRIES; i++) {
        double begun = clock_seconds();
        pool_run(pool, threads, read_share, &r);
        double rate = (double)PEAK_READ_BYTES / (clock_seconds() - begun);
        *bytes_per_second = rate > *bytes_per_second ? rate : *bytes_per_second;
    }
    pool_close(pool);
    munmap(data, PEAK_READ_BYTES);
    return rc;
}

struct products {
    enum format_id pair;
    double begun;
    double made[]; /* (threads) */
};

/* One item a thread: whoever is early takes only one, as it works until the time is over. */
static void multiply(void *job, int item, int thread)
{
    struct products *p = job;
    (void)thread;
    while (clock_seconds() - p->begun < PRODUCTS_SECONDS)
        p->made[item] += probe_products(p->pair, PRODUCTS_ROUNDS, kernels.features);
}

int peak_products(double *per_second, const struct format *weights, int threads, struct error *err)
{
    size_t size = sizeof(struct products) + (size_t)threads * sizeof(double);
    struct products *p = malloc(size);
    struct pool *pool = NULL;
    *per_second = 0;
    int rc = p ? pool_open(&pool, threads, err) : error_memory(err, size, "measuring the arithmetic peak");
    for (int i = 0; rc == 0 && i < TRIES; i++) {
        double sum = 0;
        memset(p, 0, size);
        p->pair = weights->pair;
        p->begun = clock_seconds();
        pool_run(pool, threads, multiply, p);
        double seconds = clock_seconds() - p->begun;
        for (int t = 0; t < threads; t++)
            sum += p->made[t];
        *per_second = sum / seconds > *per_second ? sum / seconds : *per_second;
    }
    pool_close(pool);
    free(p);
    return rc;
}
