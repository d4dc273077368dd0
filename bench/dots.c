/* SPDX-License-Identifier: Apache-2.0 */
/* How close the matrix kernels come to the machine: for one token (decode) the share of the read bandwidth, for many
 * (prefill) the share of the arithmetic peak. Kernel and probe take turns in one run and on one buffer, so that both
 * see the same clock and the same neighbours; medians, and the best of all turns.
 *     bench-dots [--json] [--cpu LEVEL] [--threads N] [--n COLUMNS] [FORMAT ...] */
#include "base/cpu.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER_BYTES ((size_t)256 << 20) /* beyond any cache that matters */
#define SLICE_BYTES ((size_t)16 << 20)   /* read in one turn: short against the scheduler's, long against a call */
#define TURNS 64
#define PANEL_VALUE_BYTES 72 /* of a panel for each value of a row, at least what any has */
#define COLUMN_VALUE_BYTES 3 /* of a column */
#define BATCH_ROWS 1024
#define ROW_MAX 4096 /* values: so many rows of any format are within a slice */
#define BATCH_MAX 128

struct bench {
    int json, n, threads_max;
    unsigned features;
    unsigned char *buffer, *panel, *columns;
    float *y;
};

struct speeds {
    double median, best;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct speeds summarize(double *per_second, int count)
{
    qsort(per_second, (size_t)count, sizeof *per_second, by_value);
    return (struct speeds) { per_second[count / 2], per_second[count - 1] };
}

static const struct dots_version *best_version(const struct format *f, unsigned features)
{
    const struct dots_version *v = f->dots;
    while (v->needs & ~features)
        v++;
    return v;
}

/* Normal numbers where the format can be written, else the zeros that the buffer holds: no kernel looks. */
static void fill_weights(const struct bench *b, const struct format *f)
{
    float values[256];
    struct random rng;
    size_t part = 4096 * (size_t)f->block_bytes;
    memset(b->buffer, 0, BUFFER_BYTES);
    if (!f->encode)
        return;
    random_seed(&rng, 1);
    for (size_t at = 0; at < part; at += (size_t)f->block_bytes) {
        for (int i = 0; i < f->block; i++)
            values[i] = (float)random_normal(&rng);
        f->encode(b->buffer + at, values, NULL, f->block);
    }
    for (size_t at = part; at < SLICE_BYTES; at += part)
        memcpy(b->buffer + at, b->buffer, SLICE_BYTES - at < part ? SLICE_BYTES - at : part);
    for (size_t at = SLICE_BYTES; at < BUFFER_BYTES; at += SLICE_BYTES) /* blocks begin where slices do */
        memcpy(b->buffer + at, b->buffer, SLICE_BYTES);
}

static void *encode_activations_new(const struct format *pair, int count, int n)
{
    struct random rng;
    float *values = calloc((size_t)n, sizeof *values);
    unsigned char *x = aligned_alloc(64, ((size_t)count * format_row_bytes(pair, n) + 63) / 64 * 64);
    if (!values || !x)
        abort();
    random_seed(&rng, 2);
    for (int c = 0; c < count; c++) {
        for (int i = 0; i < n; i++)
            values[i] = (float)random_normal(&rng);
        pair->encode(x + (size_t)c * format_row_bytes(pair, n), values, NULL, n);
    }
    free(values);
    return x;
}

/* Processor time: on a busy machine the rest of the wall time belongs to others, for kernel and probe alike. */
static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Both return the time of the slowest thread. */
static double time_read(const unsigned char *data, int threads)
{
    const size_t part = SLICE_BYTES / 256 / (size_t)threads * 256;
    double seconds = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(max : seconds)
    for (int t = 0; t < threads; t++) {
        double start = thread_seconds();
        uint64_t sink = probe_read(data + part * (size_t)t, part);
        __asm__ volatile("" : : "r"(sink));
        seconds = thread_seconds() - start;
    }
    return seconds;
}

static double time_dots(const struct bench *b, const struct format *f, dots_fn *run, const unsigned char *w, int rows,
    const void *x, int count, int threads)
{
    size_t stride = format_row_bytes(f, b->n);
    double seconds = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(max : seconds)
    for (int t = 0; t < threads; t++) {
        int first = (int)((int64_t)rows * t / threads), last = (int)((int64_t)rows * (t + 1) / threads);
        double start = thread_seconds();
        run(b->y + first, (size_t)rows, w + (size_t)first * stride, stride, last - first, x,
            format_row_bytes(formats[f->pair], b->n), count, b->n);
        seconds = thread_seconds() - start;
    }
    return seconds;
}

static void report(const struct bench *b, const char *kind, const struct format *f, const char *version, int threads,
    const char *unit, struct speeds got, struct speeds limit)
{
    const char *text = b->json
        ? "{\"bench\":\"dots\",\"kind\":\"%s\",\"format\":\"%s\",\"version\":\"%s\",\"threads\":%d,\"unit\":\"%s\","
          "\"median\":%.2f,\"limit\":%.2f,\"share\":%.3f,\"best\":%.2f,\"best_limit\":%.2f,\"best_share\":%.3f}\n"
        : "%-10s %-7s %-12s %d threads  %-6s median %7.2f of %7.2f (%.2f)   best %7.2f of %7.2f (%.2f)\n";
    printf(text, kind, f->name, version, threads, unit, got.median * 1e-9, limit.median * 1e-9,
        got.median / limit.median, got.best * 1e-9, limit.best * 1e-9, got.best / limit.best);
    fflush(stdout);
}

/* One token: every weight is used once, from memory. */
static void bench_decode(const struct bench *b, const struct format *f, int threads)
{
    const struct dots_version *v = best_version(f, b->features);
    double read[TURNS], dots[TURNS];
    size_t stride = format_row_bytes(f, b->n), slices = BUFFER_BYTES / SLICE_BYTES;
    int rows = (int)(SLICE_BYTES / stride);
    void *x = encode_activations_new(formats[f->pair], 1, b->n);
    for (size_t i = 0; i < TURNS; i++) {
        const unsigned char *mine = b->buffer + 2 * i % slices * SLICE_BYTES;
        const unsigned char *other = b->buffer + (2 * i + 1) % slices * SLICE_BYTES;
        read[i] = (double)SLICE_BYTES / time_read(i / slices % 2 ? mine : other, threads);
        const unsigned char *w = i / slices % 2 ? other : mine;
        dots[i] = (double)((size_t)rows * stride) / time_dots(b, f, v->run, w, rows, x, 1, threads);
    }
    report(b, "decode", f, v->name, threads, "GB/s", summarize(dots, TURNS), summarize(read, TURNS));
    free(x);
}

static double time_peak(const struct bench *b, const struct format *f, double *operations)
{
    const long rounds = 200000;
    double start = thread_seconds();
    *operations = 2 * probe_products(f->pair, rounds, b->features);
    return thread_seconds() - start;
}

/* The whole product by way of panels, packing included. */
static double time_panels(const struct bench *b, const struct format *f, const struct dots_panels *p,
    const unsigned char *w, int rows, const unsigned char *x, int count)
{
    size_t stride = format_row_bytes(f, b->n), x_stride = format_row_bytes(formats[f->pair], b->n);
    size_t column_bytes = p->column_bytes(b->n);
    double start = thread_seconds();
    for (int c = 0; c < count; c++)
        p->pack_column(b->columns + (size_t)c * column_bytes, x + (size_t)c * x_stride, b->n);
    for (int r = 0; r < rows; r += p->rows) {
        int some = rows - r < p->rows ? rows - r : p->rows;
        p->pack_rows(b->panel, w + (size_t)r * stride, stride, some, b->n);
        const struct dots_ahead ahead = { .at = w + (size_t)(r + some) * stride,
            .bytes = (size_t)(rows - r - some < p->rows ? rows - r - some : p->rows) * stride };
        p->multiply(b->y + r, (size_t)rows, b->panel, some, b->columns, column_bytes, count, b->n, ahead);
    }
    return thread_seconds() - start;
}

/* Several tokens, one thread: the weights come from memory, the activations stay in the caches. The peak is that of
 * the unit that multiplies the format's pair. */
static void bench_batch(const struct bench *b, const struct format *f, int count, int panels)
{
    const struct dots_version *v = best_version(f, b->features);
    double peak[TURNS / 4], dots[TURNS / 4], operations;
    const size_t places = BUFFER_BYTES / SLICE_BYTES;
    void *x = encode_activations_new(formats[f->pair], count, b->n);
    char kind[32];
    snprintf(kind, sizeof kind, "%s %d", panels ? "panels" : "dots", count);
    for (size_t i = 0; i < TURNS / 4; i++) {
        const unsigned char *w = b->buffer + i % places * SLICE_BYTES;
        double seconds = time_peak(b, f, &operations);
        peak[i] = operations / seconds;
        operations = 2.0 * BATCH_ROWS * count * b->n;
        dots[i] = operations / (panels ? time_panels(b, f, v->panels, w, BATCH_ROWS, x, count)
                                       : time_dots(b, f, v->run, w, BATCH_ROWS, x, count, 1));
    }
    report(b, kind, f, v->name, 1, "Gop/s", summarize(dots, TURNS / 4), summarize(peak, TURNS / 4));
    free(x);
}

static void bench_batches(const struct bench *b, const struct format *f)
{
    static const int counts[] = { 4, 16, 32, 64, BATCH_MAX };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int panels = 0; panels <= (best_version(f, b->features)->panels != NULL); panels++)
            bench_batch(b, f, counts[i], panels);
}

