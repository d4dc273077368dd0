/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax over blocks as they come (Milakov and Gimelshein 2018; Dao et al. 2022). Positions are cut twice, both at
 * absolute places: into blocks, whose keys and values are decoded once for all queries of a tile, and into segments of
 * blocks, each summed from zero and then merged in order. So segments may run on different threads, tiles may hold any
 * tokens, and every token's arithmetic stays the same. */
#include "backend/cpu/attention_impl.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK ATTENTION_BLOCK
#define SEGMENT 512 /* positions: a multiple of BLOCK */

/* Of each query row: what its blocks so far add up to. */
struct state {
    float *max, *sum; /* (rows) */
    float *y;         /* (rows, head_dim) */
};

struct attention_job {
    const struct flow *f;
    const struct attention_shape *shape;
    const float *q, *sinks; /* sinks: NULL for none */
    float *out;
    int group; /* query heads of a key head */
    int tiles;
    int segments; /* items of a tile and head when segments run apart; else 0 */
};

/* A thread's scratch: queries, decoded keys or values, scores, and two states. */
struct workspace {
    float *q, *kv, *scores;
    struct state part, total;
};

size_t attention_scratch(const struct flow_shape *shape)
{
    size_t rows = (size_t)attention_rows_max(shape), dim = (size_t)shape->head_dim;
    return rows * (3 * dim + BLOCK + 4) + BLOCK * dim;
}

size_t attention_partials(const struct flow_shape *shape)
{
    size_t segments = (size_t)(shape->context_max + SEGMENT - 1) / SEGMENT + 1;
    return segments * (size_t)shape->heads * ((size_t)shape->head_dim + 2);
}

static struct state state_at(float *memory, size_t rows)
{
    struct state s = { memory, memory + rows, memory + 2 * rows };
    return s;
}

static struct workspace workspace_of(const struct attention_job *j, int thread)
{
    const struct flow_scratch *s = j->f->scratch;
    size_t rows = (size_t)attention_rows_max(&s->shape), dim = (size_t)j->shape->head_dim;
    struct workspace w;
    w.q = scratch_of(s->attention, s->attention_stride, thread);
    w.kv = w.q + rows * dim;
    w.scores = w.kv + BLOCK * dim;
    w.part = state_at(w.scores + rows * BLOCK, rows);
    w.total = state_at(w.part.y + rows * dim, rows);
    return w;
}

static void load_queries(const struct attention_job *j, const struct attention_tile *t, int head, float *q)
{
    size_t dim = (size_t)j->shape->head_dim, width = (size_t)j->shape->heads * dim;
    for (int i = 0; i < t->count; i++) {
        const float *from = j->q + (size_t)(t->row + i) * width + (size_t)(head * j->group) * dim;
        for (size_t k = 0; k < (size_t)j->group * dim; k++)
            *q++ = from[k] * j->shape->scale;
    }
}

/* How many positions from `from`, before `to`, lie one behind the other; *at: where. A ring may wrap. */
static int next_run(const struct attention_job *j, const struct attention_tile *t, const unsigned char *cache, int head,
    int from, int to, const unsigned char **at)
{
    const struct kv_layer *kv = &t->span->layers[j->shape->layer];
    int slot = from % kv->capacity, rest = kv->capacity - slot;
    size_t row = (size_t)head * (size_t)kv->capacity + (size_t)slot;
    *at = cache + row * format_row_bytes(kv->format, j->shape->head_dim);
    return rest < to - from ? rest : to - from;
}

/* Decode positions [from, to) of one head. */
static void load_rows(const struct attention_job *j, const struct attention_tile *t, const unsigned char *cache,
    int head, int from, int to, float *out)
{
    const struct format *format = t->span->layers[j->shape->layer].format;
    const unsigned char *at;
    for (int run; from < to; from += run) {
        run = next_run(j, t, cache, head, from, to, &at);
        kernels.decode(format, out, at, (int64_t)run * j->shape->head_dim);
        out += (size_t)run * (size_t)j->shape->head_dim;
    }
}

