/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 256 in 16 sub-blocks with 4-bit scale and minimum, 2 bits a value. Within each half, value 32 s + l is in
 * bits 2 s and 2 s + 1 of byte l. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/fit.h"
#include "tensor/half.h"

#include <string.h>

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    static const struct affine_kind kind = { .size = 16, .top = 3, .scale_top = 15 };
    struct q2_k_block *b = out;
    for (int64_t k = 0; k < n; k += 256, b++) {
        struct affine_fit f;
        affine_fit(&f, &kind, in + k, importance ? importance + k : NULL);
        memset(b, 0, sizeof *b);
        u16_write(b->d, f.d);
        u16_write(b->m, f.m);
        for (int s = 0; s < 16; s++)
            b->scales[s] = (uint8_t)(f.scales[s] | f.mins[s] << 4);
        for (int i = 0; i < 256; i++)
            b->q[i / 128 * 32 + i % 32] |= (uint8_t)(f.q[i] << i % 128 / 32 * 2);
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q2_k_block *b = in;
    for (float *y = out; y < out + n; y += 256, b++) {
        float d = f32_from_f16(u16_read(b->d)), m = f32_from_f16(u16_read(b->m));
        for (int s = 0; s < 16; s++) {
            float scale = d * (float)(b->scales[s] & 15), minimum = m * (float)(b->scales[s] >> 4);
            const uint8_t *q = b->q + s / 8 * 32 + s % 2 * 16;
            int shift = s % 8 / 2 * 2;
            for (int i = 0; i < 16; i++)
                y[16 * s + i] = scale * (float)(q[i] >> shift & 3) - minimum;
        }
    }
}

const struct format format_q2_k = {
    .name = "q2_k",
    .id = FORMAT_q2_k,
    .block = 256,
    .block_bytes = sizeof(struct q2_k_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_k,
    .dots = q2_k_dots,
};
