/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: products over panels on x86-64, whatever the unit. A panel is one or two halves of 16 rows:
 * for each block of the rows one half, then the other. Blocks are ordered by group, the group of a block being its
 * number modulo 4: 0, 4, 8, ..., then 1, 5, 9, ... In a column's copy they have the same order.
 * One walk over the blocks of a group forms one of the four sums of an output, a[0] to a[3]; the output is
 * ((a[0] + a[1]) + a[2]) + a[3], as in the kernels over rows as they lie. A group, being a quarter of the panel, stays
 * in the first-level cache while the columns pass by. */
#ifndef WAZN_TENSOR_DOTS_PANELS_AVX_H
#define WAZN_TENSOR_DOTS_PANELS_AVX_H

#include "tensor/dots/x86.h"

#define PANEL_ROWS 32 /* of AVX-512; AVX2's panels have one half */
#define PANEL_COLUMNS_MIN 5 /* measured; docs/performance.md */
#define PANEL_COLUMNS 6 /* with two vectors of rows: as many as the registers of AVX-512 hold */

/* One group of a panel of R halves times C columns, added to sums; ahead: asked for a little at every block. */
#define GROUP_PARAMETERS \
    float (*sums)[PANEL_ROWS], const uint8_t *panel, const uint8_t *x, size_t x_stride, size_t blocks, \
        struct dots_ahead ahead
#define GROUP_ARGUMENTS sums, panel, x, x_stride, blocks, ahead
typedef void group_fn(GROUP_PARAMETERS);

/* How a unit lays out its blocks. */
struct panel_kind {
    group_fn *groups[2][PANEL_COLUMNS]; /* R - 1, C - 1 */
    int halves, columns;                /* of which there are so many */
    size_t half_bytes, column_bytes;    /* of a block: 16 rows, one column */
    int block;                          /* values */
};

void panels_multiply(const struct panel_kind *kind, float *y, size_t y_stride, const void *panel, int rows,
    const void *columns, size_t x_stride, int count, int n, struct dots_ahead ahead);

/* The groups of a kind from body(R, C, GROUP_ARGUMENTS). */
#define GROUP(name, target, body, R, C) \
    target static void name##_##R##_##C(GROUP_PARAMETERS) \
    { \
        body(R, C, GROUP_ARGUMENTS); \
    }
#define GROUPS(name, target, body, R) \
    GROUP(name, target, body, R, 1) GROUP(name, target, body, R, 2) GROUP(name, target, body, R, 3) \
    GROUP(name, target, body, R, 4)
#define WIDE_GROUPS(name, target, body, R) \
    GROUPS(name, target, body, R) GROUP(name, target, body, R, 5) GROUP(name, target, body, R, 6)
#define GROUP_LIST(name, R) name##_##R##_1, name##_##R##_2, name##_##R##_3, name##_##R##_4
#define WIDE_GROUP_LIST(name, R) GROUP_LIST(name, R), name##_##R##_5, name##_##R##_6

/* The members of struct dots_panels that a kind decides. */
#define KIND_FUNCTIONS(kind) \
    static size_t panel_bytes_##kind(int n) \
    { \
        return (size_t)(n / kind.block) * (size_t)kind.halves * kind.half_bytes; \
    } \
    static size_t column_bytes_##kind(int n) \
    { \
        return (size_t)(n / kind.block) * kind.column_bytes; \
    } \
    static void multiply_##kind(float *y, size_t y_stride, const void *panel, int rows, const void *columns, \
        size_t x_stride, int count, int n, struct dots_ahead ahead) \
    { \
        panels_multiply(&kind, y, y_stride, panel, rows, columns, x_stride, count, n, ahead); \
    }

/* The panels of a format from pack_rows(id, ...) and pack_column(id, ...) of its unit. */
#define PANELS(name, isa, target, panel_rows, kind) \
    target static void pack_rows_##name(void *panel, const void *w, size_t w_stride, int rows, int n) \
    { \
        pack_rows(FORMAT_##name, panel, w, w_stride, rows, n); \
    } \
    target static void pack_column_##name(void *column, const void *x, int n) \
    { \
        pack_column(FORMAT_##name, column, x, n); \
    } \
    const struct dots_panels name##_panels_##isa = { panel_rows, PANEL_COLUMNS_MIN, panel_bytes_##kind, \
        column_bytes_##kind, pack_rows_##name, pack_column_##name, multiply_##kind };

/* Where block b of `blocks` lies among the groups. */
ALWAYS_INLINE size_t place_of(size_t b, size_t blocks)
{
    const size_t group = b % 4, each = blocks / 4, more = blocks % 4;
    return group * each + (group < more ? group : more) + b / 4;
}

/* Rows become columns: of quarters of four vectors, */
ALWAYS_INLINE TARGET_AVX512 void transpose_quarters(__m512i v[4])
{
    __m512i a = _mm512_shuffle_i64x2(v[0], v[1], 0x44), b = _mm512_shuffle_i64x2(v[0], v[1], 0xee);
    __m512i c = _mm512_shuffle_i64x2(v[2], v[3], 0x44), d = _mm512_shuffle_i64x2(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i64x2(a, c, 0x88);
    v[1] = _mm512_shuffle_i64x2(a, c, 0xdd);
    v[2] = _mm512_shuffle_i64x2(b, d, 0x88);
    v[3] = _mm512_shuffle_i64x2(b, d, 0xdd);
}

/* and of the words of the same quarter of four vectors. */
ALWAYS_INLINE TARGET_AVX512 void transpose_words(__m512i v[4])
{
    __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpacklo_epi32(v[2], v[3]);
    __m512i c = _mm512_unpackhi_epi32(v[0], v[1]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi64(a, b);
    v[1] = _mm512_unpackhi_epi64(a, b);
    v[2] = _mm512_unpacklo_epi64(c, d);
    v[3] = _mm512_unpackhi_epi64(c, d);
}

#endif
