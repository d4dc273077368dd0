/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"

#include "support.h"

#include <math.h>

/* A logit is a sum of products w_k x_k. Rounding in the sum itself is below the unit roundoff times its length times
 * sum |w_k x_k|, and the errors that x carries scale with the same sum. x collects them from every layer: a constant
 * number of sums each, and the angles of rope, which the reference rounds to float32, so that a score at position p is
 * off by up to p roundings. Hence |difference| <= u (FEW (layers + 1) + p layers / 4) sum |w_k x_k|, where FEW covers
 * that sums of some hundred products lose a few units, not a hundred, and that the reference's own error is as large.
 * A reference in float64 leaves our error alone: no term for its angles. Where it is there beside one in float32, it
 * tells how far that one is off: it must keep the bound itself, and we may differ from it by so much more. */
#define FEW 6.0
#define UNIT 0x1p-24

double compare_bound(int layers, int position, enum reference reference)
{
    return FEW * (layers + 1) + (reference == REFERENCE_FLOAT64 ? 0 : 0.25 * position * layers);
}

static double number(const json_t *row, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(row, key), i));
}

static void compare_row(const struct runner *r, const json_t *row, const json_t *exact, const float *logits,
    enum reference reference, struct worst *worst)
{
    int position = (int)json_whole(row, "position", -1);
    int turned = r->spec->learned_positions ? 0 : position;
    double whole = compare_bound(r->spec->layers, turned, reference);
    double ours = compare_bound(r->spec->layers, turned, REFERENCE_FLOAT64);
    assert_int_equal(json_array_size(json_object_get(row, "logits")), r->spec->vocabulary);
    assert_true(!exact || json_whole(exact, "position", -2) == position);
    for (size_t i = 0; i < (size_t)r->spec->vocabulary; i++) {
        double have = (double)logits[(int64_t)position * r->spec->vocabulary + (int64_t)i];
        double want = number(row, "logits", i), unit = UNIT * number(row, "sums", i);
        double own = exact ? fabs(want - number(exact, "logits", i)) / unit : 0;
        double bound = exact ? ours + own : whole;
        double scaled = fabs(have - want) / unit;
        if (!(scaled <= bound && own <= whole))
            fail_msg("logit %zu at position %d is %.9g, expected %.9g: %.1f units, %.1f allowed; the reference itself "
                "is off by %.1f of %.1f", i, position, have, want, scaled, bound, own, whole);
        if (scaled / bound > worst->share)
            *worst = (struct worst) { scaled, bound, scaled / bound };
    }
}

double compare_share(const float *rounded, const float *exact, int64_t n)
{
    double lost = 0, whole = 0;
    for (int64_t i = 0; i < n; i++) {
        lost += pow((double)rounded[i] - (double)exact[i], 2);
        whole += pow((double)exact[i], 2);
    }
    return sqrt(lost / whole);
}

void compare_rows(const struct runner *r, const json_t *rows, const json_t *exact, const float *logits,
    enum reference reference, struct worst *worst)
{
    const json_t *row;
    size_t i;
    assert_true(json_array_size(rows) >= 3);
    json_array_foreach(rows, i, row)
        compare_row(r, row, exact ? json_array_get(exact, i) : NULL, logits, reference, worst);
}
