/* SPDX-License-Identifier: Apache-2.0 */
/* Products over panels: bound by arithmetic. A piece is the values that share a scale: 16, or 32 where two groups have
 * one in common. */
#include "tensor/dots/panels_avx.h"
#include "tensor/dots/super_avx512.h"

/* 16 rows of a super-block of a format whose pieces are `pieces`; minima only where it has them. */
#define PANEL_BLOCK(pieces) \
    { \
        uint8_t q[64][16][4];       /* unsigned: the values without their offset, four at a time */ \
        int32_t scales[pieces][16]; \
        float d[16]; \
        float m[16]; \
        int16_t mins[pieces / 2][16][2]; \
    }
struct panel_block_8 PANEL_BLOCK(8);
struct panel_block_16 PANEL_BLOCK(16);

/* A super-block of a column. */
struct column_block {
    int8_t q[256];
    float d;
    union {
        int32_t start[16];    /* of each piece: minus offset times the sum of q */
        int16_t sums[16];     /* of formats with minima: the sum of q in each piece */
    };
};

ALWAYS_INLINE int pieces_of(const enum format_id id)
{
    return id == FORMAT_q4_k || id == FORMAT_q5_k ? 8 : 16;
}

INLINE void pack_column(const enum format_id id, void *column, const void *x, int n)
{
    const struct q8_k_block *from = x;
    const size_t blocks = (size_t)n / 256;
    for (size_t b = 0; b < blocks; b++, from++) {
        struct column_block *to = (struct column_block *)column + place_of(b, blocks);
        memcpy(to->q, from->q, sizeof to->q);
        to->d = from->d;
        for (int i = 0; i < 16 && !super_has_min(id); i++)
            to->start[i] = -super_offset(id) * from->sums[i];
        for (int i = 0; i < pieces_of(id) && super_has_min(id); i++)
            to->sums[i] = pieces_of(id) == 16 ? from->sums[i] : (int16_t)(from->sums[2 * i] + from->sums[2 * i + 1]);
    }
}

/* 64 bytes of 16 vectors become 16 times four bytes of each, in order. */
INLINE void store_transposed(uint8_t out[16][16][4], __m512i v[16])
{
    UNROLL for (int i = 0; i < 16; i += 4)
        transpose_words(v + i); /* v[i + k], quarter l: bytes 16 l + 4 k of four vectors */
    UNROLL for (int k = 0; k < 4; k++)
    {
        __m512i t[4] = { v[k], v[k + 4], v[k + 8], v[k + 12] };
        transpose_quarters(t);
        UNROLL for (int l = 0; l < 4; l++)
            _mm512_storeu_si512(out[4 * l + k], t[l]);
    }
}

/* Byte i of each row's 16, as 16 words; from load_transposed. */
INLINE __m512i signed_byte(const __m512i v[4], const int i)
{
    return _mm512_srai_epi32(_mm512_slli_epi32(v[i / 4], 24 - i % 4 * 8), 24);
}

/* 16 bytes of each of 16 rows: vector k holds bytes 4 k to 4 k + 3 of all rows, in order. */
INLINE void load_transposed(__m512i v[4], const __m128i rows[16])
{
    UNROLL for (int i = 0; i < 4; i++)
    {
        v[i] = _mm512_inserti32x4(_mm512_castsi128_si512(rows[i]), rows[i + 4], 1);
        v[i] = _mm512_inserti32x4(_mm512_inserti32x4(v[i], rows[i + 8], 2), rows[i + 12], 3);
    }
    transpose_words(v);
}

/* What the rows' groups have: scales[piece][row], and mins[pair of pieces][row][two]. */
INLINE void pack_groups(int32_t (*scales)[16], int16_t (*mins)[16][2], const enum format_id id,
    const uint8_t *const row[16])
{
    const int pieces = pieces_of(id);
    __m128i bytes[16], min_bytes[16];
    __m512i v[4], m[4];
    for (int i = 0; i < 16; i++) {
        bytes[i] = load_group_bytes(id, row[i]);
        min_bytes[i] = id == FORMAT_q2_k ? load_min_bytes(row[i]) : _mm_unpackhi_epi64(bytes[i], bytes[i]);
    }
    load_transposed(v, bytes);
    UNROLL for (int i = 0; i < pieces; i++)
        _mm512_storeu_si512(scales[i], signed_byte(v, i));
    if (!super_has_min(id))
        return;
    load_transposed(m, min_bytes);
    UNROLL for (int i = 0; i < pieces; i += 2)
    {
        __m512i low = _mm512_and_si512(signed_byte(m, i), _mm512_set1_epi32(0xffff));
        _mm512_storeu_si512(mins[i / 2], _mm512_or_si512(low, _mm512_slli_epi32(signed_byte(m, i + 1), 16)));
    }
}

