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

/* gelu'(g) = s (1 + g (1 - s) 2 sqrt(2/pi) (1 + 3 * 0.044715 g^2)) with s = 1 / (1 + exp(-2 sqrt(2/pi) (...))). Far out
 * s is 0 or 1 and the product behind it 0, but not where g^2 is infinite: g is held where nothing is left of it. */
#define GELU_FAR 12.0f

static void gelu_mul_backward_c(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > GELU_FAR ? GELU_FAR : gate[i] < -GELU_FAR ? -GELU_FAR : gate[i];
        float s = 1 / (1 + expf(GELU_SCALE * (g + GELU_CUBE * (g * g * g))));
        float slope = s * (1 - g * (1 - s) * (GELU_SCALE * (1 + 3 * GELU_CUBE * (g * g))));
        dgate[i] += dy[i] * (up ? up[i] : 1) * slope;
        if (dup)
            dup[i] += dy[i] * (gate[i] * s);
    }
}

/* Returns gelu'(g); *share: s. */
SIMD_BODY float gelu_slope(float gate, float *share)
{
    float g = gate > GELU_FAR ? GELU_FAR : gate;
    g = g < -GELU_FAR ? -GELU_FAR : g;
    float s = 1 / (1 + simd_exp(GELU_SCALE * (g + GELU_CUBE * (g * g * g))));
    *share = s;
    return s * (1 - g * (1 - s) * (GELU_SCALE * (1 + 3 * GELU_CUBE * (g * g))));
}

SIMD_BODY void gelu_mul_backward_body(float *restrict dgate, float *restrict dup, const float *dy, const float *gate,
    const float *up, int n)
{
    float share;
    for (int i = 0; !up && i < n; i++)
        dgate[i] += dy[i] * gelu_slope(gate[i], &share);
    for (int i = 0; up && i < n; i++) {
        dgate[i] += dy[i] * up[i] * gelu_slope(gate[i], &share);
        dup[i] += dy[i] * (gate[i] * share);
    }
}

SIMD_VERSIONS(gelu_mul_backward, (float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n),
    dgate, dup, dy, gate, up, n)

const struct gelu_mul_backward_version gelu_mul_backward_versions[] = {
    SIMD_LIST(gelu_mul_backward) { "c", 0, gelu_mul_backward_c },
};
