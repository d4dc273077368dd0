/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: one scale, 8 bits a value. A file format, and what activations become before q4_0, q5_0, q8_0, iq4_nl
 * and mxfp4 dots. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

#include <math.h>

/* d = max |x| / 127, q = x * (1 / d) with halves away from zero, each step in float32; d is rounded to binary16 only as
 * it is stored. Where 1 / d is not finite, and where d is not: q = 0. */
static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q8_0_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        float d = fabsf(block_peak(x, 32)) / 127.0f;
        float inverse = scale_inverse(d);
        u16_write(b->d, f16_from_f32(d));
        for (int i = 0; i < 32; i++)
            b->q[i] = (int8_t)round_away(x[i] * inverse);
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q8_0_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d));
        for (int i = 0; i < 32; i++)
            y[i] = d * (float)b->q[i];
    }
}

const struct format format_q8_0 = {
    .name = "q8_0",
    .id = FORMAT_q8_0,
    .block = 32,
    .block_bytes = sizeof(struct q8_0_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = q8_0_dots,
};
