/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/block32.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX2

/* Eight sums of four products. maddubs wants one side unsigned: the magnitude of w, its sign moved to x. Two
 * products of at most 128 * 127 still fit 16 bits. */
INLINE __m256i dot_signed(__m256i w, __m256i x)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), _mm256_set1_epi16(1));
}

/* q8_0: a vector is a block. */
INLINE void tile_of_bytes(const int R, const int C, TILE_PARAMETERS)
{
    const size_t bytes = sizeof(struct q8_0_block);
    __m256 acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_setzero_ps();
    for (size_t b = 0; b < (size_t)n / 32; b++) {
        __m256i in[TILE_MAX];
        __m256 dx[TILE_MAX];
        UNROLL for (int c = 0; c < C; c++)
        {
            const uint8_t *block = x + (size_t)c * x_stride + b * bytes;
            in[c] = load_32(block + 2);
            dx[c] = broadcast_f16(block);
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            const uint8_t *block = w + (size_t)r * w_stride + b * bytes;
            if (C == 1)
                prefetch(block);
            __m256i q = load_32(block + 2);
            __m256 d = broadcast_f16(block);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m256 sum = _mm256_cvtepi32_ps(dot_signed(q, in[c]));
                acc[r][c] = _mm256_fmadd_ps(sum, _mm256_mul_ps(d, dx[c]), acc[r][c]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_8(acc[r][c]);
}

/* The formats of nibbles: a vector holds the low, or the high, nibbles of two rows' blocks, one row to each half. A row
 * on its own is taken twice. */

struct nibbles {
    __m256i low, high; /* values 0 to 15 and 16 to 31 of both rows */
};

INLINE __m256i load_two(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(a)), load_16(b), 1);
}

/* The four bytes at a in the lower half, those at b in the upper, over and over. */
INLINE __m256i load_two_words(const uint8_t *a, const uint8_t *b)
{
    return _mm256_blend_epi32(_mm256_set1_epi32((int)u32_read(a)), _mm256_set1_epi32((int)u32_read(b)), 0xf0);
}

/* 16 where a bit is set, of the 16 bits from `first` on in each word. */
INLINE __m256i fifth_bits(__m256i words, const int first)
{
    const __m256i bit_of = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    const int64_t byte_of = first / 8 * 0x0101010101010101;
    const __m256i order = _mm256_broadcastsi128_si256(_mm_set_epi64x(byte_of + 0x0101010101010101, byte_of));
    __m256i picked = _mm256_and_si256(_mm256_shuffle_epi8(words, order), bit_of);
    return _mm256_and_si256(_mm256_cmpeq_epi8(picked, bit_of), _mm256_set1_epi8(16));
}

/* iq4_nl stays signed, all others are unsigned, block32_offset too large. */
INLINE int is_signed(const enum format_id id)
{
    return id == FORMAT_iq4_nl;
}

INLINE __m256i look_up(const enum format_id id, __m256i nibbles)
{
    __m128i table = id == FORMAT_iq4_nl ? _mm_setr_epi8(IQ4_NL_VALUES)
                                        : _mm_add_epi8(_mm_setr_epi8(MXFP4_VALUES), _mm_set1_epi8(12));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles);
}

INLINE struct nibbles load_nibbles(const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i packed = load_two(block32_nibbles(id, a), block32_nibbles(id, b));
    struct nibbles q = { _mm256_and_si256(packed, mask), _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask) };
    if (id == FORMAT_mxfp4_split) /* neighbours share a byte */
        q = (struct nibbles) { _mm256_unpacklo_epi8(q.low, q.high), _mm256_unpackhi_epi8(q.low, q.high) };
    if (id == FORMAT_iq4_nl || block32_is_mxfp4(id))
        return (struct nibbles) { look_up(id, q.low), look_up(id, q.high) };
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
        __m256i words = load_two_words(block32_fifth_bits(id, a), block32_fifth_bits(id, b));
        q.low = _mm256_or_si256(q.low, fifth_bits(words, 0));
        q.high = _mm256_or_si256(q.high, fifth_bits(words, 16));
    }
    return q;
}

/* A block's d, or the m behind it (half 1), for both rows. */
INLINE __m256 two_f16(const uint8_t *a, const uint8_t *b, const int half)
{
    __m128i words = _mm_insert_epi32(_mm_cvtsi32_si128((int)u32_read(a)), (int)u32_read(b), 1);
    const int64_t first = 0x0100010001000100 + half * 0x0202020202020202;
    return _mm256_cvtph_ps(_mm_shuffle_epi8(words, _mm_set_epi64x(first + 0x0404040404040404, first)));
}

