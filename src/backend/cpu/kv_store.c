/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

struct store_job {
    const struct flow *f;
    const float *k, *v;
    const struct attention_shape *shape;
};

static void store_token(const struct store_job *j, const struct span *span, int row)
{
    const struct kv_layer *kv = &span->layers[j->shape->layer];
    int head_dim = j->shape->head_dim, heads = j->shape->kv_heads;
    size_t bytes = format_row_bytes(kv->format, head_dim);
    size_t slot = (size_t)((span->position + row - span->first) % kv->capacity);
    for (int h = 0; h < heads; h++) {
        size_t from = ((size_t)row * (size_t)heads + (size_t)h) * (size_t)head_dim;
        size_t to = ((size_t)h * (size_t)kv->capacity + slot) * bytes;
        kernels.encode(kv->format, kv->k + to, j->k + from, head_dim);
        kernels.encode(kv->format, kv->v + to, j->v + from, head_dim);
    }
}

static void store_row(void *job, int row, int thread)
{
    const struct store_job *j = job;
    (void)thread;
    for (int i = 0; i < j->f->n_spans; i++) {
        const struct span *span = &j->f->spans[i];
        if (row >= span->first && row < span->first + span->count)
            store_token(j, span, row);
    }
}

void kv_store(struct flow *f, const struct value *k, const struct value *v, const struct attention_shape *shape)
{
    struct store_job job = { f, k->data, v->data, shape };
    assert(k->width == shape->kv_heads * shape->head_dim && v->width == k->width);
    parallel_run(f, f->tokens, 2.0 * f->tokens * k->width, store_row, &job);
}
