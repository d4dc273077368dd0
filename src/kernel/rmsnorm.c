/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

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

const struct rmsnorm_version rmsnorm_versions[] = {
    { "c", 0, rmsnorm_c },
};
