/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"

#include "support.h"

#include <math.h>

/* A logit is a sum of products w_k x_k. Rounding in the sum itself is below the unit roundoff times its length times
 * sum |w_k x_k|, and the errors that x carries scale with the same sum. x collects them from every layer: a constant
 * number of sums each, and the angles of rope, which the reference rounds to float32, so that a score at position p is
 * off by up to p roundings. Hence |difference| <= u (FEW (layers + 1) + p layers / 4) sum |w_k x_k|, where FEW covers
 * that sums of some hundred products lose a few units, not a hundred, and that the reference's own error is as large.
 * A reference in float64 leaves our error alone: no term for its angles. */
#define FEW 6.0
#define UNIT 0x1p-24

static double allowed(const struct spec *s, int position, enum reference reference)
{
    double turned = s->learned_positions || reference == REFERENCE_FLOAT64 ? 0 : 0.25 * position * s->layers;
    return FEW * (s->layers + 1) + turned;
}

static void compare_row(const struct runner *r, const json_t *row, const float *logits, enum reference reference,
    struct worst *worst)
{
    const json_t *want = json_object_get(row, "logits"), *sums = json_object_get(row, "sums");
    int position = (int)json_whole(row, "position", -1);
    double bound = allowed(r->spec, position, reference);
    assert_int_equal(json_array_size(want), r->spec->vocabulary);
    for (size_t i = 0; i < json_array_size(want); i++) {
        double have = (double)logits[(int64_t)position * r->spec->vocabulary + (int64_t)i];
        double scaled = fabs(have - json_number_value(json_array_get(want, i))) /
            (UNIT * json_number_value(json_array_get(sums, i)));
        if (!(scaled <= bound))
            fail_msg("logit %zu at position %d is %.9g, expected %.9g: %.1f units, %.1f allowed", i, position, have,
                json_number_value(json_array_get(want, i)), scaled, bound);
        if (scaled / bound > worst->share)
            *worst = (struct worst) { scaled, bound, scaled / bound };
    }
}

void compare_rows(const struct runner *r, const json_t *rows, const float *logits, enum reference reference,
    struct worst *worst)
{
    const json_t *row;
    size_t i;
    assert_true(json_array_size(rows) >= 3);
    json_array_foreach(rows, i, row) compare_row(r, row, logits, reference, worst);
}
