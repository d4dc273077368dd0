/* SPDX-License-Identifier: Apache-2.0 */
/* Products over weights as they lie: two blocks of four rows give eight sums in one vector, where lane 4 j + r belongs
 * to block j of row r. Of nibbles a vector holds the low, or the high, ones of two rows' blocks, one row to each half;
 * of bytes it holds one block. */
#include "tensor/dots/block32_avx2.h"

#define ROWS 4
#define COLUMNS 4

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

INLINE struct nibbles load_nibbles(const enum format_id id, const uint8_t *a, const uint8_t *b)
{
    __m256i packed = load_two(block32_nibbles(id, a), block32_nibbles(id, b));
    struct nibbles q = { low_nibbles(packed), high_nibbles(packed) };
    if (id == FORMAT_mxfp4_split) /* neighbours share a byte */
        q = (struct nibbles) { _mm256_unpacklo_epi8(q.low, q.high), _mm256_unpackhi_epi8(q.low, q.high) };
    q = (struct nibbles) { nibble_values(id, q.low), nibble_values(id, q.high) };
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
        __m256i words = load_two_words(block32_fifth_bits(id, a), block32_fifth_bits(id, b));
        q.low = _mm256_or_si256(q.low, fifth_bits(words, 0));
        q.high = _mm256_or_si256(q.high, fifth_bits(words, 16));
    }
    return q;
}

/* The integers of a block of four rows: of bytes four vectors, of nibbles two of each. */
struct weights {
    __m256i bytes[ROWS];
    struct nibbles nibbles[ROWS / 2];
};

INLINE void load_weights(struct weights *q, const enum format_id id, const uint8_t *const row[ROWS], size_t block)
{
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        const uint8_t *at = block32_at(id, row[r], block);
        prefetch(at);
        if (id == FORMAT_q8_0)
            q->bytes[r] = load_32(at + 2);
        else if (r % 2)
            q->nibbles[r / 2] = load_nibbles(id, block32_at(id, row[r - 1], block), at);
    }
}

/* A block of a column: of nibbles the same in both halves. */
struct column {
    __m256i bytes;
    struct nibbles nibbles;
    __m256i offset; /* times the activations, 16 sums of four */
    float d, sum;   /* sum: q8_1 only */
};

INLINE void load_column(struct column *s, const enum format_id id, const uint8_t *at)
{
    const struct q8_1_block *with_sum = (const struct q8_1_block *)(const void *)at;
    const uint8_t *q = block32_has_min(id) ? (const uint8_t *)with_sum->q : at + 2;
    s->d = block32_has_min(id) ? with_sum->d : _mm_cvtss_f32(_mm_cvtph_ps(load_f16(at)));
    s->sum = block32_has_min(id) ? with_sum->sum : 0;
    if (id == FORMAT_q8_0) {
        s->bytes = load_32(q);
        return;
    }
    const __m256i offset = _mm256_set1_epi8((char)(is_signed(id) ? 0 : block32_offset(id)));
    s->nibbles.low = _mm256_broadcastsi128_si256(load_16(q));
    s->nibbles.high = _mm256_broadcastsi128_si256(load_16(q + 16));
    s->offset = _mm256_add_epi16(
        _mm256_maddubs_epi16(offset, s->nibbles.low), _mm256_maddubs_epi16(offset, s->nibbles.high));
}

/* Four sums of eight products for each row: at most 8 * 31 * 127 before the offset is taken off. */
INLINE __m256i dot_nibbles(const enum format_id id, struct nibbles w, const struct column *s)
{
    if (is_signed(id))
        return _mm256_add_epi32(dot_signed(w.low, s->nibbles.low), dot_signed(w.high, s->nibbles.high));
    __m256i sum = _mm256_add_epi16(
        _mm256_maddubs_epi16(w.low, s->nibbles.low), _mm256_maddubs_epi16(w.high, s->nibbles.high));
    return add_pairs(_mm256_sub_epi16(sum, s->offset));
}

/* Parts of a block's sums: of bytes, rows 0 1 2 3 in both halves; of nibbles, rows 0 0 2 2 in one and 1 1 3 3 in the
 * other. */
