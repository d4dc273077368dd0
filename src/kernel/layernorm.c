/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

/* Returns 1 / sqrt(variance + eps). Two passes: the variance is of the differences from the mean, so a large mean costs
 * no digits. */
static float measure_c(const float *x, int n, float eps, float *mean_out)
{
    float sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    float mean = sum / (float)n;
    for (int i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    *mean_out = mean;
    return 1 / sqrtf(squares / (float)n + eps);
}

static void layernorm_c(float *y, const float *x, const float *gain, const float *bias, int n, float eps)
{
    float mean, scale = measure_c(x, n, eps, &mean);
    for (int i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
}

/* The same in lanes. */
SIMD_BODY float measure(const float *x, int n, float eps, float *mean_out)
{
    float sums[SIMD_LANES] = { 0 }, squares[SIMD_LANES] = { 0 };
    int whole = n / SIMD_LANES * SIMD_LANES;
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            sums[l] += x[i + l];
    for (int l = 0; whole + l < n; l++)
        sums[l] += x[whole + l];
    float mean = simd_sum(sums) / (float)n;
    for (int i = 0; i < whole; i += SIMD_LANES)
        for (int l = 0; l < SIMD_LANES; l++)
            squares[l] = __builtin_fmaf(x[i + l] - mean, x[i + l] - mean, squares[l]);
    for (int l = 0; whole + l < n; l++)
        squares[l] = __builtin_fmaf(x[whole + l] - mean, x[whole + l] - mean, squares[l]);
    *mean_out = mean;
    return 1 / sqrtf(simd_sum(squares) / (float)n + eps);
}

SIMD_BODY void layernorm_body(float *y, const float *x, const float *gain, const float *bias, int n, float eps)
{
    float mean, scale = measure(x, n, eps, &mean);
    for (int i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale;
    for (int i = 0; gain && i < n; i++)
        y[i] *= gain[i];
    for (int i = 0; bias && i < n; i++)
        y[i] += bias[i];
}

SIMD_VERSIONS(layernorm, (float *y, const float *x, const float *gain, const float *bias, int n, float eps), y, x, gain,
    bias, n, eps)

const struct layernorm_version layernorm_versions[] = {
    SIMD_LIST(layernorm) { "c", 0, layernorm_c },
};

static void layernorm_backward_c(float *dx, float *dgain, float *dbias, const float *dy, const float *x,
    const float *gain, int n, float eps)
{
    float level = 0, along = 0, mean, scale = measure_c(x, n, eps, &mean);
    for (int i = 0; i < n; i++) {
        float g = dy[i] * (gain ? gain[i] : 1);
        level += g;
        along += g * ((x[i] - mean) * scale);
    }
    for (int i = 0; i < n; i++) {
        float z = (x[i] - mean) * scale;
        dx[i] += scale * (dy[i] * (gain ? gain[i] : 1) - level / (float)n - z * (along / (float)n));
        if (dgain)
            dgain[i] += dy[i] * z;
        if (dbias)
            dbias[i] += dy[i];
    }
}

SIMD_BODY void layernorm_backward_body(float *restrict dx, float *restrict dgain, float *restrict dbias,
    const float *dy, const float *x, const float *gain, int n, float eps)
{
    float levels[SIMD_LANES] = { 0 }, alongs[SIMD_LANES] = { 0 }, g[SIMD_LANES];
    float mean, scale = measure(x, n, eps, &mean);
    int i = 0;
    for (; i + SIMD_LANES <= n; i += SIMD_LANES) {
        for (int l = 0; l < SIMD_LANES; l++)
            g[l] = dy[i + l];
        for (int l = 0; gain && l < SIMD_LANES; l++)
            g[l] *= gain[i + l];
        for (int l = 0; l < SIMD_LANES; l++) {
            levels[l] += g[l];
            alongs[l] = __builtin_fmaf(g[l], (x[i + l] - mean) * scale, alongs[l]);
        }
    }
    for (int l = 0; i + l < n; l++) {
        float rest = gain ? dy[i + l] * gain[i + l] : dy[i + l];
        levels[l] += rest;
        alongs[l] = __builtin_fmaf(rest, (x[i + l] - mean) * scale, alongs[l]);
    }
    float level = simd_sum(levels) / (float)n, along = simd_sum(alongs) / (float)n;
    if (gain)
        for (int k = 0; k < n; k++)
            dx[k] += scale * (dy[k] * gain[k] - level - (x[k] - mean) * scale * along);
    else
        for (int k = 0; k < n; k++)
            dx[k] += scale * (dy[k] - level - (x[k] - mean) * scale * along);
    for (int k = 0; dgain && k < n; k++)
        dgain[k] += dy[k] * ((x[k] - mean) * scale);
    for (int k = 0; dbias && k < n; k++)
        dbias[k] += dy[k];
}

SIMD_VERSIONS(layernorm_backward, (float *dx, float *dgain, float *dbias, const float *dy, const float *x,
    const float *gain, int n, float eps), dx, dgain, dbias, dy, x, gain, n, eps)

const struct layernorm_backward_version layernorm_backward_versions[] = {
    SIMD_LIST(layernorm_backward) { "c", 0, layernorm_backward_c },
};
