/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/parallel.h"

#include <string.h>

#define PART 65536 /* numbers that a thread clears at a time */

struct clear_job {
    float *x;
    size_t n;
};

static void clear_part(void *job, int part, int thread)
{
    const struct clear_job *j = job;
    size_t first = (size_t)part * PART, rest = j->n - first;
    (void)thread;
    memset(j->x + first, 0, (rest < PART ? rest : PART) * sizeof *j->x);
}

void clear(const struct flow *f, float *x, size_t n)
{
    struct clear_job job = { x, n };
    parallel_run(f, (int)((n + PART - 1) / PART), (double)n / 4, clear_part, &job);
}
