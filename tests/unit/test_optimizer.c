/* SPDX-License-Identifier: Apache-2.0 */
/* Optimizers against their formulas in double, schedules, masters of bf16 parameters. */
#include "support.h"

#include "base/cpu.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 37, COLS = 53, EXPERTS = 2, MANY = EXPERTS * ROWS * COLS, STEPS = 12 };

/* Two matrices (experts) and a vector. */
struct set {
    struct parameter list[2];
    float *floats, *vector, *gradients, *vector_gradients;
    uint16_t *narrow;
};

static void set_open(struct set *s, const struct format *format, uint64_t seed)
{
    struct random r;
    memset(s, 0, sizeof *s);
    s->floats = calloc(MANY, sizeof *s->floats);
    s->narrow = calloc(MANY, sizeof *s->narrow);
    s->gradients = calloc(MANY, sizeof *s->gradients);
    s->vector = calloc(COLS, sizeof *s->vector);
    s->vector_gradients = calloc(COLS, sizeof *s->vector_gradients);
    assert_true(s->floats && s->narrow && s->gradients && s->vector && s->vector_gradients);
    random_seed(&r, seed);
    for (int i = 0; i < MANY; i++)
        s->floats[i] = (float)random_normal(&r);
    format_bf16.encode(s->narrow, s->floats, NULL, MANY);
    if (format == &format_bf16)
        format_bf16.decode(s->floats, s->narrow, MANY);
    for (int i = 0; i < COLS; i++)
        s->vector[i] = (float)random_normal(&r);
    s->list[0] = (struct parameter) { .name = "layers.0.expert_up", .kind = PARAMETER_MATRIX, .matrices = EXPERTS,
        .rows = ROWS, .cols = COLS, .format = format, .data = format == &format_bf16 ? (void *)s->narrow : s->floats,
        .gradient = s->gradients };
    s->list[1] = (struct parameter) { .name = "final_norm", .kind = PARAMETER_VECTOR, .matrices = 1, .rows = 1,
        .cols = COLS, .format = &format_f32, .data = s->vector, .gradient = s->vector_gradients };
}

static void set_gradients(struct set *s, int step)
{
    struct random r;
    random_seed(&r, 1000 + (uint64_t)step);
    for (int i = 0; i < MANY; i++)
        s->gradients[i] = (float)(random_normal(&r) * 0.1);
    for (int i = 0; i < COLS; i++)
        s->vector_gradients[i] = (float)(random_normal(&r) * 0.1);
}

static void set_close(struct set *s)
{
    free(s->floats);
    free(s->narrow);
    free(s->gradients);
    free(s->vector);
    free(s->vector_gradients);
}

static const struct optimizer_options adamw = { .kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
    .weight_decay = 0.1 };
static const struct optimizer_options muon = { .kind = OPTIMIZER_MUON, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
    .momentum = 0.95, .weight_decay = 0.1 };

static void take_steps(struct set *s, const struct optimizer_options *options, int threads)
{
    struct optimizer *o;
    struct pool *pool;
    struct error err = { 0 };
    assert_int_equal(pool_open(&pool, threads, &err), 0);
    assert_int_equal(optimizer_open(&o, s->list, 2, options, pool, &err), 0);
    for (int step = 1; step <= STEPS; step++) {
        set_gradients(s, step);
        optimizer_step(o, (uint64_t)step, 0.01, 0.5);
    }
    optimizer_close(o);
    pool_close(pool);
}

/* The formulas of the paper, one number at a time. */
struct adam {
    double w, m, v;
};

static void adam_step(struct adam *a, double g, int step, double lr, double decay)
{
    a->m = 0.9 * a->m + 0.1 * g;
    a->v = 0.95 * a->v + 0.05 * g * g;
    a->w -= lr * decay * a->w;
    a->w -= lr * (a->m / (1 - pow(0.9, step))) / (sqrt(a->v / (1 - pow(0.95, step))) + 1e-8);
}

