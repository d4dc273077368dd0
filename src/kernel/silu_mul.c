/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

static void silu_mul_c(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * (up ? up[i] : 1);
}

SIMD_BODY void silu_mul_body(float *y, const float *gate, const float *up, int n)
{
    if (up)
        for (int i = 0; i < n; i++)
            y[i] = gate[i] / (1 + simd_exp(-gate[i])) * up[i];
    else
        for (int i = 0; i < n; i++)
            y[i] = gate[i] / (1 + simd_exp(-gate[i]));
}

SIMD_VERSIONS(silu_mul, (float *y, const float *gate, const float *up, int n), y, gate, up, n)

const struct silu_mul_version silu_mul_versions[] = {
    SIMD_LIST(silu_mul) { "c", 0, silu_mul_c },
};

/* silu'(g) = s (1 + g (1 - s)) with s = 1 / (1 + exp(-g)) */
static void silu_mul_backward_c(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float s = 1 / (1 + expf(-gate[i]));
        dgate[i] += dy[i] * (up ? up[i] : 1) * (s * (1 + gate[i] * (1 - s)));
        if (dup)
            dup[i] += dy[i] * (gate[i] * s);
    }
}

SIMD_BODY void silu_mul_backward_body(float *restrict dgate, float *restrict dup, const float *dy, const float *gate,
    const float *up, int n)
{
    for (int i = 0; !up && i < n; i++) {
        float s = 1 / (1 + simd_exp(-gate[i]));
        dgate[i] += dy[i] * (s * (1 + gate[i] * (1 - s)));
    }
    for (int i = 0; up && i < n; i++) {
        float s = 1 / (1 + simd_exp(-gate[i]));
        dgate[i] += dy[i] * up[i] * (s * (1 + gate[i] * (1 - s)));
        dup[i] += dy[i] * (gate[i] * s);
    }
}

SIMD_VERSIONS(silu_mul_backward, (float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n),
    dgate, dup, dy, gate, up, n)

const struct silu_mul_backward_version silu_mul_backward_versions[] = {
    SIMD_LIST(silu_mul_backward) { "c", 0, silu_mul_backward_c },
};
