/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

static void swiglu_clamped_c(float *y, const float *gate, const float *up, int n, float alpha, float limit)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > limit ? limit : gate[i];
        float u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        y[i] = g / (1 + expf(-alpha * g)) * (u + 1);
    }
}

SIMD_BODY void swiglu_clamped_body(float *y, const float *gate, const float *up, int n, float alpha, float limit)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > limit ? limit : gate[i];
        float u = up[i] > limit ? limit : up[i];
        u = u < -limit ? -limit : u;
        y[i] = g / (1 + simd_exp(-alpha * g)) * (u + 1);
    }
}

SIMD_VERSIONS(swiglu_clamped, (float *y, const float *gate, const float *up, int n, float alpha, float limit), y, gate,
    up, n, alpha, limit)

const struct swiglu_clamped_version swiglu_clamped_versions[] = {
    SIMD_LIST(swiglu_clamped) { "c", 0, swiglu_clamped_c },
};
