/* SPDX-License-Identifier: Apache-2.0 */
/* Products over panels of 16 rows: bound by arithmetic. */
#include "tensor/dots/block32_avx2.h"
#include "tensor/dots/panels_avx.h"

#define ROWS 16
#define COLUMNS 4

/* 16 rows of a block. */
struct panel_block {
    uint8_t q[8][16][4]; /* four values at a time: signed, or plus block32_offset */
    float d[16];
    float m[16]; /* absent where the format has no minima */
};

/* A block of a column. */
struct column_block {
    int8_t q[32];
    float d;
    union {
        int32_t start; /* minus offset times the sum of q, of unsigned values */
        float sum;     /* q8_1's, of formats with minima */
    };
};

ALWAYS_INLINE size_t panel_block_bytes(const enum format_id id)
{
    return block32_has_min(id) ? sizeof(struct panel_block) : offsetof(struct panel_block, m);
}

/* Packing the columns. */

INLINE void pack_block(struct column_block *to, const enum format_id id, const uint8_t *from)
{
    const struct q8_1_block *q8_1 = (const struct q8_1_block *)(const void *)from;
    const uint8_t *q = block32_has_min(id) ? (const uint8_t *)q8_1->q : from + 2;
    __m256i values = load_32(q);
    if (id == FORMAT_mxfp4_split) { /* where neighbours share a byte: even values, odd values */
        const __m256i order = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
        values = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(values, order), 0xd8);
    }
    _mm256_storeu_si256((__m256i *)(void *)to->q, values);
    if (block32_has_min(id)) {
        to->d = q8_1->d;
        to->sum = q8_1->sum;
    } else {
        __m256i sums = add_pairs(_mm256_maddubs_epi16(_mm256_set1_epi8(1), values));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
        to->d = _mm_cvtss_f32(_mm_cvtph_ps(load_f16(from)));
        to->start = -block32_offset(id) * (_mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 1));
        if (is_signed(id))
            to->start = 0;
    }
}

INLINE void pack_column(const enum format_id id, void *out, const void *x, int n)
{
    struct column_block *to = out;
    const uint8_t *from = x;
    const size_t blocks = (size_t)n / 32;
    for (size_t b = 0; b < blocks; b++)
        pack_block(&to[place_of(b, blocks)], id, from + b * block32_pair_bytes(id));
}

/* Packing the rows. */

/* 16 bytes of eight rows, transposed: vector k has bytes 4 k to 4 k + 3 of all, in order. */
INLINE void transpose(__m256i v[4], const uint8_t *const at[8])
{
    __m256i t[4];
    UNROLL for (int i = 0; i < 4; i++)
        t[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(at[i])), load_16(at[i + 4]), 1);
    __m256i a = _mm256_unpacklo_epi32(t[0], t[1]), b = _mm256_unpacklo_epi32(t[2], t[3]);
    __m256i c = _mm256_unpackhi_epi32(t[0], t[1]), d = _mm256_unpackhi_epi32(t[2], t[3]);
    v[0] = _mm256_unpacklo_epi64(a, b);
    v[1] = _mm256_unpackhi_epi64(a, b);
    v[2] = _mm256_unpacklo_epi64(c, d);
    v[3] = _mm256_unpackhi_epi64(c, d);
}

/* 16 in the bytes whose fifth bits, of values 4 k on, are set. */
INLINE __m256i fifth_bits(__m256i words, const int k)
{
    __m256i bits = _mm256_and_si256(_mm256_srli_epi32(words, 4 * k), _mm256_set1_epi32(15));
    bits = _mm256_mullo_epi32(bits, _mm256_set1_epi32(0x00204081)); /* bit i to bit 8 i */
    return _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x01010101)), 4);
}

INLINE void store(uint8_t (*to)[4], __m256i v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, v);
}

