/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/matmul.h"

#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"
#include "tensor/block.h"

#include <assert.h>

#define CHUNK_BYTES 65536 /* of weights: stays in the second cache while all tokens pass by */
#define TILE_BYTES 65536  /* of activations beside it */
#define ROWS_UNIT 16      /* chunks are multiples: a cache line of y belongs to one thread */
#define CHUNKS_PER_THREAD 4

struct matmul_batch {
    struct flow *f;
    struct matmul *products;
    int n;
};

static int round_up(int64_t n, int unit)
{
    return (int)((n + unit - 1) / unit * unit);
}

/* Weight rows of a chunk. Results do not depend on it. */
static int chunk_rows(const struct matmul *p, int threads)
{
    int64_t rows = CHUNK_BYTES / (int64_t)tensor_row_bytes(p->w);
    int64_t share = p->w->rows / ((int64_t)threads * CHUNKS_PER_THREAD);
    int64_t most = rows < share ? rows : share;
    most = most < PART_MAX ? most : PART_MAX;
    return most < ROWS_UNIT ? ROWS_UNIT : (int)(most / ROWS_UNIT * ROWS_UNIT);
}

/* Its rows are multiplied as they lie; else they are decoded and multiplied as f32. */
static bool has_dots(const struct tensor *w)
{
    return w->scales ? kernels.mxfp4_split_dots != NULL : kernels.dots[w->format->id] != NULL;
}

static const struct format *pair_of(const struct tensor *w)
{
    return has_dots(w) ? formats[w->format->pair] : &format_f32;
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
    const struct matmul *p = find_row(b, item);
    const struct format *pair = pair_of(p->w);
    size_t row = (size_t)(item - p->first_row);
    (void)thread;
    if (pair->id == FORMAT_f32)
        return;
    unsigned char *out = b->f->scratch->encoded + p->encoded_at + row * p->encoded_stride;
    kernels.encode(pair, out, p->x + row * (size_t)p->w->cols, p->w->cols);
}

/* y = rows from `first` on times all activations; w, w_stride: those rows, as `dots` wants them. */
static void dots_tiles(const struct matmul *p, dots_fn *dots, const void *w, size_t w_stride, int first, int rows)
{
    int tile = (int)(TILE_BYTES / (p->encoded_stride + 1));
    tile = tile < ROWS_UNIT ? ROWS_UNIT : tile / ROWS_UNIT * ROWS_UNIT;
    for (int t = 0; t < p->count; t += tile) {
        int count = p->count - t < tile ? p->count - t : tile;
        dots(p->y + (size_t)t * (size_t)p->w->rows + first, (size_t)p->w->rows, w, w_stride, rows,
            p->encoded + (size_t)t * p->encoded_stride, p->encoded_stride, count, (int)p->w->cols);
    }
}

static void dots_split(const struct matmul *p, int first, int rows)
{
    struct mxfp4_row list[ROWS_UNIT];
    for (int r = 0; r < rows; r += ROWS_UNIT) {
        int some = rows - r < ROWS_UNIT ? rows - r : ROWS_UNIT;
        for (int i = 0; i < some; i++)
            list[i] = (struct mxfp4_row) { tensor_row(p->w, first + r + i), tensor_row_scales(p->w, first + r + i) };
        dots_tiles(p, kernels.mxfp4_split_dots, list, sizeof *list, first + r, some);
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
    int rows = p->w->rows - first < p->chunk_rows ? (int)p->w->rows - first : p->chunk_rows;

    if (has_dots(p->w) && p->w->scales) {
        dots_split(p, first, rows);
    } else if (has_dots(p->w)) {
        dots_tiles(p, kernels.dots[p->w->format->id], tensor_row(p->w, first), tensor_stride(p->w), first, rows);
    } else {
        float *decoded = scratch_of(s->rows, s->rows_stride, thread);
        for (int r = 0; r < rows; r += DECODED_ROWS) {
            int some = rows - r < DECODED_ROWS ? rows - r : DECODED_ROWS;
            tensor_decode_rows(decoded, p->w, first + r, some);
            dots_tiles(p, kernels.dots[FORMAT_f32], decoded, (size_t)p->w->cols * sizeof(float), first + r, some);
        }
    }
    if (p->bias)
        add_bias(p, first, rows, scratch_of(s->part, s->part_stride, thread));
}

void matmul_run(struct flow *f, struct matmul *products, int n)
{
    struct matmul_batch batch = { f, products, n };
    double encode_work = 0, work = 0;
    int rows = 0, chunks = 0;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        struct matmul *p = &products[i];
        const struct format *pair = pair_of(p->w);
        p->encoded_stride = format_row_bytes(pair, p->w->cols);
        p->encoded = (const unsigned char *)p->x;
        p->chunk_rows = chunk_rows(p, f->threads);
        p->first_row = rows;
        p->first_chunk = chunks;
        rows += p->count;
        chunks += round_up(p->w->rows, p->chunk_rows) / p->chunk_rows;
        work += (double)p->w->rows * (double)p->w->cols * p->count;
        if (pair->id != FORMAT_f32) {
            p->encoded_at = used;
            p->encoded = f->scratch->encoded + used;
            used += (size_t)p->count * p->encoded_stride;
            encode_work += (double)p->w->cols * p->count;
        }
    }
    assert(used <= f->scratch->encoded_bytes);
    if (encode_work > 0)
        parallel_run(f, rows, encode_work, encode_row, &batch);
    parallel_run(f, chunks, work, run_chunk, &batch);
}
