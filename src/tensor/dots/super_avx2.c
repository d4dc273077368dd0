/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/super.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX2

/* Bits [shift, shift + width) of every byte, moved to bit `to`. */
INLINE __m256i bits(__m256i bytes, const int shift, const int width, const int to)
{
    __m256i moved = shift >= to ? _mm256_srli_epi16(bytes, shift - to) : _mm256_slli_epi16(bytes, to - shift);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)(((1 << width) - 1) << to)));
}

/* The 32 values of a part, without their offset. */
INLINE __m256i load_weights(const enum format_id id, const uint8_t *block, const int part)
{
    const struct q2_k_block *q2 = (const struct q2_k_block *)block;
    const struct q3_k_block *q3 = (const struct q3_k_block *)block;
    const struct q4_k_block *q4 = (const struct q4_k_block *)block;
    const struct q5_k_block *q5 = (const struct q5_k_block *)block;
    const struct q6_k_block *q6 = (const struct q6_k_block *)block;
    const int half = part / 4, quarter = part % 4;
    switch (id) {
    case FORMAT_q2_k: return bits(load_32(q2->q + 32 * half), 2 * quarter, 2, 0);
    case FORMAT_q3_k:
        return _mm256_or_si256(
            bits(load_32(q3->q + 32 * half), 2 * quarter, 2, 0), bits(load_32(q3->high), part, 1, 2));
    case FORMAT_q4_k: return bits(load_32(q4->q + 32 * (part / 2)), 4 * (part % 2), 4, 0);
    case FORMAT_q5_k:
        return _mm256_or_si256(
            bits(load_32(q5->q + 32 * (part / 2)), 4 * (part % 2), 4, 0), bits(load_32(q5->high), part, 1, 4));
    default:
        return _mm256_or_si256(bits(load_32(q6->low + 64 * half + 32 * (quarter % 2)), 4 * (quarter / 2), 4, 0),
            bits(load_32(q6->high + 32 * half), 2 * quarter, 2, 4));
    }
}

/* What the 16 groups of a super-block share with its values. */
struct groups {
    __m256i scales; /* of even groups in the lower half, of odd ones in the upper, 16 bits each */
    __m256i mins;   /* in order, 16 bits each */
};

INLINE void load_groups(struct groups *g, const enum format_id id, const uint8_t *block)
{
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    uint32_t words[4];
    __m128i raw;
    g->mins = _mm256_setzero_si256();
    switch (id) {
    case FORMAT_q4_k:
    case FORMAT_q5_k: /* one scale and one min for two groups */
        super_scales8(words, ((const struct q4_k_block *)block)->scales);
        raw = load_16(words);
        g->scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(raw));
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
    g->scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(raw, even_odd));
}

/* The integer sums of one super-block; 8 partial sums of an output. */
INLINE void add_parts(__m256i sum[TILE_MAX][TILE_MAX], const struct groups g[TILE_MAX], const enum format_id id,
    const int R, const int C, const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    UNROLL for (int part = 0; part < 8; part++)
    {
        const __m256i pick = _mm256_set1_epi16((short)(0x0100 + 0x0202 * part));
        __m256i in[TILE_MAX], offset[TILE_MAX];
        UNROLL for (int c = 0; c < C; c++)
        {
            in[c] = load_32(((const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride))->q + 32 * part);
            offset[c] = _mm256_maddubs_epi16(_mm256_set1_epi8((char)super_offset(id)), in[c]);
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            __m256i q = load_weights(id, w + (size_t)r * w_stride, part);
            __m256i scale = _mm256_shuffle_epi8(g[r].scales, pick);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m256i twos = _mm256_sub_epi16(_mm256_maddubs_epi16(q, in[c]), offset[c]);
                sum[r][c] = _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(twos, scale));
            }
        }
    }
}

INLINE void add_products(__m256 acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    __m256i sum[TILE_MAX][TILE_MAX];
    struct groups g[TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
    {
        load_groups(&g[r], id, w + (size_t)r * w_stride);
        UNROLL for (int c = 0; c < C; c++)
            sum[r][c] = _mm256_setzero_si256();
    }
    UNROLL for (int r = 0; r < R && C == 1; r++)
        UNROLL for (size_t i = 0; i < super_bytes(id); i += 64)
            prefetch(w + (size_t)r * w_stride + i);
    add_parts(sum, g, id, R, C, w, w_stride, x, x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        const uint8_t *block = w + (size_t)r * w_stride;
        __m256 d = broadcast_f16(super_scale(id, block));
        UNROLL for (int c = 0; c < C; c++)
        {
            const struct q8_k_block *in = (const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride);
            __m256 dx = _mm256_broadcast_ss(&in->d);
            acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][c]), _mm256_mul_ps(d, dx), acc[r][c]);
            if (super_has_min(id)) {
                __m256 m = broadcast_f16(super_min_scale(id, block));
                __m256i mins = _mm256_madd_epi16(g[r].mins, load_32(in->sums));
                acc[r][c] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(mins), _mm256_mul_ps(m, dx), acc[r][c]);
            }
        }
    }
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    __m256 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_setzero_ps();
    for (int b = 0; b < n / 256; b++)
        add_products(acc, id, R, C, w + (size_t)b * super_bytes(id), w_stride,
            x + (size_t)b * sizeof(struct q8_k_block), x_stride);
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_8(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile, 4, 2)
SUPER_FORMATS(X)
#undef X