/* The values of a block of eight rows, to lanes `lane` on. */
INLINE void pack_values(struct panel_block *to, const int lane, const enum format_id id, const uint8_t *const row[8])
{
    const uint8_t *at[8];
    __m256i v[4], fifth = _mm256_setzero_si256();
    for (size_t half = 0; half < 2 && id == FORMAT_q8_0; half++) {
        for (int i = 0; i < 8; i++)
            at[i] = row[i] + 2 + 16 * half;
        transpose(v, at);
        UNROLL for (size_t k = 0; k < 4; k++)
            store(&to->q[4 * half + k][lane], v[k]);
    }
    if (id == FORMAT_q8_0)
        return;
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
        uint32_t words[8];
        for (int i = 0; i < 8; i++)
            words[i] = u32_read(block32_fifth_bits(id, row[i]));
        fifth = load_32(words);
    }
    for (int i = 0; i < 8; i++)
        at[i] = block32_nibbles(id, row[i]);
    transpose(v, at);
    UNROLL for (int k = 0; k < 4; k++)
    {
        __m256i low = nibble_values(id, low_nibbles(v[k])), high = nibble_values(id, high_nibbles(v[k]));
        if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
            low = _mm256_or_si256(low, fifth_bits(fifth, k));
            high = _mm256_or_si256(high, fifth_bits(fifth, k + 4));
        }
        store(&to->q[k][lane], low);
        store(&to->q[k + 4][lane], high);
    }
}

/* Where there are fewer rows than 16, the last stands for those that lack. */
INLINE void pack_rows(const enum format_id id, uint8_t *panel, const uint8_t *w, size_t w_stride, int rows, int n)
{
    const size_t blocks = (size_t)n / 32;
    for (size_t b = 0; b < blocks; b++) {
        struct panel_block *to = (struct panel_block *)(void *)(panel + place_of(b, blocks) * panel_block_bytes(id));
        UNROLL for (int lane = 0; lane < ROWS; lane += 8)
        {
            const uint8_t *block[8], *scale[8];
            for (int i = 0; i < 8; i++) {
                const int r = lane + i < rows ? lane + i : rows - 1;
                block[i] = block32_at(id, w + (size_t)r * w_stride, b);
                scale[i] = block32_scale_at(id, w + (size_t)r * w_stride, b);
            }
            pack_values(to, lane, id, block);
            _mm256_storeu_ps(to->d + lane, eight_scales(id, scale));
            if (block32_has_min(id))
                _mm256_storeu_ps(to->m + lane, eight_mins(scale));
        }
    }
}

/* Multiplying. */

enum range { SIGNED, FOUR_BITS, FIVE_BITS }; /* of values: unsigned ones up to 15, or up to 31 */

INLINE __m256i broadcast_4(const int8_t *at)
{
    int32_t four;
    memcpy(&four, at, sizeof four);
    return _mm256_set1_epi32(four);
}

/* sum += products of four values of 16 rows, `steps` times, of which the first are at k. Of unsigned values they are
 * added in 16 bits: eight times 2 * 15 * 127, or four times 2 * 31 * 127. */
INLINE void multiply_steps(__m256i sum[2][COLUMNS], const enum range range, const int C, const struct panel_block *w,
    const struct column_block *const in[COLUMNS], const int k, const int steps)
{
    __m256i words[2][COLUMNS];
    UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int c = 0; c < C; c++)
            words[r][c] = _mm256_setzero_si256();
    UNROLL for (int i = k; i < k + steps; i++)
    {
        const __m256i q[2] = { load_32(w->q[i][0]), load_32(w->q[i][8]) };
        UNROLL for (int c = 0; c < C; c++)
        {
            const __m256i x = broadcast_4(in[c]->q + 4 * i);
            UNROLL for (int r = 0; r < 2; r++)
            {
                if (range == SIGNED)
                    sum[r][c] = _mm256_add_epi32(sum[r][c], dot_signed(q[r], x));
                else
                    words[r][c] = _mm256_add_epi16(words[r][c], _mm256_maddubs_epi16(q[r], x));
            }
        }
    }
    UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int c = 0; c < C && range != SIGNED; c++)
            sum[r][c] = _mm256_add_epi32(sum[r][c], add_pairs(words[r][c]));
}

