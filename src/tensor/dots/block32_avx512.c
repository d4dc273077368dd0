/* SPDX-License-Identifier: Apache-2.0 */
/* Products over weights as they lie: bound by memory for one column. Four blocks of four rows give 16 sums in one
 * vector. A tile has four rows; of mxfp4, which takes the most instructions a byte, eight: they share what a column
 * costs. */
#include "tensor/dots/block32_avx512.h"

#define ROWS 8 /* at most */
#define COLUMNS 4

/* Four blocks of a row: quarter j holds 16 values of block j; or, of bytes, half j % 2 of vector j / 2 is block j. */
struct values {
    __m512i a, b;
};

INLINE __m512i two_32(const uint8_t *a, const uint8_t *b)
{
    return _mm512_mask_broadcast_i64x4(_mm512_broadcast_i64x4(load_32(a)), 0xf0, load_32(b));
}

INLINE struct values four_blocks_of_bytes(const uint8_t *q, const size_t bytes)
{
    return (struct values) { two_32(q, q + bytes), two_32(q + 2 * bytes, q + 3 * bytes) };
}

/* Adds 16 where the bits of blocks are set: bit i belongs to value i. */
INLINE void add_fifth_bits(struct values *v, const enum format_id id, const uint8_t *w)
{
    const size_t bytes = block32_bytes(id);
    const __m512i bit_of = _mm512_set1_epi64((long long)0x8040201008040201u), sixteen = _mm512_set1_epi8(16);
    const __m512i order = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0101010101010101, 0));
    const __m512i two = _mm512_set1_epi8(2);
    const uint8_t *at = block32_fifth_bits(id, w);
    __m512i words = four_16(at, at + bytes, at + 2 * bytes, at + 3 * bytes);
    __mmask64 a = _mm512_test_epi8_mask(_mm512_shuffle_epi8(words, order), bit_of);
    __mmask64 b = _mm512_test_epi8_mask(_mm512_shuffle_epi8(words, _mm512_add_epi8(order, two)), bit_of);
    v->a = _mm512_mask_add_epi8(v->a, a, v->a, sixteen);
    v->b = _mm512_mask_add_epi8(v->b, b, v->b, sixteen);
}

/* Unsigned: the stored value plus block32_offset. w: from block32_at. */
INLINE struct values load_weights(const enum format_id id, const uint8_t *w)
{
    const size_t bytes = block32_bytes(id);
    if (id == FORMAT_q8_0) {
        struct values v = four_blocks_of_bytes(w + 2, bytes);
        const __m512i sign = _mm512_set1_epi8((char)128);
        return (struct values) { _mm512_xor_si512(v.a, sign), _mm512_xor_si512(v.b, sign) };
    }
    const uint8_t *q = block32_nibbles(id, w);
    __m512i packed = four_16(q, q + bytes, q + 2 * bytes, q + 3 * bytes);
    struct values v = { unsigned_values(id, low_nibbles(packed)), unsigned_values(id, high_nibbles(packed)) };
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1)
        add_fifth_bits(&v, id, w);
    return v;
}

/* Four blocks of a column. */
struct column {
    struct values q, start; /* start: minus offset times the activations, where their products are added up */
    __m512 d, sum; /* sum: q8_1 only */
};

/* In the order of load_weights. */
INLINE struct values load_activations(const enum format_id id, const uint8_t *q, const size_t bytes)
{
    if (id == FORMAT_q8_0)
        return four_blocks_of_bytes(q, bytes);
    const uint8_t *h = q + 16;
    __m512i a = four_16(q, q + bytes, q + 2 * bytes, q + 3 * bytes);
    __m512i b = four_16(h, h + bytes, h + 2 * bytes, h + 3 * bytes);
    if (id != FORMAT_mxfp4_split)
        return (struct values) { a, b };
    const __m512i byte = _mm512_set1_epi16(255); /* where neighbours share a byte: even values, odd values */
    return (struct values) { _mm512_packus_epi16(_mm512_and_si512(a, byte), _mm512_and_si512(b, byte)),
        _mm512_packus_epi16(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8)) };
}

