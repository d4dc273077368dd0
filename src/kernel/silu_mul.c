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