/* A super-block of 16 rows. */
INLINE void pack_block(uint8_t *to, const enum format_id id, const uint8_t *const row[16])
{
    struct panel_block_8 *as_8 = (struct panel_block_8 *)(void *)to;
    struct panel_block_16 *as_16 = (struct panel_block_16 *)(void *)to;
    const int eight = pieces_of(id) == 8;
    float *d = eight ? as_8->d : as_16->d, *m = eight ? as_8->m : as_16->m;
    uint16_t half[2][16];
    for (int pair = 0; pair < 4; pair++) {
        __m512i v[16];
        for (int i = 0; i < 16; i++)
            v[i] = load_weights(id, row[i], pair);
        store_transposed(as_8->q + 16 * pair, v);
    }
    pack_groups(eight ? as_8->scales : as_16->scales, eight ? as_8->mins : as_16->mins, id, row);
    for (int i = 0; i < 16; i++) {
        half[0][i] = u16_read(super_scale(id, row[i]));
        half[1][i] = super_has_min(id) ? u16_read(super_min_scale(id, row[i])) : 0;
    }
    _mm512_storeu_ps(d, _mm512_cvtph_ps(load_32(half[0])));
    if (super_has_min(id))
        _mm512_storeu_ps(m, _mm512_cvtph_ps(load_32(half[1])));
}

INLINE size_t panel_block_bytes(const enum format_id id)
{
    if (!super_has_min(id))
        return offsetof(struct panel_block_16, m);
    return pieces_of(id) == 8 ? sizeof(struct panel_block_8) : sizeof(struct panel_block_16);
}

/* Where there are fewer rows than 16 to a half, the last stands for those that lack. */
INLINE void pack_rows(const enum format_id id, uint8_t *panel, const uint8_t *w, size_t w_stride, int rows, int n)
{
    const size_t blocks = (size_t)n / 256, halves = (size_t)(rows + 15) / 16;
    for (size_t b = 0; b < blocks; b++)
        for (size_t half = 0; half < halves; half++) {
            const uint8_t *row[16];
            for (int i = 0; i < 16; i++) {
                const int r = 16 * (int)half + i;
                row[i] = w + (size_t)(r < rows ? r : rows - 1) * w_stride + b * super_bytes(id);
            }
            pack_block(panel + (place_of(b, blocks) * halves + half) * panel_block_bytes(id), id, row);
        }
}

/* A half of a panel's block, as a format of these pieces lays it out. */
struct half {
    const uint8_t *q;
    const int32_t *scales;
    const float *d, *m;
    const uint8_t *mins;
};

INLINE struct half half_at(const int pieces, const uint8_t *at)
{
    const struct panel_block_8 *as_8 = (const struct panel_block_8 *)(const void *)at;
    const struct panel_block_16 *as_16 = (const struct panel_block_16 *)(const void *)at;
    if (pieces == 8)
        return (struct half) { at, as_8->scales[0], as_8->d, as_8->m, (const uint8_t *)as_8->mins };
    return (struct half) { at, as_16->scales[0], as_16->d, as_16->m, (const uint8_t *)as_16->mins };
}

INLINE __m512i broadcast_4(const void *at)
{
    int32_t four;
    memcpy(&four, at, sizeof four);
    return _mm512_set1_epi32(four);
}

/* total = sum over pieces of scale (start + sum of products) */
INLINE void multiply_pieces(__m512i total[2][PANEL_COLUMNS], const int pieces, const int has_min, const int R,
    const int C, const struct half w[2], const struct column_block *const in[PANEL_COLUMNS])
{
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            total[r][c] = _mm512_setzero_si512();
    for (int p = 0; p < pieces; p++) {
        __m512i sum[2][PANEL_COLUMNS];
        UNROLL for (int c = 0; c < C; c++)
            UNROLL for (int r = 0; r < R; r++)
                sum[r][c] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(in[c]->start[p]);
        UNROLL for (int k = 0; k < 64 / pieces; k++)
        {
            const int at = p * (64 / pieces) + k;
            __m512i q[2];
            UNROLL for (int r = 0; r < R; r++)
                q[r] = _mm512_loadu_si512(w[r].q + 64 * at);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m512i x = broadcast_4(in[c]->q + 4 * at);
                UNROLL for (int r = 0; r < R; r++)
                    sum[r][c] = _mm512_dpbusd_epi32(sum[r][c], q[r], x);
            }
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            __m512i scale = _mm512_loadu_si512(w[r].scales + 16 * p);
            UNROLL for (int c = 0; c < C; c++)
                total[r][c] = _mm512_add_epi32(total[r][c], _mm512_mullo_epi32(sum[r][c], scale));
        }
    }
}