INLINE __m512 four_floats(const float *at, const size_t bytes)
{
    const uint8_t *p = (const uint8_t *)at;
    __m512 v = _mm512_set1_ps(*at);
    v = _mm512_mask_broadcastss_ps(v, 0x00f0, _mm_load_ss((const float *)(const void *)(p + bytes)));
    v = _mm512_mask_broadcastss_ps(v, 0x0f00, _mm_load_ss((const float *)(const void *)(p + 2 * bytes)));
    return _mm512_mask_broadcastss_ps(v, 0xf000, _mm_load_ss((const float *)(const void *)(p + 3 * bytes)));
}

INLINE void load_column(struct column *s, const enum format_id id, const uint8_t *x)
{
    const size_t bytes = block32_pair_bytes(id);
    if (block32_has_min(id)) {
        const struct q8_1_block *p = (const struct q8_1_block *)(const void *)x;
        s->q = load_activations(id, (const uint8_t *)p->q, bytes);
        s->d = four_floats(&p->d, bytes);
        s->sum = four_floats(&p->sum, bytes);
        s->start = (struct values) { _mm512_setzero_si512(), _mm512_setzero_si512() };
    } else {
        const uint8_t *const same[4] = { x, x, x, x };
        const __m512i offset = _mm512_set1_epi8((char)block32_offset(id)), zero = _mm512_setzero_si512();
        s->q = load_activations(id, x + 2, bytes);
        s->d = four_scales(FORMAT_q8_0, same);
        __m512i a = _mm512_dpbusd_epi32(zero, offset, s->q.a);
        __m512i b = _mm512_dpbusd_epi32(id == FORMAT_q8_0 ? zero : a, offset, s->q.b);
        s->start.a = _mm512_sub_epi32(zero, id == FORMAT_q8_0 ? a : b);
        s->start.b = _mm512_sub_epi32(zero, b);
    }
}

/* Four sums of each of a row's four blocks, in its quarter. */
INLINE __m512i multiply(const enum format_id id, struct values w, const struct column *s)
{
    __m512i a = _mm512_dpbusd_epi32(s->start.a, w.a, s->q.a);
    if (id != FORMAT_q8_0)
        return _mm512_dpbusd_epi32(a, w.b, s->q.b);
    __m512i b = _mm512_dpbusd_epi32(s->start.b, w.b, s->q.b);
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

/* Of each quarter of the four vectors one sum: lane 4 j + r is that of quarter j of vector r. */
INLINE __m512i sums_of_quarters(const __m512i v[4])
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Which of four blocks count: all, or of a row's last four the `left` that do not make four. These are the blocks of
 * quarters 0, 1, ... of the sums, but their own quarters are the last ones. */
struct part {
    const int all;
    __m512i order;
    __mmask16 lanes;
};

INLINE struct part last_part(const size_t left)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (struct part) { 0, _mm512_add_epi32(lane, _mm512_set1_epi32(16 - 4 * (int)left)),
        (__mmask16)((1u << (4 * left)) - 1) };
}

INLINE __m512 add_part(const struct part *p, __m512 acc, __m512 a, __m512 b)
{
    if (p->all)
        return _mm512_fmadd_ps(a, b, acc);
    a = _mm512_permutexvar_ps(p->order, a);
    b = _mm512_permutexvar_ps(p->order, b);
    return _mm512_mask_mov_ps(acc, p->lanes, _mm512_fmadd_ps(a, b, acc));
}

