/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/neon.h"
#include "tensor/dots/super.h"

/* Bits [shift, shift + width) of every byte, moved to bit `to`. */
ALWAYS_INLINE uint8x16_t bits(const uint8_t *at, const int shift, const int width, const int to)
{
    uint8x16_t moved = vshlq_u8(vld1q_u8(at), vdupq_n_s8((int8_t)(to - shift)));
    return vandq_u8(moved, vdupq_n_u8((uint8_t)(((1 << width) - 1) << to)));
}

/* The 16 values of group 2 part + odd. */
ALWAYS_INLINE int8x16_t load_weights(const enum format_id id, const uint8_t *block, const int part, const int odd)
{
    const struct q2_k_block *q2 = (const struct q2_k_block *)block;
    const struct q3_k_block *q3 = (const struct q3_k_block *)block;
    const struct q4_k_block *q4 = (const struct q4_k_block *)block;
    const struct q5_k_block *q5 = (const struct q5_k_block *)block;
    const struct q6_k_block *q6 = (const struct q6_k_block *)block;
    const int half = part / 4, quarter = part % 4, i = 16 * odd;
    uint8x16_t q;
    switch (id) {
    case FORMAT_q2_k: q = bits(q2->q + 32 * half + i, 2 * quarter, 2, 0); break;
    case FORMAT_q3_k:
        q = vorrq_u8(bits(q3->q + 32 * half + i, 2 * quarter, 2, 0), bits(q3->high + i, part, 1, 2));
        break;
    case FORMAT_q4_k: q = bits(q4->q + 32 * (part / 2) + i, 4 * (part % 2), 4, 0); break;
    case FORMAT_q5_k:
        q = vorrq_u8(bits(q5->q + 32 * (part / 2) + i, 4 * (part % 2), 4, 0), bits(q5->high + i, part, 1, 4));
        break;
    default:
        q = vorrq_u8(bits(q6->low + 64 * half + 32 * (quarter % 2) + i, 4 * (quarter / 2), 4, 0),
            bits(q6->high + 32 * half + i, 2 * quarter, 2, 4));
    }
    return vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8((int8_t)super_offset(id)));
}

/* What the 16 groups of a super-block share with its values. */
struct groups {
    int8_t scales[16];
    int16x8_t mins[2]; /* of groups 0 to 7, 8 to 15 */
};

ALWAYS_INLINE void load_groups(struct groups *g, const enum format_id id, const uint8_t *block)
{
    uint32_t words[4];
    uint8x16_t raw;
    g->mins[0] = g->mins[1] = vdupq_n_s16(0);
    switch (id) {
    case FORMAT_q4_k:
    case FORMAT_q5_k: /* one scale and one min for two groups */
        super_scales8(words, ((const struct q4_k_block *)block)->scales);
        raw = vreinterpretq_u8_u32(vld1q_u32(words));
        vst1q_s8(g->scales, vreinterpretq_s8_u8(vzip1q_u8(raw, raw)));
        raw = vzip2q_u8(raw, raw);
        break;
    case FORMAT_q2_k:
        raw = vld1q_u8(((const struct q2_k_block *)block)->scales);
        vst1q_s8(g->scales, vreinterpretq_s8_u8(vandq_u8(raw, vdupq_n_u8(15))));
        raw = vshrq_n_u8(raw, 4);
        break;
    case FORMAT_q3_k:
        super_scales16(words, ((const struct q3_k_block *)block)->scales);
        raw = vreinterpretq_u8_u32(vld1q_u32(words));
        vst1q_s8(g->scales, vreinterpretq_s8_u8(vsubq_u8(raw, vdupq_n_u8(32))));
        return;
    default: vst1q_s8(g->scales, vld1q_s8(((const struct q6_k_block *)block)->scales)); return;
    }
    g->mins[0] = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(raw)));
    g->mins[1] = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(raw)));
}

