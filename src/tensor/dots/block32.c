/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/block32.h"

#include "base/cpu.h"

static const int8_t iq4_nl_values[16] = { IQ4_NL_VALUES };
static const int8_t mxfp4_values[16] = { MXFP4_VALUES };

ALWAYS_INLINE int nibble_value(const enum format_id id, int nibble, uint32_t fifth)
{
    switch (id) {
    case FORMAT_iq4_nl: return iq4_nl_values[nibble];
    case FORMAT_mxfp4:
    case FORMAT_mxfp4_split: return mxfp4_values[nibble];
    default: return (nibble | (int)(fifth & 1) << 4) - block32_offset(id);
    }
}

ALWAYS_INLINE void load_weights(int8_t out[32], const enum format_id id, const uint8_t *block)
{
    if (id == FORMAT_q8_0) {
        memcpy(out, block + 2, 32);
        return;
    }
    const uint8_t *q = block32_nibbles(id, block), *high = block32_fifth_bits(id, block);
    uint32_t fifth = 0;
    if (id == FORMAT_q5_0 || id == FORMAT_q5_1)
        fifth = u32_read(high);
    for (int i = 0; i < 16 && id == FORMAT_mxfp4_split; i++) {
        out[2 * i] = (int8_t)nibble_value(id, q[i] & 15, 0);
        out[2 * i + 1] = (int8_t)nibble_value(id, q[i] >> 4, 0);
    }
    for (int i = 0; i < 16 && id != FORMAT_mxfp4_split; i++) {
        out[i] = (int8_t)nibble_value(id, q[i] & 15, fifth >> i);
        out[i + 16] = (int8_t)nibble_value(id, q[i] >> 4, fifth >> (i + 16));
    }
}

ALWAYS_INLINE int dot_32(const int8_t *w, const int8_t *x)
{
    int sum = 0;
    for (int i = 0; i < 32; i++)
        sum += w[i] * x[i];
    return sum;
}

ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    (void)R, (void)w_stride, (void)y_step; /* one row */
    float acc[TILE_MAX] = { 0 };
    int8_t q[32];
    for (int b = 0; b < n / 32; b++) {
        const uint8_t *block = block32_at(id, w, (size_t)b), *scale = block32_scale_at(id, w, (size_t)b);
        load_weights(q, id, block);
        float d = block32_is_mxfp4(id) ? f32_from_e8m0_half(scale[0]) : f32_from_f16(u16_read(scale));
        for (int c = 0; c < C; c++) {
            const uint8_t *in = x + (size_t)c * x_stride + (size_t)b * block32_pair_bytes(id);
            if (block32_has_min(id)) {
                const struct q8_1_block *p = (const struct q8_1_block *)(const void *)in;
                acc[c] += d * p->d * (float)dot_32(q, p->q) + f32_from_f16(u16_read(block + 2)) * p->sum;
            } else {
                const struct q8_0_block *p = (const struct q8_0_block *)(const void *)in;
                acc[c] += d * f32_from_f16(u16_read(p->d)) * (float)dot_32(q, p->q);
            }
        }
    }
    for (int c = 0; c < C; c++)
        y[(size_t)c * y_stride] = acc[c];
}

#define X(name) DOTS_FROM_TILES(name, c, TARGET_BASE, tile, 1, 4)
BLOCK32_FORMATS(X)
#undef X

#define X(name) \
    const struct dots_version name##_dots[] = { \
        DOTS_IF_X86({ "avx512_vnni", CPU_AVX512 | CPU_AVX512_VNNI, name##_dots_avx512, \
            &name##_panels_avx512 }, { "avx2", CPU_AVX2, name##_dots_avx2, &name##_panels_avx2 }, ) \
        DOTS_IF_ARM({ "dotprod", CPU_NEON | CPU_DOTPROD, name##_dots_dotprod, NULL }, \
            { "neon", CPU_NEON, name##_dots_neon, NULL }, ) \
        { "c", 0, name##_dots_c, NULL }, \
    };
BLOCK32_FORMATS(X)
#undef X
