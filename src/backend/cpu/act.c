/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/act_impl.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

#define ACT_COST 16.0 /* an exponential and a division, in multiplications */

struct act_job {
    float *y;
    const float *gate, *up;
    int width;
    const struct act_shape *shape;
};

struct backward_job {
    const float *dy, *gate, *up;
    float *dgate, *dup;
    int width;
    const struct act_shape *shape;
};

static void act_row(void *job, int row, int thread)
{
    const struct act_job *j = job;
    size_t at = (size_t)row * (size_t)j->width;
    const float *up = j->up ? j->up + at : NULL;
    (void)thread;
    switch (j->shape->kind) {
    case ACT_SILU:
        kernels.silu_mul(j->y + at, j->gate + at, up, j->width);
        return;
    case ACT_GELU_TANH:
        kernels.gelu_mul(j->y + at, j->gate + at, up, j->width);
        return;
    case ACT_SWIGLU_CLAMPED:
        kernels.swiglu_clamped(j->y + at, j->gate + at, up, j->width, j->shape->alpha, j->shape->limit);
        return;
    }
}

void act_rows(struct flow *f, float *y, const float *gate, const float *up, int rows, int width,
    const struct act_shape *shape)
{
    struct act_job job = { y, gate, up, width, shape };
    assert(up || shape->kind != ACT_SWIGLU_CLAMPED);
    parallel_run(f, rows, ACT_COST * rows * width, act_row, &job);
}

void act(struct flow *f, struct value *y, const struct value *gate, const struct value *up,
    const struct act_shape *shape)
{
    assert(y->width == gate->width && (!up || up->width == y->width));
    act_rows(f, y->data, gate->data, up ? up->data : NULL, f->tokens, y->width, shape);
}

static void act_backward_row(void *job, int row, int thread)
{
    const struct backward_job *j = job;
    size_t at = (size_t)row * (size_t)j->width;
    const float *up = j->up ? j->up + at : NULL;
    float *dup = j->up ? j->dup + at : NULL;
    (void)thread;
    switch (j->shape->kind) {
    case ACT_SILU:
        kernels.silu_mul_backward(j->dgate + at, dup, j->dy + at, j->gate + at, up, j->width);
        return;
    case ACT_GELU_TANH:
        kernels.gelu_mul_backward(j->dgate + at, dup, j->dy + at, j->gate + at, up, j->width);
        return;
    case ACT_SWIGLU_CLAMPED:
        kernels.swiglu_clamped_backward(j->dgate + at, dup, j->dy + at, j->gate + at, up, j->width, j->shape->alpha,
            j->shape->limit);
        return;
    }
}

void act_backward_rows(struct flow *f, const struct value *y, struct value *gate, struct value *up, int rows,
    const struct act_shape *shape)
{
    struct backward_job job = { .dy = y->gradient, .gate = gate->data, .dgate = gate->gradient, .width = y->width,
        .shape = shape };
    assert(up || shape->kind != ACT_SWIGLU_CLAMPED);
    if (up) {
        job.up = up->data;
        job.dup = up->gradient;
    }
    parallel_run(f, rows, ACT_COST * rows * y->width, act_backward_row, &job);
}

void act_backward(struct flow *f, const struct value *y, struct value *gate, struct value *up,
    const struct act_shape *shape)
{
    assert(y->width == gate->width && (!up || up->width == y->width));
    act_backward_rows(f, y, gate, up, f->tokens, shape);
}
