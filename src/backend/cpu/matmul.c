/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/matmul.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"
#include "tensor/block.h"

#include <assert.h>

#define CHUNK_COLUMNS_MIN 16 /* columns from which on rows as they lie should stay in the second cache, */
#define CHUNK_BYTES 65536    /* so many bytes of them, while the columns pass by; fewer let rows be read in long runs */
#define TILE_BYTES 65536  /* of activations beside them */
#define ROWS_UNIT 16      /* chunks are multiples: a cache line of y belongs to one thread */
#define CHUNKS_PER_THREAD 4
#define PANEL_CHUNKS_PER_THREAD 16 /* chunks may be short where rows need not be read in long runs */

struct matmul_batch {
    struct flow *f;
    struct matmul *products;
    int n;
};

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Weight rows of a chunk. Results do not depend on it. */
static int chunk_rows(const struct matmul *p, int threads)
{
    int unit = p->panels ? p->panels->rows : ROWS_UNIT;
    int64_t chunks = (int64_t)threads * (p->panels ? PANEL_CHUNKS_PER_THREAD : CHUNKS_PER_THREAD);
    int64_t rows = (p->w->rows + chunks - 1) / chunks, most = PART_MAX;
    if (!p->panels && p->count >= CHUNK_COLUMNS_MIN)
        most = CHUNK_BYTES / (int64_t)tensor_row_bytes(p->w);
    rows = round_up(rows < most ? rows : most, unit);
    return (int)(rows < PART_MAX ? rows : PART_MAX);
}

static void choose_kernel(struct matmul *p)
{
    const bool split = p->w->scales;
    const enum format_id id = p->w->format->id;
    p->dots = split ? kernels.mxfp4_split_dots : kernels.dots[id];
    p->pair = p->dots ? formats[p->w->format->pair] : &format_f32;
    p->panels = split ? kernels.mxfp4_split_panels : kernels.panels[id];
    if (!p->dots || !p->panels || p->count < p->panels->columns_min)
        p->panels = NULL;
}

/* The product that holds row (or chunk) `at` of all; `first` are the rising numbers in the products. */
static struct matmul *find_row(const struct matmul_batch *b, int at)
{
    int low = 0, high = b->n - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (b->products[middle].first_row <= at)
            low = middle;
        else
            high = middle - 1;
    }
    return &b->products[low];
}

static struct matmul *find_chunk(const struct matmul_batch *b, int at)
{
    int low = 0, high = b->n - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (b->products[middle].first_chunk <= at)
            low = middle;
        else
            high = middle - 1;
    }
    return &b->products[low];
}

static void encode_row(void *job, int item, int thread)
{
    const struct matmul_batch *b = job;
    const struct flow_scratch *s = b->f->scratch;
    const struct matmul *p = find_row(b, item);
    size_t row = (size_t)(item - p->first_row);
    const float *x = p->x + row * (size_t)p->w->cols;
    unsigned char *out = s->encoded + p->encoded_at + row * p->encoded_stride;
    if (p->panels) {
        float *pair = scratch_of(s->rows, s->rows_stride, thread);
        kernels.encode(p->pair, pair, x, p->w->cols);
        p->panels->pack_column(out, pair, (int)p->w->cols);
    } else {
        kernels.encode(p->pair, out, x, p->w->cols);
    }
}

/* Some rows of a product's weights as the dots want them. */
struct rows {
    const void *w;
    size_t stride;
    struct mxfp4_row list[PART_MAX]; /* of weights in two pieces */
};

static void take_rows(struct rows *rows, const struct tensor *w, int first, int count)
{
    if (!w->scales) {
        rows->w = tensor_row(w, first);
        rows->stride = tensor_stride(w);
        return;
    }
    for (int i = 0; i < count; i++)
        rows->list[i] = (struct mxfp4_row) { tensor_row(w, first + i), tensor_row_scales(w, first + i) };
    rows->w = rows->list;
    rows->stride = sizeof *rows->list;
}

/* Outputs [first, first + rows) of every column, from as many rows at w. */
static void run_dots(const struct matmul *p, dots_fn *dots, const void *w, size_t w_stride, int first, int rows)
{
    int tile = (int)(TILE_BYTES / (p->encoded_stride + 1));
    tile = tile < ROWS_UNIT ? ROWS_UNIT : tile / ROWS_UNIT * ROWS_UNIT;
    for (int t = 0; t < p->count; t += tile) {
        int count = p->count - t < tile ? p->count - t : tile;
        dots(p->y + (size_t)t * (size_t)p->w->rows + first, (size_t)p->w->rows, w, w_stride, rows,
            p->encoded + (size_t)t * p->encoded_stride, p->encoded_stride, count, (int)p->w->cols);
    }
}

