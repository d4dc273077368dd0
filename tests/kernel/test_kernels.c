/* SPDX-License-Identifier: Apache-2.0 */
/* Every version of every kernel that this machine can run, against the last of its list, which is plain C. The
 * cases are named by the list of kernels: one without a case does not compile. */
#include "kernel_case.h"
#include "mix_case.h"

#include "base/clock.h"
#include "base/cpu.h"

#include <stdio.h>

static void check_rmsnorm(rmsnorm_fn *run, rmsnorm_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind += kind == 1 ? 2 : 1) {
            float *x = values_new(n, kind), *gain = values_new(n, 0), *expected = malloc((size_t)n * sizeof *x);
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            const float *g = n % 3 ? gain : NULL;
            plain(expected, x, g, (float)(n % 2), n, 1e-6f);
            run(y.at, x, g, (float)(n % 2), n, 1e-6f);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], (2 * sqrt(n) + 4) * fabs((double)expected[i]), FLT_MIN, i, n);
            memcpy(y.at, x, (size_t)n * sizeof *x);
            run(y.at, y.at, g, (float)(n % 2), n, 1e-6f);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], (2 * sqrt(n) + 4) * fabs((double)expected[i]), FLT_MIN, i, n);
            guarded_close(&y);
            free(x);
            free(gain);
            free(expected);
        }
}

/* How large x - mean is in units of the deviation tells what the rounding of the mean costs. */
static double norm_bound(const float *x, int n)
{
    double mean = 0, size = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        mean += (double)x[i] / n;
        size += fabs((double)x[i]) / n;
    }
    for (int i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    return (2 * sqrt(n) + 4) * size / sqrt(squares + 1e-6);
}

static void check_layernorm(layernorm_fn *run, layernorm_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind += kind == 1 ? 2 : 1) {
            float *x = values_new(n, kind), *gain = values_new(n, 0), *bias = values_new(n, 0);
            float *expected = malloc((size_t)n * sizeof *x);
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            const float *g = n % 3 ? gain : NULL, *b = n % 4 ? bias : NULL;
            double bound = norm_bound(x, n);
            plain(expected, x, g, b, n, 1e-6f);
            run(y.at, x, g, b, n, 1e-6f);
            for (int i = 0; i < n; i++) {
                double size = fabs((double)expected[i]) + (b ? 2 * fabs((double)b[i]) : 0);
                check_near(y.at[i], expected[i],
                    (2 * sqrt(n) + 4) * size + bound * (g ? fabs((double)g[i]) : 1), FLT_MIN, i, n);
            }
            guarded_close(&y);
            free(x);
            free(gain);
            free(bias);
            free(expected);
        }
}

static void check_softmax_step(softmax_step_fn *run, softmax_step_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 4; kind++) {
            float *x = values_new(n, kind), *expected = malloc((size_t)n * sizeof *x), shrink, shrink_expected;
            float max = n % 3 == 0 ? -INFINITY : n % 3 == 1 ? 0.25f : 20, sum = n % 3 ? 1.5f : 0;
            for (int i = 0; n % 7 == 0 && i < n; i++)
                x[i] = -INFINITY;
            float max_expected = max, sum_expected = sum;
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            memcpy(y.at, x, (size_t)n * sizeof *x);
            memcpy(expected, x, (size_t)n * sizeof *x);
            plain(expected, n, &max_expected, &sum_expected, &shrink_expected);
            run(y.at, n, &max, &sum, &shrink);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], 2 * (double)expected[i], 2e-45, i, n);
            check_near(max, max_expected, 0, 0, 0, n);
            check_near(shrink, shrink_expected, 2 * (double)shrink_expected, 2e-45, 0, n);
            check_near(sum, sum_expected, (2 * sqrt(n) + 4) * (double)sum_expected, 0, 0, n);
            guarded_close(&y);
            free(x);
            free(expected);
        }
}

static void check_softmax(softmax_fn *run, softmax_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 3; kind++) {
            float *x = values_new(n, kind), *expected = malloc((size_t)n * sizeof *x);
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            float sink = n % 2 ? -INFINITY : 0.5f;
            memcpy(y.at, x, (size_t)n * sizeof *x);
            memcpy(expected, x, (size_t)n * sizeof *x);
            plain(expected, n, sink);
            run(y.at, n, sink);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], (2 * sqrt(n) + 6) * (double)expected[i], 3e-45, i, n);
            guarded_close(&y);
            free(x);
            free(expected);
        }
}

