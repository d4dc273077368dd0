/* SPDX-License-Identifier: Apache-2.0 */
/* Products over weights as they lie: bound by memory for one column. Two parts, 64 values in four groups, to a vector;
 * four super-blocks of four rows give 16 sums in one vector, where lane 4 j + r belongs to super-block j of row r. */
#include "tensor/dots/super_avx512.h"

#define ROWS 4
#define COLUMNS 4

/* What the 16 groups of a super-block share with its values. */
struct groups {
    __m512i scales; /* quarter i of the vector holds those of groups i, i + 4, i + 8, i + 12, 16 bits each */
    __m256i mins;   /* in order, 16 bits each */
};

INLINE void load_groups(struct groups *g, const enum format_id id, const uint8_t *block)
{
    const __m256i order = _mm256_setr_epi64x(0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703);
    const __m256i order_of_8 = _mm256_setr_epi64x(0x06040200, 0x06040200, 0x07050301, 0x07050301);
    __m128i raw = load_group_bytes(id, block);
    __m256i both = _mm256_broadcastsi128_si256(raw);
    g->mins = _mm256_setzero_si256();
    if (id == FORMAT_q4_k || id == FORMAT_q5_k) { /* one scale and one min for two groups */
        g->scales = _mm512_cvtepu8_epi16(_mm256_shuffle_epi8(both, order_of_8));
        g->mins = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(raw, raw));
        return;
    }
    if (id == FORMAT_q2_k)
        g->mins = _mm256_cvtepu8_epi16(load_min_bytes(block));
    g->scales = _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(both, order));
}

INLINE const struct q8_k_block *activations(const uint8_t *x)
{
    return (const struct q8_k_block *)(const void *)x;
}

/* 16 partial sums of an output over one super-block. */
INLINE void add_parts(__m512i sum[ROWS][COLUMNS], const struct groups g[ROWS], const enum format_id id, const int R,
    const int C, const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    UNROLL for (int pair = 0; pair < 4; pair++)
    {
        const __m512i pick = _mm512_set1_epi16((short)(0x0100 + 0x0202 * pair));
        __m512i in[COLUMNS], offset[COLUMNS];
        UNROLL for (int c = 0; c < C; c++)
        {
            in[c] = _mm512_loadu_si512(activations(x + (size_t)c * x_stride)->q + 64 * pair);
            if (super_offset(id))
                offset[c] = _mm512_maddubs_epi16(_mm512_set1_epi8((char)super_offset(id)), in[c]);
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            __m512i q = load_weights(id, w + (size_t)r * w_stride, pair);
            __m512i scale = _mm512_shuffle_epi8(g[r].scales, pick);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m512i twos = _mm512_maddubs_epi16(q, in[c]);
                if (super_offset(id))
                    twos = _mm512_sub_epi16(twos, offset[c]);
                sum[r][c] = _mm512_dpwssd_epi32(sum[r][c], twos, scale);
            }
        }
    }
}

/* Of each quarter of the four vectors one sum: lane 4 j + r is that of quarter j of vector r. */
INLINE __m512i sums_of_quarters(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i e = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i f = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(e, f), _mm512_unpackhi_epi64(e, f));
}

/* The sums of the quarters of four vectors, one to a quarter. */
INLINE __m512i add_quarters(const __m512i v[4])
{
    __m512i a = _mm512_add_epi32(_mm512_shuffle_i64x2(v[0], v[1], 0x44), _mm512_shuffle_i64x2(v[0], v[1], 0xee));
    __m512i b = _mm512_add_epi32(_mm512_shuffle_i64x2(v[2], v[3], 0x44), _mm512_shuffle_i64x2(v[2], v[3], 0xee));
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

/* Up to four super-blocks: of each the sums of four rows in four parts. */
struct sums {
    __m512i values[COLUMNS][4], mins[COLUMNS][4]; /* column, super-block */
    uint16_t d[4][4], m[4][4];                    /* super-block, row */
    float dx[COLUMNS][4];
};

/* One super-block of R rows; a row on its own is taken four times. */
INLINE void multiply_block(struct sums *s, const size_t j, const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    const int last = R - 1;
    struct groups g[ROWS];
    __m512i sum[ROWS][COLUMNS], min[ROWS];
    UNROLL for (int r = 0; r < R; r++)
    {
        const uint8_t *block = w + (size_t)r * w_stride;
        for (size_t i = 0; i < super_bytes(id) && R > 1; i += 64)
            prefetch(block + i);
        load_groups(&g[r], id, block);
        s->d[j][r] = u16_read(super_scale(id, block));
        s->m[j][r] = super_has_min(id) ? u16_read(super_min_scale(id, block)) : 0;
        UNROLL for (int c = 0; c < C; c++)
            sum[r][c] = _mm512_setzero_si512();
    }
    add_parts(sum, g, id, R, C, w, w_stride, x, x_stride);
    UNROLL for (int c = 0; c < C; c++)
    {
        const struct q8_k_block *in = activations(x + (size_t)c * x_stride);
        s->dx[c][j] = in->d;
        s->values[c][j] = sums_of_quarters(sum[0][c], sum[last ? 1 : 0][c], sum[last ? 2 : 0][c], sum[last][c]);
        UNROLL for (int r = 0; r < R; r++)
            min[r] = _mm512_zextsi256_si512(_mm256_madd_epi16(g[r].mins, load_32(in->sums)));
        if (super_has_min(id))
            s->mins[c][j] = sums_of_quarters(min[0], min[last ? 1 : 0], min[last ? 2 : 0], min[last]);
    }
}

INLINE __m512 four_f16(const uint16_t factors[4][4])
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)factors));
}

INLINE void add_products(__m512 acc[COLUMNS], const struct sums *s, const enum format_id id, const int C)
{
    const __m512i to_quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    UNROLL for (int c = 0; c < C; c++)
    {
        __m512 dx = _mm512_permutexvar_ps(to_quarters, _mm512_castps128_ps512(_mm_loadu_ps(s->dx[c])));
        __m512 sum = _mm512_cvtepi32_ps(add_quarters(s->values[c]));
        acc[c] = _mm512_fmadd_ps(sum, _mm512_mul_ps(four_f16(s->d), dx), acc[c]);
        if (super_has_min(id)) {
            __m512 minus = _mm512_cvtepi32_ps(add_quarters(s->mins[c]));
            acc[c] = _mm512_fnmadd_ps(minus, _mm512_mul_ps(four_f16(s->m), dx), acc[c]);
        }
    }
}

INLINE void store_sums(float *y, size_t y_step, const int rows, __m512 acc)
{
    float sums[4];
    _mm_storeu_ps(sums, sum_quarters_in_order(acc));
    for (int r = 0; r < rows; r++)
        y[(size_t)r * y_step] = sums[r];
}

INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t blocks = (size_t)(n / 256);
    __m512 acc[COLUMNS];
    UNROLL for (int c = 0; c < C; c++)
        acc[c] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b += 4) {
        struct sums s;
        if (blocks - b < 4 || R == 1)
            memset(&s, 0, sizeof s);
        for (size_t j = 0; j < 4 && b + j < blocks; j++)
            multiply_block(&s, j, id, R, C, w + (b + j) * super_bytes(id), w_stride,
                x + (b + j) * sizeof(struct q8_k_block), x_stride);
        add_products(acc, &s, id, C);
    }
    UNROLL for (int c = 0; c < C; c++)
        store_sums(y + (size_t)c * y_stride, y_step, R, acc[c]);
}

#define X(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512_VNNI, tile, ROWS, COLUMNS)
SUPER_FORMATS(X)
#undef X
