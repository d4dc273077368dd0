/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: what the kernels over stored weights and over panels share on AVX-512. Both form
 *     a[j] = fma(sum, d dx, a[j]), then with minima a[j] = fma(-sum of minima, m dx, a[j]),
 * for the super-blocks j, j + 4, j + 8, ... and y = ((a[0] + a[1]) + a[2]) + a[3]; both sums are exact. So they give
 * the same bits. */
#ifndef WAZN_TENSOR_DOTS_SUPER_AVX512_H
#define WAZN_TENSOR_DOTS_SUPER_AVX512_H

#include "tensor/dots/super.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX512_VNNI

/* 32 bytes in both halves; bits [shift, shift + width) of the lower half and [shift + step, ...) of the upper one. */
INLINE __m512i bits_of_two(const uint8_t *at, const int shift, const int step, const int width)
{
    __m512i both = _mm512_broadcast_i64x4(load_32(at));
    __m512i by = _mm512_inserti64x4(_mm512_set1_epi64(shift), _mm256_set1_epi64x(shift + step), 1);
    return _mm512_and_si512(_mm512_srlv_epi64(both, by), _mm512_set1_epi8((char)((1 << width) - 1)));
}

/* Adds `value` where bit 2 pair of the 32 bytes (lower half of the vector) or bit 2 pair + 1 (upper half) is set. */
INLINE __m512i add_high_bits(__m512i low, const uint8_t *high, const int pair, const int value)
{
    __m512i both = _mm512_broadcast_i64x4(load_32(high));
    __m512i bit = _mm512_inserti64x4(
        _mm512_set1_epi8((char)(1 << (2 * pair))), _mm256_set1_epi8((char)(2 << (2 * pair))), 1);
    return _mm512_mask_add_epi8(low, _mm512_test_epi8_mask(both, bit), low, _mm512_set1_epi8((char)value));
}

/* The 64 values of parts 2 pair and 2 pair + 1, without their offset. */
INLINE __m512i load_weights(const enum format_id id, const uint8_t *block, const int pair)
{
    const struct q2_k_block *q2 = (const struct q2_k_block *)block;
    const struct q3_k_block *q3 = (const struct q3_k_block *)block;
    const struct q4_k_block *q4 = (const struct q4_k_block *)block;
    const struct q5_k_block *q5 = (const struct q5_k_block *)block;
    const struct q6_k_block *q6 = (const struct q6_k_block *)block;
    const int half = pair / 2, odd = pair % 2;
    __m512i low;
    switch (id) {
    case FORMAT_q2_k: return bits_of_two(q2->q + 32 * half, 4 * odd, 2, 2);
    case FORMAT_q3_k: return add_high_bits(bits_of_two(q3->q + 32 * half, 4 * odd, 2, 2), q3->high, pair, 4);
    case FORMAT_q4_k: return bits_of_two(q4->q + 32 * pair, 0, 4, 4);
    case FORMAT_q5_k: return add_high_bits(bits_of_two(q5->q + 32 * pair, 0, 4, 4), q5->high, pair, 16);
    default:
        low = _mm512_loadu_si512(q6->low + 64 * half);
        low = _mm512_and_si512(odd ? _mm512_srli_epi16(low, 4) : low, _mm512_set1_epi8(15));
        return _mm512_or_si512(low, _mm512_slli_epi16(bits_of_two(q6->high + 32 * half, 4 * odd, 2, 2), 4));
    }
}

/* 16 bytes: the scales of 16 groups; where two groups share one, the eight scales and then the eight minima. */
INLINE __m128i load_group_bytes(const enum format_id id, const uint8_t *block)
{
    uint32_t words[4];
    switch (id) {
    case FORMAT_q4_k:
    case FORMAT_q5_k: super_scales8(words, ((const struct q4_k_block *)block)->scales); return load_16(words);
    case FORMAT_q2_k:
        return _mm_and_si128(load_16(((const struct q2_k_block *)block)->scales), _mm_set1_epi8(15));
    case FORMAT_q3_k:
        super_scales16(words, ((const struct q3_k_block *)block)->scales);
        return _mm_sub_epi8(load_16(words), _mm_set1_epi8(32));
    default: return load_16(((const struct q6_k_block *)block)->scales);
    }
}

/* The minima of q2_k, one a group. */
INLINE __m128i load_min_bytes(const uint8_t *block)
{
    __m128i raw = load_16(((const struct q2_k_block *)block)->scales);
    return _mm_and_si128(_mm_srli_epi16(raw, 4), _mm_set1_epi8(15));
}

#endif
