/* SPDX-License-Identifier: Apache-2.0 */
/* Muon against PyTorch's own, in float64: tools/golden/muon.py. */
#include "case.h"

#include "support.h"

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void fill(float *out, int64_t n, const char *name)
{
    uint64_t *bits = case_bits_new(name, n);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)((double)(bits[i] >> 40) / 0x1p23 - 1);
    free(bits);
}

/* Returns how far the worst number is off. */
static double check_matrix(const json_t *matrix, const json_t *settings, int steps)
{
    struct parameter p = { .name = "w", .kind = PARAMETER_MATRIX, .matrices = 1, .format = &format_f32,
        .rows = json_whole(matrix, "rows", 0), .cols = json_whole(matrix, "cols", 0) };
    struct optimizer_options options = { .kind = OPTIMIZER_MUON, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
        .momentum = json_real_of(settings, "momentum", NAN),
        .weight_decay = json_real_of(settings, "weight_decay", NAN) };
    int64_t n = p.rows * p.cols;
    float *weight = calloc((size_t)n, sizeof *weight), *gradient = calloc((size_t)n, sizeof *gradient);
    struct pool *pool;
    struct optimizer *o;
    char name[64];
    double worst = 0;
    assert_true(weight && gradient && n > 0);
    p.data = weight;
    p.gradient = gradient;
    snprintf(name, sizeof name, "muon weight %d %d", (int)p.rows, (int)p.cols);
    fill(weight, n, name);
    assert_int_equal(pool_open(&pool, 2, NULL), 0);
    assert_int_equal(optimizer_open(&o, &p, 1, &options, pool, NULL), 0);
    for (int step = 0; step < steps; step++) {
        snprintf(name, sizeof name, "muon gradient %d %d %d", (int)p.rows, (int)p.cols, step);
        fill(gradient, n, name);
        optimizer_step(o, (uint64_t)step + 1, json_real_of(settings, "lr", NAN), 1);
    }
    const json_t *expected = json_object_get(matrix, "weight");
    assert_int_equal(json_array_size(expected), n);
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)weight[i] - json_number_value(json_array_get(expected, (size_t)i))));
    optimizer_close(o);
    pool_close(pool);
    free(weight);
    free(gradient);
    return worst;
}

static void muon_steps_as_pytorch_does(void **state)
{
    (void)state;
    json_t *golden;
    size_t i;
    const json_t *matrix;
    assert_int_equal(json_read_file_new(&golden, test_repo("tests/golden/data/muon.json"), 1 << 20, NULL), 0);
    const json_t *matrices = json_object_get(golden, "matrices");
    assert_int_equal(json_array_size(matrices), 3);
    json_array_foreach(matrices, i, matrix)
    {
        double worst = check_matrix(matrix, json_object_get(golden, "settings"), (int)json_whole(golden, "steps", 0));
        printf("%d x %d: %.2g off\n", (int)json_whole(matrix, "rows", 0), (int)json_whole(matrix, "cols", 0), worst);
        if (!(worst < 2e-6)) /* five iterations raise small singular values, and their rounding */
            fail_msg("matrix %zu is %g off", i, worst);
    }
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(muon_steps_as_pytorch_does) };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
