/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation on rows (one thread), and the fastest version this CPU can run. One file per operation: the formula
 * in a comment, a C version right for every size, then SIMD versions marked with a target attribute. Versions are
 * data; the test in tests/kernel runs every one against the last. */
#ifndef WAZN_KERNEL_KERNEL_H
#define WAZN_KERNEL_KERNEL_H

#include "tensor/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y = x / sqrt(mean(x^2) + eps) * (offset + gain). gain may be NULL (ones). y may be x. (Zhang and Sennrich 2019) */
typedef void rmsnorm_fn(float *y, const float *x, const float *gain, float offset, int n, float eps);
/* Adds to dx and dgain the gradients of rmsnorm's x and gain, where dy is that of y: with g = dy * (offset + gain) and
 * r = 1 / sqrt(mean(x^2) + eps), dx += r (g - x r^2 mean(g * x)), dgain += dy * x r. gain and dgain may be NULL. */
typedef void rmsnorm_backward_fn(float *dx, float *dgain, const float *dy, const float *x, const float *gain,
    float offset, int n, float eps);
/* y = (x - mean) / sqrt(variance + eps) * gain + bias; gain and bias may be NULL. y may be x. (Ba et al. 2016) */
typedef void layernorm_fn(float *y, const float *x, const float *gain, const float *bias, int n, float eps);
/* The same for layernorm: with z = (x - mean) r and g = dy * gain, dx += r (g - mean(g) - z mean(g * z)),
 * dgain += dy * z, dbias += dy. gain, dgain and dbias may be NULL. */
typedef void layernorm_backward_fn(float *dx, float *dgain, float *dbias, const float *dy, const float *x,
    const float *gain, int n, float eps);
/* In place: x = exp(x - max) / (sum exp(x - max) + exp(sink - max)); sink: -INFINITY for none. */
typedef void softmax_fn(float *x, int n, float sink);
/* One block of a softmax whose blocks come one after another (Milakov and Gimelshein 2018). Before: *max and *sum
 * belong to the blocks so far (-INFINITY and 0 at first; a sink s that only joins the denominator: s and 1). After:
 * they include this block, x = exp(x - *max), and *shrink = exp(old max - new max): what everything summed so far
 * must be scaled by. */
typedef void softmax_step_fn(float *x, int n, float *max, float *sum, float *shrink);
/* A part of a softmax over scores s that may be capped, c = cap tanh(s / cap) (cap 0: c = s), once its maximum and sum
 * are known. In place: x holds s and becomes p = exp(c - max) / sum; dx holds the gradients of p and becomes those of
 * s, p (dx - dot) (1 - (c / cap)^2), where dot is the sum of p * dx over the whole softmax. (Dao et al. 2022) */
typedef void softmax_backward_fn(float *x, float *dx, int n, float max, float sum, float dot, float cap);
/* log(sum exp(x)) - x[target] into *loss (may be NULL), and its gradient times weight, weight (softmax(x) - [target]),
 * into dx (may be NULL, or x). */
typedef void cross_entropy_fn(float *loss, float *dx, const float *x, int n, int target, float weight);
/* *entropy = -sum p log(p) of p = softmax(x), as log(sum e) - sum(e d) / sum e with d = x - max, e = exp(d). */
typedef void entropy_fn(float *entropy, const float *x, int n);
/* y[c] += sum over r < rows of p[c][r] * v[r], for c < count rows of n floats; strides in floats, p_step from p[c][r]
 * to p[c][r + 1]. Terms are added in rising r, one rounding pattern for all outputs: cutting count, rows (in order) or
 * n elsewhere changes nothing. */
typedef void mix_fn(float *y, size_t y_stride, const float *p, size_t p_stride, size_t p_step, const float *v,
    size_t v_stride, int count, int rows, int n);
/* Two numbers rounded to bf16, as the format's encode rounds: low[i] in the lower half of y[i], high[i] (NULL: zeros)
 * in the upper. */
typedef void pair_bf16_fn(uint32_t *y, const float *low, const float *high, int n);
/* As mix, where each p[c][r] and each element of v is such a pair: both products are added to a float. They are not
 * rounded; in what order they are added, and whether subnormal factors and sums count as zero, is the version's. */
typedef void mix_bf16_fn(float *y, size_t y_stride, const uint32_t *p, size_t p_stride, size_t p_step,
    const uint32_t *v, size_t v_stride, int count, int rows, int n);
