/* SPDX-License-Identifier: Apache-2.0 */
/* Both products are cut into tiles of their output, which are what threads take. A tile's terms come in steps of DEPTH:
 * a step's part of W (decoded) or of x and dy is copied to where it lies close together, and stays in the second cache
 * while kernels.mix adds it to the whole tile; or, rounded, kernels.mix_bf16, to which a term is a pair. */
#include "backend/cpu/matmul_backward.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"
#include "tensor/block.h"
#include "tensor/half.h"

#include <assert.h>
#include <string.h>

#define DEPTH 128        /* terms of a step */
#define TILE_COLUMNS 256 /* of dx or dw; a multiple of every format's block */
#define TILE_ROWS 512    /* at most: for so many the terms' other factor is made ready once */
#define TILE_ROWS_MIN 64 /* where threads would be idle otherwise */
/* A line more than the numbers take: else the same columns of all terms would share a few sets of the nearest cache. */
#define V_STRIDE (TILE_COLUMNS + 16)
#define P_STRIDE (TILE_ROWS + 16)
#define BIAS_COLUMNS 256
#define ITEMS_PER_THREAD 4
#define AHEAD 8 /* rows: parts of rows are too short for hardware to see where they lead; even */

struct backward_batch {
    struct flow *f;
    struct matmul_backward *products;
    int n;
};

struct tile {
    int row, rows, column, columns;
};

/* A thread's scratch: floats, or pairs where products are rounded. */
struct workspace {
    void *v;        /* (DEPTH, V_STRIDE) */
    void *p;        /* (TILE_ROWS, DEPTH) or (DEPTH, P_STRIDE) */
    float *rows[2]; /* (TILE_COLUMNS) */
};

size_t matmul_backward_scratch(void)
{
    return DEPTH * (V_STRIDE + P_STRIDE) + 2 * TILE_COLUMNS;
}

static struct workspace workspace_of(float *scratch)
{
    float *rows = scratch + DEPTH * (V_STRIDE + P_STRIDE);
    return (struct workspace) { scratch, scratch + DEPTH * V_STRIDE, { rows, rows + TILE_COLUMNS } };
}

static int parts_of(int64_t n, int part)
{
    return (int)((n + part - 1) / part);
}

static int smaller(int64_t a, int b)
{
    return a < b ? (int)a : b;
}

