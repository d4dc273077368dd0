/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

#define GELU_SCALE (-2 * 0.7978845608028654f) /* -2 sqrt(2 / pi) */
#define GELU_CUBE 0.044715f

static void gelu_mul_c(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i];
        y[i] = g / (1 + expf(GELU_SCALE * (g + GELU_CUBE * (g * g * g)))) * (up ? up[i] : 1);
    }
}

SIMD_BODY float gelu(float g)
{
    return g / (1 + simd_exp(GELU_SCALE * (g + GELU_CUBE * (g * g * g))));
}

SIMD_BODY void gelu_mul_body(float *y, const float *gate, const float *up, int n)
{
    if (up)
        for (int i = 0; i < n; i++)
            y[i] = gelu(gate[i]) * up[i];
    else
        for (int i = 0; i < n; i++)
            y[i] = gelu(gate[i]);
}

SIMD_VERSIONS(gelu_mul, (float *y, const float *gate, const float *up, int n), y, gate, up, n)

const struct gelu_mul_version gelu_mul_versions[] = {
    SIMD_LIST(gelu_mul) { "c", 0, gelu_mul_c },
};
