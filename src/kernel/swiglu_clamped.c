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

static void swiglu_clamped_backward_c(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
    int n, float alpha, float limit)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > limit ? limit : gate[i];
        float u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        float s = 1 / (1 + expf(-alpha * g));
        dgate[i] += gate[i] <= limit ? dy[i] * (u + 1) * (s * (1 + alpha * g * (1 - s))) : 0;
        dup[i] += up[i] <= limit && up[i] >= -limit ? dy[i] * (g * s) : 0;
    }
}

SIMD_BODY void swiglu_clamped_backward_body(float *restrict dgate, float *restrict dup, const float *dy,
    const float *gate, const float *up, int n, float alpha, float limit)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > limit ? limit : gate[i];
        float u = up[i] > limit ? limit : up[i];
        u = u < -limit ? -limit : u;
        float s = 1 / (1 + simd_exp(-alpha * g));
        float by_gate = dy[i] * (u + 1) * (s * (1 + alpha * g * (1 - s))), by_up = dy[i] * (g * s);
        by_up = up[i] <= limit ? by_up : 0;
        dgate[i] += gate[i] <= limit ? by_gate : 0;
        dup[i] += up[i] >= -limit ? by_up : 0;
    }
}

SIMD_VERSIONS(swiglu_clamped_backward, (float *dgate, float *dup, const float *dy, const float *gate, const float *up,
    int n, float alpha, float limit), dgate, dup, dy, gate, up, n, alpha, limit)

const struct swiglu_clamped_backward_version swiglu_clamped_backward_versions[] = {
    SIMD_LIST(swiglu_clamped_backward) { "c", 0, swiglu_clamped_backward_c },
};