static void check_rope(rope_fn *run, rope_fn *plain)
{
    for (int pairs = 1; pairs <= 140; pairs += pairs < 70 ? 1 : 29)
        for (int kind = 0; kind < 2; kind++) {
            float *x = values_new(2 * pairs, kind), *cosine = values_new(pairs, 0), *sine = values_new(pairs, 0);
            struct guarded y = guarded_open(2 * (size_t)pairs, (size_t)pairs % 5);
            struct guarded expected = guarded_open(2 * (size_t)pairs, 0);
            bool interleaved = pairs % 2;
            memcpy(y.at, x, 2 * (size_t)pairs * sizeof *x);
            memcpy(expected.at, x, 2 * (size_t)pairs * sizeof *x);
            plain(expected.at, cosine, sine, pairs, interleaved);
            run(y.at, cosine, sine, pairs, interleaved);
            for (int i = 0; i < 2 * pairs; i++) {
                int a = interleaved ? i / 2 * 2 : i % pairs, b = interleaved ? a + 1 : a + pairs;
                int k = interleaved ? i / 2 : i % pairs;
                double size = fmax(fabs((double)cosine[k]), fabs((double)sine[k]));
                check_near(y.at[i], expected.at[i], 2 * size * (fabs((double)x[a]) + fabs((double)x[b])), 0, i, pairs);
            }
            guarded_close(&y);
            guarded_close(&expected);
            free(x);
            free(cosine);
            free(sine);
        }
}

/* What silu_mul and gelu_mul share. Where the exponential overflows in one version, the gate is below 89 / FLT_MAX. */
static void check_gate(silu_mul_fn *run, silu_mul_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind++) {
            float *gate = values_new(n, kind), *other = values_new(n, 0), *expected = malloc((size_t)n * sizeof *gate);
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            const float *up = n % 2 ? other : NULL;
            plain(expected, gate, up, n);
            run(y.at, gate, up, n);
            for (int i = 0; i < n; i++) {
                float alone;
                double lost = 3e-37 * (up ? fabs((double)up[i]) : 1);
                check_near(y.at[i], expected[i], 4 * fabs((double)expected[i]), lost, i, n);
                run(&alone, gate + i, up ? up + i : NULL, 1);
                if (!isnan(alone))
                    check_same(&alone, &y.at[i], sizeof alone, n);
            }
            memcpy(expected, y.at, (size_t)n * sizeof *gate);
            memcpy(y.at, gate, (size_t)n * sizeof *gate);
            run(y.at, y.at, up, n);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], 0, 0, i, n);
            guarded_close(&y);
            free(gate);
            free(other);
            free(expected);
        }
}

static void check_silu_mul(silu_mul_fn *run, silu_mul_fn *plain)
{
    check_gate(run, plain);
}

static void check_gelu_mul(gelu_mul_fn *run, gelu_mul_fn *plain)
{
    check_gate(run, plain);
}

static void check_swiglu_clamped(swiglu_clamped_fn *run, swiglu_clamped_fn *plain)
{
    const float alpha = 1.702f;
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind++) {
            float *gate = values_new(n, kind), *up = values_new(n, n % 5), *expected = malloc((size_t)n * sizeof *gate);
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            float limit = n % 2 ? 7.0f : 0.5f; /* the smaller one cuts values of every kind */
            plain(expected, gate, up, n, alpha, limit);
            run(y.at, gate, up, n, alpha, limit);
            for (int i = 0; i < n; i++) {
                float alone;
                check_near(y.at[i], expected[i], 4 * fabs((double)expected[i]), 3e-37 * (1 + (double)limit), i, n);
                run(&alone, gate + i, up + i, 1, alpha, limit);
                if (!isnan(alone))
                    check_same(&alone, &y.at[i], sizeof alone, n);
            }
            memcpy(expected, y.at, (size_t)n * sizeof *gate);
            memcpy(y.at, gate, (size_t)n * sizeof *gate);
            run(y.at, y.at, up, n, alpha, limit);
            for (int i = 0; i < n; i++)
                check_near(y.at[i], expected[i], 0, 0, i, n);
            guarded_close(&y);
            free(gate);
            free(up);
            free(expected);
        }
}

