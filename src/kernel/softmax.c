/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

/* Where everything so far is -INFINITY the exponents are taken against 0: exp(-INFINITY) = 0, not NaN. */
static void softmax_step_c(float *x, int n, float *max, float *sum, float *shrink)
{
    float top = *max, added = 0;
    for (int i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    float base = top == -INFINITY ? 0 : top;
    for (int i = 0; i < n; i++) {
        x[i] = expf(x[i] - base);
        added += x[i];
    }
    *shrink = expf(*max - base);
    *sum = *sum * *shrink + added;
    *max = top;
}

static void softmax_c(float *x, int n, float sink)
{
    float max = sink, sum = sink > -INFINITY ? 1 : 0, shrink;
    softmax_step_c(x, n, &max, &sum, &shrink);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

SIMD_BODY void softmax_step_body(float *x, int n, float *max, float *sum, float *shrink)
{
    float tops[SIMD_LANES], sums[SIMD_LANES] = { 0 };
    int whole = n / SIMD_LANES * SIMD_LANES;
    for (int l = 0; l < SIMD_LANES; l++)
        tops[l] = *max;
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            tops[l] = x[i + l] > tops[l] ? x[i + l] : tops[l];
    for (int l = 0; whole + l < n; l++)
        tops[l] = x[whole + l] > tops[l] ? x[whole + l] : tops[l];
    float top = simd_max(tops), base = top == -INFINITY ? 0 : top;
    for (int i = 0; i < n; i++)
        x[i] = simd_exp(x[i] - base);
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            sums[l] += x[i + l];
    for (int l = 0; whole + l < n; l++)
        sums[l] += x[whole + l];
    *shrink = simd_exp(*max - base);
    *sum = *sum * *shrink + simd_sum(sums);
    *max = top;
}

SIMD_BODY void softmax_body(float *x, int n, float sink)
{
    float max = sink, sum = sink > -INFINITY ? 1 : 0, shrink;
    softmax_step_body(x, n, &max, &sum, &shrink);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

SIMD_VERSIONS(softmax_step, (float *x, int n, float *max, float *sum, float *shrink), x, n, max, sum, shrink)
SIMD_VERSIONS(softmax, (float *x, int n, float sink), x, n, sink)

const struct softmax_step_version softmax_step_versions[] = {
    SIMD_LIST(softmax_step) { "c", 0, softmax_step_c },
};

const struct softmax_version softmax_versions[] = {
    SIMD_LIST(softmax) { "c", 0, softmax_c },
};

static void softmax_backward_c(float *x, float *dx, int n, float max, float sum, float dot, float cap)
{
    for (int i = 0; i < n; i++) {
        float share = cap != 0 ? tanhf(x[i] / cap) : 0, score = cap != 0 ? cap * share : x[i];
        x[i] = expf(score - max) / sum;
        dx[i] = x[i] * (dx[i] - dot) * ((1 - share) * (1 + share));
    }
}

SIMD_BODY void softmax_backward_body(float *restrict x, float *restrict dx, int n, float max, float sum, float dot,
    float cap)
{
    for (int i = 0; cap == 0 && i < n; i++) {
        x[i] = simd_exp(x[i] - max) / sum;
        dx[i] = x[i] * (dx[i] - dot);
    }
    for (int i = 0; cap != 0 && i < n; i++) {
        float share = simd_tanh(x[i] / cap);
        x[i] = simd_exp(cap * share - max) / sum;
        dx[i] = x[i] * (dx[i] - dot) * ((1 - share) * (1 + share));
    }
}

SIMD_VERSIONS(softmax_backward, (float *x, float *dx, int n, float max, float sum, float dot, float cap), x, dx, n,
    max, sum, dot, cap)

const struct softmax_backward_version softmax_backward_versions[] = {
    SIMD_LIST(softmax_backward) { "c", 0, softmax_backward_c },
};
