/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16: the upper half of a binary32. */
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/half.h"

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    uint8_t *o = out;
    for (int64_t i = 0; i < n; i++)
        u16_write(o + 2 * i, bf16_from_f32(in[i]));
}

static void decode(float *out, const void *in, int64_t n)
{
    const uint8_t *b = in;
    for (int64_t i = 0; i < n; i++)
        out[i] = f32_from_bf16(u16_read(b + 2 * i));
}

const struct format format_bf16 = {
    .name = "bf16",
    .id = FORMAT_bf16,
    .block = 1,
    .block_bytes = 2,
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_bf16,
    .dots = bf16_dots,
};