/* The sum over pieces of min times the sum of activations. */
INLINE __m512i multiply_mins(const int pieces, struct half w, const struct column_block *in)
{
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int p = 0; p < pieces / 2; p++)
        sum = _mm512_dpwssd_epi32(sum, _mm512_loadu_si512(w.mins + 64 * p), broadcast_4(in->sums + 2 * p));
    return sum;
}

INLINE void multiply_group(const int pieces, const int has_min, const int R, const int C, GROUP_PARAMETERS)
{
    const size_t bytes = pieces == 8 ? sizeof(struct panel_block_8)
        : has_min                    ? sizeof(struct panel_block_16)
                                     : offsetof(struct panel_block_16, m);
    __m512 acc[2][PANEL_COLUMNS];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, panel += (size_t)R * bytes, x += sizeof(struct column_block)) {
        const struct column_block *in[PANEL_COLUMNS];
        struct half w[2];
        __m512i total[2][PANEL_COLUMNS];
        ahead_ask(&ahead);
        UNROLL for (int r = 0; r < R; r++)
            w[r] = half_at(pieces, panel + (size_t)r * bytes);
        UNROLL for (int c = 0; c < C; c++)
            in[c] = (const struct column_block *)(const void *)(x + (size_t)c * x_stride);
        multiply_pieces(total, pieces, has_min, R, C, w, in);
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int c = 0; c < C; c++)
            {
                __m512 dx = _mm512_set1_ps(in[c]->d), d = _mm512_mul_ps(_mm512_loadu_ps(w[r].d), dx);
                acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total[r][c]), d, acc[r][c]);
                if (has_min) {
                    __m512 m = _mm512_mul_ps(_mm512_loadu_ps(w[r].m), dx);
                    __m512 minus = _mm512_cvtepi32_ps(multiply_mins(pieces, w[r], in[c]));
                    acc[r][c] = _mm512_fnmadd_ps(minus, m, acc[r][c]);
                }
            }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            _mm512_storeu_ps(sums[c] + 16 * r, _mm512_add_ps(_mm512_loadu_ps(sums[c] + 16 * r), acc[r][c]));
}

#define MIN_8_GROUP(R, C, ...) multiply_group(8, 1, R, C, __VA_ARGS__)
#define MIN_16_GROUP(R, C, ...) multiply_group(16, 1, R, C, __VA_ARGS__)
#define PLAIN_16_GROUP(R, C, ...) multiply_group(16, 0, R, C, __VA_ARGS__)
WIDE_GROUPS(min_8_group, TARGET_AVX512_VNNI, MIN_8_GROUP, 1)
WIDE_GROUPS(min_8_group, TARGET_AVX512_VNNI, MIN_8_GROUP, 2)
WIDE_GROUPS(min_16_group, TARGET_AVX512_VNNI, MIN_16_GROUP, 1)
WIDE_GROUPS(min_16_group, TARGET_AVX512_VNNI, MIN_16_GROUP, 2)
WIDE_GROUPS(plain_16_group, TARGET_AVX512_VNNI, PLAIN_16_GROUP, 1)
WIDE_GROUPS(plain_16_group, TARGET_AVX512_VNNI, PLAIN_16_GROUP, 2)

static const struct panel_kind min_8 = { { { WIDE_GROUP_LIST(min_8_group, 1) },
                                           { WIDE_GROUP_LIST(min_8_group, 2) } },
    2, PANEL_COLUMNS, sizeof(struct panel_block_8), sizeof(struct column_block), 256 };
static const struct panel_kind min_16 = { { { WIDE_GROUP_LIST(min_16_group, 1) },
                                           { WIDE_GROUP_LIST(min_16_group, 2) } },
    2, PANEL_COLUMNS, sizeof(struct panel_block_16), sizeof(struct column_block), 256 };
static const struct panel_kind plain_16 = { { { WIDE_GROUP_LIST(plain_16_group, 1) },
                                           { WIDE_GROUP_LIST(plain_16_group, 2) } },
    2, PANEL_COLUMNS, offsetof(struct panel_block_16, m), sizeof(struct column_block), 256 };
KIND_FUNCTIONS(min_8)
KIND_FUNCTIONS(min_16)
KIND_FUNCTIONS(plain_16)

PANELS(q4_k, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, min_8)
PANELS(q5_k, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, min_8)
PANELS(q2_k, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, min_16)
PANELS(q3_k, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, plain_16)
PANELS(q6_k, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, plain_16)
