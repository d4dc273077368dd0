/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>

struct rope_job {
    const struct flow *f;
    const struct rope_shape *shape;
    float *x;
    double direction; /* of the turn: 1, or -1 to turn back */
};

/* One table for all heads of a token. Doubles: at position 100000 a float angle is off by up to 0.004. */
static void rope_token(void *job, int token, int thread)
{
    const struct rope_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    const struct rope_shape *shape = j->shape;
    int pairs = shape->dims / 2;
    float *cosine = scratch_of(s->rows, s->rows_stride, thread), *sine = cosine + pairs;
    for (int i = 0; i < pairs; i++) {
        double angle = j->f->positions[token] * shape->inverse_frequency[i];
        cosine[i] = (float)(cos(angle) * (double)shape->magnitude);
        sine[i] = (float)(sin(angle) * (double)shape->magnitude * j->direction);
    }
    for (int h = 0; h < shape->heads; h++) {
        size_t head = (size_t)token * (size_t)shape->heads + (size_t)h;
        kernels.rope(j->x + head * (size_t)shape->head_dim, cosine, sine, pairs, shape->interleaved);
    }
}

static void turn(struct flow *f, float *x, int width, const struct rope_shape *shape, double direction)
{
    struct rope_job job = { f, shape, x, direction };
    assert(width == shape->heads * shape->head_dim && shape->dims <= shape->head_dim && shape->dims % 2 == 0);
    assert(shape->dims <= f->scratch->shape.width_max);
    parallel_run(f, f->tokens, (double)f->tokens * (width + 32.0 * shape->dims), rope_token, &job);
}

void rope(struct flow *f, struct value *x, const struct rope_shape *shape)
{
    turn(f, x->data, x->width, shape, 1);
}

void rope_backward(struct flow *f, struct value *x, const struct rope_shape *shape)
{
    turn(f, x->gradient, x->width, shape, -1);
}
