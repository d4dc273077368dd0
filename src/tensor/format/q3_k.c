/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 256 in 16 sub-blocks with a 6-bit scale, 3 bits a value. The lower two bits lie as in q2_k; the third of
 * value 32 t + l is bit t of high[l]. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/fit.h"
#include "tensor/half.h"

#include <string.h>

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    static const struct signed_kind kind = { .steps = 4, .scale_steps = 32 };
    struct q3_k_block *b = out;
    for (int64_t k = 0; k < n; k += 256, b++) {
        struct signed_fit f;
        uint8_t scales[16];
        signed_fit(&f, &kind, in + k, importance ? importance + k : NULL);
        memset(b, 0, sizeof *b);
        u16_write(b->d, f.d);
        for (int s = 0; s < 16; s++)
            scales[s] = (uint8_t)(f.scales[s] + 32);
        k_scales16_pack(b->scales, scales);
        for (int i = 0; i < 256; i++) {
            int q = f.q[i] + 4;
            b->q[i / 128 * 32 + i % 32] |= (uint8_t)((q & 3) << i % 128 / 32 * 2);
            b->high[i % 32] |= (uint8_t)(q >> 2 << i / 32);
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q3_k_block *b = in;
    for (float *y = out; y < out + n; y += 256, b++) {
        float d = f32_from_f16(u16_read(b->d));
        uint8_t scales[16];
        k_scales16_unpack(scales, b->scales);
        for (int s = 0; s < 16; s++) {
            float scale = d * (float)(scales[s] - 32);
            const uint8_t *q = b->q + s / 8 * 32 + s % 2 * 16, *high = b->high + s % 2 * 16;
            int shift = s % 8 / 2 * 2;
            for (int i = 0; i < 16; i++)
                y[16 * s + i] = scale * (float)((q[i] >> shift & 3) + (high[i] >> s / 2 & 1) * 4 - 4);
        }
    }
}

const struct format format_q3_k = {
    .name = "q3_k",
    .id = FORMAT_q3_k,
    .block = 256,
    .block_bytes = sizeof(struct q3_k_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_k,
    .dots = q3_k_dots,
};
