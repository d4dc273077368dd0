/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

#include <math.h>

static void silu_mul_c(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * (up ? up[i] : 1);
}

const struct silu_mul_version silu_mul_versions[] = {
    { "c", 0, silu_mul_c },
};
