/* SPDX-License-Identifier: Apache-2.0 */
/* OCP OFP8 E4M3: no infinities, largest 448, where larger values saturate. */
#include "tensor/format.h"
#include "tensor/half.h"

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    uint8_t *o = out;
    for (int64_t i = 0; i < n; i++)
        o[i] = e4m3_from_f32(in[i]);
}

static void decode(float *out, const void *in, int64_t n)
{
    const uint8_t *b = in;
    for (int64_t i = 0; i < n; i++)
        out[i] = f32_from_e4m3(b[i]);
}

const struct format format_f8_e4m3 = {
    .name = "f8_e4m3",
    .id = FORMAT_f8_e4m3,
    .block = 1,
    .block_bytes = 1,
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_f32,
    .dots = NULL,
};
