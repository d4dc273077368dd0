/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases of all kernels share: random and extreme values, outputs with guards, comparisons. */
#ifndef WAZN_TESTS_KERNEL_CASE_H
#define WAZN_TESTS_KERNEL_CASE_H

#include "support.h"

#include "base/random.h"
#include "kernel/kernel.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 32 /* floats before and after an output */
#define MARK 0x7fa5a5a5u

static struct random rng;
static double worst; /* error of the version under test, in units of what is allowed */

/* A buffer that starts `offset` floats behind an aligned address. */
struct guarded {
    float *memory, *at;
    size_t n;
};

static inline struct guarded guarded_open(size_t n, size_t offset)
{
    struct guarded g = { malloc((n + 2 * GUARD + offset) * sizeof(float)), NULL, n };
    const uint32_t mark = MARK;
    for (size_t i = 0; i < n + 2 * GUARD + offset; i++)
        memcpy(&g.memory[i], &mark, sizeof mark);
    g.at = g.memory + GUARD + offset;
    return g;
}

static inline void guarded_close(struct guarded *g)
{
    const uint32_t mark = MARK;
    for (size_t i = 0; i < GUARD; i++) {
        assert_memory_equal(&g->at[-1 - (long)i], &mark, sizeof mark);
        assert_memory_equal(&g->at[g->n + i], &mark, sizeof mark);
    }
    free(g->memory);
}

/* Exactly n floats: a sanitizer sees a read behind them. Kinds: 0 around 1, 1 over many magnitudes, 2 with the
 * values that break things, 3 all large, 4 all small. */
static inline float *values_new(int n, int kind)
{
    static const float odd[] = { 0, -0.0f, 1e-45f, -FLT_MIN, FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN, 88.7f, -88.8f,
        89, -104, 0.5f, -0.5f, 0x1.fffffep-2f, 0.625f, 127, 1e-39f };
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < n; i++) {
        double base = random_normal(&rng) * (kind == 3 ? 1e17 : kind == 4 ? 1e-17 : 1);
        x[i] = (float)(kind == 1 ? base * exp2(20 * random_unit(&rng) - 10) : base);
        if (kind == 2 && random_below(&rng, 4) == 0)
            x[i] = odd[random_below(&rng, sizeof odd / sizeof *odd)];
    }
    return x;
}

/* bound: in units of FLT_EPSILON; `floor`: what may get lost below the smallest normal number. */
static inline void check_near(float got, float expected, double bound, double floor, int at, int n)
{
    if (isnan(expected) ? isnan(got) : isinf(expected) ? got == expected : 0)
        return;
    double off = fabs((double)got - (double)expected), allowed = bound * FLT_EPSILON + floor;
    if (!(off <= allowed))
        fail_msg("value %d of %d: %.9g, plain C has %.9g, off by %g of %g allowed", at, n, (double)got,
            (double)expected, off, allowed);
    worst = fmax(worst, allowed > 0 ? off / allowed : 0);
}

static inline void check_same(const void *got, const void *expected, size_t bytes, int n)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const unsigned char *)got)[i] != ((const unsigned char *)expected)[i])
            fail_msg("byte %zu of %zu is %02x, not %02x (size %d)", i, bytes, ((const unsigned char *)got)[i],
                ((const unsigned char *)expected)[i], n);
}

/* 1..70, then some. */
static inline int next_size(int n)
{
    static const int larger[] = { 127, 128, 129, 255, 1000, 2048, 4099 };
    if (n < 70)
        return n + 1;
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        if (larger[i] > n)
            return larger[i];
    return 0;
}

#endif
