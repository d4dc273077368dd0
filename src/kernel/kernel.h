/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation on rows (one thread), and the fastest version this CPU can run. One file per operation: the formula
 * in a comment, a C version right for every size, then SIMD versions marked with a target attribute. Versions are
 * data; the test in tests/kernel runs every one against the last. */
#ifndef WAZN_KERNEL_KERNEL_H
#define WAZN_KERNEL_KERNEL_H

#include "tensor/format.h"

#include <stddef.h>
#include <stdint.h>

/* y = x / sqrt(mean(x^2) + eps) * (offset + gain). gain may be NULL (ones). y may be x. (Zhang and Sennrich 2019) */
typedef void rmsnorm_fn(float *y, const float *x, const float *gain, float offset, int n, float eps);
/* y = (x - mean) / sqrt(variance + eps) * gain + bias; gain and bias may be NULL. y may be x. (Ba et al. 2016) */
typedef void layernorm_fn(float *y, const float *x, const float *gain, const float *bias, int n, float eps);
/* In place: x = exp(x - max) / (sum exp(x - max) + exp(sink - max)); sink: -INFINITY for none. */
typedef void softmax_fn(float *x, int n, float sink);
/* y = silu(gate) * up; silu(g) = g / (1 + exp(-g)). y may be gate. */
typedef void silu_mul_fn(float *y, const float *gate, const float *up, int n);
/* y = gelu_tanh(gate) * up; up may be NULL (ones). gelu_tanh(g) = g/2 (1 + tanh(sqrt(2/pi)(g + 0.044715 g^3))). */
typedef void gelu_mul_fn(float *y, const float *gate, const float *up, int n);
/* y += x */
typedef void add_fn(float *y, const float *x, int n);

#define KERNELS(X) X(rmsnorm) X(layernorm) X(softmax) X(silu_mul) X(gelu_mul) X(add)

#define X(op) \
    struct op##_version { \
        const char *name; \
        unsigned needs; \
        op##_fn *run; \
    }; \
    extern const struct op##_version op##_versions[]; /* best first; ends in plain C, which needs nothing */
KERNELS(X)
#undef X

extern struct kernels {
    unsigned features;
#define X(op) op##_fn *op;
    KERNELS(X)
#undef X
    dots_fn *dots[FORMAT_COUNT]; /* NULL: the format has none; decode the row and use f32's */
} kernels;

/* Choose. Call once at start, before threads; features: cpu_features(), or less (`--cpu c` forces the reference). */
void kernels_init(unsigned features);

#endif
