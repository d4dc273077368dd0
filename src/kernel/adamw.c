/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "kernel/simd.h"

#include <math.h>

SIMD_BODY void adamw_body(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
    const struct adamw_step *s, int n)
{
    const float scale = s->scale, beta1 = s->beta1, beta2 = s->beta2, rest1 = s->rest1, rest2 = s->rest2;
    const float step = s->step, root = s->root, eps = s->eps, keep = s->keep;
    for (int i = 0; i < n; i++) {
        float gradient = g[i] * scale;
        m[i] = beta1 * m[i] + rest1 * gradient;
        v[i] = beta2 * v[i] + rest2 * (gradient * gradient);
        w[i] = w[i] * keep - step * m[i] / (sqrtf(v[i]) * root + eps);
    }
}

static void adamw_c(float *w, float *m, float *v, const float *g, const struct adamw_step *s, int n)
{
    adamw_body(w, m, v, g, s, n);
}

SIMD_VERSIONS(adamw, (float *w, float *m, float *v, const float *g, const struct adamw_step *s, int n), w, m, v, g, s,
    n)

const struct adamw_version adamw_versions[] = {
    SIMD_LIST(adamw) { "c", 0, adamw_c },
};
