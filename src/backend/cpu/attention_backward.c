/* SPDX-License-Identifier: Apache-2.0 */
/* With weights p = exp(s - max) / sum and dp = dout . v, the gradient of a score is p (dp - dout . out) (Dao et al.
 * 2022). Blocks of keys, in rising order, meet tiles of queries, in rising order: each pair of them adds to the
 * gradients of k and v of the block and to those of q of the tile. Where there are enough heads and spans for all
 * threads, one of each is a thread's item. Else there are two walks, each of which owns what it adds to: tiles of
 * queries over all blocks of keys give the gradient of q, blocks of keys over all tiles of queries those of k and v; p
 * and the scores' gradients are then computed twice, to the same bits. Every sum runs over positions, and over the
 * heads of a group at each, in rising order, wherever tiles are cut. */
#include "backend/cpu/attention_impl.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK ATTENTION_BLOCK
#define HEADS_PER_THREAD 4 /* from which on nobody waits long for the last of them */
#define QUERIES 64 /* rows of a tile of queries (a whole group where that is more) */

struct backward_job {
    const struct flow *f;
    const struct attention_shape *shape;
    const float *q, *out, *dout, *sinks;
    float *dq;
    int group; /* query heads of a key head */
    int most;  /* tokens of a tile of queries */
};

/* A thread's scratch. */
struct workspace {
    float *q, *dout;     /* (rows, head_dim); q scaled */
    float *p, *ds;       /* (rows, BLOCK) */
    float *k, *v;        /* (head_dim, BLOCK) of a block, transposed */
    float *k_scaled;     /* (BLOCK, head_dim) */
    float *dk, *dv;      /* (BLOCK, head_dim) */
};

static size_t rows_max(const struct flow_shape *shape)
{
    int group = shape->heads / shape->kv_heads;
    return (size_t)(group > QUERIES ? group : QUERIES);
}

size_t attention_backward_scratch(const struct flow_shape *shape)
{
    size_t rows = rows_max(shape), dim = (size_t)shape->head_dim;
    return 2 * rows * (dim + BLOCK) + 5 * BLOCK * dim;
}

static struct workspace workspace_of(const struct backward_job *j, int thread)
{
    const struct flow_scratch *s = j->f->scratch;
    size_t rows = rows_max(&s->shape), dim = (size_t)j->shape->head_dim;
    struct workspace w = { .q = scratch_of(s->backward, s->backward_stride, thread) };
    w.dout = w.q + rows * dim;
    w.p = w.dout + rows * dim;
    w.ds = w.p + rows * BLOCK;
    w.k = w.ds + rows * BLOCK;
    w.v = w.k + BLOCK * dim;
    w.k_scaled = w.v + BLOCK * dim;
    w.dk = w.k_scaled + BLOCK * dim;
    w.dv = w.dk + BLOCK * dim;
    return w;
}

/* Of query head `head` at a row of the flow: where in (tokens, heads). */
static size_t query_at(const struct backward_job *j, int row, int head)
{
    return (size_t)row * (size_t)j->shape->heads + (size_t)head;
}

/* Of a position of a span: where in a cache of floats. */
static size_t slot_at(const struct backward_job *j, const struct kv_layer *kv, int head, int position)
{
    return ((size_t)head * (size_t)kv->capacity + (size_t)position) * (size_t)j->shape->head_dim;
}

static const float *floats(const unsigned char *cache)
{
    return (const float *)(const void *)cache;
}

static void load_rows(const struct backward_job *j, const struct attention_tile *t, int head, const struct workspace *w)
{
    size_t n = (size_t)j->group * (size_t)j->shape->head_dim;
    for (int i = 0; i < t->count; i++) {
        size_t from = query_at(j, t->row + i, head * j->group) * (size_t)j->shape->head_dim;
        memcpy(w->dout + (size_t)i * n, j->dout + from, n * sizeof *w->dout);
        for (size_t k = 0; k < n; k++)
            w->q[(size_t)i * n + k] = j->q[from + k] * j->shape->scale;
    }
}

/* The keys and values [from, to) of a head. */
static void load_block(const struct backward_job *j, const struct kv_layer *kv, int head, int from, int to,
    const struct workspace *w)
{
    const size_t slot = slot_at(j, kv, head, from), dim = (size_t)j->shape->head_dim;
    for (size_t i = 0; i < (size_t)(to - from) * dim; i++)
        w->k_scaled[i] = floats(kv->k)[slot + i] * j->shape->scale;
    kernels.transpose(w->k, BLOCK, floats(kv->k) + slot, dim, to - from, (int)dim);
    kernels.transpose(w->v, BLOCK, floats(kv->v) + slot, dim, to - from, (int)dim);
}