/* Four blocks, from `block` on, of R rows; a row on its own is taken four times. */
INLINE void add_products(__m512 acc[ROWS / 4][COLUMNS], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, size_t block, const uint8_t *x, size_t x_stride, const struct part *part)
{
    struct column s[COLUMNS];
    UNROLL for (int c = 0; c < C; c++)
        load_column(&s[c], id, x + (size_t)c * x_stride);
    UNROLL for (int four = 0; 4 * four < R; four++)
    {
        const uint8_t *scale[4];
        struct values q[4];
        UNROLL for (int r = 0; r < 4; r++)
        {
            const uint8_t *row = w + (R == 1 ? 0 : (size_t)(4 * four + r) * w_stride);
            const uint8_t *at = block32_at(id, row, block);
            for (size_t i = 0; i < 4 * block32_bytes(id) && R > 1; i += 64)
                prefetch(at + i);
            scale[r] = block32_scale_at(id, row, block);
            q[r] = load_weights(id, at);
        }
        __m512 d = four_scales(id, scale);
        UNROLL for (int c = 0; c < C; c++)
        {
            __m512i sums[4];
            UNROLL for (int r = 0; r < 4; r++)
                sums[r] = multiply(id, q[r], &s[c]);
            __m512 sum = _mm512_cvtepi32_ps(sums_of_quarters(sums));
            acc[four][c] = add_part(part, acc[four][c], sum, _mm512_mul_ps(d, s[c].d));
            if (block32_has_min(id))
                acc[four][c] = add_part(part, acc[four][c], four_mins(id, scale), s[c].sum);
        }
    }
}

/* Rows of fewer than four blocks: copied, zeros behind them. */
INLINE void add_few(__m512 acc[ROWS / 4][COLUMNS], const enum format_id id, const int R, const int C, const uint8_t *w,
    size_t w_stride, size_t count, const uint8_t *x, size_t x_stride, const struct part *all)
{
    struct block32_end end;
    struct q8_1_block in[COLUMNS][4];
    const uint8_t *row = end_add(&end, 0, id, w, 0, count);
    const size_t stride = id == FORMAT_mxfp4_split ? sizeof end.split[0] : sizeof end.bytes[0];
    for (int r = 1; r < R; r++)
        end_add(&end, r, id, w + (size_t)r * w_stride, 0, count);
    memset(in, 0, sizeof in);
    for (int c = 0; c < C; c++)
        memcpy(in[c], x + (size_t)c * x_stride, count * block32_pair_bytes(id));
    add_products(acc, id, R, C, row, stride, 0, (const uint8_t *)in, sizeof in[0], all);
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
    const size_t x_bytes = block32_pair_bytes(id), blocks = (size_t)n / 32;
    __m512 acc[ROWS / 4][COLUMNS];
    UNROLL for (int four = 0; 4 * four < R; four++)
        UNROLL for (int c = 0; c < C; c++)
            acc[four][c] = _mm512_setzero_ps();
    const struct part all = { .all = 1 }, last = last_part(blocks % 4);
    for (size_t b = 0; b + 4 <= blocks; b += 4)
        add_products(acc, id, R, C, w, w_stride, b, x + b * x_bytes, x_stride, &all);
    if (blocks > 4 && blocks % 4 > 0)
        add_products(acc, id, R, C, w, w_stride, blocks - 4, x + (blocks - 4) * x_bytes, x_stride, &last);
    else if (blocks < 4)
        add_few(acc, id, R, C, w, w_stride, blocks, x, x_stride, &all);
    UNROLL for (int four = 0; 4 * four < R; four++)
        UNROLL for (int c = 0; c < C; c++)
            store_sums(y + (size_t)c * y_stride + (size_t)(4 * four) * y_step, y_step, R == 1 ? 1 : 4, acc[four][c]);
}

#define EIGHT(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512_VNNI, tile, ROWS, COLUMNS)
#define FOUR(name) DOTS_FROM_TILES(name, avx512, TARGET_AVX512_VNNI, tile, 4, COLUMNS)
EIGHT(mxfp4)
EIGHT(mxfp4_split)
FOUR(q8_0)
FOUR(q4_0)
FOUR(q4_1)
FOUR(q5_0)
FOUR(q5_1)
FOUR(iq4_nl)
