/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/block32.h"
#include "tensor/dots/neon.h"

struct values {
    int8x16_t low, high; /* 0 to 15, 16 to 31 */
};

/* 16 where a bit of two bytes is set. */
ALWAYS_INLINE uint8x16_t fifth_bits(const uint8_t *bytes)
{
    const uint8x16_t bit = vcombine_u8(vcreate_u8(0x8040201008040201u), vcreate_u8(0x8040201008040201u));
    uint8x16_t both = vcombine_u8(vdup_n_u8(bytes[0]), vdup_n_u8(bytes[1]));
    return vandq_u8(vtstq_u8(both, bit), vdupq_n_u8(16));
}

ALWAYS_INLINE struct values load_weights(const enum format_id id, const uint8_t *block)
{
    static const int8_t iq4_nl_values[16] = { IQ4_NL_VALUES };
    static const int8_t mxfp4_values[16] = { MXFP4_VALUES };
    const int8_t *bytes = (const int8_t *)block;
    if (id == FORMAT_q8_0)
        return (struct values) { vld1q_s8(bytes + 2), vld1q_s8(bytes + 18) };
    uint8x16_t packed = vld1q_u8(block32_nibbles(id, block));
    uint8x16_t low = vandq_u8(packed, vdupq_n_u8(15)), high = vshrq_n_u8(packed, 4);
    if (id == FORMAT_mxfp4_split) { /* neighbours share a byte */
        uint8x16x2_t zipped = vzipq_u8(low, high);
        low = zipped.val[0];
        high = zipped.val[1];
    }
    if (id == FORMAT_iq4_nl || block32_is_mxfp4(id)) {
        int8x16_t table = vld1q_s8(id == FORMAT_iq4_nl ? iq4_nl_values : mxfp4_values);
        return (struct values) { vqtbl1q_s8(table, low), vqtbl1q_s8(table, high) };
    }
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1) {
        low = vorrq_u8(low, fifth_bits(block32_fifth_bits(id, block)));
        high = vorrq_u8(high, fifth_bits(block32_fifth_bits(id, block) + 2));
    }
    const int8x16_t offset = vdupq_n_s8((int8_t)block32_offset(id));
    return (struct values) { vsubq_s8(vreinterpretq_s8_u8(low), offset), vsubq_s8(vreinterpretq_s8_u8(high), offset) };
}

/* One block of 32 of every activation row of a tile. */
struct columns {
    struct values q[TILE_MAX];
    float d[TILE_MAX];
    float32x4_t sum[TILE_MAX]; /* in the first lane, q8_1 only */
};

ALWAYS_INLINE void load_columns(struct columns *s, const enum format_id id, const int C, const uint8_t *x,
    size_t x_stride)
{
    UNROLL for (int c = 0; c < C; c++)
    {
        const uint8_t *at = x + (size_t)c * x_stride;
        const struct q8_1_block *with_sum = (const struct q8_1_block *)(const void *)at;
        const int8_t *q = block32_has_min(id) ? with_sum->q : (const int8_t *)at + 2;
        s->q[c] = (struct values) { vld1q_s8(q), vld1q_s8(q + 16) };
        s->d[c] = block32_has_min(id) ? with_sum->d : load_f16(at);
        s->sum[c] = vsetq_lane_f32(block32_has_min(id) ? with_sum->sum : 0, vdupq_n_f32(0), 0);
    }
}

ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, const int has_dotprod, TILE_PARAMETERS)
{
    float32x4_t acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = vdupq_n_f32(0);
    for (int b = 0; b < n / 32; b++) {
        struct columns s;
        load_columns(&s, id, C, x + (size_t)b * block32_pair_bytes(id), x_stride);
        UNROLL for (int r = 0; r < R; r++)
        {
            const uint8_t *row = w + (size_t)r * w_stride, *block = block32_at(id, row, (size_t)b);
            const uint8_t *scale = block32_scale_at(id, row, (size_t)b);
            if (C == 1)
                prefetch(block);
            struct values q = load_weights(id, block);
            float d = block32_is_mxfp4(id) ? f32_from_e8m0_half(scale[0]) : load_f16(scale);
            UNROLL for (int c = 0; c < C; c++)
            {
                int32x4_t sum = add_dot_16(vdupq_n_s32(0), q.low, s.q[c].low, has_dotprod);
                sum = add_dot_16(sum, q.high, s.q[c].high, has_dotprod);
                acc[r][c] = vfmaq_n_f32(acc[r][c], vcvtq_f32_s32(sum), d * s.d[c]);
                if (block32_has_min(id))
                    acc[r][c] = vfmaq_n_f32(acc[r][c], s.sum[c], load_f16(block + 2));
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = vaddvq_f32(acc[r][c]);
}

#define NEON_TILE(id, R, C, ...) tile(id, R, C, 0, __VA_ARGS__)
#define DOTPROD_TILE(id, R, C, ...) tile(id, R, C, 1, __VA_ARGS__)
#define X(name) \
    DOTS_FROM_TILES(name, neon, TARGET_BASE, NEON_TILE, 4, 4) \
    DOTS_FROM_TILES(name, dotprod, TARGET_DOTPROD, DOTPROD_TILE, 4, 4)
BLOCK32_FORMATS(X)
#undef X