static int within(int n, int low, int high)
{
    return n < low ? low : n > high ? high : n;
}

/* Of a tile's queries and the keys [from, to) (both loaded): the weights and the gradients of the scores, 0 where a
 * query does not see a key. */
static void weigh_pair(const struct backward_job *j, const struct attention_tile *t, int head, int from, int to,
    const struct workspace *w)
{
    const float *dots = j->f->scratch->query_dots;
    int dim = j->shape->head_dim, rows = t->count * j->group, count = to - from;
    memset(w->p, 0, (size_t)rows * BLOCK * sizeof *w->p);
    memset(w->ds, 0, (size_t)rows * BLOCK * sizeof *w->ds);
    kernels.mix(w->p, BLOCK, w->q, (size_t)dim, 1, w->k, BLOCK, rows, dim, count);
    kernels.mix(w->ds, BLOCK, w->dout, (size_t)dim, 1, w->v, BLOCK, rows, dim, count);
    for (int r = 0; r < rows; r++) {
        int position = t->position + r / j->group, first = attention_first_seen(j->shape, position);
        int a = within(first - from, 0, count), b = within(position + 1 - from, a, count);
        size_t query = query_at(j, t->row + r / j->group, head * j->group + r % j->group);
        const float *sums = j->shape->sums + 2 * query;
        float *p = w->p + (size_t)r * BLOCK, *ds = w->ds + (size_t)r * BLOCK;
        for (int i = 0; i < a; i++)
            p[i] = ds[i] = 0;
        for (int i = b; i < count; i++)
            p[i] = ds[i] = 0;
        kernels.softmax_backward(p + a, ds + a, b - a, sums[0], sums[1], dots[query], j->shape->softcap);
    }
}

/* Of a tile's queries, what `count` loaded keys add to the gradient. */
static void add_queries(const struct backward_job *j, const struct attention_tile *t, int head, int count,
    const struct workspace *w)
{
    const size_t dim = (size_t)j->shape->head_dim, group = (size_t)j->group;
    for (int g = 0; g < j->group; g++)
        kernels.mix(j->dq + query_at(j, t->row, head * j->group + g) * dim, (size_t)j->shape->heads * dim,
            w->ds + (size_t)g * BLOCK, group * BLOCK, 1, w->k_scaled, dim, t->count, count, (int)dim);
}

static void run_queries(void *job, int item, int thread)
{
    const struct backward_job *j = job;
    const struct attention_tile *t = &j->f->scratch->tiles[item / j->shape->kv_heads];
    const struct kv_layer *kv = &t->span->layers[j->shape->layer];
    int head = item % j->shape->kv_heads, end = t->position + t->count;
    struct workspace w = workspace_of(j, thread);
    load_rows(j, t, head, &w);
    for (int base = t->begin / BLOCK * BLOCK; base < end; base += BLOCK) {
        int to = base + BLOCK < end ? base + BLOCK : end;
        load_block(j, kv, head, base, to, &w);
        weigh_pair(j, t, head, base, to, &w);
        add_queries(j, t, head, to - base, &w);
    }
}

/* The keys [from, from + count) and all queries that see them, whose gradients are added to as well where `queries`. */
static void walk_keys(const struct backward_job *j, const struct span *span, int head, int from, int count,
    bool queries, const struct workspace *w)
{
    const struct kv_layer *kv = &span->layers[j->shape->layer];
    int end = span->position + span->count, window = j->shape->window;
    size_t dim = (size_t)j->shape->head_dim;
    if (window && from + count - 1 + window < end) /* the last that sees the last key */
        end = from + count - 1 + window;
    memset(w->dk, 0, (size_t)count * dim * sizeof *w->dk);
    memset(w->dv, 0, (size_t)count * dim * sizeof *w->dv);
    load_block(j, kv, head, from, from + count, w);
    for (int position = from; position < end; position += j->most) {
        struct attention_tile t = { .span = span, .row = span->first + position - span->position, .position = position,
            .count = end - position < j->most ? end - position : j->most };
        load_rows(j, &t, head, w);
        weigh_pair(j, &t, head, from, from + count, w);
        kernels.mix(w->dk, dim, w->ds, 1, BLOCK, w->q, dim, count, t.count * j->group, (int)dim);
        kernels.mix(w->dv, dim, w->p, 1, BLOCK, w->dout, dim, count, t.count * j->group, (int)dim);
        if (queries)
            add_queries(j, &t, head, count, w);
    }
    kernels.add(kv->k_gradient + slot_at(j, kv, head, from), w->dk, count * (int)dim);
    kernels.add(kv->v_gradient + slot_at(j, kv, head, from), w->dv, count * (int)dim);
}

