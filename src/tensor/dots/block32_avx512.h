/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: what the kernels over stored weights and over panels share on AVX-512. Both form
 *     a[j] = fma(sum, d dx, a[j]), then with a minimum a[j] = fma(m, sum of x, a[j]), for blocks j, j + 4, j + 8, ...
 * and y = ((a[0] + a[1]) + a[2]) + a[3]; `sum` is exact. So they give the same bits.
 *
 * Four blocks of four rows are taken at a time. Where a vector has one value for each of these 16, lane 4 j + r belongs
 * to block j of row r. */
#ifndef WAZN_TENSOR_DOTS_BLOCK32_AVX512_H
#define WAZN_TENSOR_DOTS_BLOCK32_AVX512_H

#include "tensor/dots/block32.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX512_VNNI

/* 16 bytes to each quarter of a vector. */
INLINE __m512i four_16(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(a)), load_16(b), 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(c)), load_16(d), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

INLINE __m512i low_nibbles(__m512i packed)
{
    return _mm512_and_si512(packed, _mm512_set1_epi8(15));
}

INLINE __m512i high_nibbles(__m512i packed)
{
    return _mm512_and_si512(_mm512_srli_epi16(packed, 4), _mm512_set1_epi8(15));
}

/* What nibbles stand for plus block32_offset: unsigned. */
INLINE __m512i unsigned_values(const enum format_id id, __m512i nibbles)
{
    if (id != FORMAT_iq4_nl && !block32_is_mxfp4(id))
        return nibbles;
    __m128i table = id == FORMAT_iq4_nl ? _mm_setr_epi8(IQ4_NL_VALUES) : _mm_setr_epi8(MXFP4_VALUES);
    table = _mm_add_epi8(table, _mm_set1_epi8((char)block32_offset(id)));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles);
}

/* The scales of four blocks, `bytes` from one to the next, are within two loads of 64 bytes: the first block's start,
 * and where the second starts. */
INLINE int second_load(const int bytes)
{
    return bytes < 32 ? 4 * bytes - 64 : 64;
}

/* The number of the 16-bit word, of 64 in the two loads, that holds byte `at` of block j. */
INLINE short word_of(const int bytes, const int j, const int at)
{
    int byte = bytes * j + at;
    return (short)(byte < 64 ? byte / 2 : 32 + (byte - second_load(bytes)) / 2);
}

INLINE __m512i word_order(const int bytes, const int at)
{
    const short a = word_of(bytes, 0, at), b = word_of(bytes, 1, at), c = word_of(bytes, 2, at),
                d = word_of(bytes, 3, at);
    return _mm512_castsi256_si512(_mm256_setr_epi16(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d));
}

/* The 16-bit words that hold byte `at` of each of four blocks of four rows. */
INLINE __m256i four_words(const int bytes, const int at, const uint8_t *const row[4])
{
    const __m512i order = word_order(bytes, at);
    __m512i words = _mm512_setzero_si512();
    UNROLL for (int r = 0; r < 4; r++)
    {
        const __mmask32 mine = 0x1111u << r;
        __m512i first = _mm512_loadu_si512(row[r]);
        if (bytes * 3 + at < 64) {
            words = _mm512_mask_permutexvar_epi16(words, mine, order, first);
        } else {
            __m512i second = _mm512_loadu_si512(row[r] + second_load(bytes));
            words = _mm512_mask_mov_epi16(words, mine, _mm512_permutex2var_epi16(first, order, second));
        }
    }
    return _mm512_castsi512_si256(words);
}

/* f32_from_e8m0_half of e << 23: (e - 1) << 23, below 2 a subnormal. */
INLINE __m512 from_e8m0(__m512i e)
{
    __m512i normal = _mm512_sub_epi32(e, _mm512_set1_epi32(1 << 23));
    __m512i tiny = _mm512_add_epi32(_mm512_srli_epi32(e, 2), _mm512_set1_epi32(1 << 21));
    return _mm512_castsi512_ps(_mm512_max_epi32(normal, tiny));
}

/* The scales of four blocks of four rows from the pointers of block32_scale_at. */
INLINE __m512 four_scales(const enum format_id id, const uint8_t *const row[4])
{
    if (id == FORMAT_mxfp4_split) {
        __m128i e = _mm_setr_epi32(
            (int)u32_read(row[0]), (int)u32_read(row[1]), (int)u32_read(row[2]), (int)u32_read(row[3]));
        e = _mm_shuffle_epi8(e, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
        return from_e8m0(_mm512_slli_epi32(_mm512_cvtepu8_epi32(e), 23));
    }
    if (id != FORMAT_mxfp4)
        return _mm512_cvtph_ps(four_words((int)block32_bytes(id), 0, row));
    /* 17 bytes a block: the scale of block j is byte j of word 4 j. */
    const __m512i order = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const __m512i up = _mm512_setr_epi32(23, 23, 23, 23, 15, 15, 15, 15, 7, 7, 7, 7, 31, 31, 31, 31);
    __m512i words = _mm512_setzero_si512();
    UNROLL for (int r = 0; r < 4; r++)
        words = _mm512_mask_permutexvar_epi32(
            words, (__mmask16)(0x1111u << r), order, _mm512_loadu_si512(row[r]));
    return from_e8m0(_mm512_and_si512(_mm512_rolv_epi32(words, up), _mm512_set1_epi32(255 << 23)));
}

/* And the minima, of formats that have them. */
INLINE __m512 four_mins(const enum format_id id, const uint8_t *const row[4])
{
    return _mm512_cvtph_ps(four_words((int)block32_bytes(id), 2, row));
}

/* The last one to three blocks of some rows, with zeros behind them where a fourth is read. */
struct block32_end {
    uint8_t bytes[16][4 * sizeof(struct q8_0_block)], scales[16][4];
    struct mxfp4_row split[16];
};

/* Blocks [first, first + count) of row w become row r of the end; returns it, as w was. */
INLINE const uint8_t *end_add(
    struct block32_end *end, const int r, const enum format_id id, const uint8_t *w, size_t first, size_t count)
{
    memset(end->bytes[r], 0, sizeof end->bytes[r]);
    memcpy(end->bytes[r], block32_at(id, w, first), count * block32_bytes(id));
    if (id != FORMAT_mxfp4_split)
        return end->bytes[r];
    memset(end->scales[r], 0, sizeof end->scales[r]);
    memcpy(end->scales[r], block32_scale_at(id, w, first), count);
    end->split[r] = (struct mxfp4_row) { (const struct mxfp4_split *)(const void *)end->bytes[r], end->scales[r] };
    return (const uint8_t *)(const void *)&end->split[r];
}

#endif
