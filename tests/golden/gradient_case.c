/* SPDX-License-Identifier: Apache-2.0 */
#include "gradient_case.h"

#include "case.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 300

static void read_numbers(int32_t *out, const json_t *list, int count)
{
    assert_int_equal(json_array_size(list), count);
    for (int i = 0; i < count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
}

void gradients_read(struct gradients *g, const char *folder, const char *name)
{
    struct error err = { 0 };
    char file[128];
    memset(g, 0, sizeof *g);
    snprintf(file, sizeof file, "tests/golden/data/%s/%s.json", folder, name);
    if (json_read_file_new(&g->json, test_repo(file), 1 << 20, &err) != 0)
        fail_msg("%s", err.text);
    const json_t *texts = json_object_get(g->json, "texts");
    assert_int_equal(json_array_size(texts), GRADIENT_TEXTS);
    for (size_t i = 0; i < GRADIENT_TEXTS; i++) {
        const json_t *text = json_array_get(texts, i);
        int count = (int)json_array_size(json_object_get(text, "ids"));
        assert_in_range(count, 1, 64);
        read_numbers(g->ids[i], json_object_get(text, "ids"), count);
        read_numbers(g->targets[i], json_object_get(text, "targets"), count);
        g->texts[i] = (struct train_text) { .ids = g->ids[i], .targets = g->targets[i], .count = count };
        g->tokens += count;
    }
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

/* The sum of x with signs from splitmix64, seeded by the FNV-1a hash of the tensor's name and which. */
static double project(const float *x, int64_t n, const char *tensor, int which)
{
    char name[NAME_SIZE];
    double sum = 0;
    snprintf(name, sizeof name, "%s+%d", tensor, which);
    uint64_t *bits = case_bits_new(name, n);
    for (int64_t i = 0; i < n; i++)
        sum += bits[i] >> 63 ? -(double)x[i] : (double)x[i];
    free(bits);
    return sum;
}

static void check_elements(const json_t *entry, const float *x, int64_t n, double rms, double allowed, double unit,
    double *worst)
{
    const char *name = json_string_value(json_array_get(entry, 0));
    const json_t *elements = json_array_get(entry, 5), *element;
    size_t i;
    assert_true(json_array_size(elements) >= 1);
    json_array_foreach(elements, i, element)
    {
        int64_t at = json_integer_value(json_array_get(element, 0));
        double want = number(element, 1), size = number(element, 2);
        assert_in_range(at, 0, n - 1);
        if (size == 0 && x[at] != 0)
            fail_msg("%s: element %lld is %.9g, nothing should reach it", name, (long long)at,
                (double)x[at]);
        double units = fabs((double)x[at] - want) / ((size + rms) * unit + 1e-300);
        if (!(units <= allowed))
            fail_msg("%s: element %lld is %.9g, expected %.9g: %.1f units, %.1f allowed", name, (long long)at,
                (double)x[at], want, units, allowed);
        *worst = fmax(*worst, units);
    }
}

void gradient_check(const json_t *entry, const float *x, int64_t n, int layers, struct gradient_worst *worst)
{
    const char *name = json_string_value(json_array_get(entry, 0));
    double size = number(entry, 2), allowed = GRADIENT_FEW * (layers + 1) + number(entry, 3), squares = 0, element = 0;
    for (int64_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    double off[3] = { fabs(sqrt(squares) - number(entry, 1)) };
    for (int k = 0; k < 2; k++)
        off[1 + k] = fabs(project(x, n, name, k) - number(json_array_get(entry, 4), (size_t)k));
    for (int k = 0; k < 3; k++) {
        double units = off[k] / (2 * size * worst->unit + 1e-300);
        if (!(units <= allowed))
            fail_msg("%s: %s of the gradient is off by %.3g: %.1f units, %.1f allowed", name,
                k ? "a projection" : "the norm", off[k], units, allowed);
        worst->sum = fmax(worst->sum, units);
        worst->share = fmax(worst->share, units / allowed);
    }
    check_elements(entry, x, n, size / sqrt((double)n), allowed, worst->unit, &element);
    worst->element = fmax(worst->element, element);
    worst->share = fmax(worst->share, element / allowed);
    worst->own = fmax(worst->own, number(entry, 3));
}