/* The formula of OpenAI's model, in numbers worked out by hand: both clamps, none of them below for the gate. */
static void swiglu_clamped_values(void **state)
{
    (void)state;
    const float gate[] = { 9, 7, 0, -9, 1, 1, 1, NAN, 1 }, up[] = { 1, 1, 1, 1, 9, -9, -1, 1, NAN };
    const double glu = 1 / (1 + exp(-1.702)), top = 7 / (1 + exp(-7 * 1.702)), low = -9 / (1 + exp(9 * 1.702));
    const double expected[] = { 2 * top, 2 * top, 0, 2 * low, 8 * glu, -6 * glu, 0, NAN, NAN };
    for (const struct swiglu_clamped_version *v = swiglu_clamped_versions;; v++) {
        float y[9];
        if (!(v->needs & ~cpu_features())) {
            v->run(y, gate, up, 9, 1.702f, 7);
            for (int i = 0; i < 9; i++)
                check_near(y[i], (float)expected[i], 6 * fabs(expected[i]), 0, i, 9);
        }
        if (!v->needs)
            return;
    }
}

static void check_softcap(softcap_fn *run, softcap_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 5; kind++) {
            float *x = values_new(n, kind), *expected = malloc((size_t)n * sizeof *x), cap = n % 2 ? 1 : 30;
            struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
            memcpy(y.at, x, (size_t)n * sizeof *x);
            memcpy(expected, x, (size_t)n * sizeof *x);
            plain(expected, n, cap);
            run(y.at, n, cap);
            for (int i = 0; i < n; i++) {
                float alone = x[i];
                check_near(y.at[i], expected[i], 4 * fabs((double)expected[i]), 1e-43, i, n);
                run(&alone, 1, cap);
                if (!isnan(alone))
                    check_same(&alone, &y.at[i], sizeof alone, n);
            }
            guarded_close(&y);
            free(x);
            free(expected);
        }
}

static void check_add(add_fn *run, add_fn *plain)
{
    for (int n = 1; n; n = next_size(n)) {
        float *x = values_new(n, 2), *start = values_new(n, 2), *expected = malloc((size_t)n * sizeof *x);
        struct guarded y = guarded_open((size_t)n, (size_t)n % 5);
        memcpy(y.at, start, (size_t)n * sizeof *x);
        memcpy(expected, start, (size_t)n * sizeof *x);
        plain(expected, x, n);
        run(y.at, x, n);
        for (int i = 0; i < n; i++)
            check_near(y.at[i], expected[i], 0, 0, i, n);
        guarded_close(&y);
        free(x);
        free(start);
        free(expected);
    }
}

/* Any bytes are a row: of the formats of 2 bytes all values occur. */
static void check_decode(decode_fn *run, decode_fn *plain)
{
    for (int k = 0; k < FORMAT_COUNT; k++) {
        const struct format *f = formats[k];
        int last = f->block_bytes == 2 && f->block == 1 ? 65536 : 71;
        for (int blocks = 1; blocks <= last; blocks = blocks == 70 ? last : blocks + 1) {
            size_t values = (size_t)(blocks * f->block), bytes = (size_t)(blocks * f->block_bytes);
            size_t odd = f->id == FORMAT_q8_1 || f->id == FORMAT_q8_k ? 4 : f->id == FORMAT_f32 ? 4 : 1;
            unsigned char *memory = malloc(bytes + odd), *x = memory + odd;
            for (size_t i = 0; i < bytes; i++)
                x[i] = (unsigned char)random_below(&rng, 256);
            for (int i = 0; blocks == 65536 && i < blocks; i++) {
                x[2 * i] = (unsigned char)i;
                x[2 * i + 1] = (unsigned char)(i >> 8);
            }
            struct guarded y = guarded_open(values, (size_t)blocks % 5), expected = guarded_open(values, 0);
            plain(f, expected.at, x, (int64_t)values);
            run(f, y.at, x, (int64_t)values);
            check_same(y.at, expected.at, values * sizeof(float), blocks);
            guarded_close(&y);
            guarded_close(&expected);
            free(memory);
        }
    }
}

static void check_encode(encode_fn *run, encode_fn *plain)
{
    for (int k = 0; k < FORMAT_COUNT; k++) {
        const struct format *f = formats[k];
        for (int blocks = 1; f->encode && blocks <= (f->block == 1 ? 300 : 40); blocks++) {
            int n = blocks * f->block;
            size_t bytes = (size_t)(blocks * f->block_bytes);
            float *x = values_new(n, blocks % 5);
            for (int i = 0; blocks % 7 == 1 && i < n; i++) /* where the largest value makes the scale 1: halves */
                x[i] = i % f->block == 5 ? (blocks % 2 ? 127 : -127) : (float)((int)random_below(&rng, 253) - 126) / 2;
            unsigned char *y = malloc(bytes), *expected = malloc(bytes);
            plain(f, expected, x, n);
            run(f, y, x, n);
            check_same(y, expected, bytes, n);
            free(x);
            free(y);
            free(expected);
        }
    }
}