static struct tile tile_of(int item, int64_t rows, int most, int64_t columns)
{
    int across = parts_of(columns, TILE_COLUMNS);
    struct tile t = { .row = item / across * most, .column = item % across * TILE_COLUMNS };
    t.rows = smaller(rows - t.row, most);
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
static void run_x(const struct matmul_backward *p, int item, const struct workspace *s)
{
    struct tile t = tile_of(item, p->count, p->x_rows, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dx = p->dx + (size_t)t.row * cols + (size_t)t.column, *v = s->v;
    for (int64_t r = 0; r < p->w->rows; r += DEPTH) {
        int depth = smaller(p->w->rows - r, DEPTH);
        for (int i = 0; i < depth; i++)
            decode_part(v + (size_t)i * V_STRIDE, p->w, r + i, t.column, t.columns);
        kernels.mix(dx, cols, p->dy + (size_t)t.row * rows + (size_t)r, rows, 1, v, V_STRIDE, t.rows, depth,
            t.columns);
    }
}

/* dw[tile] += dy^T x */
static void run_w(const struct matmul_backward *p, int item, const struct workspace *s)
{
    struct tile t = tile_of(item, p->w->rows, p->w_rows, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dw = p->dw + (size_t)t.row * cols + (size_t)t.column, *v = s->v, *dy = s->p;
    for (int k = 0; k < p->count; k += DEPTH) {
        int depth = smaller(p->count - k, DEPTH);
        for (int i = 0; i < depth; i++) {
            size_t row = (size_t)(k + i);
            memcpy(v + (size_t)i * V_STRIDE, p->x + row * cols + (size_t)t.column, (size_t)t.columns * sizeof *v);
            memcpy(dy + (size_t)i * P_STRIDE, p->dy + row * rows + (size_t)t.row, (size_t)t.rows * sizeof *dy);
        }
        kernels.mix(dw, cols, dy, 1, P_STRIDE, v, V_STRIDE, t.rows, depth, t.columns);
    }
}

/* The bytes of a part of a row AHEAD rows, so many bytes apart, behind this one. */
static void ask_ahead(const void *part, size_t stride, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const void *)((uintptr_t)part + AHEAD * stride + i));
}

/* Columns [first, first + n) of rows r and r + 1 of bf16 numbers, as pairs. */
static void weave_rows(uint32_t *out, const struct tensor *w, int64_t r, int64_t first, int n)
{
    const size_t stride = tensor_stride(w);
    const unsigned char *low = (const unsigned char *)tensor_row(w, r) + 2 * first, *high = low + stride;
    ask_ahead(low, stride, 2 * (size_t)n);
    ask_ahead(high, stride, 2 * (size_t)n);
    for (int i = 0; i < n; i++)
        out[i] = u16_read(low + 2 * i) | (uint32_t)u16_read(high + 2 * i) << 16;
}

/* Row r of W and the next (zeros behind the last), as pairs. */
static void pair_rows(uint32_t *out, const struct tensor *w, int64_t r, const struct tile *t, float *const buffers[2])
{
    const bool both = r + 1 < w->rows;
    if (both && w->format->id == FORMAT_bf16) {
        weave_rows(out, w, r, t->column, t->columns);
        return;
    }
    for (int i = 0; i <= both; i++) {
        const size_t stride = tensor_stride(w);
        ask_ahead((const unsigned char *)tensor_row(w, r + i) + format_row_bytes(w->format, t->column), stride,
            format_row_bytes(w->format, t->columns));
        decode_part(buffers[i], w, r + i, t->column, t->columns);
    }
    kernels.pair_bf16(out, buffers[0], both ? buffers[1] : NULL, t->columns);
}

static void run_x_rounded(const struct matmul_backward *p, int item, const struct workspace *s)
{
    struct tile t = tile_of(item, p->count, p->x_rows, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dx = p->dx + (size_t)t.row * cols + (size_t)t.column;
    uint32_t *v = s->v, *dy = s->p;
    for (int64_t r = 0; r < p->w->rows; r += 2 * DEPTH) {
        const int some = smaller(p->w->rows - r, 2 * DEPTH), depth = (some + 1) / 2;
        for (int i = 0; i < depth; i++)
            pair_rows(v + (size_t)i * V_STRIDE, p->w, r + 2 * i, &t, s->rows);
        for (int i = 0; i < t.rows; i++) {
            const float *from = p->dy + (size_t)(t.row + i) * rows + (size_t)r;
            ask_ahead(from, rows * sizeof *from, (size_t)some * sizeof *from);
            dy[(size_t)i * DEPTH + (size_t)depth - 1] = 0;
            kernels.encode(&format_bf16, dy + (size_t)i * DEPTH, from, some);
        }
        kernels.mix_bf16(dx, cols, dy, DEPTH, 1, v, V_STRIDE, t.rows, depth, t.columns);
    }
}

static void run_w_rounded(const struct matmul_backward *p, int item, const struct workspace *s)
{
    struct tile t = tile_of(item, p->w->rows, p->w_rows, p->w->cols);
    size_t rows = (size_t)p->w->rows, cols = (size_t)p->w->cols;
    float *dw = p->dw + (size_t)t.row * cols + (size_t)t.column;
    uint32_t *v = s->v, *pairs = s->p;
    for (int k = 0; k < p->count; k += 2 * DEPTH) {
        const int depth = (smaller(p->count - k, 2 * DEPTH) + 1) / 2;
        for (int i = 0; i < depth; i++) {
            const bool both = k + 2 * i + 1 < p->count;
            const float *x = p->x + (size_t)(k + 2 * i) * cols + (size_t)t.column;
            const float *dy = p->dy + (size_t)(k + 2 * i) * rows + (size_t)t.row;
            for (int l = 0; l <= both; l++) {
                ask_ahead(x + (size_t)l * cols, cols * sizeof *x, (size_t)t.columns * sizeof *x);
                ask_ahead(dy + (size_t)l * rows, rows * sizeof *dy, (size_t)t.rows * sizeof *dy);
            }
            kernels.pair_bf16(v + (size_t)i * V_STRIDE, x, both ? x + cols : NULL, t.columns);
            kernels.pair_bf16(pairs + (size_t)i * P_STRIDE, dy, both ? dy + rows : NULL, t.rows);
        }
        kernels.mix_bf16(dw, cols, pairs, 1, P_STRIDE, v, V_STRIDE, t.rows, depth, t.columns);
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
    const struct workspace w = workspace_of(scratch_of(s->backward, s->backward_stride, thread));
    item -= p->first_item;
    if (item < p->x_items)
        (p->rounded ? run_x_rounded : run_x)(p, item, &w);
    else if (item < p->x_items + p->w_items)
        (p->rounded ? run_w_rounded : run_w)(p, item - p->x_items, &w);
    else
        run_bias(p, item - p->x_items - p->w_items);
}

/* The rule of the header: where the forward rounds activations. Without dots they are multiplied as they are. */
static bool rounds(const struct tensor *w)
{
    return (w->scales ? kernels.mxfp4_split_dots : kernels.dots[w->format->id]) && w->format->pair != FORMAT_f32;
}

/* Rows of a tile: many, as long as there are so many items. Results do not depend on it. */
static int tile_rows(int64_t rows, int across, int items)
{
    int most = parts_of(rows, parts_of(items, across));
    most = most < TILE_ROWS_MIN ? TILE_ROWS_MIN : most;
    return most < TILE_ROWS ? most : parts_of(rows, parts_of(rows, TILE_ROWS));
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
        p->rounded = rounds(p->w);
        p->x_rows = tile_rows(p->count, across, p->dw ? f->threads : ITEMS_PER_THREAD * f->threads);
        p->w_rows = tile_rows(p->w->rows, across, ITEMS_PER_THREAD * f->threads);
        p->x_items = p->dx ? parts_of(p->count, p->x_rows) * across : 0;
        p->w_items = p->dw ? parts_of(p->w->rows, p->w_rows) * across : 0;
        p->bias_items = p->dbias ? parts_of(p->w->rows, BIAS_COLUMNS) : 0;
        items += p->x_items + p->w_items + p->bias_items;
        work += (double)p->w->rows * (double)p->w->cols * p->count * ((p->dx ? 1 : 0) + (p->dw ? 1 : 0));
    }
    parallel_run(f, items, work, run_item, &batch);
}
