/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: one scale, 5 bits a value. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

/* The value of the largest magnitude becomes -16 exactly, whatever its sign. */
static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q5_0_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        float d = block_peak(x, 32) / -16.0f;
        float inverse = scale_inverse(d);
        uint32_t fifth = 0;
        u16_write(b->d, f16_from_f32(d));
        for (int i = 0; i < 16; i++) {
            uint8_t low = level_trunc(x[i] * inverse + 16.5f, 31);
            uint8_t high = level_trunc(x[i + 16] * inverse + 16.5f, 31);
            b->q[i] = (uint8_t)((low & 15) | (high & 15) << 4);
            fifth |= (uint32_t)(low >> 4) << i | (uint32_t)(high >> 4) << (i + 16);
        }
        u32_write(b->high, fifth);
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q5_0_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d));
        uint32_t fifth = u32_read(b->high);
        for (int i = 0; i < 16; i++) {
            int low = (b->q[i] & 15) | (int)(fifth >> i & 1) << 4;
            int high = b->q[i] >> 4 | (int)(fifth >> (i + 16) & 1) << 4;
            y[i] = d * (float)(low - 16);
            y[i + 16] = d * (float)(high - 16);
        }
    }
}

const struct format format_q5_0 = {
    .name = "q5_0",
    .id = FORMAT_q5_0,
    .block = 32,
    .block_bytes = sizeof(struct q5_0_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = q5_0_dots,
};
