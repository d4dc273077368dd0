/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

struct kernels kernels;

static dots_fn *choose_dots(const struct dots_version *v, unsigned features)
{
    while (v && (v->needs & ~features))
        v++;
    return v ? v->run : NULL;
}

/* The order of one output's sum depends on n alone. */
static void dots_f32_c(float *y, size_t y_stride, const void *w, size_t w_stride, int rows, const void *x,
    size_t x_stride, int count, int n)
{
    for (int c = 0; c < count; c++) {
        const float *b = (const float *)(const void *)((const char *)x + (size_t)c * x_stride);
        for (int r = 0; r < rows; r++) {
            const float *a = (const float *)(const void *)((const char *)w + (size_t)r * w_stride);
            float sum = 0;
            for (int i = 0; i < n; i++)
                sum += a[i] * b[i];
            y[(size_t)c * y_stride + (size_t)r] = sum;
        }
    }
}

void kernels_init(unsigned features)
{
    kernels.features = features;
#define X(op) \
    { \
        const struct op##_version *v = op##_versions; \
        while (v->needs & ~features) \
            v++; \
        kernels.op = v->run; \
    }
    KERNELS(X)
#undef X
    for (int i = 0; i < FORMAT_COUNT; i++)
        kernels.dots[i] = choose_dots(formats[i]->dots, features);
    if (!kernels.dots[FORMAT_f32])
        kernels.dots[FORMAT_f32] = dots_f32_c;
}
