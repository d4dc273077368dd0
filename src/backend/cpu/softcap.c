/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#define SOFTCAP_COST 16.0 /* a hyperbolic tangent, in multiplications */
#define SOFTCAP_PART 4096 /* values: rows are as long as a vocabulary */

struct softcap_job {
    float *x, *dx; /* dx: of the backward */
    size_t n;
    float cap;
};

static void softcap_part(void *job, int item, int thread)
{
    const struct softcap_job *j = job;
    size_t at = (size_t)item * SOFTCAP_PART, rest = j->n - at;
    (void)thread;
    kernels.softcap(j->x + at, (int)(rest < SOFTCAP_PART ? rest : SOFTCAP_PART), j->cap);
}

static void softcap_backward_part(void *job, int item, int thread)
{
    const struct softcap_job *j = job;
    size_t at = (size_t)item * SOFTCAP_PART, rest = j->n - at;
    (void)thread;
    kernels.softcap_backward(j->dx + at, j->x + at, (int)(rest < SOFTCAP_PART ? rest : SOFTCAP_PART), j->cap);
}

static void run(struct flow *f, struct value *x, int rows, float cap, parallel_fn *part)
{
    struct softcap_job job = { x->data, x->gradient, (size_t)rows * (size_t)x->width, cap };
    int parts = (int)((job.n + SOFTCAP_PART - 1) / SOFTCAP_PART);
    parallel_run(f, parts, SOFTCAP_COST * (double)job.n, part, &job);
}

void softcap(struct flow *f, struct value *x, int rows, float cap)
{
    run(f, x, rows, cap, softcap_part);
}

void softcap_backward(struct flow *f, struct value *x, int rows, float cap)
{
    run(f, x, rows, cap, softcap_backward_part);
}
