/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32 with their sum: what activations become before q4_1 and q5_1 dots, where the sum carries the minimum. */
#include "tensor/block.h"
#include "tensor/format.h"
#include "tensor/format/round.h"

#include <math.h>

/* d and q as in q8_0, but d stays a float32; sum = d * (float)(sum of q). */
static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q8_1_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        float d = fabsf(block_peak(x, 32)) / 127.0f;
        float inverse = scale_inverse(d);
        int sum = 0;
        for (int i = 0; i < 32; i++) {
            b->q[i] = (int8_t)round_away(x[i] * inverse);
            sum += b->q[i];
        }
        b->d = d;
        b->sum = d * (float)sum;
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q8_1_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++)
        for (int i = 0; i < 32; i++)
            y[i] = b->d * (float)b->q[i];
}

const struct format format_q8_1 = {
    .name = "q8_1",
    .id = FORMAT_q8_1,
    .block = 32,
    .block_bytes = sizeof(struct q8_1_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_f32,
    .dots = NULL,
};
