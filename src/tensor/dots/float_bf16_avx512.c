/* SPDX-License-Identifier: Apache-2.0 */
/* bf16 times bf16 by vdpbf16ps, which adds the products of a pair of neighbours to each of 16 sums; subnormal factors,
 * products and sums count as zero there. Pair p of a row goes to sum p mod 16, in rising p, and
 *     y = ((0 + sum 0) + sum 1) + ... + sum 15;
 * rows are filled with zeros up to a multiple of 32 values. Rows as they lie have their 16 sums in the lanes of one
 * vector. In a panel the lanes are 16 rows, and one walk over the pairs of a group (those of the same number modulo 16)
 * forms one of an output's sums. So both give the same bits. */
#include "tensor/dots/float.h"
#include "tensor/dots/x86.h"

#define INLINE ALWAYS_INLINE TARGET_AVX512_BF16
#define GROUPS 16
#define VALUES (2 * GROUPS) /* of a vector */

INLINE __m512 add_products(__m512 sums, __m512i w, __m512i x)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)w, (__m512bh)x);
}

/* VALUES values, or the `left` that there are, and zeros. */
INLINE __m512i load_values(const uint8_t *at, const size_t left)
{
    uint8_t end[sizeof(__m512i)] = { 0 };
    if (left >= VALUES)
        return _mm512_loadu_si512(at);
    memcpy(end, at, 2 * left);
    return _mm512_loadu_si512(end);
}

ALWAYS_INLINE size_t group_pairs(size_t n)
{
    return (n + VALUES - 1) / VALUES;
}

/* 16 vectors of 16 pairs: vector j gets pair j of all. */
INLINE void transpose(__m512i v[GROUPS])
{
    __m512i t[GROUPS];
    UNROLL for (int i = 0; i < 16; i += 4)
    {
        __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]);
        __m512i c = _mm512_unpackhi_epi32(v[i], v[i + 1]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, b);
        t[i + 1] = _mm512_unpackhi_epi64(a, b);
        t[i + 2] = _mm512_unpacklo_epi64(c, d);
        t[i + 3] = _mm512_unpackhi_epi64(c, d);
    }
    UNROLL for (int i = 0; i < 4; i++) /* quarter q of t[4 f + i]: pair 4 q + i of vectors 4 f to 4 f + 3 */
    {
        __m512i a = _mm512_shuffle_i64x2(t[i], t[i + 4], 0x44), b = _mm512_shuffle_i64x2(t[i], t[i + 4], 0xee);
        __m512i c = _mm512_shuffle_i64x2(t[i + 8], t[i + 12], 0x44);
        __m512i d = _mm512_shuffle_i64x2(t[i + 8], t[i + 12], 0xee);
        v[i] = _mm512_shuffle_i64x2(a, c, 0x88);
        v[i + 4] = _mm512_shuffle_i64x2(a, c, 0xdd);
        v[i + 8] = _mm512_shuffle_i64x2(b, d, 0x88);
        v[i + 12] = _mm512_shuffle_i64x2(b, d, 0xdd);
    }
}

/* Of a panel's group: odd, so that what is packed at a time does not fall into a few sets of the first-level cache. */
ALWAYS_INLINE size_t group_pitch(size_t pairs)
{
    return pairs | 1;
}

/* Rows as they lie. */

#define ROWS 4 /* of a tile, at most */
#define COLUMNS 6

INLINE void add_vectors(__m512 acc[ROWS][COLUMNS], const int R, const int C, const uint8_t *w, size_t w_stride,
    const uint8_t *x, size_t x_stride, const size_t left)
{
    __m512i weights[ROWS];
    UNROLL for (int r = 0; r < R; r++)
        weights[r] = load_values(w + (size_t)r * w_stride, left);
    UNROLL for (int c = 0; c < C; c++)
    {
        __m512i in = load_values(x + (size_t)c * x_stride, left);
        UNROLL for (int r = 0; r < R; r++)
            acc[r][c] = add_products(acc[r][c], weights[r], in);
    }
}

/* (0 + lane 0) + lane 1 ... of 16 vectors at a time. */
INLINE __m512 sums_of_lanes(const __m512 acc[GROUPS])
{
    __m512i v[GROUPS];
    __m512 sum = _mm512_setzero_ps();
    UNROLL for (int i = 0; i < GROUPS; i++)
        v[i] = _mm512_castps_si512(acc[i]);
    transpose(v);
    UNROLL for (int i = 0; i < GROUPS; i++)
        sum = _mm512_add_ps(sum, _mm512_castsi512_ps(v[i]));
    return sum;
}

