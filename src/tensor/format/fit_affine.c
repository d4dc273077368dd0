/* SPDX-License-Identifier: Apache-2.0 */
/* The search for scales and minima: q2_k, q4_k, q5_k. */
#include "tensor/format/fit.h"
#include "tensor/format/round.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

#define TRIES 9
#define PASSES 2 /* of solving for the factors of the block and fitting again */

/* A line through one sub-block: a q - m, both at least 0. */
struct line {
    float a, m;
};

/* A block being fitted, values in units of its peak. */
struct state {
    const struct affine_kind *kind;
    float y[FIT_BLOCK], w[FIT_BLOCK];
    float peak;
};

/* Weighted sums of one sub-block for least squares. */
struct sums {
    float w, x, q, xq, qq;
};

/* The level of y on a line, 1 / a being known. Kept a float, so that the loops below become vector code. */
static inline float level_of(float y, float inverse, float m, float top)
{
    float level = (y + m) * inverse + 0.5f;
    level = level > 0.0f ? level : 0.0f;
    level = level < top ? level : top;
    return (float)(int)level;
}

static struct sums sums_on(const float *y, const float *w, int n, struct line l, int top)
{
    float inverse = scale_inverse(l.a);
    float sw[FIT_LANES] = { 0 }, sx[FIT_LANES] = { 0 }, sq[FIT_LANES] = { 0 }, sxq[FIT_LANES] = { 0 };
    float sqq[FIT_LANES] = { 0 };
    for (int i = 0; i < n; i += FIT_LANES)
        for (int k = 0; k < FIT_LANES; k++) {
            float weight = w[i + k], value = y[i + k];
            float level = level_of(value, inverse, l.m, (float)top);
            sw[k] += weight;
            sx[k] += weight * value;
            sq[k] += weight * level;
            sxq[k] += weight * level * value;
            sqq[k] += weight * level * level;
        }
    return (struct sums) { fit_add_lanes(sw), fit_add_lanes(sx), fit_add_lanes(sq), fit_add_lanes(sxq),
        fit_add_lanes(sqq) };
}

static float error_on(const float *y, const float *w, int n, struct line l, int top)
{
    float inverse = scale_inverse(l.a), error[FIT_LANES] = { 0 };
    for (int i = 0; i < n; i += FIT_LANES)
        for (int k = 0; k < FIT_LANES; k++) {
            float off = l.a * level_of(y[i + k], inverse, l.m, (float)top) - l.m - y[i + k];
            error[k] += w[i + k] * off * off;
        }
    return fit_add_lanes(error);
}

/* The best line for given levels. */
static struct line solve(const struct sums *s)
{
    struct line l = { 0.0f, 0.0f };
    float determinant = s->w * s->qq - s->q * s->q;
    if (determinant > 1e-6f * s->w * s->qq) {
        l.a = (s->w * s->xq - s->x * s->q) / determinant;
        l.m = (s->q * s->xq - s->qq * s->x) / determinant;
    }
    if (l.a <= 0.0f || l.m < 0.0f) {
        l.a = s->qq > 0.0f && s->xq > 0.0f ? s->xq / s->qq : 0.0f;
        l.m = 0.0f;
    }
    return l;
}

/* The best line found for one sub-block by spreading the levels a little less or more than from end to end. */
static struct line line_search(const float *y, const float *w, int n, int top)
{
    float low = 0.0f, high = y[0];
    for (int i = 0; i < n; i++) {
        low = y[i] < low ? y[i] : low;
        high = y[i] > high ? y[i] : high;
    }
    struct line best = { 0.0f, -low };
    if (!(high > low))
        return best;
    float least = INFINITY;
    for (int k = 0; k < TRIES; k++) {
        float spread = (float)top * (0.92f + 0.04f * (float)k);
        struct line l = { (high - low) / spread, -low };
        for (int step = 0; step < 2 && l.a > 0.0f; step++) {
            struct sums s = sums_on(y, w, n, l, top);
            l = solve(&s);
            float error = error_on(y, w, n, l, top);
            if (error < least) {
                least = error;
                best = l;
            }
        }
    }
    return best;
}

