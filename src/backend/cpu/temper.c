/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#define TEMPER_PART 4096 /* values: rows are as long as a vocabulary */

struct temper_job {
    float *x;
    size_t n;
    float temperature;
};

static void temper_part(void *job, int item, int thread)
{
    const struct temper_job *j = job;
    size_t at = (size_t)item * TEMPER_PART, end = j->n - at < TEMPER_PART ? j->n : at + TEMPER_PART;
    (void)thread;
    for (size_t i = at; i < end; i++)
        j->x[i] /= j->temperature;
}

static void run(struct flow *f, float *x, size_t n, float temperature)
{
    struct temper_job job = { x, n, temperature };
    if (temperature != 1)
        parallel_run(f, (int)((n + TEMPER_PART - 1) / TEMPER_PART), (double)n, temper_part, &job);
}

void temper(struct flow *f, struct value *x, int rows, float temperature)
{
    run(f, x->data, (size_t)rows * (size_t)x->width, temperature);
}

void temper_backward(struct flow *f, struct value *x, int rows, float temperature)
{
    run(f, x->gradient, (size_t)rows * (size_t)x->width, temperature);
}
