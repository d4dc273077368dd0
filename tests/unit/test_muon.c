/* SPDX-License-Identifier: Apache-2.0 */
/* Muon against its formula in double, high and wide matrices and experts; the bits of bf16 masters, whatever moves
 * them. */
#include "support.h"

#include "base/cpu.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARAMETERS 4
#define STEPS 6

static const struct shape {
    enum parameter_kind kind;
    int64_t matrices, rows, cols;
} shapes[PARAMETERS] = { { PARAMETER_MATRIX, 1, 20, 48 }, { PARAMETER_TABLE, 1, 301, 60 },
    { PARAMETER_VECTOR, 1, 1, 37 }, { PARAMETER_MATRIX, 3, 24, 10 } };

static const struct optimizer_options usual = { .kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
    .momentum = 0.95, .weight_decay = 0.1 };

/* Parameters that stand at the same place for the same seed, each in memory of its own. */
struct made {
    struct parameter p[PARAMETERS];
    struct pool *pool;
    struct optimizer *o;
};

static float bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void make(struct made *m, const struct format *format, const struct optimizer_options *options, int threads)
{
    struct random r;
    struct error err = { 0 };
    random_seed(&r, 5);
    for (int i = 0; i < PARAMETERS; i++) {
        const struct shape *s = &shapes[i];
        struct parameter *p = &m->p[i];
        *p = (struct parameter) { .kind = s->kind, .matrices = s->matrices, .rows = s->rows, .cols = s->cols,
            .format = s->kind == PARAMETER_VECTOR ? &format_f32 : format };
        snprintf(p->name, sizeof p->name, "p%d", i);
        size_t n = parameter_count(p);
        p->data = calloc(n, sizeof(float));
        p->gradient = calloc(n, sizeof(float));
        assert_true(p->data && p->gradient);
        for (size_t k = 0; k < n; k++) {
            float x = bf16_of((float)random_normal(&r));
            p->format->encode((unsigned char *)p->data + k * (size_t)p->format->block_bytes, &x, NULL, 1);
        }
    }
    assert_int_equal(pool_open(&m->pool, threads, &err), 0);
    if (optimizer_open(&m->o, m->p, PARAMETERS, options, m->pool, &err) != 0)
        fail_msg("%s", err.text);
}

static void release(struct made *m)
{
    optimizer_close(m->o);
    pool_close(m->pool);
    for (int i = 0; i < PARAMETERS; i++) {
        free(m->p[i].data);
        free(m->p[i].gradient);
    }
}

/* Gradients of a step: of all sizes, and some 0. */
static void fill_gradients(struct made *m, int step)
{
    struct random r;
    random_seed(&r, 100 + (uint64_t)step);
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; k < parameter_count(&m->p[i]); k++)
            m->p[i].gradient[k] = k % 11 == 3 ? 0.0f : (float)(random_normal(&r) * pow(10, -(double)(k % 5)));
}

static double lr_of(int step)
{
    return 0.01 * step;
}

static void run(struct made *m, int steps, double scale)
{
    for (int step = 1; step <= steps; step++) {
        fill_gradients(m, step);
        optimizer_step(m->o, (uint64_t)step, lr_of(step), scale);
    }
}

/* ---- Muon (Jordan et al. 2024), in double ---- */

static void multiply(double *y, const double *a, const double *b, int rows, int inner, int cols, bool b_turned)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) {
            double sum = 0;
            for (int k = 0; k < inner; k++)
                sum += a[r * inner + k] * (b_turned ? b[c * inner + k] : b[k * cols + c]);
            y[r * cols + c] = sum;
        }
}

/* X <- a X + (b A + c A A) X with A = X X^T, five times, from X of norm 1. Rows and columns as they are: for a high
 * matrix this is the same as for its transpose. */
static void orthogonalize(double *x, int rows, int cols)
{
    double *square = calloc((size_t)(rows * rows), sizeof *square), norm = 0;
    double *fourth = calloc((size_t)(rows * rows), sizeof *fourth);
    double *product = calloc((size_t)(rows * cols), sizeof *product);
    assert_true(square && fourth && product);
    for (int i = 0; i < rows * cols; i++)
        norm += x[i] * x[i];
    for (int i = 0; i < rows * cols; i++)
        x[i] /= sqrt(norm);
    for (int step = 0; step < 5; step++) {
        multiply(square, x, x, rows, cols, rows, true);
        multiply(fourth, square, square, rows, rows, rows, false);
        for (int i = 0; i < rows * rows; i++)
            square[i] = -4.7750 * square[i] + 2.0315 * fourth[i];
        multiply(product, square, x, rows, rows, cols, false);
        for (int i = 0; i < rows * cols; i++)
            x[i] = 3.4445 * x[i] + product[i];
    }
    free(square);
    free(fourth);
    free(product);
}

static void muon_in_double(double *w, int which, int matrix, int steps)
{
    struct made gradients;
    const struct shape *s = &shapes[which];
    int n = (int)(s->rows * s->cols);
    double *momentum = calloc((size_t)n, sizeof *momentum), *x = calloc((size_t)n, sizeof *x);
    assert_true(momentum && x);
    make(&gradients, &format_f32, &usual, 1);
    for (int step = 1; step <= steps; step++) {
        fill_gradients(&gradients, step);
        const float *g = gradients.p[which].gradient + matrix * n;
        for (int i = 0; i < n; i++) {
            momentum[i] = 0.95 * momentum[i] + 0.05 * (double)g[i];
            x[i] = 0.05 * (double)g[i] + 0.95 * momentum[i];
        }
        orthogonalize(x, (int)s->rows, (int)s->cols);
        double far = 0.2 * sqrt((double)(s->rows > s->cols ? s->rows : s->cols));
        for (int i = 0; i < n; i++)
            w[i] = w[i] * (1 - lr_of(step) * usual.weight_decay) - lr_of(step) * far * x[i];
    }
    release(&gradients);
    free(momentum);
    free(x);
}

