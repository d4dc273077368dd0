/* SPDX-License-Identifier: Apache-2.0 */
/* Two parts, 64 values in four groups, to a vector. */
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

/* What the 16 groups of a super-block share with its values. */
struct groups {
    __m512i scales; /* quarter i of the vector holds those of groups i, i + 4, i + 8, i + 12, 16 bits each */
    __m256i mins;   /* in order, 16 bits each */
};

INLINE void load_groups(struct groups *g, const enum format_id id, const uint8_t *block)
{
    const __m256i order = _mm256_setr_epi64x(0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703);
    const __m256i order_of_8 = _mm256_setr_epi64x(0x06040200, 0x06040200, 0x07050301, 0x07050301);
    uint32_t words[4];
    __m128i raw;
    g->mins = _mm256_setzero_si256();
    switch (id) {
    case FORMAT_q4_k:
    case FORMAT_q5_k: /* one scale and one min for two groups */
        super_scales8(words, ((const struct q4_k_block *)block)->scales);
        raw = load_16(words);
        g->scales = _mm512_cvtepu8_epi16(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(raw), order_of_8));
        g->mins = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(raw, raw));
        return;
    case FORMAT_q2_k:
        raw = load_16(((const struct q2_k_block *)block)->scales);
        g->mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(raw, 4), _mm_set1_epi8(15)));
        raw = _mm_and_si128(raw, _mm_set1_epi8(15));
        break;
    case FORMAT_q3_k:
        super_scales16(words, ((const struct q3_k_block *)block)->scales);
        raw = _mm_sub_epi8(load_16(words), _mm_set1_epi8(32));
        break;
    default: raw = load_16(((const struct q6_k_block *)block)->scales);
    }
    g->scales = _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(raw), order));
}

INLINE __m512 wide_f16(const uint8_t *at)
{
    return _mm512_cvtph_ps(_mm256_broadcastsi128_si256(load_f16(at)));
}

/* The integer sums of one super-block; 16 partial sums of an output. */
INLINE void add_parts(__m512i sum[TILE_MAX][TILE_MAX], const struct groups g[TILE_MAX], const enum format_id id,
    const int R, const int C, const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    UNROLL for (int pair = 0; pair < 4; pair++)
    {
        const __m512i pick = _mm512_set1_epi16((short)(0x0100 + 0x0202 * pair));
        __m512i in[TILE_MAX], offset[TILE_MAX];
        UNROLL for (int c = 0; c < C; c++)
        {
            const struct q8_k_block *at = (const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride);
            in[c] = _mm512_loadu_si512(at->q + 64 * pair);
            offset[c] = _mm512_maddubs_epi16(_mm512_set1_epi8((char)super_offset(id)), in[c]);
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            __m512i q = load_weights(id, w + (size_t)r * w_stride, pair);
            __m512i scale = _mm512_shuffle_epi8(g[r].scales, pick);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m512i twos = _mm512_sub_epi16(_mm512_maddubs_epi16(q, in[c]), offset[c]);
                sum[r][c] = _mm512_dpwssd_epi32(sum[r][c], twos, scale);
            }
        }
    }
}

INLINE void add_products(__m512 acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    __m512i sum[TILE_MAX][TILE_MAX];
    struct groups g[TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
    {
        load_groups(&g[r], id, w + (size_t)r * w_stride);
        UNROLL for (int c = 0; c < C; c++)
            sum[r][c] = _mm512_setzero_si512();
    }
    UNROLL for (int r = 0; r < R && C == 1; r++)
        UNROLL for (size_t i = 0; i < super_bytes(id); i += 64)
            prefetch(w + (size_t)r * w_stride + i);
    add_parts(sum, g, id, R, C, w, w_stride, x, x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        const uint8_t *block = w + (size_t)r * w_stride;
        __m512 d = wide_f16(super_scale(id, block));
        UNROLL for (int c = 0; c < C; c++)
        {
            const struct q8_k_block *in = (const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride);
            __m512 dx = _mm512_set1_ps(in->d);
            acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][c]), _mm512_mul_ps(d, dx), acc[r][c]);
            if (super_has_min(id)) {
                __m512 m = wide_f16(super_min_scale(id, block));
                __m256i mins = _mm256_madd_epi16(g[r].mins, load_32(in->sums));
                __m512 minus = _mm512_cvtepi32_ps(_mm512_zextsi256_si512(mins));
                acc[r][c] = _mm512_fnmadd_ps(minus, _mm512_mul_ps(m, dx), acc[r][c]);
            }
        }
    }
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    __m512 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    for (int b = 0; b < n / 256; b++)
        add_products(acc, id, R, C, w + (size_t)b * super_bytes(id), w_stride,
            x + (size_t)b * sizeof(struct q8_k_block), x_stride);
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_16(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512_VNNI, tile, 4, 4, FAR)
SUPER_FORMATS(X)
#undef X