/* What gradients are added to, and what they are made of, all of one size. */
struct gradients {
    int n;
    float *start[3], *expected[3]; /* outputs: before, and of plain C */
    struct guarded got[3];
    float *dy, *x, *gain;
};

static void gradients_open(struct gradients *g, int n, int kind)
{
    g->n = n;
    g->dy = values_new(n, kind);
    g->x = values_new(n, kind);
    g->gain = values_new(n, 0);
    for (int k = 0; k < 3; k++) {
        g->start[k] = values_new(n, 0);
        g->expected[k] = malloc((size_t)n * sizeof(float));
        g->got[k] = guarded_open((size_t)n, (size_t)(n + k) % 5);
        memcpy(g->expected[k], g->start[k], (size_t)n * sizeof(float));
        memcpy(g->got[k].at, g->start[k], (size_t)n * sizeof(float));
    }
}

static void gradients_close(struct gradients *g)
{
    for (int k = 0; k < 3; k++) {
        guarded_close(&g->got[k]);
        free(g->start[k]);
        free(g->expected[k]);
    }
    free(g->dy);
    free(g->x);
    free(g->gain);
}

/* size: of what was added to value i of output k, in units of FLT_EPSILON. */
static void check_gradient(const struct gradients *g, int k, int i, double size)
{
    double start = fabs((double)g->start[k][i]);
    check_near(g->got[k].at[i], g->expected[k][i], 2 * start + size, FLT_MIN, i, g->n);
}

static void check_rmsnorm_backward(rmsnorm_backward_fn *run, rmsnorm_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            gradients_open(&g, n, kind);
            const float *gain = n % 3 ? g.gain : NULL;
            plain(g.expected[0], n % 4 ? g.expected[1] : NULL, g.dy, g.x, gain, (float)(n % 2), n, 1e-6f);
            run(g.got[0].at, n % 4 ? g.got[1].at : NULL, g.dy, g.x, gain, (float)(n % 2), n, 1e-6f);
            double squares = 0, dots = 0;
            for (int i = 0; i < n; i++) {
                double factor = gain ? fabs((double)(n % 2) + (double)gain[i]) : 1;
                squares += (double)g.x[i] * (double)g.x[i] / n;
                dots += fabs((double)g.dy[i] * factor * (double)g.x[i]) / n;
            }
            double scale = 1 / sqrt(squares + 1e-6), rough = 4 * sqrt(n) + 8;
            for (int i = 0; i < n; i++) {
                double factor = gain ? fabs((double)(n % 2) + (double)gain[i]) : 1, x = fabs((double)g.x[i]);
                double dy = fabs((double)g.dy[i]);
                check_gradient(&g, 0, i, rough * scale * (dy * factor + x * scale * scale * dots));
                check_gradient(&g, 1, i, rough * scale * dy * x);
            }
            gradients_close(&g);
        }
}

static void check_layernorm_backward(layernorm_backward_fn *run, layernorm_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            gradients_open(&g, n, kind);
            const float *gain = n % 3 ? g.gain : NULL;
            plain(g.expected[0], n % 4 ? g.expected[1] : NULL, n % 5 ? g.expected[2] : NULL, g.dy, g.x, gain, n, 1e-3f);
            run(g.got[0].at, n % 4 ? g.got[1].at : NULL, n % 5 ? g.got[2].at : NULL, g.dy, g.x, gain, n, 1e-3f);
            double mean = 0, squares = 0, level = 0, along = 0, far = 0, size = 0;
            for (int i = 0; i < n; i++) {
                mean += (double)g.x[i] / n;
                size += fabs((double)g.x[i]) / n;
            }
            for (int i = 0; i < n; i++)
                squares += ((double)g.x[i] - mean) * ((double)g.x[i] - mean) / n;
            double scale = 1 / sqrt(squares + 1e-3);
            for (int i = 0; i < n; i++) {
                double part = fabs((double)g.dy[i] * (gain ? (double)gain[i] : 1)), z = fabs((double)g.x[i]) + size;
                level += part / n;
                along += part * z * scale / n;
                far = fmax(far, z * scale);
            }
            double rough = (4 * sqrt(n) + 8) * (1 + far); /* a rounded mean moves every z */
            for (int i = 0; i < n; i++) {
                double dy = fabs((double)g.dy[i]), part = dy * (gain ? fabs((double)gain[i]) : 1);
                double z = (fabs((double)g.x[i]) + size) * scale;
                check_gradient(&g, 0, i, rough * scale * (part + level + z * along));
                check_gradient(&g, 1, i, rough * dy * z);
                check_gradient(&g, 2, i, 2 * dy);
            }
            gradients_close(&g);
        }
}

