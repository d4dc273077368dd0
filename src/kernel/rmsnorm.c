/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

static void rmsnorm_c(float *y, const float *x, const float *gain, float offset, int n, float eps)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1 / sqrtf(sum / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = x[i] * scale * (gain ? offset + gain[i] : 1);
}

SIMD_BODY void rmsnorm_body(float *y, const float *x, const float *gain, float offset, int n, float eps)
{
    float lanes[SIMD_LANES] = { 0 };
    int i = 0;
    for (; i + SIMD_LANES <= n; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            lanes[l] = __builtin_fmaf(x[i + l], x[i + l], lanes[l]);
    for (int l = 0; i + l < n; l++)
        lanes[l] = __builtin_fmaf(x[i + l], x[i + l], lanes[l]);
    float scale = 1 / sqrtf(simd_sum(lanes) / (float)n + eps);
    if (gain)
        for (int k = 0; k < n; k++)
            y[k] = x[k] * scale * (offset + gain[k]);
    else
        for (int k = 0; k < n; k++)
            y[k] = x[k] * scale;
}

SIMD_VERSIONS(rmsnorm, (float *y, const float *x, const float *gain, float offset, int n, float eps), y, x, gain,
    offset, n, eps)

const struct rmsnorm_version rmsnorm_versions[] = {
    SIMD_LIST(rmsnorm) { "c", 0, rmsnorm_c },
};
