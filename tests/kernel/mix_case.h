/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of kernels that matrix products are made of. */
#ifndef WAZN_TESTS_KERNEL_MIX_CASE_H
#define WAZN_TESTS_KERNEL_MIX_CASE_H

#include "kernel_case.h"

/* turned: the weights of one row of v lie together, not those of one output. */
static inline void check_mix_shape(mix_fn *run, mix_fn *plain, int count, int rows, int n, bool turned)
{
    int v_stride = n + n % 3, y_stride = n + 2, p_stride = turned ? 1 : rows + 3, p_step = turned ? count + 3 : 1;
    float *p = values_new(turned ? rows * p_step : count * p_stride, 0), *v = values_new(rows * v_stride, 1);
    float *start = values_new(count * y_stride, 1);
    size_t size = (size_t)(count * y_stride), stride = (size_t)p_stride, step = (size_t)p_step;
    struct guarded y = guarded_open(size, (size_t)n % 5), expected = guarded_open(size, 0), cut = guarded_open(size, 1);
    memcpy(y.at, start, size * sizeof(float));
    memcpy(expected.at, start, size * sizeof(float));
    memcpy(cut.at, start, size * sizeof(float));
    plain(expected.at, (size_t)y_stride, p, stride, step, v, (size_t)v_stride, count, rows, n);
    run(y.at, (size_t)y_stride, p, stride, step, v, (size_t)v_stride, count, rows, n);
    for (int c = 0; c < count; c++)
        for (int i = 0; i < n; i++) {
            double sum = fabs((double)start[c * y_stride + i]);
            for (int r = 0; r < rows; r++)
                sum += fabs((double)p[c * p_stride + r * p_step] * (double)v[r * v_stride + i]);
            check_near(y.at[c * y_stride + i], expected.at[c * y_stride + i], 2 * sqrt(rows + 1) * sum, 0, i, n);
        }
    int part = n / 3, first = rows / 2;
    for (int c = 0; c < count; c++) {
        float *out = cut.at + c * y_stride;
        const float *weights = p + c * p_stride, *rest = v + first * v_stride;
        run(out, 0, weights, 0, step, v, (size_t)v_stride, 1, first, part);
        run(out + part, 0, weights, 0, step, v + part, (size_t)v_stride, 1, first, n - part);
        run(out, 0, weights + first * p_step, 0, step, rest, (size_t)v_stride, 1, rows - first, n);
    }
    check_same(cut.at, y.at, size * sizeof(float), n);
    guarded_close(&y);
    guarded_close(&expected);
    guarded_close(&cut);
    free(p);
    free(v);
    free(start);
}

static inline void check_mix(mix_fn *run, mix_fn *plain)
{
    for (int n = 1; n <= 70; n++)
        check_mix_shape(run, plain, 1 + n % 17, 1 + n % 11, n, n % 2);
    check_mix_shape(run, plain, 32, 64, 64, false);
    check_mix_shape(run, plain, 3, 64, 80, false);
    check_mix_shape(run, plain, 7, 63, 128, true);
    check_mix_shape(run, plain, 96, 64, 256, true);
    check_mix_shape(run, plain, 1, 1, 4099, false);
}

static inline void check_pair_bf16(pair_bf16_fn *run, pair_bf16_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind++) {
            float *low = values_new(n, kind), *high = values_new(n, kind);
            uint32_t *expected = malloc((size_t)n * sizeof *expected), pair;
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            const float *second = n % 3 ? high : NULL;
            plain(expected, low, second, n);
            run((uint32_t *)(void *)y.at, low, second, n);
            check_same(y.at, expected, (size_t)n * sizeof *expected, n);
            for (int i = 0; i < n; i++) {
                uint16_t halves[2] = { 0, 0 };
                format_bf16.encode(&halves[0], &low[i], NULL, 1);
                if (second)
                    format_bf16.encode(&halves[1], &high[i], NULL, 1);
                pair = halves[0] | (uint32_t)halves[1] << 16;
                check_same(&y.at[i], &pair, sizeof pair, n);
            }
            guarded_close(&y);
            free(low);
            free(high);
            free(expected);
        }
}

static inline uint32_t *pairs_new(int n, int kind)
{
    float *low = values_new(n, kind), *high = values_new(n, kind);
    uint32_t *pairs = malloc((size_t)n * sizeof *pairs);
    assert_non_null(pairs);
    for (int i = 0; i < n; i++) {
        uint16_t halves[2];
        format_bf16.encode(&halves[0], &low[i], NULL, 1);
        format_bf16.encode(&halves[1], &high[i], NULL, 1);
        pairs[i] = halves[0] | (uint32_t)halves[1] << 16;
    }
    free(low);
    free(high);
    return pairs;
}