static void check_softmax_backward(softmax_backward_fn *run, softmax_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            gradients_open(&g, n, kind);
            float max = -INFINITY, sum = 3.5f, dot = 0.75f, cap = n % 2 ? 0 : 5;
            for (int i = 0; i < n; i++) {
                float score = cap != 0 ? cap * tanhf(g.start[0][i] / cap) : g.start[0][i];
                max = score > max ? score : max;
            }
            plain(g.expected[0], g.expected[1], n, max, sum, dot, cap);
            run(g.got[0].at, g.got[1].at, n, max, sum, dot, cap);
            for (int i = 0; i < n; i++) {
                double p = (double)g.expected[0][i], deep = 4 + fabs((double)g.start[0][i]) + fabs((double)max);
                check_near(g.got[0].at[i], g.expected[0][i], 4 * deep * p, 2e-45, i, n);
                check_near(g.got[1].at[i], g.expected[1][i],
                    8 * deep * p * (fabs((double)g.start[1][i]) + (double)dot), FLT_MIN, i, n);
            }
            gradients_close(&g);
        }
}

static void check_cross_entropy(cross_entropy_fn *run, cross_entropy_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            float loss, loss_expected;
            gradients_open(&g, n, kind);
            plain(&loss_expected, NULL, g.x, n, n / 2, 0);
            run(&loss, NULL, g.x, n, n / 2, 0);
            check_near(loss, loss_expected, 4 * fabs((double)loss_expected) + 2 * sqrt(n) + 4, 0, 0, n);
            plain(NULL, g.expected[0], g.x, n, n / 2, 0.3f);
            run(NULL, g.got[0].at, g.x, n, n / 2, 0.3f);
            for (int i = 0; i < n; i++) {
                double size = fabs((double)g.expected[0][i]) + (i == n / 2 ? 0.3 : 0);
                check_near(g.got[0].at[i], g.expected[0][i], (2 * sqrt(n) + 8) * size, FLT_MIN, i, n);
            }
            memcpy(g.got[1].at, g.x, (size_t)n * sizeof *g.x);
            run(&loss, g.got[1].at, g.got[1].at, n, n / 2, 0.3f); /* in place */
            check_near(loss, loss_expected, 4 * fabs((double)loss_expected) + 2 * sqrt(n) + 4, 0, 0, n);
            check_same(g.got[1].at, g.got[0].at, (size_t)n * sizeof *g.x, n);
            gradients_close(&g);
        }
}

/* Rounding of the sums, whose terms are of one sign, and of the exponents: some units of 2^-23 times the depth. */
static void check_entropy(entropy_fn *run, entropy_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 3; kind++) {
            struct gradients g;
            float got, expected;
            double max = -INFINITY, sum = 0, mixed = 0;
            gradients_open(&g, n, kind % 2);
            for (int i = 0; kind == 2 && i < n; i += 3)
                g.x[i] = i == 0 ? g.x[i] : -INFINITY;
            for (int i = 0; i < n; i++)
                max = (double)g.x[i] > max ? (double)g.x[i] : max;
            for (int i = 0; i < n; i++) {
                double d = (double)g.x[i] - max, e = exp(d);
                sum += e;
                mixed += e > 0 ? e * d : 0;
            }
            plain(&expected, g.x, n);
            run(&got, g.x, n);
            double exact = log(sum) - mixed / sum, size = fabs(log(sum)) + fabs(mixed / sum) + 1;
            check_near(expected, (float)exact, (sqrt(n) + fabs(max) + 4) * size / 4, 0, 0, n);
            check_near(got, expected, (sqrt(n) + fabs(max) + 4) * size / 4, 0, 0, n);
            gradients_close(&g);
        }
}

/* gate is x, up is gain. */
static void check_gates(const struct gradients *g, const float *up, double top)
{
    for (int i = 0; i < g->n; i++) {
        double dy = fabs((double)g->dy[i]), gate = fabs((double)g->x[i]), by = up ? fabs((double)up[i]) + top : 1;
        check_gradient(g, 0, i, 8 * dy * by * (1 + gate));
        check_gradient(g, 1, i, 8 * dy * gate);
    }
}

