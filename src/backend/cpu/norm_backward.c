/* SPDX-License-Identifier: Apache-2.0 */
/* Gains and biases are shared by all tokens. Their gradients are summed over PARTIAL_TOKENS tokens at a time, on any
 * thread, and then over these parts in order. */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <string.h>

struct backward_job {
    const struct flow *f;
    const struct norm_shape *shape;
    const float *dy, *x, *gain;
    float *dx, *dgain, *dbias;
    int width; /* of a group */
    bool with_gain, with_bias;
    int parts;
};

static void norm_backward_part(void *job, int part, int thread)
{
    const struct backward_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    size_t width = (size_t)j->width, groups = (size_t)j->shape->groups;
    float *dgain = j->with_gain ? s->gain_parts + (size_t)part * width : NULL;
    float *dbias = j->with_bias ? s->bias_parts + (size_t)part * width : NULL;
    int first = part * PARTIAL_TOKENS, rest = j->f->tokens - first;
    size_t rows = (size_t)(rest < PARTIAL_TOKENS ? rest : PARTIAL_TOKENS) * groups;
    (void)thread;
    if (dgain)
        memset(dgain, 0, width * sizeof *dgain);
    if (dbias)
        memset(dbias, 0, width * sizeof *dbias);
    for (size_t r = 0; r < rows; r++) {
        size_t at = ((size_t)first * groups + r) * width;
        if (j->shape->kind == NORM_RMS)
            kernels.rmsnorm_backward(j->dx + at, dgain, j->dy + at, j->x + at, j->gain, j->shape->offset, j->width,
                j->shape->eps);
        else
            kernels.layernorm_backward(j->dx + at, dgain, dbias, j->dy + at, j->x + at, j->gain, j->width,
                j->shape->eps);
    }
}

static void add_parts(float *to, const float *parts, int n, int width)
{
    for (int i = 0; i < n; i++)
        kernels.add(to, parts + (size_t)i * (size_t)width, width);
}

void norm_backward(struct flow *f, const struct value *y, struct value *x, const struct weight *gain,
    const struct weight *bias, const struct norm_shape *shape)
{
    struct flow_scratch *s = f->scratch;
    struct backward_job job = { .f = f, .shape = shape, .dy = y->gradient, .x = x->data, .dx = x->gradient,
        .width = x->width / shape->groups, .with_gain = weight_present(gain) && gain->gradient,
        .with_bias = weight_present(bias) && bias->gradient };
    assert(x->width == y->width && x->width % shape->groups == 0 && x->width <= s->shape.width_max);
    assert(shape->kind == NORM_RMS ? !weight_present(bias) : shape->offset == 0);
    assert(s->shape.training);
    job.gain = weight_present(gain) ? tensor_part(&gain->tensor, 0, 0, job.width, s->gain) : NULL;
    job.parts = (f->tokens + PARTIAL_TOKENS - 1) / PARTIAL_TOKENS;
    parallel_run(f, job.parts, 3.0 * f->tokens * x->width, norm_backward_part, &job);
    if (job.with_gain)
        add_parts(gain->gradient, s->gain_parts, job.parts, job.width);
    if (job.with_bias)
        add_parts(bias->gradient, s->bias_parts, job.parts, job.width);
}
