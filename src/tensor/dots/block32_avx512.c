/* SPDX-License-Identifier: Apache-2.0 */
/* Two blocks of 32 to a vector; where the number of blocks is odd, the last one is paired with zeros. */
#include "tensor/dots/block32.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX512_VNNI

/* A block of any format with scale 0 (mxfp4: 2^-128) and activations 0. */
static const struct q8_1_block zero_block[1];

INLINE __m512i two_256(const void *a, const void *b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load_32(a)), load_32(b), 1);
}

INLINE __m512i load_nibbles(const uint8_t *a, const uint8_t *b)
{
    __m512i packed = _mm512_broadcast_i32x4(load_16(a));
    packed = _mm512_mask_broadcast_i32x4(packed, 0xff00, load_16(b));
    const __m512i shift = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi64(packed, shift), _mm512_set1_epi8(15));
}

/* Where neighbours share a byte. */
INLINE __m512i load_neighbours(const uint8_t *a, const uint8_t *b)
{
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)a);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)b);
    __m512i wide = _mm512_cvtepu8_epi16(_mm256_set_m128i(high, low));
    return _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)), _mm512_set1_epi8(15));
}

INLINE __m512i add_fifth_bits(__m512i nibbles, const uint8_t *a, const uint8_t *b)
{
    uint32_t low, high;
    memcpy(&low, a, sizeof low);
    memcpy(&high, b, sizeof high);
    __mmask64 bits = _cvtu64_mask64(low | (uint64_t)high << 32);
    return _mm512_mask_add_epi8(nibbles, bits, nibbles, _mm512_set1_epi8(16));
}

INLINE __m512i look_up(__m128i table, const enum format_id id, __m512i nibbles)
{
    __m128i shifted = _mm_add_epi8(table, _mm_set1_epi8((char)block32_offset(id)));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(shifted), nibbles);
}

/* Unsigned: the stored value plus block32_offset. */
INLINE __m512i load_weights(const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    if (id == FORMAT_q8_0)
        return _mm512_xor_si512(two_256(a + 2, b + 2), _mm512_set1_epi8((char)128));
    if (id == FORMAT_mxfp4_split)
        return look_up(_mm_setr_epi8(MXFP4_VALUES), id, load_neighbours(a, b));
    __m512i nibbles = load_nibbles(block32_nibbles(id, a), block32_nibbles(id, b));
    switch (id) {
    case FORMAT_q5_0:
    case FORMAT_q5_1: return add_fifth_bits(nibbles, block32_fifth_bits(id, a), block32_fifth_bits(id, b));
    case FORMAT_iq4_nl: return look_up(_mm_setr_epi8(IQ4_NL_VALUES), id, nibbles);
    case FORMAT_mxfp4: return look_up(_mm_setr_epi8(MXFP4_VALUES), id, nibbles);
    default: return nibbles;
    }
}

/* The first in eight lanes, the second in the other eight. */
INLINE __m512 two_f16(const uint8_t *a, const uint8_t *b)
{
    return _mm512_cvtph_ps(_mm256_set_m128i(load_f16(b), load_f16(a)));
}

INLINE __m512 two_f32(float a, float b)
{
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(a), 0xff00, _mm_set_ss(b));
}

INLINE __m512 load_scales(const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    return block32_is_mxfp4(id) ? two_f32(f32_from_e8m0_half(a[0]), f32_from_e8m0_half(b[0])) : two_f16(a, b);
}

/* Two blocks of 32 of every activation row of a tile. */
struct columns {
    __m512i q[TILE_MAX], start[TILE_MAX]; /* start: minus offset times the activations, 16 sums of four */
    __m512 d[TILE_MAX], sum[TILE_MAX];    /* sum: in the first lane of each half, q8_1 only */
};

INLINE void load_column(struct columns *s, const int c, const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    const __m512i zero = _mm512_setzero_si512();
    if (block32_has_min(id)) {
        const struct q8_1_block *p = (const struct q8_1_block *)(const void *)a;
        const struct q8_1_block *q = (const struct q8_1_block *)(const void *)b;
        s->q[c] = two_256(p->q, q->q);
        s->d[c] = two_f32(p->d, q->d);
        s->sum[c] = _mm512_maskz_mov_ps(0x0101, two_f32(p->sum, q->sum));
        s->start[c] = zero;
    } else {
        s->q[c] = two_256(a + 2, b + 2);
        s->d[c] = two_f16(a, b);
        __m512i offset = _mm512_dpbusd_epi32(zero, _mm512_set1_epi8((char)block32_offset(id)), s->q[c]);
        s->start[c] = _mm512_sub_epi32(zero, offset);
    }
}

INLINE void add_products(__m512 acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, size_t block, const uint8_t *x, size_t x_stride, const int two)
{
    const uint8_t *zero = (const uint8_t *)(const void *)zero_block;
    struct columns s;
    UNROLL for (int c = 0; c < C; c++)
    {
        const uint8_t *a = x + (size_t)c * x_stride;
        load_column(&s, c, id, a, two ? a + block32_pair_bytes(id) : zero);
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        const uint8_t *row = w + (size_t)r * w_stride;
        const uint8_t *a = block32_at(id, row, block), *b = two ? block32_at(id, row, block + 1) : zero;
        if (C == 1)
            prefetch(a);
        __m512i q = load_weights(id, a, b);
        __m512 d = load_scales(id, block32_scale_at(id, row, block), two ? block32_scale_at(id, row, block + 1) : zero);
        UNROLL for (int c = 0; c < C; c++)
        {
            __m512 sum = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(s.start[c], q, s.q[c]));
            acc[r][c] = _mm512_fmadd_ps(sum, _mm512_mul_ps(d, s.d[c]), acc[r][c]);
            if (block32_has_min(id))
                acc[r][c] = _mm512_fmadd_ps(two_f16(a + 2, b + 2), s.sum[c], acc[r][c]);
        }
    }
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t x_bytes = block32_pair_bytes(id);
    const size_t blocks = (size_t)n / 32;
    __m512 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    size_t b = 0;
    for (; b + 2 <= blocks; b += 2)
        add_products(acc, id, R, C, w, w_stride, b, x + b * x_bytes, x_stride, 1);
    if (b < blocks)
        add_products(acc, id, R, C, w, w_stride, b, x + b * x_bytes, x_stride, 0);
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_16(acc[r][c]);
}

#define X(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512_VNNI, tile, 4, 4)
BLOCK32_FORMATS(X)
#undef X
