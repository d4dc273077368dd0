/* SPDX-License-Identifier: Apache-2.0 */
/* Products over panels: bound by arithmetic. */
#include "tensor/dots/block32_avx512.h"
#include "tensor/dots/panels_avx.h"

/* 16 rows of a block. */
struct panel_block {
    uint8_t q[8][16][4]; /* unsigned: the stored values plus block32_offset, four at a time */
    float d[16];
    float m[16]; /* absent where the format has no minima */
};

/* A block of a column. */
struct column_block {
    int8_t q[32];
    float d;
    union {
        int32_t start; /* minus offset times the sum of q */
        float sum;     /* q8_1's, of formats with minima */
    };
};

ALWAYS_INLINE size_t panel_block_bytes(const int has_min)
{
    return has_min ? sizeof(struct panel_block) : offsetof(struct panel_block, m);
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
        __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), values);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
        to->d = _mm_cvtss_f32(_mm_cvtph_ps(load_f16(from)));
        to->start = -block32_offset(id) * (_mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 1));
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

/* 16 bytes, `offset` from the block on, of 16 rows, transposed: vector k has bytes 4 k to 4 k + 3 of all rows, in
 * order. */
INLINE void transpose(
    __m512i out[4], const enum format_id id, const uint8_t *w, size_t w_stride, size_t block, size_t offset)
{
    UNROLL for (size_t i = 0; i < 4; i++)
        out[i] = four_16(block32_at(id, w + i * w_stride, block) + offset,
            block32_at(id, w + (i + 4) * w_stride, block) + offset,
            block32_at(id, w + (i + 8) * w_stride, block) + offset,
            block32_at(id, w + (i + 12) * w_stride, block) + offset);
    transpose_words(out);
}

/* 16 in the bytes whose fifth bits, of values 4 k on, are set. */
INLINE __m512i fifth_bits(__m512i words, const int k)
{
    __m512i bits = _mm512_and_si512(_mm512_srli_epi32(words, 4 * k), _mm512_set1_epi32(15));
    bits = _mm512_mullo_epi32(bits, _mm512_set1_epi32(0x00204081)); /* bit i to bit 8 i */
    return _mm512_slli_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x01010101)), 4);
}

/* The values of a block of 16 rows. */
INLINE void pack_values(
    struct panel_block *to, const enum format_id id, const uint8_t *w, size_t w_stride, size_t block)
{
    __m512i v[4], fifth = _mm512_setzero_si512();
    for (size_t half = 0; half < 2 && id == FORMAT_q8_0; half++) {
        transpose(v, id, w, w_stride, block, 2 + 16 * half);
        UNROLL for (size_t k = 0; k < 4; k++)
            _mm512_storeu_si512(to->q[4 * half + k], _mm512_xor_si512(v[k], _mm512_set1_epi8((char)128)));
    }
    if (id == FORMAT_q8_0)
        return;
    transpose(v, id, w, w_stride, block, block32_bytes(id) - 16);
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
        uint32_t words[16];
        for (size_t i = 0; i < 16; i++)
            words[i] = u32_read(block32_fifth_bits(id, block32_at(id, w + i * w_stride, block)));
        fifth = _mm512_loadu_si512(words);
    }
    UNROLL for (int k = 0; k < 4; k++)
    {
        __m512i low = unsigned_values(id, low_nibbles(v[k])), high = unsigned_values(id, high_nibbles(v[k]));
        if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
            low = _mm512_or_si512(low, fifth_bits(fifth, k));
            high = _mm512_or_si512(high, fifth_bits(fifth, k + 4));
        }
        _mm512_storeu_si512(to->q[k], low);
        _mm512_storeu_si512(to->q[k + 4], high);
    }
}

/* The scales of four blocks of 16 rows (or the minima): out[j] has those of block j. */
INLINE void load_factors(
    __m512i out[4], const enum format_id id, const int mins, const uint8_t *w, size_t w_stride, size_t block)
{
    UNROLL for (size_t i = 0; i < 4; i++)
    {
        const uint8_t *row = w + 4 * i * w_stride;
        const uint8_t *const at[4] = { block32_scale_at(id, row, block), block32_scale_at(id, row + w_stride, block),
            block32_scale_at(id, row + 2 * w_stride, block), block32_scale_at(id, row + 3 * w_stride, block) };
        out[i] = _mm512_castps_si512(mins ? four_mins(id, at) : four_scales(id, at));
    }
    transpose_quarters(out);
}

/* Blocks [block, block + count), at most four, of 16 rows; out[j]: the place of the first's j-th follower. */
INLINE void pack_blocks(uint8_t *const out[4], const enum format_id id, const uint8_t *w, size_t w_stride,
    size_t block, const size_t count)
{
    __m512i d[4], m[4];
    load_factors(d, id, 0, w, w_stride, block);
    if (block32_has_min(id))
        load_factors(m, id, 1, w, w_stride, block);
    UNROLL for (size_t j = 0; j < 4; j++)
    {
        struct panel_block *to = (struct panel_block *)(void *)out[j];
        if (j >= count)
            break;
        pack_values(to, id, w, w_stride, block + j);
        _mm512_storeu_si512(to->d, d[j]);
        if (block32_has_min(id))
            _mm512_storeu_si512(to->m, m[j]);
    }
}

