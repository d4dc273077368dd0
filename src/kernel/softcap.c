/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

static void softcap_c(float *x, int n, float cap)
{
    for (int i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

SIMD_BODY void softcap_body(float *x, int n, float cap)
{
    for (int i = 0; i < n; i++)
        x[i] = cap * simd_tanh(x[i] / cap);
}

SIMD_VERSIONS(softcap, (float *x, int n, float cap), x, n, cap)

const struct softcap_version softcap_versions[] = {
    SIMD_LIST(softcap) { "c", 0, softcap_c },
};