/* y[k][i] = x[i][k], for i < rows and k < columns; strides in floats. */
typedef void transpose_fn(float *y, size_t y_stride, const float *x, size_t x_stride, int rows, int columns);
/* Rotate in place: (x1, x2) = (x1 cos - x2 sin, x2 cos + x1 sin). Pair i is (i, pairs + i), or (2 i, 2 i + 1) where
 * interleaved. cosine, sine: (pairs). (Su et al. 2021) */
typedef void rope_fn(float *x, const float *cosine, const float *sine, int pairs, bool interleaved);
/* y = silu(gate) * up; up may be NULL (ones); silu(g) = g / (1 + exp(-g)). y may be gate. */
typedef void silu_mul_fn(float *y, const float *gate, const float *up, int n);
/* dgate += dy * up * silu'(gate), dup += dy * silu(gate); up and dup may be NULL (ones). Outputs lie apart from inputs,
 * as in the other two. */
typedef void silu_mul_backward_fn(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n);
/* y = gelu_tanh(gate) * up; up may be NULL (ones). gelu_tanh(g) = g/2 (1 + tanh(sqrt(2/pi)(g + 0.044715 g^3))),
 * computed as g / (1 + exp(-2 sqrt(2/pi)(...))), which loses nothing where tanh is near -1. y may be gate. */
typedef void gelu_mul_fn(float *y, const float *gate, const float *up, int n);
typedef void gelu_mul_backward_fn(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int n);
/* y = g / (1 + exp(-alpha g)) * (u + 1) with g = min(gate, limit) and u = up within -limit .. limit; NaN stays. y may
 * be gate. (gpt-oss) */
typedef void swiglu_clamped_fn(float *y, const float *gate, const float *up, int n, float alpha, float limit);
/* What a clamp cuts off has gradient 0; at the limit itself it passes (as in PyTorch). */
typedef void swiglu_clamped_backward_fn(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
    int n, float alpha, float limit);
/* In place: x = cap * tanh(x / cap). */
typedef void softcap_fn(float *x, int n, float cap);
/* In place: dx *= 1 - (y / cap)^2, where y is what softcap made. */
typedef void softcap_backward_fn(float *dx, const float *y, int n, float cap);
/* y += x */
typedef void add_fn(float *y, const float *x, int n);
/* One step of Adam with decoupled weight decay (Loshchilov and Hutter 2019), for n numbers w with their gradient g and
 * running moments m, v; g is multiplied by `scale` first:
 *     m = beta1 m + rest1 g    v = beta2 v + rest2 g^2    w = w keep - step m / (sqrt(v) root + eps)
 * The caller folds in the learning rate and the corrections for the moments' start at 0: rest = 1 - beta (of betas that
 * are not yet floats), keep = 1 - lr * weight decay, step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t). */
struct adamw_step {
    float scale, beta1, beta2, rest1, rest2, step, root, eps, keep;
};
typedef void adamw_fn(float *w, float *m, float *v, const float *g, const struct adamw_step *s, int n);
/* What the format's own decode and encode (importance NULL) give, bit for bit; faster for the formats that activations
 * and caches are kept in. */
typedef void decode_fn(const struct format *format, float *y, const void *x, int64_t n);
typedef void encode_fn(const struct format *format, void *y, const float *x, int64_t n);

#define KERNELS(X) \
    X(rmsnorm) X(layernorm) X(softmax) X(softmax_step) X(mix) X(pair_bf16) X(mix_bf16) X(transpose) X(rope) \
    X(silu_mul) X(gelu_mul) X(swiglu_clamped) X(softcap) X(add) X(decode) X(encode) X(rmsnorm_backward) \
    X(layernorm_backward) X(softmax_backward) X(cross_entropy) X(entropy) X(silu_mul_backward) X(gelu_mul_backward) \
    X(swiglu_clamped_backward) X(softcap_backward) X(adamw)

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
    const struct dots_panels *panels[FORMAT_COUNT]; /* of the same version; NULL: it has none */
    dots_fn *mxfp4_split_dots;                      /* of mxfp4 in two pieces: tensor/dots/dots.h */
    const struct dots_panels *mxfp4_split_panels;
} kernels;

/* Choose. Call once at start, before threads; features: cpu_features(), or less (`--cpu c` forces the reference). */
void kernels_init(unsigned features);

#endif
