/* SPDX-License-Identifier: Apache-2.0 */
/* Where the processor multiplies bf16, vdpbf16ps adds both products of a pair to a sum; subnormal factors, products and
 * sums count as zero there. Else numbers are widened to floats and the first of a pair is added first. */
#include "kernel/kernel.h"
#include "kernel/mix_tile.h"

#include "tensor/half.h"

SIMD_BODY float low_of(uint32_t pair)
{
    return f32_from_bits(pair << 16);
}

SIMD_BODY float high_of(uint32_t pair)
{
    return f32_from_bits(pair & 0xffff0000u);
}

static void mix_bf16_c(float *y, size_t y_stride, const uint32_t *p, size_t p_stride, size_t p_step, const uint32_t *v,
    size_t v_stride, int count, int rows, int n)
{
    for (int c = 0; c < count; c++) {
        float *out = y + (size_t)c * y_stride;
        for (int r = 0; r < rows; r++) {
            uint32_t weight = p[(size_t)c * p_stride + (size_t)r * p_step];
            const uint32_t *in = v + (size_t)r * v_stride;
            for (int i = 0; i < n; i++)
                out[i] += low_of(weight) * low_of(in[i]) + high_of(weight) * high_of(in[i]);
        }
    }
}

SIMD_BODY float add_pair(uint32_t p, uint32_t v, float y)
{
    return __builtin_fmaf(high_of(p), high_of(v), __builtin_fmaf(low_of(p), low_of(v), y));
}

#define WIDENED(set, target, vector, words, load_words, set1, shift_left, and_words, as_floats, fma) \
    struct pair_##set { \
        vector low, high; \
    }; \
    target SIMD_BODY struct pair_##set widen_##set(words w) \
    { \
        return (struct pair_##set) { as_floats(shift_left(w, 16)), \
            as_floats(and_words(w, set1((int32_t)0xffff0000))) }; \
    } \
    target SIMD_BODY struct pair_##set take_##set(const uint32_t *v) \
    { \
        return widen_##set(load_words((const void *)v)); \
    } \
    target SIMD_BODY struct pair_##set spread_##set(uint32_t p) \
    { \
        return widen_##set(set1((int32_t)p)); \
    } \
    target SIMD_BODY vector add_##set(struct pair_##set p, struct pair_##set v, vector y) \
    { \
        return fma(p.high, v.high, fma(p.low, v.low, y)); \
    }

#if defined(__x86_64__)
#define TARGET_BF16 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

TARGET_BF16 SIMD_BODY __m512 add_bf16(__m512i p, __m512i v, __m512 y)
{
    return _mm512_dpbf16_ps(y, (__m512bh)v, (__m512bh)p);
}

TARGET_BF16 SIMD_BODY __m512i take_bf16(const uint32_t *v)
{
    return _mm512_loadu_si512(v);
}

TARGET_BF16 SIMD_BODY __m512i spread_bf16(uint32_t p)
{
    return _mm512_set1_epi32((int32_t)p);
}

TARGET_BF16 SIMD_BODY float add_one_bf16(uint32_t p, uint32_t v, float y)
{
    return _mm_cvtss_f32(_mm_dpbf16_ps(_mm_set_ss(y), (__m128bh)_mm_cvtsi32_si128((int32_t)v),
        (__m128bh)_mm_cvtsi32_si128((int32_t)p)));
}

MIX_TILE(mix_bf16, avx512_bf16, TARGET_BF16, uint32_t, __m512, __m512i, 16, 4, _mm512_loadu_ps, _mm512_storeu_ps,
    take_bf16, add_bf16, spread_bf16, add_one_bf16)

WIDENED(avx512, TARGET_AVX512, __m512, __m512i, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_slli_epi32,
    _mm512_and_si512, _mm512_castsi512_ps, _mm512_fmadd_ps)
WIDENED(avx2, TARGET_AVX2, __m256, __m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_slli_epi32,
    _mm256_and_si256, _mm256_castsi256_ps, _mm256_fmadd_ps)
MIX_TILE(mix_bf16, avx512, TARGET_AVX512, uint32_t, __m512, struct pair_avx512, 16, 4, _mm512_loadu_ps,
    _mm512_storeu_ps, take_avx512, add_avx512, spread_avx512, add_pair)
MIX_TILE(mix_bf16, avx2, TARGET_AVX2, uint32_t, __m256, struct pair_avx2, 8, 2, _mm256_loadu_ps, _mm256_storeu_ps,
    take_avx2, add_avx2, spread_avx2, add_pair)
#elif defined(__aarch64__)
#define NEON_FMA(a, b, sum) vfmaq_f32(sum, a, b)
#define NEON_LOAD(at) vreinterpretq_s32_u32(vld1q_u32(at))
WIDENED(neon, , float32x4_t, int32x4_t, NEON_LOAD, vdupq_n_s32, vshlq_n_s32, vandq_s32, vreinterpretq_f32_s32, NEON_FMA)
MIX_TILE(mix_bf16, neon, , uint32_t, float32x4_t, struct pair_neon, 4, 4, vld1q_f32, vst1q_f32, take_neon, add_neon,
    spread_neon, add_pair)
#endif

const struct mix_bf16_version mix_bf16_versions[] = {
#if defined(__x86_64__)
    { "avx512_bf16", CPU_AVX512 | CPU_AVX512_BF16, mix_bf16_avx512_bf16 },
#endif
    SIMD_LIST(mix_bf16) { "c", 0, mix_bf16_c },
};

static void pair_bf16_c(uint32_t *y, const float *low, const float *high, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = bf16_from_f32(low[i]) | (uint32_t)(high ? bf16_from_f32(high[i]) : 0) << 16;
}

SIMD_BODY void pair_bf16_body(uint32_t *y, const float *low, const float *high, int n)
{
    for (int i = 0; high && i < n; i++)
        y[i] = bf16_bits_from_f32(low[i]) >> 16 | (bf16_bits_from_f32(high[i]) & 0xffff0000u);
    for (int i = 0; !high && i < n; i++)
        y[i] = bf16_bits_from_f32(low[i]) >> 16;
}

SIMD_VERSIONS(pair_bf16, (uint32_t *y, const float *low, const float *high, int n), y, low, high, n)

const struct pair_bf16_version pair_bf16_versions[] = {
    SIMD_LIST(pair_bf16) { "c", 0, pair_bf16_c },
};
