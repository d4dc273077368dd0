/* SPDX-License-Identifier: Apache-2.0 */
/* The search for signed scales: q3_k, q6_k. */
#include "tensor/format/fit.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

#define SIZE (FIT_BLOCK / FIT_PARTS)
#define TRIES 9
#define PASSES 2

/* A block being fitted, values in units of its peak. */
struct state {
    const struct signed_kind *kind;
    float y[FIT_BLOCK], w[FIT_BLOCK];
    float peak;
};

/* The level of y for a scale whose inverse is known. Kept a float, so that the loops below become vector code. */
static inline float level_of(float y, float inverse, float steps)
{
    float level = y * inverse + (steps + 0.5f), top = 2.0f * steps - 1.0f;
    level = level > 0.0f ? level : 0.0f;
    level = level < top ? level : top;
    return (float)(int)level - steps;
}

static float error_on(const float *y, const float *w, float a, int steps)
{
    float inverse = scale_inverse(a), error[FIT_LANES] = { 0 };
    for (int i = 0; i < SIZE; i += FIT_LANES)
        for (int k = 0; k < FIT_LANES; k++) {
            float off = a * level_of(y[i + k], inverse, (float)steps) - y[i + k];
            error[k] += w[i + k] * off * off;
        }
    return fit_add_lanes(error);
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

/* The whole scale near `a` for one sub-block, given the block's factor. Returns the error. */
static float part_choose(struct signed_fit *f, const struct state *st, int part, float unit, float a)
{
    const float *y = st->y + part * SIZE, *w = st->w + part * SIZE;
    int steps = st->kind->scale_steps;
    int near = level_trunc(a * scale_inverse(unit) + ((float)steps + 0.5f), 2 * steps - 1) - steps;
    float least = INFINITY, best = 0.0f;
    for (int scale = near - 1; scale <= near + 1; scale++) {
        if (scale < -steps || scale >= steps)
            continue;
        float error = error_on(y, w, unit * (float)scale, st->kind->steps);
        if (error < least) {
            least = error;
            best = unit * (float)scale;
            f->scales[part] = (int8_t)scale;
        }
    }
    for (int i = 0; i < SIZE; i++)
        f->q[part * SIZE + i] = (int8_t)level_of(y[i], scale_inverse(best), (float)st->kind->steps);
    return least;
}

/* Store the block's factor as binary16 and fit everything below it. Returns the error. */
static float block_choose(struct signed_fit *f, const struct state *st, float unit, const float *scales)
{
    f->d = fit_scale_store(unit * st->peak);
    float stored = f32_from_f16(f->d) / st->peak, error = 0.0f;
    for (int part = 0; part < FIT_PARTS; part++)
        error += part_choose(f, st, part, stored, scales[part]);
    return error;
}

/* The block's factor that suits the chosen whole numbers best. */
static float block_solve(const struct signed_fit *f, const struct state *st)
{
    double xq = 0.0, qq = 0.0;
    for (int i = 0; i < FIT_BLOCK; i++) {
        double q = f->scales[i / SIZE] * f->q[i];
        xq += st->w[i] * st->y[i] * q;
        qq += st->w[i] * q * q;
    }
    return qq > 0.0 ? (float)(xq / qq) : 0.0f;
}

void signed_fit(struct signed_fit *f, const struct signed_kind *kind, const float *x, const float *importance)
{
    struct state st;
    float scales[FIT_PARTS];
    memset(f, 0, sizeof *f);
    st.kind = kind;
    st.peak = fit_prepare(st.y, st.w, x, importance, FIT_BLOCK);
    if (!(st.peak > 0.0f)) {
        f->d = f16_from_f32(st.peak);
        return;
    }
    for (int part = 0; part < FIT_PARTS; part++)
        scales[part] = scale_search(st.y + part * SIZE, st.w + part * SIZE, kind->steps);
    float least = block_choose(f, &st, block_peak(scales, FIT_PARTS) / (float)-kind->scale_steps, scales);
    for (int pass = 0; pass < PASSES; pass++) {
        struct signed_fit next = { 0 };
        float error = block_choose(&next, &st, block_solve(f, &st), scales);
        if (!(error < least))
            break;
        least = error;
        *f = next;
    }
}
