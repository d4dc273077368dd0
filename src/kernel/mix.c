/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/mix_tile.h"

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

#if defined(__x86_64__)
MIX_TILE(mix, avx512, TARGET_AVX512, float, __m512, __m512, 16, 4, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_loadu_ps,
    _mm512_fmadd_ps, _mm512_set1_ps, __builtin_fmaf)
MIX_TILE(mix, avx2, TARGET_AVX2, float, __m256, __m256, 8, 2, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_loadu_ps,
    _mm256_fmadd_ps, _mm256_set1_ps, __builtin_fmaf)
#elif defined(__aarch64__)
#define NEON_FMA(a, b, sum) vfmaq_f32(sum, a, b)
MIX_TILE(mix, neon, , float, float32x4_t, float32x4_t, 4, 4, vld1q_f32, vst1q_f32, vld1q_f32, NEON_FMA, vdupq_n_f32,
    __builtin_fmaf)
#endif

const struct mix_version mix_versions[] = {
    SIMD_LIST(mix) { "c", 0, mix_c },
};