/* Of both products of a pair: their sum and the sum of their sizes. */
static inline double pair_product(uint32_t a, uint32_t b, double *size)
{
    uint32_t parts[4] = { a << 16, b << 16, a & 0xffff0000u, b & 0xffff0000u };
    float x[4];
    memcpy(x, parts, sizeof x);
    *size += fabs((double)x[0] * (double)x[1]) + fabs((double)x[2] * (double)x[3]);
    return (double)x[0] * (double)x[1] + (double)x[2] * (double)x[3];
}

/* Every version against the exact sum of the products, and against itself with all that may be cut cut. */
static inline void check_mix_bf16_shape(mix_bf16_fn *run, int count, int rows, int n, bool turned)
{
    int v_stride = n + n % 3, y_stride = n + 2, p_stride = turned ? 1 : rows + 3, p_step = turned ? count + 3 : 1;
    uint32_t *p = pairs_new(turned ? rows * p_step : count * p_stride, 0), *v = pairs_new(rows * v_stride, 1);
    float *start = values_new(count * y_stride, 1);
    size_t size = (size_t)(count * y_stride), stride = (size_t)p_stride, step = (size_t)p_step;
    struct guarded y = guarded_open(size, (size_t)n % 5), cut = guarded_open(size, 1);
    memcpy(y.at, start, size * sizeof(float));
    memcpy(cut.at, start, size * sizeof(float));
    run(y.at, (size_t)y_stride, p, stride, step, v, (size_t)v_stride, count, rows, n);
    for (int c = 0; c < count; c++)
        for (int i = 0; i < n; i++) {
            double sum = (double)start[c * y_stride + i], sizes = fabs(sum);
            for (int r = 0; r < rows; r++)
                sum += pair_product(p[c * p_stride + r * p_step], v[r * v_stride + i], &sizes);
            check_near(y.at[c * y_stride + i], (float)sum, 2 * sqrt(2 * rows + 1) * sizes, 0, i, n);
        }
    int part = n / 3, first = rows / 2;
    for (int c = 0; c < count; c++) {
        float *out = cut.at + c * y_stride;
        const uint32_t *weights = p + c * p_stride, *rest = v + first * v_stride;
        run(out, 0, weights, 0, step, v, (size_t)v_stride, 1, first, part);
        run(out + part, 0, weights, 0, step, v + part, (size_t)v_stride, 1, first, n - part);
        run(out, 0, weights + first * p_step, 0, step, rest, (size_t)v_stride, 1, rows - first, n);
    }
    check_same(cut.at, y.at, size * sizeof(float), n);
    guarded_close(&y);
    guarded_close(&cut);
    free(p);
    free(v);
    free(start);
}

static inline void check_mix_bf16(mix_bf16_fn *run, mix_bf16_fn *plain)
{
    (void)plain;
    for (int n = 1; n <= 70; n++)
        check_mix_bf16_shape(run, 1 + n % 17, 1 + n % 11, n, n % 2);
    check_mix_bf16_shape(run, 32, 64, 64, false);
    check_mix_bf16_shape(run, 3, 64, 80, false);
    check_mix_bf16_shape(run, 7, 63, 128, true);
    check_mix_bf16_shape(run, 96, 64, 256, true);
    check_mix_bf16_shape(run, 1, 1, 4099, false);
}

static inline void check_transpose(transpose_fn *run, transpose_fn *plain)
{
    (void)plain;
    for (int rows = 1; rows <= 70; rows++) {
        int columns = 1 + rows * 37 % 71, x_stride = columns + rows % 3, y_stride = rows + rows % 2;
        float *x = values_new(rows * x_stride, 2);
        struct guarded y = guarded_open((size_t)(columns * y_stride), (size_t)rows % 5);
        const uint32_t mark = MARK;
        run(y.at, (size_t)y_stride, x, (size_t)x_stride, rows, columns);
        for (int k = 0; k < columns; k++) {
            for (int i = 0; i < rows; i++)
                check_same(&y.at[k * y_stride + i], &x[i * x_stride + k], sizeof *x, columns);
            for (int i = rows; i < y_stride; i++)
                check_same(&y.at[k * y_stride + i], &mark, sizeof mark, columns);
        }
        guarded_close(&y);
        free(x);
    }
}

#endif
