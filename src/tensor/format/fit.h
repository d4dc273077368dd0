/* SPDX-License-Identifier: Apache-2.0 */
/* The rounding searches of formats with stored scales: which levels, scales and minima make
 *     sum over the block of importance * (value - stored)^2
 * small. The whole numbers are coupled, so the least is not known; what is done: try several spacings of the levels
 * and solve each for the best real scale (least squares), then round the scales. With minima, whose rounding costs
 * more, the neighbours of the rounded scales are searched too, and the factors of the block solved again. Without
 * importance every value counts the same. */
#ifndef WAZN_TENSOR_FORMAT_FIT_H
#define WAZN_TENSOR_FORMAT_FIT_H

#include <stdint.h>

#define FIT_BLOCK 256
#define FIT_PARTS 16 /* sub-blocks in a block, at most */
#define FIT_LANES 8  /* sums are kept in so many parts, which the compiler turns into vectors */

static inline float fit_add_lanes(const float lane[FIT_LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* stored = d scale q - m min, with 0 <= q <= top and 0 <= scale, min <= scale_top; `size` values share scale and min
 * (a multiple of FIT_LANES, at least FIT_BLOCK / FIT_PARTS). */
struct affine_kind {
    int size, top, scale_top;
};

struct affine_fit {
    uint16_t d, m; /* binary16, d and m >= 0; NaN where a value is not finite */
    uint8_t scales[FIT_PARTS], mins[FIT_PARTS], q[FIT_BLOCK];
};

void affine_fit(struct affine_fit *f, const struct affine_kind *kind, const float *x, const float *importance);

/* stored = d scale q, with -steps <= q < steps and -scale_steps <= scale < scale_steps; 16 values share a scale. */
struct signed_kind {
    int steps, scale_steps;
};

struct signed_fit {
    uint16_t d; /* binary16; NaN where a value is not finite */
    int8_t scales[FIT_PARTS], q[FIT_BLOCK];
};

void signed_fit(struct signed_fit *f, const struct signed_kind *kind, const float *x, const float *importance);

/* y = x / peak and w = importance / its largest, where peak is the largest magnitude; so squares neither overflow nor
 * vanish. Weights that are not positive and finite count 0; where none counts, all count 1. Returns peak, or 0 where
 * all of x is too small to matter, or NaN where a value is not finite (y, w are not written then). */
float fit_prepare(float *y, float *w, const float *x, const float *importance, int n);

/* The binary16 nearest to `scale`, but finite, and 0 for 0 only: whole scales can still make use of a tiny one. */
uint16_t fit_scale_store(float scale);

#endif
