/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: one scale, 4 bits a value. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

/* The value of the largest magnitude becomes -8 exactly, whatever its sign. */
static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q4_0_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        float d = block_peak(x, 32) / -8.0f;
        float inverse = scale_inverse(d);
        u16_write(b->d, f16_from_f32(d));
        for (int i = 0; i < 16; i++) {
            uint8_t low = level_trunc(x[i] * inverse + 8.5f, 15);
            uint8_t high = level_trunc(x[i + 16] * inverse + 8.5f, 15);
            b->q[i] = (uint8_t)(low | high << 4);
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q4_0_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d));
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((b->q[i] & 15) - 8);
            y[i + 16] = d * (float)((b->q[i] >> 4) - 8);
        }
    }
}

const struct format format_q4_0 = {
    .name = "q4_0",
    .id = FORMAT_q4_0,
    .block = 32,
    .block_bytes = sizeof(struct q4_0_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = q4_0_dots,
};