static void run_decoded(const struct matmul *p, float *decoded, int first, int rows)
{
    for (int r = 0; r < rows; r += DECODED_ROWS) {
        int some = rows - r < DECODED_ROWS ? rows - r : DECODED_ROWS;
        tensor_decode_rows(decoded, p->w, first + r, some);
        run_dots(p, kernels.dots[FORMAT_f32], decoded, (size_t)p->w->cols * sizeof(float), first + r, some);
    }
}

static void run_panels(const struct matmul *p, float *panel, const struct rows *rows, int first, int count)
{
    const int n = (int)p->w->cols;
    for (int r = 0, some; r < count; r += some) {
        some = count - r < p->panels->rows ? count - r : p->panels->rows;
        const int64_t next = first + r + some, left = p->w->rows - next;
        const struct dots_ahead ahead = { .at = left ? tensor_row(p->w, next) : NULL,
            .bytes = (size_t)(left < some ? left : some) * tensor_stride(p->w) };
        p->panels->pack_rows(panel, (const unsigned char *)rows->w + (size_t)r * rows->stride, rows->stride, some, n);
        p->panels->multiply(p->y + first + r, (size_t)p->w->rows, panel, some, p->encoded, p->encoded_stride, p->count,
            n, ahead);
    }
}

static void add_bias(const struct matmul *p, int first, int rows, float *buffer)
{
    const float *bias = tensor_part(p->bias, p->bias_row, first, rows, buffer);
    for (int t = 0; t < p->count; t++)
        kernels.add(p->y + (size_t)t * (size_t)p->w->rows + first, bias, rows);
}

static void run_chunk(void *job, int item, int thread)
{
    const struct matmul_batch *b = job;
    const struct flow_scratch *s = b->f->scratch;
    const struct matmul *p = find_chunk(b, item);
    int first = (item - p->first_chunk) * p->chunk_rows;
    int count = p->w->rows - first < p->chunk_rows ? (int)p->w->rows - first : p->chunk_rows;
    struct rows rows;
    if (!p->dots) {
        run_decoded(p, scratch_of(s->rows, s->rows_stride, thread), first, count);
    } else {
        take_rows(&rows, p->w, first, count);
        if (p->panels)
            run_panels(p, scratch_of(s->panel, s->panel_stride, thread), &rows, first, count);
        else
            run_dots(p, p->dots, rows.w, rows.stride, first, count);
    }
    if (p->bias)
        add_bias(p, first, count, scratch_of(s->part, s->part_stride, thread));
}

/* Whether p's activations are those of the product before it, in the same form. */
static bool shares_columns(const struct matmul *p, const struct matmul *before)
{
    return p->x == before->x && p->count == before->count && p->w->cols == before->w->cols && p->pair == before->pair
        && (p->panels ? p->panels->pack_column : NULL) == (before->panels ? before->panels->pack_column : NULL);
}

void matmul_run(struct flow *f, struct matmul *products, int n)
{
    struct matmul_batch batch = { f, products, n };
    double encode_work = 0, work = 0;
    int rows = 0, chunks = 0;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        struct matmul *p = &products[i];
        choose_kernel(p);
        p->encoded = (const unsigned char *)p->x;
        p->encoded_stride = format_row_bytes(p->pair, p->w->cols);
        if (p->panels)
            p->encoded_stride = p->panels->column_bytes((int)p->w->cols);
        p->chunk_rows = chunk_rows(p, f->threads);
        p->first_row = rows;
        p->first_chunk = chunks;
        chunks += (int)round_up(p->w->rows, p->chunk_rows) / p->chunk_rows;
        work += (double)p->w->rows * (double)p->w->cols * p->count;
        if (i > 0 && shares_columns(p, p - 1)) {
            p->encoded = p[-1].encoded;
        } else if (p->pair->id != FORMAT_f32) {
            p->encoded_at = used;
            p->encoded = f->scratch->encoded + used;
            used += (size_t)round_up((int64_t)((size_t)p->count * p->encoded_stride), ENCODED_ALIGN);
            rows += p->count;
            encode_work += (double)p->w->cols * p->count;
        }
    }
    assert(used <= f->scratch->encoded_bytes);
    if (encode_work > 0)
        parallel_run(f, rows, encode_work, encode_row, &batch);
    parallel_run(f, chunks, work, run_chunk, &batch);
}
