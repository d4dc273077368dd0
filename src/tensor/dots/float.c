/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/float.h"

#include "base/cpu.h"

#define LANES 8

ALWAYS_INLINE float load_weight(const enum format_id id, const uint8_t *w)
{
    float value;
    switch (id) {
    case FORMAT_f16: return f32_from_f16(u16_read(w));
    case FORMAT_bf16: return f32_from_bf16(u16_read(w));
    default: memcpy(&value, w, sizeof value); return value;
    }
}

/* Eight sums, which a compiler can keep in vectors. */
ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    (void)R, (void)C, (void)y_stride, (void)y_step, (void)w_stride, (void)x_stride; /* one output */
    float acc[LANES] = { 0 }, in[LANES];
    for (int k = 0; k < n; k += LANES) {
        int lanes = n - k < LANES ? n - k : LANES;
        memcpy(in, x + (size_t)k * sizeof *in, (size_t)lanes * sizeof *in);
        for (int i = 0; i < lanes; i++)
            acc[i] += load_weight(id, w + (size_t)(k + i) * (size_t)float_bytes(id)) * in[i];
    }
    *y = ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

#define X(name) DOTS_FROM_TILES(name, c, TARGET_BASE, tile, 1, 1)
FLOAT_FORMATS(X)
#undef X

#define X(name) \
    const struct dots_version name##_dots[] = { \
        DOTS_IF_X86({ "avx512", CPU_AVX512, name##_dots_avx512, NULL }, \
            { "avx2", CPU_AVX2, name##_dots_avx2, NULL }, ) \
        DOTS_IF_ARM({ "neon", CPU_NEON, name##_dots_neon, NULL }, ) \
        { "c", 0, name##_dots_c, NULL }, \
    };
FLOAT_FORMATS(X)
#undef X
