/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the backend's operations share: flows, stored weights and the values they stand for, comparisons.
 */
#ifndef WAZN_TESTS_BACKEND_CASE_H
#define WAZN_TESTS_BACKEND_CASE_H

#include "support.h"

#include "backend/backend.h"
#include "base/arena.h"
#include "base/cpu.h"
#include "base/random.h"
#include "kernel/kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int case_threads[] = { 1, 2, 3, 5 };
#define CASE_THREADS (sizeof case_threads / sizeof *case_threads)

struct case_flow {
    struct flow flow;
    struct arena arena;
};

static inline void flow_open(struct case_flow *c, const struct flow_shape *shape)
{
    memset(c, 0, sizeof *c);
    flow_layout(&c->flow, shape, &c->arena);
    size_t measured = c->arena.used;
    assert_int_equal(arena_reserve(&c->arena, NULL), 0);
    flow_layout(&c->flow, shape, &c->arena);
    assert_int_equal(c->arena.used, measured);
    assert_int_equal(c->flow.threads, shape->threads);
    assert_int_equal(pool_open(&c->flow.pool, shape->threads, NULL), 0);
    c->flow.tokens = shape->tokens_max;
}

static inline void flow_close(struct case_flow *c)
{
    pool_close(c->flow.pool);
    arena_release(&c->arena);
}

static inline float *floats_new(size_t n)
{
    float *p = malloc((n ? n : 1) * sizeof *p); /* exactly: the sanitizer sees a step too far */
    assert_non_null(p);
    memset(p, 0x7f, n * sizeof *p); /* large numbers: what is not written shows */
    return p;
}

static inline float *random_new(struct random *r, size_t n, double scale)
{
    float *p = floats_new(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(random_normal(r) * scale);
    return p;
}

/* A weight stored in a format, and the values it stands for. */
struct case_weight {
    struct weight weight;
    unsigned char *data;
    float *values; /* (rows, cols) */
};

static inline void weight_open(struct case_weight *w, struct random *r, const struct format *format, int64_t rows,
    int64_t cols, double scale)
{
    size_t n = (size_t)(rows * cols);
    float *raw = random_new(r, n, scale);
    memset(w, 0, sizeof *w);
    w->weight.tensor = (struct tensor) { .format = format, .rows = rows, .cols = cols };
    w->data = malloc(tensor_bytes(&w->weight.tensor));
    w->values = floats_new(n);
    w->weight.tensor.data = w->data;
    format->encode(w->data, raw, NULL, (int64_t)n);
    format->decode(w->values, w->data, (int64_t)n);
    free(raw);
}

static inline void weight_close(struct case_weight *w)
{
    free(w->data);
    free(w->values);
}

static inline void assert_same_bits(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("value %zu of %zu: %.9g (%a) is not %.9g (%a)", i, n, (double)a[i], (double)a[i], (double)b[i],
                (double)b[i]);
}

/* bound: what rounding may cost here, before the factor of FLT_EPSILON. */
static inline void assert_near(double got, double expected, double bound, size_t at)
{
    if (!(fabs(got - expected) <= bound * FLT_EPSILON + FLT_MIN))
        fail_msg("value %zu: %.9g, expected %.9g, off by %g of %g allowed", at, got, expected, fabs(got - expected),
            bound * FLT_EPSILON);
}

#endif