/* The keys of one block, which here is a tile of key rows. */
static void run_keys(void *job, int item, int thread)
{
    const struct backward_job *j = job;
    const struct attention_tile *block = &j->f->scratch->tiles[item / j->shape->kv_heads];
    struct workspace w = workspace_of(j, thread);
    walk_keys(j, block->span, item % j->shape->kv_heads, block->position, block->count, false, &w);
}

/* A head of a span. */
static void run_head(void *job, int item, int thread)
{
    const struct backward_job *j = job;
    const struct span *span = &j->f->spans[item / j->shape->kv_heads];
    struct workspace w = workspace_of(j, thread);
    for (int from = 0; from < span->count; from += BLOCK) {
        int count = span->count - from < BLOCK ? span->count - from : BLOCK;
        walk_keys(j, span, item % j->shape->kv_heads, span->position + from, count, true, &w);
    }
}

/* dout . out of every head. */
static void dot_token(void *job, int row, int thread)
{
    const struct backward_job *j = job;
    int dim = j->shape->head_dim;
    (void)thread;
    for (int h = 0; h < j->shape->heads; h++) {
        size_t at = query_at(j, row, h);
        kernels.dots[FORMAT_f32](j->f->scratch->query_dots + at, 1, j->out + at * (size_t)dim, 0, 1,
            j->dout + at * (size_t)dim, 0, 1, dim);
    }
}

/* A sink has a weight but no value: of the gradient of a score, p (0 - dout . out) is left. */
static void sink_head(void *job, int head, int thread)
{
    const struct backward_job *j = job;
    float sum = 0;
    (void)thread;
    for (int t = 0; t < j->f->tokens; t++) {
        size_t at = query_at(j, t, head);
        const float *sums = j->shape->sums + 2 * at;
        sum -= expf(j->sinks[head] - sums[0]) / sums[1] * j->f->scratch->query_dots[at];
    }
    j->shape->sinks->gradient[head] += sum;
}

static void check(const struct flow *f, const struct value *out, const struct value *q,
    const struct attention_shape *shape)
{
    const struct flow_scratch *s = f->scratch;
    assert(s->shape.training && shape->sums && q->width == shape->heads * shape->head_dim && out->width == q->width);
    assert(shape->heads == s->shape.heads && shape->kv_heads == s->shape.kv_heads);
    assert(shape->head_dim == s->shape.head_dim);
    for (int i = 0; i < f->n_spans; i++) {
        const struct kv_layer *kv = &f->spans[i].layers[shape->layer];
        assert(kv->format->id == FORMAT_f32 && kv->k_gradient && kv->v_gradient);
        assert(f->spans[i].position == 0 && f->spans[i].count <= kv->capacity);
    }
}

void attention_backward(struct flow *f, const struct value *out, struct value *q, const struct attention_shape *shape)
{
    struct backward_job job = { .f = f, .shape = shape, .q = q->data, .out = out->data, .dout = out->gradient,
        .dq = q->gradient, .group = shape->heads / shape->kv_heads };
    double seen = 0;
    check(f, out, q, shape);
    job.most = job.group < QUERIES ? QUERIES / job.group : 1;
    parallel_run(f, f->tokens, (double)f->tokens * q->width, dot_token, &job);
    if (weight_present(shape->sinks) && shape->sinks->gradient) {
        job.sinks = tensor_part(&shape->sinks->tensor, 0, 0, shape->heads, f->scratch->sinks);
        parallel_run(f, shape->heads, 16.0 * f->tokens * shape->heads, sink_head, &job);
    }
    int tiles = attention_cut(f, shape, job.most);
    for (int i = 0; i < tiles; i++) {
        const struct attention_tile *t = &f->scratch->tiles[i];
        seen += (double)t->count * (t->position + t->count - t->begin);
    }
    if (f->n_spans * shape->kv_heads >= HEADS_PER_THREAD * f->threads) {
        parallel_run(f, f->n_spans * shape->kv_heads, 5 * seen * q->width, run_head, &job);
        return;
    }
    parallel_run(f, tiles * shape->kv_heads, 3 * seen * q->width, run_queries, &job);
    tiles = attention_cut(f, shape, BLOCK);
    parallel_run(f, tiles * shape->kv_heads, 4 * seen * q->width, run_keys, &job);
}