/* Products of all queries and the keys [from, to). Keys that are multiplied with floats as they are stored are used
 * where they are; others would make the queries whole numbers, so they are decoded. */
static void score_block(const struct attention_job *j, const struct attention_tile *t, int head, int from, int to,
    const struct workspace *w)
{
    const struct kv_layer *kv = &t->span->layers[j->shape->layer];
    int dim = j->shape->head_dim, rows = t->count * j->group;
    size_t row_bytes = (size_t)dim * sizeof(float);
    if (kv->format->pair != FORMAT_f32 || !kernels.dots[kv->format->id]) {
        load_rows(j, t, kv->k, head, from, to, w->kv);
        kernels.dots[FORMAT_f32](w->scores, BLOCK, w->kv, row_bytes, to - from, w->q, row_bytes, rows, dim);
        return;
    }
    const unsigned char *at;
    for (int run, p = from; p < to; p += run) {
        run = next_run(j, t, kv->k, head, p, to, &at);
        kernels.dots[kv->format->id](w->scores + (p - from), BLOCK, at, format_row_bytes(kv->format, dim), run, w->q,
            row_bytes, rows, dim);
    }
}

static void state_scale(float *y, int n, float factor)
{
    if (factor != 1)
        for (int i = 0; i < n; i++)
            y[i] *= factor;
}

/* Scores of the block [from, to) become weights; each query sees its own part of it. */
static void weigh_block(const struct attention_job *j, const struct attention_tile *t, const struct workspace *w,
    struct state *s, int from, int to)
{
    int group = j->group, dim = j->shape->head_dim;
    for (int i = 0; i < t->count; i++) {
        int position = t->position + i, first = attention_first_seen(j->shape, position);
        int a = first > from ? first : from, b = position < to ? position + 1 : to;
        for (int r = i * group; a < b && r < (i + 1) * group; r++) {
            float *scores = w->scores + (size_t)r * BLOCK + (a - from);
            if (j->shape->softcap != 0)
                kernels.softcap(scores, b - a, j->shape->softcap);
            float shrink;
            kernels.softmax_step(scores, b - a, &s->max[r], &s->sum[r], &shrink);
            state_scale(s->y + (size_t)r * (size_t)dim, dim, shrink);
        }
    }
}

/* Add the block's values. What a query does not see is left out, not multiplied by 0: it may not be finite. */
static void mix_block(const struct attention_job *j, const struct attention_tile *t, const struct workspace *w,
    struct state *s, int from, int to)
{
    size_t dim = (size_t)j->shape->head_dim;
    int last = t->position + t->count - 1;
    if (attention_first_seen(j->shape, last) <= from && t->position + 1 >= to) {
        kernels.mix(s->y, dim, w->scores, BLOCK, 1, w->kv, dim, t->count * j->group, to - from, (int)dim);
        return;
    }
    for (int i = 0; i < t->count; i++) {
        int position = t->position + i, first = attention_first_seen(j->shape, position);
        int a = first > from ? first : from, b = position < to ? position + 1 : to;
        size_t row = (size_t)(i * j->group);
        if (a < b)
            kernels.mix(s->y + row * dim, dim, w->scores + row * BLOCK + (a - from), BLOCK, 1,
                w->kv + (size_t)(a - from) * dim, dim, j->group, b - a, (int)dim);
    }
}

/* One segment of a tile from zero. The queries are loaded. */
static void run_segment(const struct attention_job *j, const struct attention_tile *t, int head, int segment,
    const struct workspace *w, struct state *s)
{
    const struct kv_layer *kv = &t->span->layers[j->shape->layer];
    size_t row_bytes = (size_t)j->shape->head_dim * sizeof(float);
    int rows = t->count * j->group, end = t->position + t->count;
    int start = (t->begin / SEGMENT + segment) * SEGMENT;
    memset(s->y, 0, (size_t)rows * row_bytes);
    memset(s->sum, 0, (size_t)rows * sizeof *s->sum);
    for (int r = 0; r < rows; r++)
        s->max[r] = -INFINITY;
    for (int base = start; base < start + SEGMENT; base += BLOCK) {
        int from = base > t->begin ? base : t->begin, to = base + BLOCK < end ? base + BLOCK : end;
        if (from >= to)
            continue;
        score_block(j, t, head, from, to, w);
        weigh_block(j, t, w, s, from, to);
        load_rows(j, t, kv->v, head, from, to, w->kv);
        mix_block(j, t, w, s, from, to);
    }
}

