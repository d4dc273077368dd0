/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static void transpose_c(float *y, size_t y_stride, const float *x, size_t x_stride, int rows, int columns)
{
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++)
            y[(size_t)k * y_stride + (size_t)i] = x[(size_t)i * x_stride + (size_t)k];
}

/* Squares of side by side, from square(y, y_stride, x, x_stride); what is left over one by one. */
#define TRANSPOSE(set, target, side, square) \
    target static void transpose_##set(float *y, size_t y_stride, const float *x, size_t x_stride, int rows, \
        int columns) \
    { \
        const int whole_rows = rows / (side) * (side), whole = columns / (side) * (side); \
        for (int k = 0; k < whole; k += (side)) \
            for (int i = 0; i < whole_rows; i += (side)) \
                square(y + (size_t)k * y_stride + i, y_stride, x + (size_t)i * x_stride + k, x_stride); \
        if (whole < columns) \
            transpose_c(y + (size_t)whole * y_stride, y_stride, x + whole, x_stride, whole_rows, columns - whole); \
        if (whole_rows < rows) \
            transpose_c(y + whole_rows, y_stride, x + (size_t)whole_rows * x_stride, x_stride, rows - whole_rows, \
                columns); \
    }

#if defined(__x86_64__)
TARGET_AVX2 SIMD_BODY void square_avx2(float *y, size_t y_stride, const float *x, size_t x_stride)
{
    __m256 v[8], w[8];
    for (int i = 0; i < 8; i++)
        v[i] = _mm256_loadu_ps(x + (size_t)i * x_stride);
    for (int i = 0; i < 8; i += 2) {
        w[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        w[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { /* rows i to i + 3: two elements of each in either half of a vector */
        v[i] = _mm256_shuffle_ps(w[i], w[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(w[i], w[i + 2], 0xee);
        v[i + 2] = _mm256_shuffle_ps(w[i + 1], w[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(w[i + 1], w[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(y + (size_t)i * y_stride, _mm256_permute2f128_ps(v[i], v[i + 4], 0x20));
        _mm256_storeu_ps(y + (size_t)(i + 4) * y_stride, _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
    }
}

TRANSPOSE(avx2, TARGET_AVX2, 8, square_avx2)
#elif defined(__aarch64__)
SIMD_BODY void square_neon(float *y, size_t y_stride, const float *x, size_t x_stride)
{
    float32x4x2_t a = vtrnq_f32(vld1q_f32(x), vld1q_f32(x + x_stride));
    float32x4x2_t b = vtrnq_f32(vld1q_f32(x + 2 * x_stride), vld1q_f32(x + 3 * x_stride));
    vst1q_f32(y, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
    vst1q_f32(y + y_stride, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
    vst1q_f32(y + 2 * y_stride, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
    vst1q_f32(y + 3 * y_stride, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}

TRANSPOSE(neon, , 4, square_neon)
#endif

const struct transpose_version transpose_versions[] = {
#if defined(__x86_64__)
    { "avx2", CPU_AVX2, transpose_avx2 },
#elif defined(__aarch64__)
    { "neon", CPU_NEON, transpose_neon },
#endif
    { "c", 0, transpose_c },
};
