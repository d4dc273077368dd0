/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <string.h>

struct add_job {
    float *y;
    const float *a, *b;
    int width;
};

static void add_row(void *job, int row, int thread)
{
    const struct add_job *j = job;
    size_t at = (size_t)row * (size_t)j->width;
    (void)thread;
    if (j->y != j->a)
        memcpy(j->y + at, j->a + at, (size_t)j->width * sizeof *j->y);
    kernels.add(j->y + at, j->b + at, j->width);
}

void add(struct flow *f, struct value *y, const struct value *a, const struct value *b)
{
    struct add_job job = { y->data, a->data, b->data, y->width };
    assert(a->width == y->width && b->width == y->width);
    parallel_run(f, f->tokens, (double)f->tokens * y->width, add_row, &job);
}

static void add_gradient(struct flow *f, float *to, const float *from, int width)
{
    struct add_job job = { to, to, from, width };
    if (to != from)
        parallel_run(f, f->tokens, (double)f->tokens * width, add_row, &job);
}

void add_backward(struct flow *f, const struct value *y, struct value *a, struct value *b)
{
    assert(a->width == y->width && b->width == y->width);
    add_gradient(f, a->gradient, y->gradient, y->width);
    add_gradient(f, b->gradient, y->gradient, y->width);
}