static void start_total(const struct attention_job *j, const struct attention_tile *t, int head, struct state *total)
{
    int rows = t->count * j->group;
    memset(total->y, 0, (size_t)rows * (size_t)j->shape->head_dim * sizeof *total->y);
    for (int r = 0; r < rows; r++) {
        total->max[r] = j->sinks ? j->sinks[head * j->group + r % j->group] : -INFINITY;
        total->sum[r] = total->max[r] > -INFINITY ? 1 : 0;
    }
}

/* Rows of which the segment holds nothing stay as they are: other tokens of the tile brought them here. */
static void merge(const struct attention_job *j, int rows, struct state *total, const struct state *part)
{
    int dim = j->shape->head_dim;
    for (int r = 0; r < rows; r++) {
        if (part->max[r] == -INFINITY && part->sum[r] == 0)
            continue;
        float max = part->max[r] > total->max[r] ? part->max[r] : total->max[r];
        float base = max == -INFINITY ? 0 : max;
        float old = expf(total->max[r] - base), new = expf(part->max[r] - base);
        float *y = total->y + (size_t)r * (size_t)dim, *add = part->y + (size_t)r * (size_t)dim;
        for (int i = 0; i < dim; i++)
            y[i] = y[i] * old + add[i] * new;
        total->sum[r] = total->sum[r] * old + part->sum[r] * new;
        total->max[r] = max;
    }
}

static void store_out(const struct attention_job *j, const struct attention_tile *t, int head,
    const struct state *total)
{
    size_t dim = (size_t)j->shape->head_dim;
    for (int r = 0; r < t->count * j->group; r++) {
        const float *y = total->y + (size_t)r * dim;
        size_t query = (size_t)(t->row + r / j->group) * (size_t)j->shape->heads
            + (size_t)(head * j->group + r % j->group);
        float *out = j->out + query * dim;
        float factor = 1 / total->sum[r];
        for (size_t i = 0; i < dim; i++)
            out[i] = y[i] * factor;
        if (!j->shape->sums)
            continue;
        j->shape->sums[2 * query] = total->max[r];
        j->shape->sums[2 * query + 1] = total->sum[r];
    }
}

/* Later tiles see more positions: they go first. */
static const struct attention_tile *tile_of(const struct attention_job *j, int item)
{
    return &j->f->scratch->tiles[j->tiles - 1 - item];
}

static void run_tile(void *job, int item, int thread)
{
    const struct attention_job *j = job;
    const struct attention_tile *t = tile_of(j, item / j->shape->kv_heads);
    int head = item % j->shape->kv_heads;
    struct workspace w = workspace_of(j, thread);
    load_queries(j, t, head, w.q);
    start_total(j, t, head, &w.total);
    for (int segment = 0; segment < t->segments; segment++) {
        run_segment(j, t, head, segment, &w, &w.part);
        merge(j, t->count * j->group, &w.total, &w.part);
    }
    store_out(j, t, head, &w.total);
}

/* Where the state of one segment lies while the segments of a tile run apart. */
static struct state partial_at(const struct attention_job *j, const struct attention_tile *t, int head, int segment)
{
    size_t rows = (size_t)(t->count * j->group), dim = (size_t)j->shape->head_dim;
    size_t before = (size_t)t->row * (size_t)j->shape->heads + (size_t)head * rows;
    size_t at = before * (size_t)j->segments + (size_t)segment * rows;
    return state_at(j->f->scratch->partials + at * (dim + 2), rows);
}