static void check_gate_backward(silu_mul_backward_fn *run, silu_mul_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            gradients_open(&g, n, kind);
            const float *up = n % 2 ? g.gain : NULL;
            plain(g.expected[0], up ? g.expected[1] : NULL, g.dy, g.x, up, n);
            run(g.got[0].at, up ? g.got[1].at : NULL, g.dy, g.x, up, n);
            check_gates(&g, up, 0);
            gradients_close(&g);
        }
}

static void check_silu_mul_backward(silu_mul_backward_fn *run, silu_mul_backward_fn *plain)
{
    check_gate_backward(run, plain);
}

static void check_gelu_mul_backward(gelu_mul_backward_fn *run, gelu_mul_backward_fn *plain)
{
    check_gate_backward(run, plain);
}

static void check_swiglu_clamped_backward(swiglu_clamped_backward_fn *run, swiglu_clamped_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n))
        for (int kind = 0; kind < 2; kind++) {
            struct gradients g;
            float limit = n % 2 ? 7.0f : 0.5f; /* the smaller one cuts values of both kinds */
            gradients_open(&g, n, kind);
            g.x[n / 2] = limit; /* the edge belongs to what passes */
            g.gain[n / 3] = -limit;
            plain(g.expected[0], g.expected[1], g.dy, g.x, g.gain, n, 1.702f, limit);
            run(g.got[0].at, g.got[1].at, g.dy, g.x, g.gain, n, 1.702f, limit);
            check_gates(&g, g.gain, 1);
            gradients_close(&g);
        }
}

static void check_softcap_backward(softcap_backward_fn *run, softcap_backward_fn *plain)
{
    for (int n = 1; n; n = next_size(n)) {
        struct gradients g;
        gradients_open(&g, n, 0);
        plain(g.expected[0], g.x, n, 5);
        run(g.got[0].at, g.x, n, 5);
        check_same(g.got[0].at, g.expected[0], (size_t)n * sizeof(float), n);
        gradients_close(&g);
    }
}

static void check_adamw(adamw_fn *run, adamw_fn *plain)
{
    const struct adamw_step step = { 0.5f, 0.9f, 0.95f, 0.1f, 0.05f, 0.01f, 2, 1e-8f, 0.99f };
    for (int n = 1; n; n = next_size(n)) {
        struct gradients g;
        gradients_open(&g, n, 0);
        for (int i = 0; i < n; i++) /* the second moment is a sum of squares */
            g.got[2].at[i] = g.expected[2][i] = fabsf(g.start[2][i]);
        plain(g.expected[0], g.expected[1], g.expected[2], g.x, &step, n);
        run(g.got[0].at, g.got[1].at, g.got[2].at, g.x, &step, n);
        for (int k = 0; k < 3; k++)
            check_same(g.got[k].at, g.expected[k], (size_t)n * sizeof(float), n);
        gradients_close(&g);
    }
}

#define X(op) \
    static void test_##op(void **state) \
    { \
        const struct op##_version *v = op##_versions, *plain = v; \
        (void)state; \
        while (plain->needs) \
            plain++; \
        assert_string_equal(plain->name, "c"); \
        for (;; v++) { \
            worst = 0; \
            random_seed(&rng, 1); \
            if ((v->needs & ~cpu_features()) == 0) { \
                double start = clock_seconds(); \
                check_##op(v->run, plain->run); \
                printf(#op " %s: worst error %.2f of the bound, %.1f ms\n", v->name, worst, \
                    (clock_seconds() - start) * 1e3); \
            } else { \
                printf(#op " %s: not on this machine\n", v->name); \
            } \
            if (v == plain) \
                break; \
        } \
    }
KERNELS(X)
#undef X

/* The choice: nothing that the machine was not said to have. */
static void choices(void **state)
{
    (void)state;
    kernels_init(0);
#define X(op) \
    { \
        const struct op##_version *plain = op##_versions; \
        while (plain->needs) \
            plain++; \
        assert_ptr_equal(kernels.op, plain->run); \
    }
    KERNELS(X)
#undef X
    kernels_init(cpu_features());
    assert_int_equal(kernels.features, cpu_features());
    assert_non_null(kernels.dots[FORMAT_f32]);
#if defined(__x86_64__)
    if (cpu_features() & CPU_AVX2)
        assert_ptr_not_equal(kernels.mix, mix_versions[2].run);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(op) cmocka_unit_test(test_##op),
        KERNELS(X)
#undef X
            cmocka_unit_test(swiglu_clamped_values),
            cmocka_unit_test(choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
