/* SPDX-License-Identifier: Apache-2.0 */
/* OCP MXFP4 (Microscaling Formats 1.0): blocks of 32 E2M1 values and one power of two, in GGUF's order of nibbles. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>

static const int8_t values[16] = { MXFP4_VALUES };

/* Infinities as the largest float, NaN as 0: the format has neither. */
static float made_finite(float x)
{
    return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x == x ? x : 0.0f;
}

/* The first of the nearest. */
static uint8_t nearest(float x, float half_scale)
{
    uint8_t best = 0;
    float least = INFINITY;
    for (uint8_t i = 0; i < 16; i++) {
        float error = fabsf(half_scale * (float)values[i] - x);
        if (error < least) {
            least = error;
            best = i;
        }
    }
    return best;
}

/* The scale puts the largest magnitude within 4..8 times it, where 6 is the largest value: the rounding of log2f to
 * float32 belongs to the rule. */
static uint8_t scale_choose(const float *x)
{
    float most = 0.0f;
    for (int i = 0; i < 32; i++)
        most = fmaxf(most, fabsf(made_finite(x[i])));
    float e = floorf(log2f(most)) - 2.0f + 127.0f;
    return (uint8_t)(most > 0.0f && e > 0.0f ? e : 0.0f);
}

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    struct mxfp4_block *b = out;
    for (const float *x = in; x < in + n; x += 32, b++) {
        b->e = scale_choose(x);
        float half_scale = f32_from_e8m0_half(b->e);
        for (int i = 0; i < 16; i++) {
            uint8_t low = nearest(made_finite(x[i]), half_scale);
            uint8_t high = nearest(made_finite(x[i + 16]), half_scale);
            b->q[i] = (uint8_t)(low | high << 4);
        }
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct mxfp4_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float half_scale = f32_from_e8m0_half(b->e);
        for (int i = 0; i < 16; i++) {
            y[i] = half_scale * (float)values[b->q[i] & 15];
            y[i + 16] = half_scale * (float)values[b->q[i] >> 4];
        }
    }
}

void mxfp4_split_decode(float *out, const void *q, const uint8_t *scales, int64_t n)
{
    const struct mxfp4_split *b = q;
    for (float *y = out; y < out + n; y += 32, b++, scales++) {
        float half_scale = f32_from_e8m0_half(*scales);
        for (int i = 0; i < 16; i++) {
            y[2 * i] = half_scale * (float)values[b->q[i] & 15];
            y[2 * i + 1] = half_scale * (float)values[b->q[i] >> 4];
        }
    }
}

/* Nibble i of a block is value i here, there the low nibbles come first: values 0 to 15, then 16 to 31. */
void mxfp4_join(struct mxfp4_block *out, const void *q, const uint8_t *scales, int64_t n)
{
    const struct mxfp4_split *b = q;
    for (int64_t k = 0; k < n / 32; k++) {
        out[k].e = scales[k];
        for (int i = 0; i < 16; i++) {
            int shift = i % 2 * 4;
            uint8_t low = b[k].q[i / 2] >> shift & 15, high = b[k].q[8 + i / 2] >> shift & 15;
            out[k].q[i] = (uint8_t)(low | high << 4);
        }
    }
}

void mxfp4_split(void *q, uint8_t *scales, const struct mxfp4_block *in, int64_t n)
{
    struct mxfp4_split *b = q;
    for (int64_t k = 0; k < n / 32; k++) {
        scales[k] = in[k].e;
        for (int i = 0; i < 8; i++) {
            const uint8_t *pair = &in[k].q[2 * i];
            b[k].q[i] = (uint8_t)((pair[0] & 15) | pair[1] << 4);
            b[k].q[8 + i] = (uint8_t)(pair[0] >> 4 | (pair[1] & 0xf0));
        }
    }
}

const struct format format_mxfp4 = {
    .name = "mxfp4",
    .id = FORMAT_mxfp4,
    .block = 32,
    .block_bytes = sizeof(struct mxfp4_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = mxfp4_dots,
};