static void run_part(void *job, int item, int thread)
{
    const struct attention_job *j = job;
    int segment = item % j->segments, head = item / j->segments % j->shape->kv_heads;
    const struct attention_tile *t = tile_of(j, item / j->segments / j->shape->kv_heads);
    if (segment >= t->segments)
        return;
    struct workspace w = workspace_of(j, thread);
    struct state s = partial_at(j, t, head, segment);
    load_queries(j, t, head, w.q);
    run_segment(j, t, head, segment, &w, &s);
}

static void merge_parts(void *job, int item, int thread)
{
    const struct attention_job *j = job;
    const struct attention_tile *t = tile_of(j, item / j->shape->kv_heads);
    int head = item % j->shape->kv_heads;
    struct workspace w = workspace_of(j, thread);
    start_total(j, t, head, &w.total);
    for (int segment = 0; segment < t->segments; segment++) {
        struct state s = partial_at(j, t, head, segment);
        merge(j, t->count * j->group, &w.total, &s);
    }
    store_out(j, t, head, &w.total);
}

int attention_cut(const struct flow *f, const struct attention_shape *shape, int most)
{
    struct attention_tile *tiles = f->scratch->tiles;
    int n = 0;
    for (int i = 0; i < f->n_spans; i++) {
        const struct span *span = &f->spans[i];
        for (int row = 0; row < span->count; row += most) {
            struct attention_tile *t = &tiles[n++];
            t->span = span;
            t->row = span->first + row;
            t->count = span->count - row < most ? span->count - row : most;
            t->position = span->position + row;
            t->begin = attention_first_seen(shape, t->position);
            t->segments = (t->position + t->count - 1) / SEGMENT - t->begin / SEGMENT + 1;
        }
    }
    return n;
}

/* Fewer queries share a read where threads would be idle otherwise. */
static void plan_tiles(struct attention_job *j)
{
    int most = j->group < ATTENTION_QUERIES ? ATTENTION_QUERIES / j->group : 1, wanted = 2 * j->f->threads;
    int segments = 0;
    j->tiles = attention_cut(j->f, j->shape, most);
    while (most > 1 && j->tiles * j->shape->kv_heads < wanted) {
        most /= 2;
        j->tiles = attention_cut(j->f, j->shape, most);
    }
    for (int i = 0; i < j->tiles; i++) {
        const struct attention_tile *t = tile_of(j, i);
        segments = t->segments > segments ? t->segments : segments;
    }
    size_t partials = (size_t)j->f->tokens * (size_t)j->shape->heads * (size_t)segments;
    bool fits = partials * ((size_t)j->shape->head_dim + 2) <= attention_partials(&j->f->scratch->shape);
    j->segments = j->f->threads > 1 && segments > 1 && j->tiles * j->shape->kv_heads < wanted && fits ? segments : 0;
}

void attention(struct flow *f, struct value *out, const struct value *q, const struct attention_shape *shape)
{
    const struct flow_scratch *s = f->scratch;
    struct attention_job job = { .f = f, .shape = shape, .q = q->data, .out = out->data };
    double seen = 0;
    assert(q->width == shape->heads * shape->head_dim && out->width == q->width);
    assert(shape->heads == s->shape.heads && shape->kv_heads == s->shape.kv_heads);
    assert(shape->head_dim == s->shape.head_dim && shape->heads % shape->kv_heads == 0);
    job.group = shape->heads / shape->kv_heads;
    if (weight_present(shape->sinks))
        job.sinks = tensor_part(&shape->sinks->tensor, 0, 0, shape->heads, s->sinks);
    plan_tiles(&job);
    for (int i = 0; i < job.tiles; i++) {
        const struct attention_tile *t = tile_of(&job, i);
        seen += (double)t->count * (t->position + t->count - t->begin);
    }
    double work = 2 * seen * q->width;
    int items = job.tiles * shape->kv_heads;
    if (job.segments) {
        parallel_run(f, items * job.segments, work, run_part, &job);
        parallel_run(f, items, (double)items * job.segments * shape->head_dim, merge_parts, &job);
    } else {
        parallel_run(f, items, work, run_tile, &job);
    }
}
