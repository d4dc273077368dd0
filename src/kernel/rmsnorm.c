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

SIMD_BODY float rms_scale(const float *x, int n, float eps)
{
    float lanes[SIMD_LANES] = { 0 };
    int i = 0;
    for (; i + SIMD_LANES <= n; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            lanes[l] = __builtin_fmaf(x[i + l], x[i + l], lanes[l]);
    for (int l = 0; i + l < n; l++)
        lanes[l] = __builtin_fmaf(x[i + l], x[i + l], lanes[l]);
    return 1 / sqrtf(simd_sum(lanes) / (float)n + eps);
}

SIMD_BODY void rmsnorm_body(float *y, const float *x, const float *gain, float offset, int n, float eps)
{
    float scale = rms_scale(x, n, eps);
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

static void rmsnorm_backward_c(float *dx, float *dgain, const float *dy, const float *x, const float *gain,
    float offset, int n, float eps)
{
    float sum = 0, dot = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * x[i];
        dot += dy[i] * (gain ? offset + gain[i] : 1) * x[i];
    }
    float scale = 1 / sqrtf(sum / (float)n + eps), along = scale * scale * (dot / (float)n);
    for (int i = 0; i < n; i++) {
        dx[i] += scale * (dy[i] * (gain ? offset + gain[i] : 1) - x[i] * along);
        if (dgain)
            dgain[i] += dy[i] * (x[i] * scale);
    }
}

SIMD_BODY float rmsnorm_dot(const float *dy, const float *x, const float *gain, float offset, int n)
{
    float lanes[SIMD_LANES] = { 0 };
    int i = 0;
    for (; gain && i + SIMD_LANES <= n; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            lanes[l] = __builtin_fmaf(dy[i + l] * (offset + gain[i + l]), x[i + l], lanes[l]);
    for (; !gain && i + SIMD_LANES <= n; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            lanes[l] = __builtin_fmaf(dy[i + l], x[i + l], lanes[l]);
    for (int l = 0; i + l < n; l++)
        lanes[l] = __builtin_fmaf(gain ? dy[i + l] * (offset + gain[i + l]) : dy[i + l], x[i + l], lanes[l]);
    return simd_sum(lanes);
}

SIMD_BODY void rmsnorm_backward_body(float *restrict dx, float *restrict dgain, const float *dy, const float *x,
    const float *gain, float offset, int n, float eps)
{
    float scale = rms_scale(x, n, eps);
    float along = scale * scale * (rmsnorm_dot(dy, x, gain, offset, n) / (float)n);
    if (gain)
        for (int i = 0; i < n; i++)
            dx[i] += scale * (dy[i] * (offset + gain[i]) - x[i] * along);
    else
        for (int i = 0; i < n; i++)
            dx[i] += scale * (dy[i] - x[i] * along);
    for (int i = 0; dgain && i < n; i++)
        dgain[i] += dy[i] * (x[i] * scale);
}

SIMD_VERSIONS(rmsnorm_backward, (float *dx, float *dgain, const float *dy, const float *x, const float *gain,
    float offset, int n, float eps), dx, dgain, dy, x, gain, offset, n, eps)

const struct rmsnorm_backward_version rmsnorm_backward_versions[] = {
    SIMD_LIST(rmsnorm_backward) { "c", 0, rmsnorm_backward_c },
};
