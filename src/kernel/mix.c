/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static void mix_c(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, const float *v,
    size_t v_stride, int count, int rows, int n)
{
    for (int c = 0; c < count; c++) {
        float *out = y + (size_t)c * y_stride;
        for (int r = 0; r < rows; r++) {
            float weight = p[(size_t)c * p_stride + (size_t)r * p_step];
            const float *in = v + (size_t)r * v_stride;
            for (int i = 0; i < n; i++)
                out[i] += weight * in[i];
        }
    }
}

#define TILE_ROWS 4  /* rows of y by TILE_VECTORS vectors stay in registers while the rows of v pass by; */
#define ROW_WIDTH 64 /* or one row by this many values */

/* A tile is `vectors` vectors of each of `count` rows of y, both known when compiled. Compilers keep such sums in
 * registers reliably only where they are told so with the set's own types. A strip of columns of v meets all rows of y
 * before the next strip: it stays in the nearest cache. */
#define MIX_TILE(set, target, vector, lanes, TILE_VECTORS, load, store, multiply_add, broadcast) \
    target SIMD_BODY void tile_##set(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, \
        const float *v, size_t v_stride, int rows, const int count, const int vectors) \
    { \
        vector sums[TILE_ROWS][ROW_WIDTH / (lanes)]; \
        for (int c = 0; c < count; c++) \
            for (int k = 0; k < vectors; k++) \
                sums[c][k] = load(y + (size_t)c * y_stride + k * (lanes)); \
        for (int r = 0; r < rows; r++) { \
            vector in[ROW_WIDTH / (lanes)]; \
            for (int k = 0; k < vectors; k++) \
                in[k] = load(v + (size_t)r * v_stride + k * (lanes)); \
            for (int c = 0; c < count; c++) { \
                vector weight = broadcast(p[(size_t)c * p_stride + (size_t)r * p_step]); \
                for (int k = 0; k < vectors; k++) \
                    sums[c][k] = multiply_add(weight, in[k], sums[c][k]); \
            } \
        } \
        for (int c = 0; c < count; c++) \
            for (int k = 0; k < vectors; k++) \
                store(y + (size_t)c * y_stride + k * (lanes), sums[c][k]); \
    } \
    target SIMD_BODY void strip_##set(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, \
        const float *v, size_t v_stride, int count, int rows, const int vectors) \
    { \
        int c = 0; \
        for (; c + TILE_ROWS <= count; c += TILE_ROWS) \
            tile_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, v_stride, \
                rows, TILE_ROWS, vectors); \
        for (; c < count; c++) \
            tile_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, v_stride, \
                rows, 1, vectors); \
    } \
    target SIMD_BODY void strips_##set(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, \
        const float *v, size_t v_stride, int count, int rows, int n, const int vectors) \
    { \
        int i = 0; \
        for (; i + vectors * (lanes) <= n; i += vectors * (lanes)) \
            strip_##set(y + i, y_stride, p, p_stride, p_step, v + i, v_stride, count, rows, vectors); \
        for (; i + (lanes) <= n; i += (lanes)) \
            strip_##set(y + i, y_stride, p, p_stride, p_step, v + i, v_stride, count, rows, 1); \
        for (; i < n; i++) \
            for (int c = 0; c < count; c++) \
                for (int r = 0; r < rows; r++) \
                    y[(size_t)c * y_stride + (size_t)i] = \
                        __builtin_fmaf(p[(size_t)c * p_stride + (size_t)r * p_step], \
                            v[(size_t)r * v_stride + (size_t)i], y[(size_t)c * y_stride + (size_t)i]); \
    } \
    target static void mix_##set(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, \
        const float *v, size_t v_stride, int count, int rows, int n) \
    { \
        if (count >= TILE_ROWS) { \
            strips_##set(y, y_stride, p, p_stride, p_step, v, v_stride, count, rows, n, TILE_VECTORS); \
            return; \
        } \
        for (int c = 0; c < count; c++) \
            strips_##set(y + (size_t)c * y_stride, y_stride, p + (size_t)c * p_stride, p_stride, p_step, v, v_stride, \
                1, rows, n, ROW_WIDTH / (lanes)); \
    }

#if defined(__x86_64__)
MIX_TILE(avx512, TARGET_AVX512, __m512, 16, 4, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_set1_ps)
MIX_TILE(avx2, TARGET_AVX2, __m256, 8, 2, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_set1_ps)
#elif defined(__aarch64__)
#define NEON_FMA(a, b, sum) vfmaq_f32(sum, a, b)
MIX_TILE(neon, , float32x4_t, 4, 4, vld1q_f32, vst1q_f32, NEON_FMA, vdupq_n_f32)
#endif

const struct mix_version mix_versions[] = {
    SIMD_LIST(mix) { "c", 0, mix_c },
};
