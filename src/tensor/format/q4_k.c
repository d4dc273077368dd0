/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 256 in 8 sub-blocks with 6-bit scale and minimum, 4 bits a value. Sub-blocks 2 c and 2 c + 1 are the low
 * and the high nibbles of q[32 c ...]. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/fit.h"
#include "tensor/half.h"

#include <string.h>

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    static const struct affine_kind kind = { .size = 32, .top = 15, .scale_top = 63 };
    struct q4_k_block *b = out;
    for (int64_t k = 0; k < n; k += 256, b++) {
        struct affine_fit f;
        affine_fit(&f, &kind, in + k, importance ? importance + k : NULL);
        memset(b, 0, sizeof *b);
        u16_write(b->d, f.d);
        u16_write(b->m, f.m);
        k_scales8_pack(b->scales, f.scales, f.mins);
        for (int i = 0; i < 256; i++)
            b->q[i / 64 * 32 + i % 32] |= (uint8_t)(f.q[i] << i % 64 / 32 * 4);
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q4_k_block *b = in;
    for (float *y = out; y < out + n; y += 256, b++) {
        float d = f32_from_f16(u16_read(b->d)), m = f32_from_f16(u16_read(b->m));
        uint8_t scales[8], mins[8];
        k_scales8_unpack(scales, mins, b->scales);
        for (int s = 0; s < 8; s++) {
            float scale = d * (float)scales[s], minimum = m * (float)mins[s];
            const uint8_t *q = b->q + s / 2 * 32;
            int shift = s % 2 * 4;
            for (int i = 0; i < 32; i++)
                y[32 * s + i] = scale * (float)(q[i] >> shift & 15) - minimum;
        }
    }
}

const struct format format_q4_k = {
    .name = "q4_k",
    .id = FORMAT_q4_k,
    .block = 256,
    .block_bytes = sizeof(struct q4_k_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_k,
    .dots = q4_k_dots,
};
