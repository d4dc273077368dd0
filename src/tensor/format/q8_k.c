/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 256 with sums of 16: what activations become before the dots of K formats. */
#include "tensor/block.h"
#include "tensor/format.h"
#include "tensor/format/round.h"

/* peak: the first value of the largest magnitude, with its sign. inverse = -127 / peak, d = 1 / inverse,
 * q = x * inverse with halves to even, each step in float32; so peak itself becomes -127. Where peak is 0, -127 / peak
 * overflows or peak is not finite: q = 0, d = peak * 0 (0, or NaN). */
static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct q8_k_block *b = out;
    for (const float *x = in; x < in + n; x += 256, b++) {
        float peak = block_peak(x, 256);
        float inverse = -127.0f / peak;
        int usable = inverse >= -FLT_MAX && inverse <= FLT_MAX && inverse != 0.0f;
        b->d = usable ? 1.0f / inverse : peak * 0.0f;
        for (int i = 0; i < 256; i++)
            b->q[i] = (int8_t)(usable ? round_even(x[i] * inverse) : 0);
        for (int i = 0; i < 16; i++) {
            int sum = 0;
            for (int k = 0; k < 16; k++)
                sum += b->q[16 * i + k];
            b->sums[i] = (int16_t)sum;
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct q8_k_block *b = in;
    for (float *y = out; y < out + n; y += 256, b++)
        for (int i = 0; i < 256; i++)
            y[i] = b->d * (float)b->q[i];
}

const struct format format_q8_k = {
    .name = "q8_k",
    .id = FORMAT_q8_k,
    .block = 256,
    .block_bytes = sizeof(struct q8_k_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_f32,
    .dots = NULL,
};
