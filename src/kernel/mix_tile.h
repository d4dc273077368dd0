/* SPDX-License-Identifier: Apache-2.0 */
/* Private to mix.c and mix_bf16.c: how y += p v is cut into tiles of registers. */
#ifndef WAZN_KERNEL_MIX_TILE_H
#define WAZN_KERNEL_MIX_TILE_H

#include "kernel/simd.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define TILE_ROWS 4  /* rows of y by TILE_VECTORS vectors stay in registers while the rows of v pass by; */
#define ROW_WIDTH 64 /* or one row by this many values */

/* A tile is `vectors` vectors of each of `count` rows of y, both known when compiled. Compilers keep such sums in
 * registers reliably only where they are told so with the set's own types. A strip of columns of v meets all rows of y
 * before the next strip: it stays in the nearest cache.
 * `element`: what p and v consist of; `vector`: lanes sums; `factor`: as many factors, made by take (from v) and
 * broadcast (from p). one(p, v, y): the same product and sum alone, to the bit. */
#define MIX_TILE(op, set, target, element, vector, factor, lanes, TILE_VECTORS, load, store, take, multiply_add, \
    broadcast, one) \
    target SIMD_BODY void op##_tile_##set(float *y, size_t y_stride, const element *p, size_t p_stride, size_t p_step, \
        const element *v, size_t v_stride, int rows, const int count, const int vectors) \
    { \
        vector sums[TILE_ROWS][ROW_WIDTH / (lanes)]; \
        for (int c = 0; c < count; c++) \
            for (int k = 0; k < vectors; k++) \
                sums[c][k] = load(y + (size_t)c * y_stride + k * (lanes)); \
        for (int r = 0; r < rows; r++) { \
            factor in[ROW_WIDTH / (lanes)]; \
            for (int k = 0; k < vectors; k++) \
                in[k] = take(v + (size_t)r * v_stride + k * (lanes)); \
            for (int c = 0; c < count; c++) { \
                factor weight = broadcast(p[(size_t)c * p_stride + (size_t)r * p_step]); \
                for (int k = 0; k < vectors; k++) \
                    sums[c][k] = multiply_add(weight, in[k], sums[c][k]); \
            } \
        } \
        for (int c = 0; c < count; c++) \
            for (int k = 0; k < vectors; k++) \
                store(y + (size_t)c * y_stride + k * (lanes), sums[c][k]); \
    } \
    target SIMD_BODY void op##_strip_##set(float *y, size_t y_stride, const element *p, size_t p_stride, \
        size_t p_step, const element *v, size_t v_stride, int count, int rows, const int vectors) \
    { \
        int c = 0; \
        for (; c + TILE_ROWS <= count; c += TILE_ROWS) { \
            for (int next = c + TILE_ROWS; next < count && next < c + 2 * TILE_ROWS; next++) \
                for (int k = 0; k < vectors * (lanes); k += 16) \
                    __builtin_prefetch(y + (size_t)next * y_stride + k, 1, 3); \
            op##_tile_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, \
                v_stride, rows, TILE_ROWS, vectors); \
        } \
        for (; c < count; c++) \
            op##_tile_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, \
                v_stride, rows, 1, vectors); \
    } \
    target SIMD_BODY void op##_strips_##set(float *y, size_t y_stride, const element *p, size_t p_stride, \
        size_t p_step, const element *v, size_t v_stride, int count, int rows, int n, const int vectors) \
    { \
        int i = 0; \
        for (; i + vectors * (lanes) <= n; i += vectors * (lanes)) \
            op##_strip_##set(y + i, y_stride, p, p_stride, p_step, v + i, v_stride, count, rows, vectors); \
        for (; i + (lanes) <= n; i += (lanes)) \
            op##_strip_##set(y + i, y_stride, p, p_stride, p_step, v + i, v_stride, count, rows, 1); \
        for (; i < n; i++) \
            for (int c = 0; c < count; c++) \
                for (int r = 0; r < rows; r++) \
                    y[(size_t)c * y_stride + (size_t)i] = one(p[(size_t)c * p_stride + (size_t)r * p_step], \
                        v[(size_t)r * v_stride + (size_t)i], y[(size_t)c * y_stride + (size_t)i]); \
    } \
    target static void op##_##set(float *y, size_t y_stride, const element *p, size_t p_stride, size_t p_step, \
        const element *v, size_t v_stride, int count, int rows, int n) \
    { \
        if (count >= TILE_ROWS) { \
            op##_strips_##set(y, y_stride, p, p_stride, p_step, v, v_stride, count, rows, n, TILE_VECTORS); \
            return; \
        } \
        for (int c = 0; c < count; c++) \
            op##_strips_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, \
                v_stride, 1, rows, n, ROW_WIDTH / (lanes)); \
    }

#endif
