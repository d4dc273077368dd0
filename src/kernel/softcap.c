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

static void softcap_backward_c(float *dx, const float *y, int n, float cap)
{
    for (int i = 0; i < n; i++)
        dx[i] *= (1 - y[i] / cap) * (1 + y[i] / cap);
}

SIMD_BODY void softcap_backward_body(float *restrict dx, const float *y, int n, float cap)
{
    for (int i = 0; i < n; i++)
        dx[i] *= (1 - y[i] / cap) * (1 + y[i] / cap);
}

SIMD_VERSIONS(softcap_backward, (float *dx, const float *y, int n, float cap), dx, y, n, cap)

const struct softcap_backward_version softcap_backward_versions[] = {
    SIMD_LIST(softcap_backward) { "c", 0, softcap_backward_c },
};