/* f32_from_e8m0_half for both rows: (e - 1) << 23, below 2 a subnormal. */
INLINE __m256 two_e8m0(const uint8_t *a, const uint8_t *b)
{
    __m256i e = _mm256_blend_epi32(_mm256_set1_epi32(*a), _mm256_set1_epi32(*b), 0xf0);
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), _mm256_min_epu32(e, _mm256_set1_epi32(1)));
    return _mm256_castsi256_ps(_mm256_max_epi32(normal, tiny));
}

INLINE __m256 load_scales(const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    return block32_is_mxfp4(id) ? two_e8m0(a, b) : two_f16(a, b, 0);
}

/* One block of 32 of every activation row of a tile, the same in both halves. */
struct columns {
    struct nibbles q[TILE_MAX];
    __m256i offset[TILE_MAX]; /* times the activations, 16 sums of four */
    __m256 d[TILE_MAX], sum[TILE_MAX]; /* sum: in the first lane of each half, q8_1 only */
};

INLINE void load_columns(struct columns *s, const enum format_id id, const int C, const uint8_t *x, size_t x_stride)
{
    const __m256i offset = _mm256_set1_epi8((char)(is_signed(id) ? 0 : block32_offset(id)));
    UNROLL for (int c = 0; c < C; c++)
    {
        const uint8_t *at = x + (size_t)c * x_stride;
        const struct q8_1_block *with_sum = (const struct q8_1_block *)(const void *)at;
        const void *q = block32_has_min(id) ? (const void *)with_sum->q : at + 2;
        s->q[c].low = _mm256_broadcastsi128_si256(load_16(q));
        s->q[c].high = _mm256_broadcastsi128_si256(load_16((const uint8_t *)q + 16));
        s->offset[c] = _mm256_add_epi16(
            _mm256_maddubs_epi16(offset, s->q[c].low), _mm256_maddubs_epi16(offset, s->q[c].high));
        s->d[c] = block32_has_min(id) ? _mm256_broadcast_ss(&with_sum->d) : broadcast_f16(at);
        s->sum[c] = _mm256_setzero_ps();
        if (block32_has_min(id))
            s->sum[c] = _mm256_blend_ps(s->sum[c], _mm256_broadcast_ss(&with_sum->sum), 0x11);
    }
}

/* Four sums of eight products for each row: at most 8 * 31 * 127 before the offset is taken off. */
INLINE __m256i dot_nibbles(const enum format_id id, struct nibbles w, struct nibbles x, __m256i offset)
{
    if (is_signed(id))
        return _mm256_add_epi32(dot_signed(w.low, x.low), dot_signed(w.high, x.high));
    __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(w.low, x.low), _mm256_maddubs_epi16(w.high, x.high));
    return _mm256_madd_epi16(_mm256_sub_epi16(sum, offset), _mm256_set1_epi16(1));
}

INLINE void tile_of_nibbles(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t x_bytes = block32_pair_bytes(id), other = R == 1 ? 0 : w_stride;
    __m256 acc[TILE_MAX / 2][TILE_MAX];
    UNROLL for (int r = 0; r < R; r += 2)
        UNROLL for (int c = 0; c < C; c++)
            acc[r / 2][c] = _mm256_setzero_ps();
    for (size_t i = 0; i < (size_t)n / 32; i++) {
        struct columns s;
        load_columns(&s, id, C, x + i * x_bytes, x_stride);
        UNROLL for (int r = 0; r < R; r += 2)
        {
            const uint8_t *row_a = w + (size_t)r * w_stride, *row_b = row_a + other;
            const uint8_t *a = block32_at(id, row_a, i), *b = block32_at(id, row_b, i);
            if (C == 1) {
                prefetch(a);
                prefetch(b);
            }
            struct nibbles q = load_nibbles(id, a, b);
            __m256 d = load_scales(id, block32_scale_at(id, row_a, i), block32_scale_at(id, row_b, i));
            UNROLL for (int c = 0; c < C; c++)
            {
                __m256 sum = _mm256_cvtepi32_ps(dot_nibbles(id, q, s.q[c], s.offset[c]));
                acc[r / 2][c] = _mm256_fmadd_ps(sum, _mm256_mul_ps(d, s.d[c]), acc[r / 2][c]);
                if (block32_has_min(id))
                    acc[r / 2][c] = _mm256_fmadd_ps(two_f16(a, b, 1), s.sum[c], acc[r / 2][c]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sum_of_4(
                r % 2 ? _mm256_extractf128_ps(acc[r / 2][c], 1) : _mm256_castps256_ps128(acc[r / 2][c]));
}

#define TILE_OF_BYTES(id, R, C, ...) tile_of_bytes(R, C, __VA_ARGS__)
#define BYTES(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, TILE_OF_BYTES, 4, 2)
#define NIBBLES(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile_of_nibbles, 4, 4)
BLOCK32_BYTE_FORMATS(BYTES)
BLOCK32_NIBBLE_FORMATS(NIBBLES)
