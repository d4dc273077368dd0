/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

static void cross_entropy_c(float *loss, float *dx, const float *x, int n, int target, float weight)
{
    float max = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++)
        sum += expf(x[i] - max);
    if (loss)
        *loss = logf(sum) + (max - x[target]);
    if (!dx)
        return;
    for (int i = 0; i < n; i++)
        dx[i] = weight * (expf(x[i] - max) / sum);
    dx[target] -= weight;
}

SIMD_BODY void cross_entropy_body(float *loss, float *dx, const float *x, int n, int target, float weight)
{
    float tops[SIMD_LANES], sums[SIMD_LANES] = { 0 };
    int whole = n / SIMD_LANES * SIMD_LANES;
    for (int l = 0; l < SIMD_LANES; l++)
        tops[l] = x[0];
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            tops[l] = x[i + l] > tops[l] ? x[i + l] : tops[l];
    for (int l = 0; whole + l < n; l++)
        tops[l] = x[whole + l] > tops[l] ? x[whole + l] : tops[l];
    float max = simd_max(tops);
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            sums[l] += simd_exp(x[i + l] - max);
    for (int l = 0; whole + l < n; l++)
        sums[l] += simd_exp(x[whole + l] - max);
    float sum = simd_sum(sums);
    if (loss)
        *loss = logf(sum) + (max - x[target]);
    if (!dx)
        return;
    float share = weight / sum;
    for (int i = 0; i < whole; i += SIMD_LANES) { /* dx may be x, but within a vector nothing is read behind a write */
        float e[SIMD_LANES];
        for (int l = 0; l < SIMD_LANES; l++)
            e[l] = share * simd_exp(x[i + l] - max);
        memcpy(dx + i, e, sizeof e);
    }
    for (int i = whole; i < n; i++)
        dx[i] = share * simd_exp(x[i] - max);
    dx[target] -= weight;
}

SIMD_VERSIONS(cross_entropy, (float *loss, float *dx, const float *x, int n, int target, float weight), loss, dx, x, n,
    target, weight)

const struct cross_entropy_version cross_entropy_versions[] = {
    SIMD_LIST(cross_entropy) { "c", 0, cross_entropy_c },
};
