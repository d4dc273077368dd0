/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

static void add_c(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

SIMD_BODY void add_body(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

SIMD_VERSIONS(add, (float *y, const float *x, int n), y, x, n)

const struct add_version add_versions[] = {
    SIMD_LIST(add) { "c", 0, add_c },
};
