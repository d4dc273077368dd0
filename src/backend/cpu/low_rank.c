/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/low_rank.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>

bool low_rank_stretches(const struct weight *w)
{
    for (const struct low_rank *low = w->low_rank; low; low = low->next)
        if (low->magnitude)
            return true;
    return false;
}

struct tensor low_rank_matrix(const struct low_rank *low, const float *all, int group, int64_t columns)
{
    return (struct tensor) { .format = &format_f32, .rows = low->rank, .cols = columns,
        .data = all + (size_t)group * (size_t)low->rank * (size_t)columns };
}

/* ---- dropout ---- */

/* The finalizer of splitmix64 (Steele et al. 2014). */
static uint64_t scramble(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

bool low_rank_drops(const struct flow *f, const struct low_rank *low)
{
    return f->dropout_seed && low->dropout > 0;
}

/* From the seed and the place alone, so that any thread, and a layer computed again, leaves out the same. */
void low_rank_mask(float *mask, const struct flow *f, const struct low_rank *low, int64_t row, int first, int n)
{
    const uint64_t step = 0x9e3779b97f4a7c15u;
    uint64_t begin = scramble(scramble(f->dropout_seed + step * (low->key + 1)) + step * (uint64_t)(row + 1));
    const uint32_t edge = (uint32_t)((double)low->dropout * 0x1p32);
    const float kept = 1 / (1 - low->dropout);
    for (int i = 0; i < n; i++)
        mask[i] = (uint32_t)(scramble(begin + step * (uint64_t)(first + i + 1)) >> 32) < edge ? 0.0f : kept;
}

struct drop_job {
    const struct flow *f;
    const struct beside *p;
    const struct low_rank *low;
};

static void drop_row(void *job, int row, int thread)
{
    const struct drop_job *j = job;
    const int n = (int)j->p->cols;
    const float *x = j->p->x + (size_t)row * (size_t)n;
    float *out = j->f->scratch->dropped + (size_t)row * (size_t)n;
    (void)thread;
    low_rank_mask(out, j->f, j->low, row, 0, n);
    for (int i = 0; i < n; i++)
        out[i] *= x[i];
}

const float *low_rank_dropped(struct flow *f, const struct beside *p, const struct low_rank *low)
{
    struct drop_job job = { f, p, low };
    if (!low_rank_drops(f, low))
        return p->x;
    parallel_run(f, p->first[p->groups], (double)p->first[p->groups] * (double)p->cols, drop_row, &job);
    return f->scratch->dropped;
}

/* ---- forward ---- */

static void scale_inner(const struct flow *f, const struct beside *p, const struct low_rank *low)
{
    for (size_t i = 0; i < (size_t)p->first[p->groups] * (size_t)low->rank; i++)
        f->scratch->inner[i] *= low->scale;
}

bool low_rank_joins(const struct flow *f, const struct weight *w, const struct value *x, struct tensor *a,
    struct matmul *product)
{
    const struct low_rank *low = w->low_rank;
    if (!low || low_rank_drops(f, low))
        return false;
    assert(low->rank <= f->scratch->shape.rank_max);
    *a = low_rank_matrix(low, low->a, 0, x->width);
    *product = (struct matmul) { .w = a, .x = x->data, .y = f->scratch->inner, .count = f->tokens };
    return true;
}

void low_rank_inner(struct flow *f, const struct beside *p, const struct low_rank *low, const float *x)
{
    const struct flow_scratch *s = f->scratch;
    struct matmul one, *products = p->groups > 1 ? s->expert_jobs : &one;
    struct tensor single;
    int n = 0;
    assert(low->rank <= s->shape.rank_max);
    for (int g = 0; g < p->groups; g++) {
        size_t first = (size_t)p->first[g];
        struct tensor *a = p->groups > 1 ? &s->beside_tensors[g] : &single;
        *a = low_rank_matrix(low, low->a, g, p->cols);
        if (p->first[g + 1] > p->first[g])
            products[n++] = (struct matmul) { .w = a, .x = x + first * (size_t)p->cols,
                .y = s->inner + first * (size_t)low->rank, .count = p->first[g + 1] - p->first[g] };
    }
    matmul_run(f, products, n);
    scale_inner(f, p, low);
}

struct outer_job {
    const struct flow *f;
    const struct beside *p;
    const struct low_rank *low;
    const struct tensor *bias;
    float *y;
};

/* Some columns of all rows. */
static void outer_part(void *job, int item, int thread)
{
    const struct outer_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    const struct low_rank *low = j->low;
    const size_t width = (size_t)j->p->rows, rank = (size_t)low->rank, at = (size_t)item * BESIDE_COLUMNS;
    const int n = width - at < BESIDE_COLUMNS ? (int)(width - at) : BESIDE_COLUMNS;
    const float *bias = j->bias ? tensor_part(j->bias, 0, (int64_t)at, n, scratch_of(s->part, s->part_stride, thread))
                                : NULL;
    for (int g = 0; g < j->p->groups; g++) {
        size_t first = (size_t)j->p->first[g];
        int count = j->p->first[g + 1] - j->p->first[g];
        float *y = j->y + first * width + at;
        kernels.mix(y, width, s->inner + first * rank, rank, 1, low->b + (size_t)g * rank * width + at, width, count,
            low->rank, n);
        for (int t = 0; low->magnitude && t < count; t++)
            for (int i = 0; i < n; i++)
                y[(size_t)t * width + (size_t)i] *= low->magnitude[at + (size_t)i] / low->norms[at + (size_t)i];
        for (int t = 0; bias && t < count; t++)
            kernels.add(y + (size_t)t * width, bias, n);
    }
}

void low_rank_outer(struct flow *f, const struct beside *p, const struct low_rank *low, const struct tensor *bias,
    float *y)
{
    struct outer_job job = { f, p, low, bias, y };
    parallel_run(f, beside_parts(p->rows), (double)p->first[p->groups] * low->rank * (double)p->rows, outer_part, &job);
}

void low_rank_add(struct flow *f, const struct beside *p, const struct tensor *bias, float *y, bool joined)
{
    for (const struct low_rank *low = p->weight->low_rank; low; low = low->next) {
        if (joined && low == p->weight->low_rank)
            scale_inner(f, p, low);
        else
            low_rank_inner(f, p, low, low_rank_dropped(f, p, low));
        low_rank_outer(f, p, low, low->next ? NULL : bias, y);
    }
}

/* ---- lengths of rows ---- */

struct norms_job {
    const struct flow *f;
    const struct weight *w;
    const struct low_rank *low;
};

static void norm_row(void *job, int row, int thread)
{
    const struct norms_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    const struct low_rank *low = j->low;
    const struct tensor *w = &j->w->tensor;
    const int n = (int)w->cols;
    float *x = scratch_of(s->rows, s->rows_stride, thread), sum;
    tensor_decode_rows(x, w, row, 1);
    for (int k = 0; k < low->rank; k++) {
        float by = low->scale * low->b[(size_t)k * (size_t)w->rows + (size_t)row];
        kernels.mix(x, 0, &by, 0, 0, low->a + (size_t)k * (size_t)n, 0, 1, 1, n);
    }
    kernels.dots[FORMAT_f32](&sum, 1, x, 0, 1, x, 0, 1, n);
    low->norms[row] = sqrtf(sum);
}

void low_rank_norms(struct flow *f, const struct weight *w, const struct low_rank *low)
{
    struct norms_job job = { f, w, low };
    parallel_run(f, (int)w->tensor.rows, (double)w->tensor.rows * (double)w->tensor.cols * (low->rank + 2), norm_row,
        &job);
}
