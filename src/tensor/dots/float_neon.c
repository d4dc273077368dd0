/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/float.h"

#include <arm_neon.h>

#define LANES 8

/* Eight partial sums, so that a tile of one column has enough independent chains. */
struct eight {
    float32x4_t low, high;
};

ALWAYS_INLINE struct eight load_values(const enum format_id id, const uint8_t *at)
{
    if (id == FORMAT_f32)
        return (struct eight) { vreinterpretq_f32_u8(vld1q_u8(at)), vreinterpretq_f32_u8(vld1q_u8(at + 16)) };
    uint16x8_t half = vreinterpretq_u16_u8(vld1q_u8(at));
    if (id == FORMAT_f16)
        return (struct eight) { vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half))),
            vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half))) };
    return (struct eight) { vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)),
        vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(half), 16)) };
}

ALWAYS_INLINE void add_products(struct eight acc[TILE_MAX][TILE_MAX], const enum format_id id, const int R, const int C,
    const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride)
{
    struct eight in[TILE_MAX];
    UNROLL for (int c = 0; c < C; c++)
        in[c] = load_values(float_pair(id), x + (size_t)c * x_stride);
    UNROLL for (int r = 0; r < R; r++)
    {
        if (C == 1)
            prefetch(w + (size_t)r * w_stride);
        struct eight weights = load_values(id, w + (size_t)r * w_stride);
        UNROLL for (int c = 0; c < C; c++)
        {
            acc[r][c].low = vfmaq_f32(acc[r][c].low, weights.low, in[c].low);
            acc[r][c].high = vfmaq_f32(acc[r][c].high, weights.high, in[c].high);
        }
    }
}

ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    const size_t bytes = float_bytes(id), x_bytes = float_bytes(float_pair(id));
    struct eight acc[TILE_MAX][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            acc[r][c] = (struct eight) { vdupq_n_f32(0), vdupq_n_f32(0) };
    int k = 0;
    for (; k + LANES <= n; k += LANES)
        add_products(acc, id, R, C, w + (size_t)k * bytes, w_stride, x + (size_t)k * x_bytes, x_stride);
    if (k < n) {
        uint8_t w_end[TILE_MAX][LANES * sizeof(float)] = { 0 }, x_end[TILE_MAX][LANES * sizeof(float)] = { 0 };
        for (int r = 0; r < R; r++)
            memcpy(w_end[r], w + (size_t)r * w_stride + (size_t)k * bytes, (size_t)(n - k) * bytes);
        for (int c = 0; c < C; c++)
            memcpy(x_end[c], x + (size_t)c * x_stride + (size_t)k * x_bytes, (size_t)(n - k) * x_bytes);
        add_products(acc, id, R, C, w_end[0], sizeof w_end[0], x_end[0], sizeof x_end[0]);
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int c = 0; c < C; c++)
            y[(size_t)c * y_stride + (size_t)r * y_step] = vaddvq_f32(vaddq_f32(acc[r][c].low, acc[r][c].high));
}

#define X(name) DOTS_FROM_TILES(name, neon, TARGET_BASE, tile, 4, 2)
FLOAT_FORMATS(X)
#undef X
