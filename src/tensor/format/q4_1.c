/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: scale and minimum, 4 bits a value. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q4_1_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        float least, most, poison = block_range(&least, &most, x, 32);
        float d = (most - least) / 15.0f + poison;
        float inverse = scale_inverse(d);
        u16_write(b->d, f16_from_f32(d));
        u16_write(b->m, f16_from_f32(least));
        for (int i = 0; i < 16; i++) {
            uint8_t low = level_trunc((x[i] - least) * inverse + 0.5f, 15);
            uint8_t high = level_trunc((x[i + 16] - least) * inverse + 0.5f, 15);
            b->q[i] = (uint8_t)(low | high << 4);
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q4_1_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d)), m = f32_from_f16(u16_read(b->m));
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)(b->q[i] & 15) + m;
            y[i + 16] = d * (float)(b->q[i] >> 4) + m;
        }
    }
}

const struct format format_q4_1 = {
    .name = "q4_1",
    .id = FORMAT_q4_1,
    .block = 32,
    .block_bytes = sizeof(struct q4_1_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_1,
    .dots = q4_1_dots,
};
