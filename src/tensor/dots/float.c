/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/float.h"

#include "base/cpu.h"

#define LANES 8

ALWAYS_INLINE float load_value(const enum format_id id, const uint8_t *at)
{
    float value;
    switch (id) {
    case FORMAT_f16: return f32_from_f16(u16_read(at));
    case FORMAT_bf16: return f32_from_bf16(u16_read(at));
    default: memcpy(&value, at, sizeof value); return value;
    }
}

/* Eight sums, which a compiler can keep in vectors. */
ALWAYS_INLINE void tile(const enum format_id id, const int R, const int C, TILE_PARAMETERS)
{
    (void)R, (void)C, (void)y_stride, (void)y_step, (void)w_stride, (void)x_stride; /* one output */
    const enum format_id pair = float_pair(id);
    float acc[LANES] = { 0 };
    for (int k = 0; k < n; k += LANES) {
        int lanes = n - k < LANES ? n - k : LANES;
        for (int i = 0; i < lanes; i++)
            acc[i] += load_value(id, w + (size_t)(k + i) * float_bytes(id))
                * load_value(pair, x + (size_t)(k + i) * float_bytes(pair));
    }
    *y = ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

#define X(name) DOTS_FROM_TILES(name, c, TARGET_BASE, tile, 1, 1)
FLOAT_FORMATS(X)
#undef X

#define VERSIONS(name) \
    DOTS_IF_X86({ "avx512", CPU_AVX512, name##_dots_avx512, NULL }, { "avx2", CPU_AVX2, name##_dots_avx2, NULL }, ) \
    DOTS_IF_ARM({ "neon", CPU_NEON, name##_dots_neon, NULL }, ) \
    { "c", 0, name##_dots_c, NULL },
const struct dots_version f32_dots[] = { VERSIONS(f32) };
const struct dots_version f16_dots[] = { VERSIONS(f16) };
const struct dots_version bf16_dots[] = {
    DOTS_IF_X86({ "avx512_bf16", CPU_AVX512 | CPU_AVX512_BF16, bf16_dots_avx512_bf16, &bf16_panels_avx512 }, )
    VERSIONS(bf16)
};
