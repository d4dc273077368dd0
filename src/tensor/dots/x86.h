/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: what the units share on x86-64. */
#ifndef WAZN_TENSOR_DOTS_X86_H
#define WAZN_TENSOR_DOTS_X86_H

#include "tensor/dots/tiles.h"

#include <immintrin.h>
#include <string.h>

#define TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define TARGET_AVX512_BF16 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define TARGET_AVX512_VNNI __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

ALWAYS_INLINE TARGET_AVX2 __m128i load_16(const void *at)
{
    return _mm_loadu_si128(at);
}

ALWAYS_INLINE TARGET_AVX2 __m256i load_32(const void *at)
{
    return _mm256_loadu_si256(at);
}

/* The 16 bits at `at` in all lanes. */
ALWAYS_INLINE TARGET_AVX2 __m128i load_f16(const uint8_t *at)
{
    int16_t half;
    memcpy(&half, at, sizeof half);
    return _mm_set1_epi16(half);
}

ALWAYS_INLINE TARGET_AVX2 __m256 broadcast_f16(const uint8_t *at)
{
    return _mm256_cvtph_ps(load_f16(at));
}

/* Lines of 64 bytes so that all of `ahead` is asked for in `times` times. */
ALWAYS_INLINE void ahead_deal(struct dots_ahead *a, size_t times)
{
    a->lines = times ? (a->bytes + 64 * times - 1) / (64 * times) : 0;
}

/* One time. */
ALWAYS_INLINE void ahead_ask(struct dots_ahead *a)
{
    for (size_t i = 0; i < a->lines; i++)
        __builtin_prefetch((const void *)((uintptr_t)a->at + 64 * i), 0, 3);
    a->at = (const void *)((uintptr_t)a->at + 64 * a->lines);
}

/* What `times` times on a copy have asked for. */
ALWAYS_INLINE void ahead_skip(struct dots_ahead *a, size_t times)
{
    const size_t bytes = 64 * a->lines * times;
    a->at = (const void *)((uintptr_t)a->at + bytes);
    a->bytes = a->bytes > bytes ? a->bytes - bytes : 0;
    a->lines = a->bytes ? a->lines : 0;
}

ALWAYS_INLINE TARGET_AVX2 float sum_of_4(__m128 v)
{
    __m128 s = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

ALWAYS_INLINE TARGET_AVX2 float sum_of_8(__m256 v)
{
    return sum_of_4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

/* ((a + b) + c) + d of the four quarters. */
ALWAYS_INLINE TARGET_AVX512 __m128 sum_quarters_in_order(__m512 v)
{
    __m128 sum = _mm_add_ps(_mm512_castps512_ps128(v), _mm512_extractf32x4_ps(v, 1));
    return _mm_add_ps(_mm_add_ps(sum, _mm512_extractf32x4_ps(v, 2)), _mm512_extractf32x4_ps(v, 3));
}

ALWAYS_INLINE TARGET_AVX512 float sum_of_16(__m512 v)
{
    return sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

#endif