/* The integer sums of one super-block; 4 partial sums of an output. */
ALWAYS_INLINE void add_parts(int32x4_t sum[TILE_MAX][TILE_MAX], const struct groups g[TILE_MAX],
    const enum format_id id,
    const int R, const int C, const int has_dotprod, const uint8_t *w, size_t w_stride, const uint8_t *x,
    size_t x_stride)
{
    UNROLL for (int part = 0; part < 8; part++)
    {
        UNROLL for (int odd = 0; odd < 2; odd++)
        {
            int8x16_t in[TILE_MAX];
            UNROLL for (int c = 0; c < C; c++)
                in[c] = vld1q_s8(
                    ((const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride))->q + 32 * part + 16 * odd);
            UNROLL for (int r = 0; r < R; r++)
            {
                int8x16_t q = load_weights(id, w + (size_t)r * w_stride, part, odd);
                UNROLL for (int c = 0; c < C; c++)
                {
                    int32x4_t group = add_dot_16(vdupq_n_s32(0), q, in[c], has_dotprod);
                    sum[r][c] = vmlaq_n_s32(sum[r][c], group, g[r].scales[2 * part + odd]);
                }
            }
        }
    }
}

/* Four partial sums of min times the sum of a group's activations. */
ALWAYS_INLINE int32x4_t dot_mins(const int16x8_t mins[2], const int16_t sums[16])
{
    int32x4_t sum = vdupq_n_s32(0);
    UNROLL for (int i = 0; i < 2; i++)
    {
        int16x8_t in = vld1q_s16(sums + 8 * i);
        sum = vmlal_s16(sum, vget_low_s16(mins[i]), vget_low_s16(in));
        sum = vmlal_s16(sum, vget_high_s16(mins[i]), vget_high_s16(in));
    }
    return sum;
}

ALWAYS_INLINE void add_products(float32x4_t acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const int has_dotprod, const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    int32x4_t sum[TILE_MAX][TILE_MAX];
    struct groups g[TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
    {
        load_groups(&g[r], id, w + (size_t)r * w_stride);
        for (size_t i = 0; i < super_bytes(id) && C == 1; i += 64)
            prefetch(w + (size_t)r * w_stride + i);
        UNROLL for (int c = 0; c < C; c++)
            sum[r][c] = vdupq_n_s32(0);
    }
    add_parts(sum, g, id, R, C, has_dotprod, w, w_stride, x, x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        const uint8_t *block = w + (size_t)r * w_stride;
        float d = load_f16(super_scale(id, block));
        UNROLL for (int c = 0; c < C; c++)
        {
            const struct q8_k_block *in = (const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride);
            acc[r][c] = vfmaq_n_f32(acc[r][c], vcvtq_f32_s32(sum[r][c]), d * in->d);
            if (super_has_min(id)) {
                float m = load_f16(super_min_scale(id, block));
                acc[r][c] = vfmsq_n_f32(acc[r][c], vcvtq_f32_s32(dot_mins(g[r].mins, in->sums)), m * in->d);
            }
        }
    }
}

ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, const int has_dotprod, TILE_PARAMETERS)
{
    float32x4_t acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = vdupq_n_f32(0);
    for (int b = 0; b < n / 256; b++)
        add_products(acc, id, R, C, has_dotprod, w + (size_t)b * super_bytes(id), w_stride,
            x + (size_t)b * sizeof(struct q8_k_block), x_stride);
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = vaddvq_f32(acc[r][c]);
}

#define NEON_TILE(id, R, C, ...) tile(id, R, C, 0, __VA_ARGS__)
#define DOTPROD_TILE(id, R, C, ...) tile(id, R, C, 1, __VA_ARGS__)
#define X(name) \
    DOTS_FROM_TILES(name, neon, TARGET_BASE, NEON_TILE, 4, 2) \
    DOTS_FROM_TILES(name, dotprod, TARGET_DOTPROD, DOTPROD_TILE, 4, 2)
SUPER_FORMATS(X)
#undef X