/* Fewer than four blocks or 16 rows are copied first; the last row stands for those that lack. */
INLINE void pack_copied(uint8_t *const out[4], const enum format_id id, const uint8_t *w, size_t w_stride, int rows,
    size_t block, size_t count)
{
    struct block32_end end;
    const uint8_t *copy = end_add(&end, 0, id, w, block, count);
    for (int i = 1; i < 16; i++)
        end_add(&end, i, id, w + (size_t)(i < rows ? i : rows - 1) * w_stride, block, count);
    pack_blocks(out, id, copy, id == FORMAT_mxfp4_split ? sizeof end.split[0] : sizeof end.bytes[0], 0, count);
}

/* Half a panel, of 16 rows or fewer; `step`: bytes from one of its blocks to the next. Where the blocks do not come out
 * even, some of the last four are packed twice. */
INLINE void pack_half(
    uint8_t *panel, size_t step, const enum format_id id, const uint8_t *w, size_t w_stride, int rows, size_t blocks)
{
    const size_t count = blocks < 4 ? blocks : 4;
    for (size_t b = 0; b < blocks; b += 4) {
        const size_t first = b + count <= blocks ? b : blocks - count;
        uint8_t *out[4];
        UNROLL for (size_t j = 0; j < 4; j++)
            out[j] = panel + place_of(first + j, blocks) * step;
        if (rows >= 16 && count == 4)
            pack_blocks(out, id, w, w_stride, first, 4);
        else
            pack_copied(out, id, w, w_stride, rows, first, count);
    }
}

INLINE void pack_rows(const enum format_id id, uint8_t *panel, const uint8_t *w, size_t w_stride, int rows, int n)
{
    const size_t bytes = panel_block_bytes(block32_has_min(id)), blocks = (size_t)n / 32;
    pack_half(panel, rows > 16 ? 2 * bytes : bytes, id, w, w_stride, rows, blocks);
    if (rows > 16)
        pack_half(panel + bytes, 2 * bytes, id, w + 16 * w_stride, w_stride, rows - 16, blocks);
}

/* Multiplying. */

INLINE void multiply_group(const int has_min, const int R, const int C, GROUP_PARAMETERS)
{
    const size_t bytes = panel_block_bytes(has_min);
    __m512 acc[2][PANEL_COLUMNS];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, panel += (size_t)R * bytes, x += sizeof(struct column_block)) {
        const struct column_block *in[PANEL_COLUMNS];
        const struct panel_block *w[2];
        __m512i sum[2][PANEL_COLUMNS];
        ahead_ask(&ahead);
        UNROLL for (int r = 0; r < R; r++)
            w[r] = (const struct panel_block *)(const void *)(panel + (size_t)r * bytes);
        UNROLL for (int c = 0; c < C; c++)
        {
            in[c] = (const struct column_block *)(const void *)(x + (size_t)c * x_stride);
            UNROLL for (int r = 0; r < R; r++)
                sum[r][c] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(in[c]->start);
        }
        UNROLL for (int k = 0; k < 8; k++)
        {
            __m512i q[2];
            UNROLL for (int r = 0; r < R; r++)
                q[r] = _mm512_loadu_si512(w[r]->q[k]);
            UNROLL for (int c = 0; c < C; c++)
            {
                int32_t four;
                memcpy(&four, in[c]->q + 4 * k, sizeof four);
                UNROLL for (int r = 0; r < R; r++)
                    sum[r][c] = _mm512_dpbusd_epi32(sum[r][c], q[r], _mm512_set1_epi32(four));
            }
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            __m512 d = _mm512_loadu_ps(w[r]->d);
            UNROLL for (int c = 0; c < C; c++)
            {
                __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(in[c]->d));
                acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][c]), scale, acc[r][c]);
                if (has_min)
                    acc[r][c] = _mm512_fmadd_ps(_mm512_loadu_ps(w[r]->m), _mm512_set1_ps(in[c]->sum), acc[r][c]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            _mm512_storeu_ps(sums[c] + 16 * r, _mm512_add_ps(_mm512_loadu_ps(sums[c] + 16 * r), acc[r][c]));
}

#define PLAIN_GROUP(R, C, ...) multiply_group(0, R, C, __VA_ARGS__)
#define MIN_GROUP(R, C, ...) multiply_group(1, R, C, __VA_ARGS__)
WIDE_GROUPS(plain_group, TARGET_AVX512_VNNI, PLAIN_GROUP, 1)
WIDE_GROUPS(plain_group, TARGET_AVX512_VNNI, PLAIN_GROUP, 2)
WIDE_GROUPS(min_group, TARGET_AVX512_VNNI, MIN_GROUP, 1)
WIDE_GROUPS(min_group, TARGET_AVX512_VNNI, MIN_GROUP, 2)

static const struct panel_kind plain = { { { WIDE_GROUP_LIST(plain_group, 1) },
                                           { WIDE_GROUP_LIST(plain_group, 2) } },
    2, PANEL_COLUMNS, offsetof(struct panel_block, m), sizeof(struct column_block), 32 };
static const struct panel_kind with_min = { { { WIDE_GROUP_LIST(min_group, 1) },
                                           { WIDE_GROUP_LIST(min_group, 2) } },
    2, PANEL_COLUMNS, sizeof(struct panel_block), sizeof(struct column_block), 32 };
KIND_FUNCTIONS(plain)
KIND_FUNCTIONS(with_min)

#define PLAIN(name) PANELS(name, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, plain)
#define WITH_MIN(name) PANELS(name, avx512, TARGET_AVX512_VNNI, PANEL_ROWS, with_min)
BLOCK32_PLAIN_FORMATS(PLAIN)
BLOCK32_MIN_FORMATS(WITH_MIN)
