/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>

struct rope_job {
    const struct flow *f;
    const struct rope_shape *shape;
    float *x;
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
        sine[i] = (float)(sin(angle) * (double)shape->magnitude);
    }
    for (int h = 0; h < shape->heads; h++) {
        size_t head = (size_t)token * (size_t)shape->heads + (size_t)h;
        kernels.rope(j->x + head * (size_t)shape->head_dim, cosine, sine, pairs, shape->interleaved);
    }
}

void rope(struct flow *f, struct value *x, const struct rope_shape *shape)
{
    struct rope_job job = { f, shape, x->data };
    assert(x->width == shape->heads * shape->head_dim && shape->dims <= shape->head_dim && shape->dims % 2 == 0);
    assert(shape->dims <= f->scratch->shape.width_max);
    parallel_run(f, f->tokens, (double)f->tokens * (x->width + 32.0 * shape->dims), rope_token, &job);
}