INLINE void multiply_group(const enum range range, const int has_min, const int C, GROUP_PARAMETERS)
{
    const size_t bytes = has_min ? sizeof(struct panel_block) : offsetof(struct panel_block, m);
    __m256 acc[2][COLUMNS];
    UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; b++, panel += bytes, x += sizeof(struct column_block)) {
        const struct panel_block *w = (const struct panel_block *)(const void *)panel;
        const struct column_block *in[COLUMNS];
        __m256i sum[2][COLUMNS];
        ahead_ask(&ahead);
        UNROLL for (int c = 0; c < C; c++)
        {
            in[c] = (const struct column_block *)(const void *)(x + (size_t)c * x_stride);
            sum[0][c] = sum[1][c] = has_min ? _mm256_setzero_si256() : _mm256_set1_epi32(in[c]->start);
        }
        UNROLL for (int k = 0; k < 8; k += range == FIVE_BITS ? 4 : 8)
            multiply_steps(sum, range, C, w, in, k, range == FIVE_BITS ? 4 : 8);
        UNROLL for (int r = 0; r < 2; r++)
            UNROLL for (int c = 0; c < C; c++)
            {
                __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(w->d + 8 * r), _mm256_set1_ps(in[c]->d));
                acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][c]), scale, acc[r][c]);
                if (has_min)
                    acc[r][c] = _mm256_fmadd_ps(
                        _mm256_loadu_ps(w->m + 8 * r), _mm256_set1_ps(in[c]->sum), acc[r][c]);
            }
    }
    UNROLL for (int r = 0; r < 2; r++)
        UNROLL for (int c = 0; c < C; c++)
            _mm256_storeu_ps(sums[c] + 8 * r, _mm256_add_ps(_mm256_loadu_ps(sums[c] + 8 * r), acc[r][c]));
}

#define SIGNED_GROUP(R, C, ...) multiply_group(SIGNED, 0, C, __VA_ARGS__)
#define FOUR_GROUP(R, C, ...) multiply_group(FOUR_BITS, 0, C, __VA_ARGS__)
#define FIVE_GROUP(R, C, ...) multiply_group(FIVE_BITS, 0, C, __VA_ARGS__)
#define FOUR_MIN_GROUP(R, C, ...) multiply_group(FOUR_BITS, 1, C, __VA_ARGS__)
#define FIVE_MIN_GROUP(R, C, ...) multiply_group(FIVE_BITS, 1, C, __VA_ARGS__)
GROUPS(signed_group, TARGET_AVX2, SIGNED_GROUP, 1)
GROUPS(four_group, TARGET_AVX2, FOUR_GROUP, 1)
GROUPS(five_group, TARGET_AVX2, FIVE_GROUP, 1)
GROUPS(four_min_group, TARGET_AVX2, FOUR_MIN_GROUP, 1)
GROUPS(five_min_group, TARGET_AVX2, FIVE_MIN_GROUP, 1)

#define KIND(name, bytes) \
    static const struct panel_kind name##_kind = { { { GROUP_LIST(name##_group, 1) } }, 1, COLUMNS, bytes, \
        sizeof(struct column_block), 32 }; \
    KIND_FUNCTIONS(name##_kind)
KIND(signed, offsetof(struct panel_block, m))
KIND(four, offsetof(struct panel_block, m))
KIND(five, offsetof(struct panel_block, m))
KIND(four_min, sizeof(struct panel_block))
KIND(five_min, sizeof(struct panel_block))

#define PANELS_AVX2(name, kind) PANELS(name, avx2, TARGET_AVX2, ROWS, kind)
PANELS_AVX2(q8_0, signed_kind)
PANELS_AVX2(iq4_nl, signed_kind)
PANELS_AVX2(q4_0, four_kind)
PANELS_AVX2(mxfp4, five_kind)
PANELS_AVX2(mxfp4_split, five_kind)
PANELS_AVX2(q5_0, five_kind)
PANELS_AVX2(q4_1, four_min_kind)
PANELS_AVX2(q5_1, five_min_kind)
