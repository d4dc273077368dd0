/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

static void mix_c(float *y, size_t y_stride, const float *p, size_t p_stride, const float *v, size_t v_stride,
    int count, int rows, int n)
{
    for (int c = 0; c < count; c++) {
        float *out = y + (size_t)c * y_stride;
        for (int r = 0; r < rows; r++) {
            float weight = p[(size_t)c * p_stride + (size_t)r];
            const float *in = v + (size_t)r * v_stride;
            for (int i = 0; i < n; i++)
                out[i] += weight * in[i];
        }
    }
}

const struct mix_version mix_versions[] = {
    { "c", 0, mix_c },
};
