/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

static void add_c(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

const struct add_version add_versions[] = {
    { "c", 0, add_c },
};
