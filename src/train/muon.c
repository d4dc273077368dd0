/* SPDX-License-Identifier: Apache-2.0 */
#include "train/muon.h"

#include "backend/backend.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define STEPS 5
#define TILE 256

/* Matrices lie so that they are not higher than wide: (low, wide). */
struct muon {
    struct flow flow;
    float *x;       /* (low, wide) */
    float *turned;  /* (wide, low) */
    float *product; /* (low, wide) */
    float *square, *fourth; /* (low, low) */
};

struct muon *muon_layout(const struct parameter *parameters, size_t n, int threads, struct arena *a)
{
    struct muon m = { 0 };
    size_t low = 1, wide = 1, most = 1;
    for (size_t i = 0; i < n; i++) {
        const struct parameter *p = &parameters[i];
        if (p->kind != PARAMETER_MATRIX)
            continue;
        size_t rows = (size_t)p->rows, cols = (size_t)p->cols, less = rows < cols ? rows : cols;
        low = less > low ? less : low;
        wide = rows + cols - less > wide ? rows + cols - less : wide;
        most = rows * cols > most ? rows * cols : most;
    }
    struct muon *place = arena_take(a, 1, sizeof m);
    struct flow_shape shape = { .tokens_max = (int)low, .threads = threads, .width_max = (int)wide, .dim = 1,
        .heads = 1, .kv_heads = 1, .head_dim = 1, .context_max = 1 };
    m.x = arena_take(a, most, sizeof(float));
    m.turned = arena_take(a, most, sizeof(float));
    m.product = arena_take(a, most, sizeof(float));
    m.square = arena_take(a, low * low, sizeof(float));
    m.fourth = arena_take(a, low * low, sizeof(float));
    flow_layout(&m.flow, &shape, a);
    if (place)
        *place = m;
    return place;
}

/* out (cols, rows) = in (rows, cols) turned, in squares that stay in the nearest cache. */
#define SQUARE 16
struct turn {
    float *out;
    const float *in;
    size_t rows, cols;
};

static void turn_strip(void *job, int item, int thread)
{
    const struct turn *t = job;
    size_t first = (size_t)item * SQUARE, end = first + SQUARE < t->rows ? first + SQUARE : t->rows;
    (void)thread;
    for (size_t c0 = 0; c0 < t->cols; c0 += SQUARE)
        for (size_t r = first; r < end; r++)
            for (size_t c = c0; c < t->cols && c < c0 + SQUARE; c++)
                t->out[c * t->rows + r] = t->in[r * t->cols + c];
}

static void turn(struct pool *pool, float *out, const float *in, size_t rows, size_t cols)
{
    struct turn t = { out, in, rows, cols };
    pool_run(pool, (int)((rows + SQUARE - 1) / SQUARE), turn_strip, &t);
}

/* y (rows, width) = x (rows, inner) w^T, w (width, inner). */
static void multiply(struct flow *f, float *y, const float *x, const float *w, size_t rows, size_t width, size_t inner)
{
    struct weight weight = { .tensor = { .format = &format_f32, .rows = (int64_t)width, .cols = (int64_t)inner,
        .data = w } };
    struct value out = { .data = y, .width = (int)width }, in = { .data = (float *)(uintptr_t)x, .width = (int)inner };
    f->tokens = (int)rows;
    linear(f, &out, &in, &weight, NULL);
}

static void scale(float *x, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= by;
}

/* x, of singular values s, becomes one of singular values near 1 (0.7 to 1.2): each step is s -> a s + b s^3 + c s^5,
 * with coefficients that raise small s as fast as five steps can. */
static void orthogonalize(struct muon *m, struct pool *pool, size_t low, size_t wide)
{
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    double sum = 0;
    for (size_t i = 0; i < low * wide; i++)
        sum += (double)m->x[i] * (double)m->x[i];
    scale(m->x, low * wide, (float)(1 / fmax(sqrt(sum), 1e-7)));
    for (int step = 0; step < STEPS; step++) {
        turn(pool, m->turned, m->x, low, wide);
        multiply(&m->flow, m->square, m->x, m->x, low, low, wide);
        multiply(&m->flow, m->fourth, m->square, m->square, low, low, low); /* it is its own transpose */
        for (size_t i = 0; i < low * low; i++)
            m->square[i] = b * m->square[i] + c * m->fourth[i];
        multiply(&m->flow, m->product, m->square, m->turned, low, wide, low);
        for (size_t i = 0; i < low * wide; i++)
            m->x[i] = a * m->x[i] + m->product[i];
    }
}

/* The momentum takes the gradient in; out: where Nesterov's look ahead stands. */
static void momentum_update(float *out, float *momentum, const float *gradient, size_t n,
    const struct muon_options *options)
{
    const float keep = (float)options->momentum, rest = (float)(1 - options->momentum);
    const float by = (float)options->scale;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * by;
        momentum[i] = keep * momentum[i] + rest * g;
        out[i] = rest * g + keep * momentum[i];
    }
}

static void apply(const struct slot *s, size_t first, const float *update, size_t n, float keep, float step)
{
    float tile[TILE];
    for (size_t i = 0; i < n; i += TILE) {
        int count = (int)(n - i < TILE ? n - i : TILE);
        slot_read(s, first + i, tile, count);
        for (int k = 0; k < count; k++)
            tile[k] = tile[k] * keep - step * update[i + (size_t)k];
        slot_write(s, first + i, tile, count);
    }
}

void muon_step(struct muon *m, const struct slot *s, struct pool *pool, const struct muon_options *options)
{
    const struct parameter *p = &s->parameter;
    size_t rows = (size_t)p->rows, cols = (size_t)p->cols, n = rows * cols;
    bool high = rows > cols;
    size_t low = high ? cols : rows, wide = high ? rows : cols;
    float step = (float)(options->lr * 0.2 * sqrt((double)wide));
    m->flow.pool = pool;
    for (int64_t i = 0; i < p->matrices; i++) {
        size_t first = (size_t)i * n;
        momentum_update(high ? m->product : m->x, s->m + first, p->gradient + first, n, options);
        if (high)
            turn(pool, m->x, m->product, rows, cols);
        orthogonalize(m, pool, low, wide);
        if (high)
            turn(pool, m->product, m->x, low, wide);
        apply(s, first, high ? m->product : m->x, n, (float)options->keep, step);
    }
}
