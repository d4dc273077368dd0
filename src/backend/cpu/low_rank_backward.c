/* SPDX-License-Identifier: Apache-2.0 */
/* With h = scale A x and y = W x + B h: dB += dy h^T, dh = scale B^T dy, dA += dh x^T, dx += A^T dh. */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/low_rank.h"
#include "backend/cpu/matmul_backward.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <string.h>

/* dh of all groups into the scratch's inner_gradient. */
static void inner_gradient(struct flow *f, const struct beside *p, const struct low_rank *low, const float *dy)
{
    const struct flow_scratch *s = f->scratch;
    struct matmul one, *products = p->groups > 1 ? s->expert_jobs : &one;
    struct tensor single;
    int n = 0;
    for (int g = 0; g < p->groups; g++) {
        size_t first = (size_t)p->first[g];
        struct tensor *b = p->groups > 1 ? &s->beside_tensors[g] : &single;
        *b = low_rank_matrix(low, low->b, g, p->rows);
        if (p->first[g + 1] > p->first[g])
            products[n++] = (struct matmul) { .w = b, .x = dy + first * (size_t)p->rows,
                .y = s->inner_gradient + first * (size_t)low->rank, .count = p->first[g + 1] - p->first[g] };
    }
    matmul_run(f, products, n);
    for (size_t i = 0; i < (size_t)p->first[p->groups] * (size_t)low->rank; i++)
        s->inner_gradient[i] *= low->scale;
}

/* Of every group: dw (rank, columns) += left^T right, dx += left all; NULL: not. left (rows, rank). */
struct backward_product {
    const float *all; /* low->a or low->b */
    int64_t columns;
    const float *left, *right;
    float *dx, *dw;
};

static void run_products(struct flow *f, const struct beside *p, const struct low_rank *low,
    const struct backward_product *q)
{
    const struct flow_scratch *s = f->scratch;
    struct matmul_backward one, *products = p->groups > 1 ? s->expert_backward_jobs : &one;
    struct tensor single;
    const size_t columns = (size_t)q->columns, rank = (size_t)low->rank;
    int n = 0;
    for (int g = 0; g < p->groups; g++) {
        size_t first = (size_t)p->first[g];
        struct tensor *w = p->groups > 1 ? &s->beside_tensors[g] : &single;
        *w = low_rank_matrix(low, q->all, g, q->columns);
        if (p->first[g + 1] > p->first[g])
            products[n++] = (struct matmul_backward) { .w = w, .dy = q->left + first * rank,
                .x = q->right ? q->right + first * columns : NULL, .dx = q->dx ? q->dx + first * columns : NULL,
                .dw = q->dw ? q->dw + (size_t)g * rank * columns : NULL, .count = p->first[g + 1] - p->first[g] };
    }
    matmul_backward_run(f, products, n);
}

struct undrop_job {
    const struct flow *f;
    const struct low_rank *low;
    float *dx;
    int columns;
};

static void undrop_row(void *job, int row, int thread)
{
    const struct undrop_job *j = job;
    size_t at = (size_t)row * (size_t)j->columns;
    float mask[MASK_COLUMNS];
    (void)thread;
    for (int c = 0; c < j->columns; c += MASK_COLUMNS) {
        int n = j->columns - c < MASK_COLUMNS ? j->columns - c : MASK_COLUMNS;
        low_rank_mask(mask, j->f, j->low, row, c, n);
        for (int i = 0; i < n; i++)
            j->dx[at + (size_t)(c + i)] += mask[i] * j->f->scratch->dropped[at + (size_t)(c + i)];
    }
}

/* dx += A^T dh, through what was left out. */
static void input_gradient(struct flow *f, const struct beside *p, const struct low_rank *low, float *dx)
{
    const struct flow_scratch *s = f->scratch;
    struct backward_product q = { .all = low->a, .columns = p->cols, .left = s->inner_gradient, .dx = dx };
    struct undrop_job job = { f, low, dx, (int)p->cols };
    const int rows = p->first[p->groups];
    if (!low_rank_drops(f, low)) {
        run_products(f, p, low, &q);
        return;
    }
    memset(s->dropped, 0, (size_t)rows * (size_t)p->cols * sizeof *s->dropped);
    q.dx = s->dropped;
    run_products(f, p, low, &q);
    parallel_run(f, rows, (double)rows * (double)p->cols, undrop_row, &job);
}

void low_rank_backward(struct flow *f, const struct beside *p, const float *dy, float *dx, bool weights)
{
    const struct flow_scratch *s = f->scratch;
    const struct low_rank *low = p->weight->low_rank;
    assert(low && !low->next);
    inner_gradient(f, p, low, dy);
    if (weights && low->a_gradient) {
        const float *x = low_rank_dropped(f, p, low);
        low_rank_inner(f, p, low, x);
        run_products(f, p, low, &(struct backward_product) { .all = low->b, .columns = p->rows, .left = s->inner,
            .right = dy, .dw = low->b_gradient });
        run_products(f, p, low, &(struct backward_product) { .all = low->a, .columns = p->cols,
            .left = s->inner_gradient, .right = x, .dw = low->a_gradient });
    }
    if (dx)
        input_gradient(f, p, low, dx);
}

struct stretch_job {
    const struct flow *f;
    const struct beside *p;
    const struct low_rank *low;
    const float *dy;
};

/* Some columns of all rows, in their order. `stretched` holds what was stretched and becomes its gradient. */
static void stretch_part(void *job, int item, int thread)
{
    const struct stretch_job *j = job;
    const struct low_rank *low = j->low;
    const size_t width = (size_t)j->p->rows, at = (size_t)item * BESIDE_COLUMNS;
    const int n = width - at < BESIDE_COLUMNS ? (int)(width - at) : BESIDE_COLUMNS;
    float sums[BESIDE_COLUMNS] = { 0 };
    (void)thread;
    for (int t = 0; t < j->p->first[1]; t++) {
        const float *dy = j->dy + (size_t)t * width + at;
        float *x = j->f->scratch->stretched + (size_t)t * width + at;
        for (int i = 0; i < n; i++) {
            sums[i] += dy[i] * x[i];
            x[i] = dy[i] * (low->magnitude[at + (size_t)i] / low->norms[at + (size_t)i]);
        }
    }
    for (int i = 0; low->magnitude_gradient && i < n; i++)
        low->magnitude_gradient[at + (size_t)i] += sums[i] / low->norms[at + (size_t)i];
}

const float *low_rank_stretch_backward(struct flow *f, const struct beside *p, const float *dy)
{
    const struct flow_scratch *s = f->scratch;
    struct low_rank plain = *p->weight->low_rank;
    struct stretch_job job = { f, p, p->weight->low_rank, dy };
    struct matmul product = { .w = &p->weight->tensor, .x = p->x, .y = s->stretched, .count = p->first[1] };
    assert(p->groups == 1 && !plain.next && s->shape.magnitudes);
    plain.magnitude = NULL;
    matmul_run(f, &product, 1);
    low_rank_inner(f, p, &plain, low_rank_dropped(f, p, &plain));
    low_rank_outer(f, p, &plain, NULL, s->stretched);
    parallel_run(f, beside_parts(p->rows), (double)p->first[1] * (double)p->rows, stretch_part, &job);
    return s->stretched;
}