static void muon_is_its_formula(void **state)
{
    (void)state;
    struct optimizer_options options = usual;
    struct made m;
    options.kind = OPTIMIZER_MUON;
    for (int which = 0; which < PARAMETERS; which += 3) /* one wide, three high */
        for (int matrix = 0; matrix < shapes[which].matrices; matrix++) {
            int n = (int)(shapes[which].rows * shapes[which].cols);
            double *w = calloc((size_t)n, sizeof *w);
            assert_non_null(w);
            make(&m, &format_f32, &options, 2);
            const float *got = (const float *)m.p[which].data + matrix * n;
            for (int i = 0; i < n; i++)
                w[i] = (double)got[i];
            muon_in_double(w, which, matrix, 3);
            run(&m, 3, 1);
            for (int i = 0; i < n; i++)
                if (!(fabs((double)got[i] - w[i]) <= 2e-5))
                    fail_msg("parameter %d, matrix %d: value %d is %.9g, expected %.9g", which, matrix, i,
                        (double)got[i], w[i]);
            free(w);
            release(&m);
        }
}

/* The eigenvalues of a symmetric matrix, by Jacobi's rotations; it ends up diagonal. */
static void diagonalize(double *a, int n)
{
    for (int sweep = 0; sweep < 30; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                double angle = 0.5 * atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
                double c = cos(angle), s = sin(angle);
                for (int k = 0; k < n; k++) {
                    double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (int k = 0; k < n; k++) {
                    double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
}

/* What a matrix is moved by has singular values near 1, though those of its gradient are far apart. */
static void muon_moves_by_orthogonal_matrices(void **state)
{
    (void)state;
    struct optimizer_options options = usual;
    struct made m;
    double lr = 0.25, far = 0.2 * sqrt(48.0), moved[20 * 48], gram[20 * 20];
    float before[20 * 48];
    options.kind = OPTIMIZER_MUON;
    options.weight_decay = 0;
    make(&m, &format_f32, &options, 1);
    fill_gradients(&m, 1);
    for (int r = 0; r < 20; r++)
        for (int c = 0; c < 48; c++)
            m.p[0].gradient[r * 48 + c] *= powf(1.3f, (float)-r); /* over a factor of 100 between the rows */
    memcpy(before, m.p[0].data, sizeof before);
    optimizer_step(m.o, 1, lr, 1);
    for (int i = 0; i < 20 * 48; i++)
        moved[i] = ((double)before[i] - (double)((float *)m.p[0].data)[i]) / (lr * far);
    multiply(gram, moved, moved, 20, 48, 20, true);
    diagonalize(gram, 20);
    for (int i = 0; i < 20; i++)
        if (!(sqrt(gram[i * 20 + i]) > 0.6 && sqrt(gram[i * 20 + i]) < 1.25))
            fail_msg("singular value %d is %g", i, sqrt(gram[i * 20 + i]));
    release(&m);
}

/* ---- masters ---- */

static const struct file_tensor *find(const struct file_tensor *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* Masters of bf16 weights are the 32 bits that float32 training has, and the weights are those rounded. */
static void check_masters(const struct optimizer_options *options)
{
    struct made wide, narrow;
    struct file_tensor list[4 * PARAMETERS];
    char names[4 * PARAMETERS][OPTIMIZER_NAME];
    make(&wide, &format_f32, options, 1);
    make(&narrow, &format_bf16, options, 2);
    run(&wide, STEPS, 1);
    run(&narrow, STEPS, 1);
    size_t n = optimizer_state(narrow.o, list, names);
    assert_in_range(n, PARAMETERS, 4 * PARAMETERS);
    for (int i = 0; i < PARAMETERS; i++) {
        char name[OPTIMIZER_NAME];
        snprintf(name, sizeof name, "rest.p%d", i);
        const struct file_tensor *rest = find(list, n, name);
        const float *whole = wide.p[i].data;
        if (narrow.p[i].format == &format_f32) {
            assert_null(rest);
            assert_memory_equal(narrow.p[i].data, whole, parameter_count(&wide.p[i]) * sizeof *whole);
            continue;
        }
        assert_non_null(rest);
        for (size_t k = 0; k < parameter_count(&wide.p[i]); k++) {
            uint16_t high = ((const uint16_t *)narrow.p[i].data)[k];
            uint32_t bits = ((uint32_t)high << 16) + (uint32_t)(int32_t)((const int16_t *)rest->data)[k], want;
            memcpy(&want, &whole[k], sizeof want);
            assert_int_equal(bits, want);
            float rounded;
            format_bf16.decode(&rounded, &high, 1);
            assert_true(fabsf(rounded - whole[k]) <= fabsf(whole[k]) * 0x1p-8f);
        }
    }
    release(&wide);
    release(&narrow);
}

static void masters_of_bf16_are_floats(void **state)
{
    (void)state;
    struct optimizer_options muon = usual;
    muon.kind = OPTIMIZER_MUON;
    check_masters(&usual);
    check_masters(&muon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(muon_is_its_formula),
        cmocka_unit_test(muon_moves_by_orthogonal_matrices),
        cmocka_unit_test(masters_of_bf16_are_floats),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