/* Whole scale and min near the line for one sub-block, given the block's factors. Returns the error. */
static float part_choose(struct affine_fit *f, const struct state *st, int part, struct line unit, struct line l)
{
    int n = st->kind->size, top = st->kind->scale_top;
    const float *y = st->y + part * n, *w = st->w + part * n;
    int near_scale = level_trunc(l.a * scale_inverse(unit.a) + 0.5f, top);
    int near_min = level_trunc(l.m * scale_inverse(unit.m) + 0.5f, top);
    struct line best = { 0.0f, 0.0f };
    float least = INFINITY;
    for (int scale = near_scale - 1; scale <= near_scale + 1; scale++)
        for (int min = near_min - 1; min <= near_min + 1; min++) {
            if (scale < 0 || scale > top || min < 0 || min > top)
                continue;
            struct line stored = { unit.a * (float)scale, unit.m * (float)min };
            float error = error_on(y, w, n, stored, st->kind->top);
            if (error < least) {
                least = error;
                best = stored;
                f->scales[part] = (uint8_t)scale;
                f->mins[part] = (uint8_t)min;
            }
        }
    for (int i = 0; i < n; i++)
        f->q[part * n + i] = (uint8_t)level_of(y[i], scale_inverse(best.a), best.m, (float)st->kind->top);
    return least;
}

/* Store the block's factors as binary16 and fit everything below them. Returns the error. */
static float block_choose(struct affine_fit *f, const struct state *st, struct line unit, const struct line *lines)
{
    f->d = fit_scale_store(unit.a * st->peak);
    f->m = fit_scale_store(unit.m * st->peak);
    struct line stored = { f32_from_f16(f->d) / st->peak, f32_from_f16(f->m) / st->peak };
    float error = 0.0f;
    for (int part = 0; part < FIT_BLOCK / st->kind->size; part++)
        error += part_choose(f, st, part, stored, lines[part]);
    return error;
}

/* The block's factors that suit the chosen whole numbers best: least squares over all values. */
static struct line block_solve(const struct affine_fit *f, const struct state *st)
{
    double aa = 0.0, am = 0.0, mm = 0.0, xa = 0.0, xm = 0.0;
    for (int i = 0; i < FIT_BLOCK; i++) {
        int part = i / st->kind->size;
        double a = f->scales[part] * f->q[i], m = -(double)f->mins[part], w = st->w[i];
        aa += w * a * a;
        am += w * a * m;
        mm += w * m * m;
        xa += w * a * st->y[i];
        xm += w * m * st->y[i];
    }
    double determinant = aa * mm - am * am;
    double a = aa > 0.0 ? xa / aa : 0.0, m = mm > 0.0 && aa <= 0.0 ? xm / mm : 0.0;
    if (determinant > 1e-9 * aa * mm) {
        a = (mm * xa - am * xm) / determinant;
        m = (aa * xm - am * xa) / determinant;
    }
    return (struct line) { a > 0.0 ? (float)a : 0.0f, m > 0.0 ? (float)m : 0.0f };
}

void affine_fit(struct affine_fit *f, const struct affine_kind *kind, const float *x, const float *importance)
{
    struct state st;
    struct line lines[FIT_PARTS], unit = { 0.0f, 0.0f };
    memset(f, 0, sizeof *f);
    st.kind = kind;
    st.peak = fit_prepare(st.y, st.w, x, importance, FIT_BLOCK);
    if (!(st.peak > 0.0f)) {
        f->d = f16_from_f32(st.peak);
        return;
    }
    for (int part = 0; part < FIT_BLOCK / kind->size; part++) {
        lines[part] = line_search(st.y + part * kind->size, st.w + part * kind->size, kind->size, kind->top);
        unit.a = fmaxf(unit.a, lines[part].a / (float)kind->scale_top);
        unit.m = fmaxf(unit.m, lines[part].m / (float)kind->scale_top);
    }
    float least = block_choose(f, &st, unit, lines);
    for (int pass = 0; pass < PASSES; pass++) {
        struct affine_fit next = { 0 };
        float error = block_choose(&next, &st, block_solve(f, &st), lines);
        if (!(error < least))
            break;
        least = error;
        *f = next;
    }
}
