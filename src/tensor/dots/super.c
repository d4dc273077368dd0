/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/super.h"

#include "base/cpu.h"

/* Value i of a part, without its offset. */
ALWAYS_INLINE int load_weight(const enum format_id id, const uint8_t *block, int part, int i)
{
    const struct q2_k_block *q2 = (const struct q2_k_block *)block;
    const struct q3_k_block *q3 = (const struct q3_k_block *)block;
    const struct q4_k_block *q4 = (const struct q4_k_block *)block;
    const struct q5_k_block *q5 = (const struct q5_k_block *)block;
    const struct q6_k_block *q6 = (const struct q6_k_block *)block;
    const int half = part / 4, quarter = part % 4; /* of formats that lay out 128 values at a time */
    switch (id) {
    case FORMAT_q2_k: return q2->q[32 * half + i] >> (2 * quarter) & 3;
    case FORMAT_q3_k: return (q3->q[32 * half + i] >> (2 * quarter) & 3) | (q3->high[i] >> part & 1) << 2;
    case FORMAT_q4_k: return q4->q[32 * (part / 2) + i] >> (4 * (part % 2)) & 15;
    case FORMAT_q5_k: return (q5->q[32 * (part / 2) + i] >> (4 * (part % 2)) & 15) | (q5->high[i] >> part & 1) << 4;
    default:
        return (q6->low[64 * half + 32 * (quarter % 2) + i] >> (4 * (quarter / 2)) & 15)
            | (q6->high[32 * half + i] >> (2 * quarter) & 3) << 4;
    }
}

/* Scale and min of each group of 16. */
ALWAYS_INLINE void load_groups(int scales[16], int mins[16], const enum format_id id, const uint8_t *block)
{
    uint8_t s[16] = { 0 }, m[16] = { 0 };
    if (id == FORMAT_q4_k || id == FORMAT_q5_k)
        k_scales8_unpack(s, m, ((const struct q4_k_block *)block)->scales);
    if (id == FORMAT_q3_k)
        k_scales16_unpack(s, ((const struct q3_k_block *)block)->scales);
    for (int g = 0; g < 16; g++) {
        int both = block[g]; /* q2_k */
        mins[g] = id == FORMAT_q2_k ? both >> 4 : m[g / 2];
        switch (id) {
        case FORMAT_q2_k: scales[g] = both & 15; break;
        case FORMAT_q3_k: scales[g] = s[g] - 32; break;
        case FORMAT_q6_k: scales[g] = ((const struct q6_k_block *)block)->scales[g]; break;
        default: scales[g] = s[g / 2];
        }
    }
}

ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    (void)R, (void)w_stride, (void)y_step; /* one row */
    float acc[TILE_MAX] = { 0 };
    int8_t q[256];
    int scales[16], mins[16];
    for (int b = 0; b < n / 256; b++) {
        const uint8_t *block = w + (size_t)b * super_bytes(id);
        load_groups(scales, mins, id, block);
        for (int i = 0; i < 256; i++)
            q[i] = (int8_t)(load_weight(id, block, i / 32, i % 32) - super_offset(id));
        for (int c = 0; c < C; c++) {
            const struct q8_k_block *in = (const struct q8_k_block *)(const void *)(x + (size_t)c * x_stride) + b;
            int sum = 0, min_sum = 0;
            for (int g = 0; g < 16; g++) {
                int group = 0;
                for (int i = 16 * g; i < 16 * g + 16; i++)
                    group += q[i] * in->q[i];
                sum += scales[g] * group;
                min_sum += mins[g] * in->sums[g];
            }
            acc[c] += f32_from_f16(u16_read(super_scale(id, block))) * in->d * (float)sum;
            if (super_has_min(id))
                acc[c] -= f32_from_f16(u16_read(super_min_scale(id, block))) * in->d * (float)min_sum;
        }
    }
    for (int c = 0; c < C; c++)
        y[(size_t)c * y_stride] = acc[c];
}

#define X(name) DOTS_FROM_TILES(name, c, TARGET_BASE, tile, 1, 4)
SUPER_FORMATS(X)
#undef X

#define X(name) \
    const struct dots_version name##_dots[] = { \
        DOTS_IF_X86({ "avx512_vnni", CPU_AVX512 | CPU_AVX512_VNNI, name##_dots_avx512, \
            &name##_panels_avx512 }, { "avx2", CPU_AVX2, name##_dots_avx2, NULL }, ) \
        DOTS_IF_ARM({ "dotprod", CPU_NEON | CPU_DOTPROD, name##_dots_dotprod, NULL }, \
            { "neon", CPU_NEON, name##_dots_neon, NULL }, ) \
        { "c", 0, name##_dots_c, NULL }, \
    };
SUPER_FORMATS(X)
#undef X