INLINE __m256i multiply(const enum format_id id, const struct weights *w, const struct column *s)
{
    if (id != FORMAT_q8_0)
        return _mm256_hadd_epi32(dot_nibbles(id, w->nibbles[0], s), dot_nibbles(id, w->nibbles[1], s));
    return _mm256_hadd_epi32(
        _mm256_hadd_epi32(dot_signed(w->bytes[0], s->bytes), dot_signed(w->bytes[1], s->bytes)),
        _mm256_hadd_epi32(dot_signed(w->bytes[2], s->bytes), dot_signed(w->bytes[3], s->bytes)));
}

/* The sums of two blocks, from multiply, in the order of lanes. */
INLINE __m256i sums_of_two(const enum format_id id, __m256i a, __m256i b)
{
    if (id == FORMAT_q8_0)
        return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    return _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

INLINE __m256 two_floats(float a, float b)
{
    return _mm256_set_m128(_mm_set1_ps(b), _mm_set1_ps(a));
}

/* Two blocks from `block` on, or the last one taken twice, of which one counts. */
INLINE void add_products(__m256 acc[COLUMNS], const enum format_id id, const int C, const uint8_t *const row[ROWS],
    size_t block, const uint8_t *x, size_t x_stride, const int count)
{
    const size_t second = block + (size_t)count - 1;
    const uint8_t *scale[8];
    struct weights w[2];
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        scale[r] = block32_scale_at(id, row[r], block);
        scale[4 + r] = block32_scale_at(id, row[r], second);
    }
    load_weights(&w[0], id, row, block);
    load_weights(&w[1], id, row, second);
    const __m256 d = eight_scales(id, scale), m = block32_has_min(id) ? eight_mins(scale) : d;
    UNROLL for (int c = 0; c < C; c++)
    {
        const uint8_t *at = x + (size_t)c * x_stride;
        struct column s[2];
        load_column(&s[0], id, at + block * block32_pair_bytes(id));
        load_column(&s[1], id, at + second * block32_pair_bytes(id));
        __m256 sum = _mm256_cvtepi32_ps(sums_of_two(id, multiply(id, &w[0], &s[0]), multiply(id, &w[1], &s[1])));
        __m256 all = _mm256_fmadd_ps(sum, _mm256_mul_ps(d, two_floats(s[0].d, s[1].d)), acc[c]);
        if (block32_has_min(id))
            all = _mm256_fmadd_ps(m, two_floats(s[0].sum, s[1].sum), all);
        acc[c] = count == 2 ? all : _mm256_blend_ps(acc[c], all, 0x0f);
    }
}

/* A row on its own is taken four times. */
INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t blocks = (size_t)n / 32;
    const uint8_t *const row[ROWS] = { w, w + (R > 1) * w_stride, w + 2 * (R > 1) * w_stride,
        w + 3 * (R > 1) * w_stride };
    __m256 acc[2][COLUMNS]; /* a[0] and a[1] of four rows; a[2] and a[3] */
    UNROLL for (int c = 0; c < C; c++)
        acc[0][c] = acc[1][c] = _mm256_setzero_ps();
    size_t b = 0;
    for (; b + 4 <= blocks; b += 4) {
        add_products(acc[0], id, C, row, b, x, x_stride, 2);
        add_products(acc[1], id, C, row, b + 2, x, x_stride, 2);
    }
    if (b + 2 <= blocks)
        add_products(acc[0], id, C, row, b, x, x_stride, 2);
    if ((blocks - b) % 2)
        add_products(acc[b + 2 <= blocks], id, C, row, blocks - 1, x, x_stride, 1);
    UNROLL for (int c = 0; c < C; c++)
    {
        float sums[4];
        __m128 sum = _mm_add_ps(_mm256_castps256_ps128(acc[0][c]), _mm256_extractf128_ps(acc[0][c], 1));
        sum = _mm_add_ps(_mm_add_ps(sum, _mm256_castps256_ps128(acc[1][c])), _mm256_extractf128_ps(acc[1][c], 1));
        _mm_storeu_ps(sums, sum);
        for (int r = 0; r < R; r++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = sums[r];
    }
}

#define BYTES(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile, 4, 2)
#define NIBBLES(name) DOTS_FROM_TILES(name, avx2, TARGET_AVX2, tile, 4, 4)
BLOCK32_BYTE_FORMATS(BYTES)
BLOCK32_NIBBLE_FORMATS(NIBBLES)