static int bench_open(struct bench *b, int argc, char **argv, int *first)
{
    *b = (struct bench) { .n = 2048, .threads_max = 2, .features = cpu_features() };
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0) {
            b->json = 1;
            continue;
        }
        int known = 1;
        if (strcmp(argv[i], "--cpu") == 0)
            known = cpu_level(value, &b->features) == 0;
        else if (strcmp(argv[i], "--threads") == 0)
            known = (b->threads_max = (int)strtol(value, NULL, 10)) > 0;
        else if (strcmp(argv[i], "--n") == 0)
            known = (b->n = (int)strtol(value, NULL, 10)) >= 256 && b->n <= ROW_MAX && b->n % 256 == 0;
        else
            known = 0;
        if (!known)
            return -1;
        i++;
    }
    *first = i;
    b->buffer = aligned_alloc(4096, BUFFER_BYTES);
    b->panel = aligned_alloc(64, (size_t)b->n * PANEL_VALUE_BYTES);
    b->columns = aligned_alloc(64, (size_t)b->n * BATCH_MAX * COLUMN_VALUE_BYTES);
    b->y = calloc(SLICE_BYTES / 64 + (size_t)BATCH_ROWS * BATCH_MAX, sizeof *b->y);
    return b->buffer && b->panel && b->columns && b->y ? 0 : -1;
}

static int is_asked(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return count == 0;
}

int main(int argc, char **argv)
{
    struct bench b;
    int first = 0;
    if (bench_open(&b, argc, argv, &first) != 0) {
        fprintf(stderr, "usage: bench-dots [--json] [--cpu LEVEL] [--threads N] [--n COLUMNS] [FORMAT ...]\n");
        return 2;
    }
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        if (!f->dots || !is_asked(f->name, argc - first, argv + first))
            continue;
        fill_weights(&b, f);
        for (int threads = 1; threads <= b.threads_max; threads *= 2)
            bench_decode(&b, f, threads);
        bench_batches(&b, f);
    }
    free(b.buffer);
    free(b.panel);
    free(b.columns);
    free(b.y);
    return 0;
}