INLINE void store_sums(float *y, size_t y_stride, size_t y_step, const int R, const int C, __m512 acc[ROWS][COLUMNS])
{
    UNROLL for (int first = 0; first < R * C; first += GROUPS)
    {
        __m512 some[GROUPS];
        float sums[GROUPS];
        UNROLL for (int i = 0; i < GROUPS; i++)
            some[i] = first + i < R * C ? acc[(first + i) % R][(first + i) / R] : _mm512_setzero_ps();
        _mm512_storeu_ps(sums, sums_of_lanes(some));
        for (int i = 0; i < GROUPS && first + i < R * C; i++)
            y[(size_t)((first + i) / R) * y_stride + (size_t)((first + i) % R) * y_step] = sums[i];
    }
}

/* Where several columns meet the rows, the next row of each stream is asked for. */
INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    (void)id;
    __m512 acc[ROWS][COLUMNS];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    size_t left = (size_t)n;
    for (; left >= VALUES; left -= VALUES, w += sizeof(__m512i), x += sizeof(__m512i)) {
        UNROLL for (int r = 0; r < R && C > 1; r++)
            prefetch_behind(w + (size_t)r * w_stride, 2 * (size_t)n);
        add_vectors(acc, R, C, w, w_stride, x, x_stride, VALUES);
    }
    if (left)
        add_vectors(acc, R, C, w, w_stride, x, x_stride, left);
    store_sums(y, y_stride, y_step, R, C, acc);
}

/* One column waits for memory: two streams the hardware fetches best, and better than when it is asked. */
DOTS_FROM_TILES(bf16, avx512_bf16_one, TARGET_AVX512_BF16, tile, 2, 1)
DOTS_FROM_TILES(bf16, avx512_bf16_more, TARGET_AVX512_BF16, tile, ROWS, COLUMNS)

void bf16_dots_avx512_bf16(float *y, size_t y_stride, const void *w, size_t w_stride, int rows, const void *x,
    size_t x_stride, int count, int n)
{
    dots_fn *run = count == 1 ? bf16_dots_avx512_bf16_one : bf16_dots_avx512_bf16_more;
    run(y, y_stride, w, w_stride, rows, x, x_stride, count, n);
}

/* Panels: bound by arithmetic. A panel is 32 rows, or its last one 16: group after group, of each pair first 16 rows,
 * then the other 16. A group is a sixteenth of the panel and stays in the first-level cache while columns pass by. */

#define PANEL_COLUMNS_MIN 12 /* measured; docs/performance.md */
#define WIDE 12 /* with two vectors of rows: as many as the registers hold */
#define WIDE_MAX 96 /* whose sums stay in the first-level cache too */

/* Vectors [i, i + some) of a row, transposed, to a column's copy. */
INLINE void pack_vectors(uint8_t *out, const uint8_t *x, size_t n, size_t i, const size_t some)
{
    __m512i v[GROUPS];
    UNROLL for (size_t j = 0; j < GROUPS; j++)
        v[j] = j < some ? load_values(x + sizeof v[j] * (i + j), n - VALUES * (i + j)) : _mm512_setzero_si512();
    transpose(v);
    UNROLL for (size_t j = 0; j < GROUPS; j++)
        memcpy(out + 4 * (j * group_pairs(n) + i), &v[j], 4 * some);
}

TARGET_AVX512_BF16 static void pack_column(void *out, const void *x, int n)
{
    const size_t vectors = group_pairs((size_t)n);
    size_t i = 0;
    for (; i + 16 <= vectors; i += 16)
        pack_vectors(out, x, (size_t)n, i, 16);
    if (i < vectors)
        pack_vectors(out, x, (size_t)n, i, vectors - i);
}

/* Half a panel, of 16 rows or fewer; step: vectors from one of its pairs to the next. */
INLINE void pack_half(__m512i *panel, size_t step, const uint8_t *w, size_t w_stride, int rows, size_t n)
{
    const size_t pairs = group_pairs(n);
    for (size_t i = 0; i < pairs; i++) {
        __m512i v[GROUPS];
        UNROLL for (int r = 0; r < 16; r++)
            v[r] = r < rows ? load_values(w + (size_t)r * w_stride + sizeof v[r] * i, n - VALUES * i)
                            : _mm512_setzero_si512();
        transpose(v);
        UNROLL for (size_t j = 0; j < GROUPS; j++)
            _mm512_store_si512(&panel[(j * group_pitch(pairs) + i) * step], v[j]);
    }
}

