/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

struct norm_job {
    const struct norm_shape *shape;
    const float *gain, *bias;
    const float *x;
    float *y;
    int width; /* of a group */
};

static void norm_token(void *job, int token, int thread)
{
    const struct norm_job *j = job;
    (void)thread;
    for (int g = 0; g < j->shape->groups; g++) {
        size_t at = ((size_t)token * (size_t)j->shape->groups + (size_t)g) * (size_t)j->width;
        if (j->shape->kind == NORM_RMS)
            kernels.rmsnorm(j->y + at, j->x + at, j->gain, j->shape->offset, j->width, j->shape->eps);
        else
            kernels.layernorm(j->y + at, j->x + at, j->gain, j->bias, j->width, j->shape->eps);
    }
}

static const float *norm_weight(const struct weight *w, int width, float *buffer)
{
    if (!weight_present(w))
        return NULL;
    assert(w->tensor.cols == width);
    return tensor_part(&w->tensor, 0, 0, width, buffer);
}

void norm(struct flow *f, struct value *y, const struct value *x, const struct weight *gain, const struct weight *bias,
    const struct norm_shape *shape)
{
    struct norm_job job = { .shape = shape, .x = x->data, .y = y->data, .width = x->width / shape->groups };
    assert(x->width == y->width && x->width % shape->groups == 0 && x->width <= f->scratch->shape.width_max);
    assert(shape->kind == NORM_RMS ? !weight_present(bias) : shape->offset == 0);
    job.gain = norm_weight(gain, job.width, f->scratch->gain);
    job.bias = norm_weight(bias, job.width, f->scratch->bias);
    parallel_run(f, f->tokens, (double)f->tokens * x->width, norm_token, &job);
}
