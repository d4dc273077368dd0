/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: what the kernels over stored weights and over panels share on AVX2. Both form the sums of
 * block32_avx512.h, in its order: so all of them give the same bits. */
#ifndef WAZN_TENSOR_DOTS_BLOCK32_AVX2_H
#define WAZN_TENSOR_DOTS_BLOCK32_AVX2_H

#include "tensor/dots/block32.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX2

/* Formats that stay signed; all others are unsigned, block32_offset too large. */
INLINE int is_signed(const enum format_id id)
{
    return id == FORMAT_q8_0 || id == FORMAT_iq4_nl;
}

INLINE __m256i add_pairs(__m256i words)
{
    return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}

/* Eight sums of four products. maddubs wants one side unsigned: the magnitude of w, its sign moved to x. Two
 * products of at most 128 * 127 still fit 16 bits. */
INLINE __m256i dot_signed(__m256i w, __m256i x)
{
    return add_pairs(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
}

/* What nibbles stand for: with the offset where the format is not signed. */
INLINE __m256i nibble_values(const enum format_id id, __m256i nibbles)
{
    if (id != FORMAT_iq4_nl && !block32_is_mxfp4(id))
        return nibbles;
    __m128i table = id == FORMAT_iq4_nl ? _mm_setr_epi8(IQ4_NL_VALUES)
                                        : _mm_add_epi8(_mm_setr_epi8(MXFP4_VALUES), _mm_set1_epi8(12));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles);
}

INLINE __m256i low_nibbles(__m256i packed)
{
    return _mm256_and_si256(packed, _mm256_set1_epi8(15));
}

INLINE __m256i high_nibbles(__m256i packed)
{
    return low_nibbles(_mm256_srli_epi16(packed, 4));
}

/* f32_from_e8m0_half: (e - 1) << 23, below 2 a subnormal. */
INLINE __m256 from_e8m0(__m128i bytes)
{
    __m256i e = _mm256_cvtepu8_epi32(bytes);
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), _mm256_min_epu32(e, _mm256_set1_epi32(1)));
    return _mm256_castsi256_ps(_mm256_max_epi32(normal, tiny));
}

/* The scales of eight blocks, from the pointers of block32_scale_at. */
INLINE __m256 eight_scales(const enum format_id id, const uint8_t *const at[8])
{
    if (block32_is_mxfp4(id))
        return from_e8m0(_mm_setr_epi8((char)*at[0], (char)*at[1], (char)*at[2], (char)*at[3], (char)*at[4],
            (char)*at[5], (char)*at[6], (char)*at[7], 0, 0, 0, 0, 0, 0, 0, 0));
    return _mm256_cvtph_ps(_mm_setr_epi16((short)u16_read(at[0]), (short)u16_read(at[1]), (short)u16_read(at[2]),
        (short)u16_read(at[3]), (short)u16_read(at[4]), (short)u16_read(at[5]), (short)u16_read(at[6]),
        (short)u16_read(at[7])));
}

/* And the minima behind them, of formats that have them. */
INLINE __m256 eight_mins(const uint8_t *const at[8])
{
    return _mm256_cvtph_ps(_mm_setr_epi16((short)u16_read(at[0] + 2), (short)u16_read(at[1] + 2),
        (short)u16_read(at[2] + 2), (short)u16_read(at[3] + 2), (short)u16_read(at[4] + 2),
        (short)u16_read(at[5] + 2), (short)u16_read(at[6] + 2), (short)u16_read(at[7] + 2)));
}

#endif
