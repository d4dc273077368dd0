/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that share out the items of one job after another.
 *
 * A job ends when its items are done, not when all threads have come: one that the system does not run at the moment
 * has taken nothing, and nobody waits for it. So a busy machine costs its share of time and no more. Between jobs
 * threads look for the next one for some microseconds, then sleep. */
#ifndef WAZN_BASE_POOL_H
#define WAZN_BASE_POOL_H

#include "base/error.h"

/* Item `item` of `job`, on thread `thread` of [0, pool_threads). */
typedef void pool_fn(void *job, int item, int thread);

struct pool;

/* threads: the caller's own and threads - 1 more; at least 1. ERROR_MEMORY where the system gives no more threads. */
int pool_open(struct pool **out, int threads, struct error *err);
void pool_close(struct pool *p);
int pool_threads(const struct pool *p);

/* Run items [0, items), each once, in any order; back when all are done. One caller at a time, and not from an item. */
void pool_run(struct pool *p, int items, pool_fn *run, void *job);

#endif
