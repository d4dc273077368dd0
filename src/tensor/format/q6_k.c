/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 256 in 16 sub-blocks with an 8-bit scale, 6 bits a value. Within each half of 128: value 64 a + 32 b + l
 * has its low nibble in nibble a of low[32 b + l], its upper two bits in bits 4 a + 2 b and above of high[l]. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/fit.h"
#include "tensor/half.h"

#include <string.h>

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    static const struct signed_kind kind = { .steps = 32, .scale_steps = 128 };
    struct q6_k_block *b = out;
    for (int64_t k = 0; k < n; k += 256, b++) {
        struct signed_fit f;
        signed_fit(&f, &kind, in + k, importance ? importance + k : NULL);
        memset(b, 0, sizeof *b);
        u16_write(b->d, f.d);
        memcpy(b->scales, f.scales, sizeof b->scales);
        for (int i = 0; i < 256; i++) {
            int q = f.q[i] + 32;
            b->low[i / 128 * 64 + i % 64] |= (uint8_t)((q & 15) << i % 128 / 64 * 4);
            b->high[i / 128 * 32 + i % 32] |= (uint8_t)(q >> 4 << i % 128 / 32 * 2);
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q6_k_block *b = in;
    for (float *y = out; y < out + n; y += 256, b++) {
        float d = f32_from_f16(u16_read(b->d));
        for (int s = 0; s < 16; s++) {
            float scale = d * (float)b->scales[s];
            const uint8_t *low = b->low + s / 8 * 64 + s % 4 * 16, *high = b->high + s / 8 * 32 + s % 2 * 16;
            int low_shift = s % 8 / 4 * 4, high_shift = s % 8 / 2 * 2;
            for (int i = 0; i < 16; i++) {
                int q = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
                y[16 * s + i] = scale * (float)(q - 32);
            }
        }
    }
}

const struct format format_q6_k = {
    .name = "q6_k",
    .id = FORMAT_q6_k,
    .block = 256,
    .block_bytes = sizeof(struct q6_k_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_k,
    .dots = q6_k_dots,
};
