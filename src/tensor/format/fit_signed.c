/* SPDX-License-Identifier: Apache-2.0 */
/* The search for signed scales: q3_k, q6_k. */
#include "tensor/format/fit.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

#define SIZE (FIT_BLOCK / FIT_PARTS)
#define TRIES 9

/* The level of y for a scale whose inverse is known. Kept a float, so that the loops below become vector code. */
static inline float level_of(float y, float inverse, float steps)
{
    float level = y * inverse + (steps + 0.5f), top = 2.0f * steps - 1.0f;
    level = level > 0.0f ? level : 0.0f;
    level = level < top ? level : top;
    return (float)(int)level - steps;
}

/* Round for the scale a; returns the best scale for those levels, and by how much it lowers the error that all-zero
 * levels have. */
static float round_and_solve(float *gain, const float *y, const float *w, float a, int steps)
{
    float inverse = scale_inverse(a), xq[FIT_LANES] = { 0 }, qq[FIT_LANES] = { 0 };
    for (int i = 0; i < SIZE; i += FIT_LANES)
        for (int k = 0; k < FIT_LANES; k++) {
            float level = level_of(y[i + k], inverse, (float)steps);
            xq[k] += w[i + k] * level * y[i + k];
            qq[k] += w[i + k] * level * level;
        }
    float sum_xq = fit_add_lanes(xq), sum_qq = fit_add_lanes(qq);
    float solved = sum_qq > 0.0f ? sum_xq / sum_qq : 0.0f;
    *gain = sum_xq * solved;
    return solved;
}

/* The best scale found for one sub-block: its peak on the lowest level, or a little inside or outside the range. */
static float scale_search(const float *y, const float *w, int steps)
{
    float peak = block_peak(y, SIZE), best = 0.0f, most = 0.0f, gain;
    if (!(fabsf(peak) > 1e-15f))
        return 0.0f;
    for (int k = 0; k < 2 * TRIES; k++) {
        float spread = (float)steps * (0.88f + 0.04f * (float)(k / 2)) * (k % 2 ? 1.0f : -1.0f);
        float a = peak / spread;
        for (int step = 0; step < 2 && a != 0.0f; step++) {
            a = round_and_solve(&gain, y, w, a, steps);
            if (gain > most) {
                most = gain;
                best = a;
            }
        }
    }
    return best;
}

void signed_fit(struct signed_fit *f, const struct signed_kind *kind, const float *x, const float *importance)
{
    float y[FIT_BLOCK], w[FIT_BLOCK], scales[FIT_PARTS];
    memset(f, 0, sizeof *f);
    float peak = fit_prepare(y, w, x, importance, FIT_BLOCK);
    if (!(peak > 0.0f)) {
        f->d = f16_from_f32(peak);
        return;
    }
    for (int part = 0; part < FIT_PARTS; part++)
        scales[part] = scale_search(y + part * SIZE, w + part * SIZE, kind->steps);
    f->d = fit_scale_store(block_peak(scales, FIT_PARTS) / (float)-kind->scale_steps * peak);
    float unit = f32_from_f16(f->d) / peak;
    for (int part = 0; part < FIT_PARTS; part++) {
        float scale = level_of(scales[part], scale_inverse(unit), (float)kind->scale_steps);
        f->scales[part] = (int8_t)scale;
        for (int i = part * SIZE; i < (part + 1) * SIZE; i++)
            f->q[i] = (int8_t)level_of(y[i], scale_inverse(unit * scale), (float)kind->steps);
    }
}