static void adamw_is_the_formula(void **state)
{
    (void)state;
    struct set s, start;
    struct adam *a = calloc(MANY + COLS, sizeof *a);
    assert_non_null(a);
    set_open(&s, &format_f32, 7);
    set_open(&start, &format_f32, 7);
    take_steps(&s, &adamw, 2);
    for (int i = 0; i < MANY; i++)
        a[i].w = (double)start.floats[i];
    for (int i = 0; i < COLS; i++)
        a[MANY + i].w = (double)start.vector[i];
    for (int step = 1; step <= STEPS; step++) {
        set_gradients(&start, step);
        for (int i = 0; i < MANY; i++)
            adam_step(&a[i], 0.5 * (double)start.gradients[i], step, 0.01, 0.1);
        for (int i = 0; i < COLS; i++) /* vectors do not decay */
            adam_step(&a[MANY + i], 0.5 * (double)start.vector_gradients[i], step, 0.01, 0);
    }
    /* A few roundings of the weight and of each update, which is about the learning rate. */
    for (int i = 0; i < MANY + COLS; i++) {
        double got = (double)(i < MANY ? s.floats[i] : s.vector[i - MANY]);
        double allowed = STEPS * 0x1p-24 * (2 * fabs(a[i].w) + 0.01 * 40);
        if (!(fabs(got - a[i].w) <= allowed))
            fail_msg("%d: %.9g, expected %.9g within %.2g", i, got, a[i].w, allowed);
    }
    set_close(&s);
    set_close(&start);
    free(a);
}

static void threads_change_no_bit(void **state)
{
    const struct optimizer_options *options = *state;
    struct set one, many;
    set_open(&one, &format_f32, 9);
    set_open(&many, &format_f32, 9);
    take_steps(&one, options, 1);
    take_steps(&many, options, 3);
    assert_memory_equal(one.floats, many.floats, MANY * sizeof(float));
    assert_memory_equal(one.vector, many.vector, COLS * sizeof(float));
    set_close(&one);
    set_close(&many);
}

/* A bf16 parameter goes the way of the float32 one and is its rounding: without the rest it would stand still, as
 * updates are smaller than its steps. */
static void narrow_masters_are_floats(void **state)
{
    const struct optimizer_options *options = *state;
    struct set narrow, wide;
    set_open(&narrow, &format_bf16, 3);
    set_open(&wide, &format_f32, 3);
    memcpy(wide.floats, narrow.floats, MANY * sizeof(float));
    take_steps(&narrow, options, 1);
    take_steps(&wide, options, 1);
    for (int i = 0; i < MANY; i++) {
        float rounded;
        format_bf16.decode(&rounded, &narrow.narrow[i], 1);
        float unit = fabsf(wide.floats[i]) * 0x1p-8f;
        if (!(fabsf(rounded - wide.floats[i]) <= unit))
            fail_msg("%d: %.9g is no rounding of %.9g", i, (double)rounded, (double)wide.floats[i]);
    }
    set_close(&narrow);
    set_close(&wide);
}

