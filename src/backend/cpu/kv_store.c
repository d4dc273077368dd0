/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

struct store_job {
    const struct flow *f;
    const float *k, *v;
    float *dk, *dv; /* of the backward */
    const struct attention_shape *shape;
};

static const struct span *span_of(const struct flow *f, int row)
{
    int i = 0;
    while (i < f->n_spans - 1 && row >= f->spans[i].first + f->spans[i].count)
        i++;
    return &f->spans[i];
}

static void store_token(void *job, int row, int thread)
{
    const struct store_job *j = job;
    const struct span *span = span_of(j->f, row);
    const struct kv_layer *kv = &span->layers[j->shape->layer];
    int head_dim = j->shape->head_dim, heads = j->shape->kv_heads;
    size_t bytes = format_row_bytes(kv->format, head_dim);
    size_t slot = (size_t)((span->position + row - span->first) % kv->capacity);
    (void)thread;
    for (int h = 0; h < heads; h++) {
        size_t from = ((size_t)row * (size_t)heads + (size_t)h) * (size_t)head_dim;
        size_t to = ((size_t)h * (size_t)kv->capacity + slot) * bytes;
        kernels.encode(kv->format, kv->k + to, j->k + from, head_dim);
        kernels.encode(kv->format, kv->v + to, j->v + from, head_dim);
    }
}

void kv_store(struct flow *f, const struct value *k, const struct value *v, const struct attention_shape *shape)
{
    struct store_job job = { .f = f, .k = k->data, .v = v->data, .shape = shape };
    assert(k->width == shape->kv_heads * shape->head_dim && v->width == k->width);
    parallel_run(f, f->tokens, 2.0 * f->tokens * k->width, store_token, &job);
}

/* The caches' gradients lie by head, those of k and v by token. */
static void load_token(void *job, int row, int thread)
{
    const struct store_job *j = job;
    const struct span *span = span_of(j->f, row);
    const struct kv_layer *kv = &span->layers[j->shape->layer];
    size_t head_dim = (size_t)j->shape->head_dim, heads = (size_t)j->shape->kv_heads;
    size_t slot = (size_t)(span->position + row - span->first);
    (void)thread;
    for (size_t h = 0; h < heads; h++) {
        size_t to = ((size_t)row * heads + h) * head_dim, from = (h * (size_t)kv->capacity + slot) * head_dim;
        kernels.add(j->dk + to, kv->k_gradient + from, (int)head_dim);
        kernels.add(j->dv + to, kv->v_gradient + from, (int)head_dim);
    }
}

void kv_store_backward(struct flow *f, struct value *k, struct value *v, const struct attention_shape *shape)
{
    struct store_job job = { .f = f, .dk = k->gradient, .dv = v->gradient, .shape = shape };
    assert(k->width == shape->kv_heads * shape->head_dim && v->width == k->width);
    parallel_run(f, f->tokens, 2.0 * f->tokens * k->width, load_token, &job);
}
