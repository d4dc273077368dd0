/* SPDX-License-Identifier: Apache-2.0 */
/* Both products are cut into tiles of their output, which are what threads take. A tile's terms come in steps of DEPTH:
 * a step's part of W (decoded) or of x and dy is copied to where it lies close together, and stays in the second cache
 * while kernels.mix adds it to the whole tile. */
#include "backend/cpu/matmul_backward.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"
#include "tensor/block.h"

#include <assert.h>
#include <string.h>

#define DEPTH 64         /* terms of a step */
#define TILE_ROWS 96     /* of dx or dw */
#define TILE_COLUMNS 256 /* a multiple of every format's block */
#define BIAS_COLUMNS 256

struct backward_batch {
    struct flow *f;
    struct matmul_backward *products;
    int n;
};

struct tile {
    int row, rows, column, columns;
};

size_t matmul_backward_scratch(void)
{
    return DEPTH * (TILE_COLUMNS + TILE_ROWS);
}

static int parts_of(int64_t n, int part)
{
    return (int)((n + part - 1) / part);
}

static int smaller(int64_t a, int b)
{
    return a < b ? (int)a : b;
}

static struct tile tile_of(int item, int64_t rows, int64_t columns)
{
    int across = parts_of(columns, TILE_COLUMNS);
    struct tile t = { .row = item / across * TILE_ROWS, .column = item % across * TILE_COLUMNS };
    t.rows = smaller(rows - t.row, TILE_ROWS);
    t.columns = smaller(columns - t.column, TILE_COLUMNS);
    return t;
}

/* Columns [first, first + n) of row r; first is the begin of a block. */
static void decode_part(float *out, const struct tensor *w, int64_t r, int64_t first, int n)
{
    const unsigned char *row = tensor_row(w, r);
    if (w->scales)
        mxfp4_split_decode(out, row + first / 2, tensor_row_scales(w, r) + first / 32, n);
    else
        kernels.decode(w->format, out, row + format_row_bytes(w->format, first), n);
}

/* dx[tile] += dy W */
static void run_x(const struct matmul_backward *p, int item, float *scratch)
{
    struct tile t = tile_of(item, p->count, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dx = p->dx + (size_t)t.row * cols + (size_t)t.column;
    for (int64_t r = 0; r < p->w->rows; r += DEPTH) {
        int depth = smaller(p->w->rows - r, DEPTH);
        for (int i = 0; i < depth; i++)
            decode_part(scratch + (size_t)i * TILE_COLUMNS, p->w, r + i, t.column, t.columns);
        kernels.mix(dx, cols, p->dy + (size_t)t.row * rows + (size_t)r, rows, 1, scratch, TILE_COLUMNS, t.rows, depth,
            t.columns);
    }
}

/* dw[tile] += dy^T x */
static void run_w(const struct matmul_backward *p, int item, float *scratch)
{
    struct tile t = tile_of(item, p->w->rows, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dw = p->dw + (size_t)t.row * cols + (size_t)t.column, *dy = scratch + DEPTH * TILE_COLUMNS;
    for (int k = 0; k < p->count; k += DEPTH) {
        int depth = smaller(p->count - k, DEPTH);
        for (int i = 0; i < depth; i++) {
            size_t row = (size_t)(k + i);
            memcpy(scratch + (size_t)i * TILE_COLUMNS, p->x + row * cols + (size_t)t.column,
                (size_t)t.columns * sizeof *scratch);
            memcpy(dy + (size_t)i * TILE_ROWS, p->dy + row * rows + (size_t)t.row, (size_t)t.rows * sizeof *dy);
        }
        kernels.mix(dw, cols, dy, 1, TILE_ROWS, scratch, TILE_COLUMNS, t.rows, depth, t.columns);
    }
}

static void run_bias(const struct matmul_backward *p, int item)
{
    int first = item * BIAS_COLUMNS, n = smaller(p->w->rows - first, BIAS_COLUMNS);
    for (int k = 0; k < p->count; k++)
        kernels.add(p->dbias + first, p->dy + (size_t)k * (size_t)p->w->rows + first, n);
}

static const struct matmul_backward *find_product(const struct backward_batch *b, int item)
{
    int low = 0, high = b->n - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (b->products[middle].first_item <= item)
            low = middle;
        else
            high = middle - 1;
    }
    return &b->products[low];
}

static void run_item(void *job, int item, int thread)
{
    const struct backward_batch *b = job;
    const struct flow_scratch *s = b->f->scratch;
    const struct matmul_backward *p = find_product(b, item);
    float *scratch = scratch_of(s->backward, s->backward_stride, thread);
    item -= p->first_item;
    if (item < p->x_items)
        run_x(p, item, scratch);
    else if (item < p->x_items + p->w_items)
        run_w(p, item - p->x_items, scratch);
    else
        run_bias(p, item - p->x_items - p->w_items);
}

void matmul_backward_run(struct flow *f, struct matmul_backward *products, int n)
{
    struct backward_batch batch = { f, products, n };
    double work = 0;
    int items = 0;
    assert(f->scratch->shape.training);
    for (int i = 0; i < n; i++) {
        struct matmul_backward *p = &products[i];
        int across = parts_of(p->w->cols, TILE_COLUMNS);
        p->first_item = items;
        p->x_items = p->dx ? parts_of(p->count, TILE_ROWS) * across : 0;
        p->w_items = p->dw ? parts_of(p->w->rows, TILE_ROWS) * across : 0;
        p->bias_items = p->dbias ? parts_of(p->w->rows, BIAS_COLUMNS) : 0;
        items += p->x_items + p->w_items + p->bias_items;
        work += (double)p->w->rows * (double)p->w->cols * p->count * ((p->dx ? 1 : 0) + (p->dw ? 1 : 0));
    }
    parallel_run(f, items, work, run_item, &batch);
}