/* u u^T of an update (its lower side) should be near the identity: singular values between 0.6 and 1.3. */
static void check_orthogonal(const float *before, const float *after, double keep, double step)
{
    double u[ROWS][COLS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            u[r][c] = ((double)before[r * COLS + c] * keep - (double)after[r * COLS + c]) / step;
    double trace = 0, off = 0;
    for (int r = 0; r < ROWS; r++)
        for (int q = 0; q < ROWS; q++) {
            double dot = 0;
            for (int c = 0; c < COLS; c++)
                dot += u[r][c] * u[q][c];
            *(r == q ? &trace : &off) += r == q ? dot : dot * dot;
        }
    /* Were the squared singular values s, trace / n is their mean and off + diagonal their squares' sum. */
    assert_true(trace / ROWS > 0.6 && trace / ROWS < 1.4);
    assert_true(sqrt(off / ROWS) < 0.5);
}

static void muon_is_orthogonal(void **state)
{
    (void)state;
    struct set s, start;
    struct optimizer *o;
    struct pool *pool;
    struct error err = { 0 };
    set_open(&s, &format_f32, 5);
    set_open(&start, &format_f32, 5);
    assert_int_equal(pool_open(&pool, 2, &err), 0);
    assert_int_equal(optimizer_open(&o, s.list, 2, &muon, pool, &err), 0);
    set_gradients(&s, 1);
    optimizer_step(o, 1, 0.01, 1);
    for (int e = 0; e < EXPERTS; e++)
        check_orthogonal(start.floats + e * ROWS * COLS, s.floats + e * ROWS * COLS, 1 - 0.01 * 0.1,
            0.01 * 0.2 * sqrt(COLS));
    optimizer_close(o);
    pool_close(pool);
    set_close(&s);
    set_close(&start);
}

static void norms_are_summed_in_double(void **state)
{
    (void)state;
    struct set s;
    struct optimizer *o;
    struct pool *pool;
    struct error err = { 0 };
    double sum = 0;
    set_open(&s, &format_f32, 5);
    assert_int_equal(pool_open(&pool, 2, &err), 0);
    assert_int_equal(optimizer_open(&o, s.list, 2, &adamw, pool, &err), 0);
    set_gradients(&s, 4);
    for (int i = 0; i < MANY; i++)
        sum += (double)s.gradients[i] * (double)s.gradients[i];
    for (int i = 0; i < COLS; i++)
        sum += (double)s.vector_gradients[i] * (double)s.vector_gradients[i];
    assert_true(fabs(optimizer_norm(o) - sqrt(sum)) < 1e-12);
    s.gradients[MANY - 1] = INFINITY;
    assert_true(isinf(optimizer_norm(o)));
    s.vector_gradients[0] = NAN;
    assert_true(isnan(optimizer_norm(o)));
    optimizer_close(o);
    pool_close(pool);
    set_close(&s);
}

static void schedules_have_their_corners(void **state)
{
    (void)state;
    struct schedule s = { .kind = SCHEDULE_COSINE, .lr = 1, .lr_min = 0.1, .warmup = 10, .decay = 20, .steps = 111 };
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        s.kind = (enum schedule_kind)k;
        assert_true(fabs(schedule_lr(&s, 0) - 0.1) < 1e-12 && fabs(schedule_lr(&s, 9) - 1) < 1e-12);
        assert_true(schedule_lr(&s, 10) == 1);
        assert_true(fabs(schedule_lr(&s, 110) - (k == SCHEDULE_CONSTANT ? 1 : 0.1)) < 1e-12);
        for (uint64_t i = 10; i < 110; i++)
            assert_true(schedule_lr(&s, i + 1) <= schedule_lr(&s, i));
    }
    s.kind = SCHEDULE_COSINE;
    assert_true(fabs(schedule_lr(&s, 60) - 0.55) < 1e-12); /* half way */
    s.kind = SCHEDULE_LINEAR;
    assert_true(fabs(schedule_lr(&s, 35) - 0.775) < 1e-12);
    s.kind = SCHEDULE_WSD;
    assert_true(schedule_lr(&s, 91) == 1 && schedule_lr(&s, 92) < 1);
}

int main(void)
{
    kernels_init(cpu_features());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_the_formula),
        { "threads_change_no_bit_adamw", threads_change_no_bit, NULL, NULL, (void *)(uintptr_t)&adamw },
        { "threads_change_no_bit_muon", threads_change_no_bit, NULL, NULL, (void *)(uintptr_t)&muon },
        { "narrow_masters_adamw", narrow_masters_are_floats, NULL, NULL, (void *)(uintptr_t)&adamw },
        { "narrow_masters_muon", narrow_masters_are_floats, NULL, NULL, (void *)(uintptr_t)&muon },
        cmocka_unit_test(muon_is_orthogonal),
        cmocka_unit_test(norms_are_summed_in_double),
        cmocka_unit_test(schedules_have_their_corners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
