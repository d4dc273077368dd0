/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: one scale, 4 bits that stand for values denser around zero. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/format/fit.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

#include <string.h>

static const int8_t values[16] = { IQ4_NL_VALUES };

#define TRIES 9

/* The values nearest to y * inverse. One comparison per gap of the table, so that it becomes vector code. */
static void nearest_values(float *near, const float *y, float inverse)
{
    for (int i = 0; i < 32; i++)
        near[i] = (float)values[0];
    for (int level = 0; level < 15; level++) {
        float middle = 0.5f * (float)(values[level] + values[level + 1]);
        float gap = (float)(values[level + 1] - values[level]);
        for (int i = 0; i < 32; i++)
            near[i] += y[i] * inverse > middle ? gap : 0.0f;
    }
}

/* Round for the scale a; returns the best scale for those levels, and by how much it lowers the error that zeros
 * have. */
static float round_and_solve(float *gain, const float *y, const float *w, float a)
{
    float near[32], xq[FIT_LANES] = { 0 }, qq[FIT_LANES] = { 0 };
    nearest_values(near, y, scale_inverse(a));
    for (int i = 0; i < 32; i += FIT_LANES)
        for (int k = 0; k < FIT_LANES; k++) {
            xq[k] += w[i + k] * near[i + k] * y[i + k];
            qq[k] += w[i + k] * near[i + k] * near[i + k];
        }
    float sum_xq = fit_add_lanes(xq), sum_qq = fit_add_lanes(qq);
    float solved = sum_qq > 0.0f ? sum_xq / sum_qq : 0.0f;
    *gain = sum_xq * solved;
    return solved;
}

/* The best scale found: the peak on either end of the table, or a little inside or outside it, each solved twice. */
static float scale_search(const float *y, const float *w)
{
    float peak = block_peak(y, 32), best = 0.0f, most = 0.0f, gain;
    for (int k = 0; k < 2 * TRIES; k++) {
        float a = peak / ((float)values[k % 2 ? 15 : 0] * (0.84f + 0.04f * (float)(k / 2)));
        for (int step = 0; step < 2 && a != 0.0f; step++) {
            a = round_and_solve(&gain, y, w, a);
            if (gain > most) {
                most = gain;
                best = a;
            }
        }
    }
    return best;
}

/* Scale (binary16) and levels of one block. */
static uint16_t block_fit(uint8_t q[32], const float *x, const float *importance)
{
    float y[32], w[32], near[32];
    float peak = fit_prepare(y, w, x, importance, 32);
    memset(q, peak > 0.0f ? 0 : 8, 32);
    if (!(peak > 0.0f))
        return f16_from_f32(peak);
    uint16_t d = fit_scale_store(scale_search(y, w) * peak);
    nearest_values(near, y, scale_inverse(f32_from_f16(d) / peak));
    for (int i = 0; i < 32; i++)
        while (q[i] < 15 && (float)values[q[i]] < near[i])
            q[i]++;
    return d;
}

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    struct iq4_nl_block *b = out;
    for (int64_t k = 0; k < n; k += 32, b++) {
        uint8_t q[32];
        u16_write(b->d, block_fit(q, in + k, importance ? importance + k : NULL));
        for (int i = 0; i < 16; i++)
            b->q[i] = (uint8_t)(q[i] | q[i + 16] << 4);
    }
}

static void decode(float *out, const void *in, int64_t n)
{
    const struct iq4_nl_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d));
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)values[b->q[i] & 15];
            y[i + 16] = d * (float)values[b->q[i] >> 4];
        }
    }
}

const struct format format_iq4_nl = {
    .name = "iq4_nl",
    .id = FORMAT_iq4_nl,
    .block = 32,
    .block_bytes = sizeof(struct iq4_nl_block),
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = iq4_nl_dots,
};