TARGET_AVX512_BF16 static void pack_rows(void *panel, const void *w, size_t w_stride, int rows, int n)
{
    __m512i *to = panel;
    pack_half(to, rows > 16 ? 2 : 1, w, w_stride, rows < 16 ? rows : 16, (size_t)n);
    if (rows > 16)
        pack_half(to + 1, 2, (const uint8_t *)w + 16 * w_stride, w_stride, rows - 16, (size_t)n);
}

#define GROUP_PARAMETERS \
    float (*sums)[32], const __m512i *panel, const uint8_t *x, size_t x_stride, size_t pairs, struct dots_ahead ahead
typedef void group_fn(GROUP_PARAMETERS);

/* A group of R halves of a panel times C columns, added to the sums of the groups before. */
INLINE void multiply_group(const int R, const int C, GROUP_PARAMETERS)
{
    __m512 acc[2][WIDE];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    for (size_t i = 0; i < pairs; i++, panel += R, x += 4) {
        __m512i weights[2];
        ahead_ask(&ahead);
        UNROLL for (int r = 0; r < R; r++)
            weights[r] = _mm512_load_si512(&panel[r]);
        UNROLL for (int c = 0; c < C; c++)
        {
            int32_t pair;
            memcpy(&pair, x + (size_t)c * x_stride, sizeof pair);
            UNROLL for (int r = 0; r < R; r++)
                acc[r][c] = add_products(acc[r][c], weights[r], _mm512_set1_epi32(pair));
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            _mm512_storeu_ps(sums[c] + 16 * r, _mm512_add_ps(_mm512_loadu_ps(sums[c] + 16 * r), acc[r][c]));
}

#define WIDTHS(X, R) \
    X(R, 1) X(R, 2) X(R, 3) X(R, 4) X(R, 5) X(R, 6) X(R, 7) X(R, 8) X(R, 9) X(R, 10) X(R, 11) X(R, 12)
#define GROUP(R, C) \
    TARGET_AVX512_BF16 static void group_##R##_##C(GROUP_PARAMETERS) \
    { \
        multiply_group(R, C, sums, panel, x, x_stride, pairs, ahead); \
    }
#define NAME(R, C) group_##R##_##C,
WIDTHS(GROUP, 1)
WIDTHS(GROUP, 2)
static group_fn *const groups[2][WIDE] = { { WIDTHS(NAME, 1) }, { WIDTHS(NAME, 2) } };

/* At most WIDE_MAX columns, dealt evenly to as few tiles as can hold them. */
INLINE void multiply_columns(float *y, size_t y_stride, const __m512i *panel, int rows, const uint8_t *x,
    size_t x_stride, int count, size_t pairs, struct dots_ahead *ahead)
{
    float sums[WIDE_MAX][32];
    const int halves = (rows + 15) / 16, tiles = (count + WIDE - 1) / WIDE;
    memset(sums, 0, (size_t)count * sizeof sums[0]);
    for (size_t j = 0; j < GROUPS; j++, panel += group_pitch(pairs) * (size_t)halves, x += 4 * pairs) {
        for (int tile = 0, c = 0, wide; tile < tiles; tile++, c += wide) {
            wide = (count - c) / (tiles - tile);
            groups[halves - 1][wide - 1](&sums[c], panel, x + (size_t)c * x_stride, x_stride, pairs, *ahead);
            ahead_skip(ahead, pairs);
        }
    }
    for (int c = 0; c < count; c++)
        memcpy(y + (size_t)c * y_stride, sums[c], (size_t)rows * sizeof(float));
}

TARGET_AVX512_BF16 static void multiply(float *y, size_t y_stride, const void *panel, int rows, const void *columns,
    size_t x_stride, int count, int n, struct dots_ahead ahead)
{
    const size_t pairs = group_pairs((size_t)n);
    ahead_deal(&ahead, GROUPS * pairs * (size_t)(count / WIDE + 1));
    for (int c = 0; c < count; c += WIDE_MAX)
        multiply_columns(y + (size_t)c * y_stride, y_stride, panel, rows,
            (const uint8_t *)columns + (size_t)c * x_stride, x_stride,
            count - c < WIDE_MAX ? count - c : WIDE_MAX, pairs, &ahead);
}

static size_t panel_bytes(int n)
{
    return group_pitch(group_pairs((size_t)n)) * GROUPS * 2 * sizeof(__m512i);
}

/* A line more than the pairs take: where rows are powers of two long, columns would share a few sets of the cache. */
static size_t column_bytes(int n)
{
    return group_pairs((size_t)n) * sizeof(__m512i) + 64;
}

const struct dots_panels bf16_panels_avx512 = { 32, PANEL_COLUMNS_MIN, panel_bytes, column_bytes, pack_rows,
    pack_column, multiply };
