/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

/* Two passes: the variance is of the differences from the mean, so a large mean costs no digits. */
static void layernorm_c(float *y, const float *x, const float *gain, const float *bias, int n, float eps)
{
    float sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    float mean = sum / (float)n;
    for (int i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(squares / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
}

SIMD_BODY void layernorm_body(float *y, const float *x, const float *gain, const float *bias, int n, float eps)
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
    float scale = 1 / sqrtf(simd_sum(squares) / (float)n + eps);
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
