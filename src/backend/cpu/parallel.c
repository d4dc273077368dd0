/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/parallel.h"

#include <assert.h>

#define WORK_MIN 50000.0 /* some ten microseconds on one thread, a few times what it takes to wake the others */

void parallel_run(const struct flow *f, int items, double work, parallel_fn *run, void *job)
{
    if (f->threads > 1 && items > 1 && work >= WORK_MIN) {
        assert(f->pool && pool_threads(f->pool) == f->threads);
        pool_run(f->pool, items, run, job);
        return;
    }
    for (int i = 0; i < items; i++)
        run(job, i, 0);
}
