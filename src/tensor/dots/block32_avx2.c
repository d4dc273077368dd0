/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/block32.h"

#include <immintrin.h>

#define INLINE ALWAYS_INLINE TARGET_AVX2

INLINE __m256i load_nibbles(const uint8_t *q)
{
    __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)q);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* 16 in byte i where bit i is set. */
INLINE __m256i load_fifth_bits(const uint8_t *high)
{
    int32_t bits;
    memcpy(&bits, high, sizeof bits);
    const __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3,
        3, 3, 3, 3, 3, 3);
    const __m256i bit_of = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    __m256i picked = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of), bit_of);
    return _mm256_and_si256(_mm256_cmpeq_epi8(picked, bit_of), _mm256_set1_epi8(16));
}

/* Wide values stay signed: twice 255 times 127 would not fit the 16 bits of a pair's sum. */
INLINE int is_signed(const enum format_id id)
{
    return block32_offset(id) == 128;
}

#define PLUS_12(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    12 + (a), 12 + (b), 12 + (c), 12 + (d), 12 + (e), 12 + (f), 12 + (g), 12 + (h), 12 + (i), 12 + (j), 12 + (k), \
        12 + (l), 12 + (m), 12 + (n), 12 + (o), 12 + (p)
#define APPLY(macro, ...) macro(__VA_ARGS__)

INLINE __m256i load_weights(const enum format_id id, const uint8_t *block)
{
    const uint8_t *q = block32_nibbles(id, block);
    switch (id) {
    case FORMAT_q5_0:
    case FORMAT_q5_1: return _mm256_or_si256(load_nibbles(q), load_fifth_bits(block32_fifth_bits(id, block)));
    case FORMAT_iq4_nl:
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(IQ4_NL_VALUES)), load_nibbles(q));
    case FORMAT_mxfp4:
        return _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(APPLY(_mm_setr_epi8, APPLY(PLUS_12, MXFP4_VALUES))), load_nibbles(q));
    case FORMAT_q8_0: return _mm256_loadu_si256((const __m256i *)(const void *)(block + 2));
    default: return load_nibbles(q);
    }
}

INLINE __m256 broadcast_f16(const uint8_t *at)
{
    int16_t half;
    memcpy(&half, at, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
}

INLINE __m256 load_scale(const enum format_id id, const uint8_t *block)
{
    return id == FORMAT_mxfp4 ? _mm256_set1_ps(f32_from_e8m0_half(block[0])) : broadcast_f16(block);
}

/* Eight partial sums of 32 products. */
INLINE __m256i dot_32(const enum format_id id, __m256i w, __m256i x, __m256i offset)
{
    const __m256i ones = _mm256_set1_epi16(1);
    if (is_signed(id))
        return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), ones);
    return _mm256_madd_epi16(_mm256_sub_epi16(_mm256_maddubs_epi16(w, x), offset), ones);
}

INLINE float sum_of_8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* One block of 32 of every activation row of a tile. */
struct columns {
    __m256i q[TILE_MAX], offset[TILE_MAX]; /* offset: times the activations, 16 sums of two */
    __m256 d[TILE_MAX], sum[TILE_MAX];     /* sum: in the first lane, q8_1 only */
};

INLINE void load_columns(struct columns *s, const enum format_id id, const int C, const uint8_t *x, size_t x_stride)
{
    UNROLL for (int c = 0; c < C; c++)
    {
        const uint8_t *at = x + (size_t)c * x_stride;
        if (block32_has_min(id)) {
            const struct q8_1_block *block = (const struct q8_1_block *)(const void *)at;
            s->q[c] = _mm256_loadu_si256((const __m256i *)(const void *)block->q);
            s->d[c] = _mm256_broadcast_ss(&block->d);
            s->sum[c] = _mm256_insertf128_ps(_mm256_setzero_ps(), _mm_load_ss(&block->sum), 0);
            s->offset[c] = _mm256_setzero_si256();
        } else {
            s->q[c] = _mm256_loadu_si256((const __m256i *)(const void *)(at + 2));
            s->d[c] = broadcast_f16(at);
            s->offset[c] = _mm256_maddubs_epi16(_mm256_set1_epi8((char)block32_offset(id)), s->q[c]);
        }
    }
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    __m256 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_setzero_ps();
    for (int b = 0; b < n / 32; b++) {
        struct columns s;
        load_columns(&s, id, C, x + (size_t)b * block32_pair_bytes(id), x_stride);
        UNROLL for (int r = 0; r < R; r++)
        {
            const uint8_t *block = w + (size_t)r * w_stride + (size_t)b * block32_bytes(id);
            if (C == 1)
                prefetch(block);
            __m256i q = load_weights(id, block);
            __m256 d = load_scale(id, block);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m256 sum = _mm256_cvtepi32_ps(dot_32(id, q, s.q[c], s.offset[c]));
                acc[r][c] = _mm256_fmadd_ps(sum, _mm256_mul_ps(d, s.d[c]), acc[r][c]);
                if (block32_has_min(id))
                    acc[r][c] = _mm256_fmadd_ps(broadcast_f16(block + 2), s.sum[c], acc[r][c]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_8(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile, 4, 2)
BLOCK32_FORMATS(X)
#undef X
