/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/parallel.h"

#include <omp.h>

#define WORK_MIN 50000.0 /* some ten microseconds on one thread, a few times what it takes to wake the others */

/* The team always has the flow's size: OpenMP rebuilds its threads when the number changes. */
void parallel_run(const struct flow *f, int items, double work, parallel_fn *run, void *job)
{
    if (f->threads <= 1 || items <= 1 || work < WORK_MIN) {
        for (int i = 0; i < items; i++)
            run(job, i, 0);
        return;
    }
#pragma omp parallel num_threads(f->threads)
    {
        int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < items; i++)
            run(job, i, thread);
    }
}
