/* SPDX-License-Identifier: Apache-2.0 */
/* Every short float, and around every midpoint between two of them. */
#include "support.h"

#include "tensor/half.h"

#include <float.h>
#include <math.h>

/* Independent of half.h: by definition of the format. */
static double f16_value(unsigned h)
{
    int exponent = h >> 10 & 31;
    double fraction = h & 1023;
    double magnitude = exponent ? ldexp(1024.0 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void f16_every_value(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float x = f32_from_f16((uint16_t)h);
        unsigned rest = h & 0x7fff;
        if (rest > 0x7c00) {
            assert_true(isnan(x) && isnan(f32_from_f16(f16_from_f32(x))));
            continue;
        }
        if (rest == 0x7c00)
            assert_true(isinf(x) && (x < 0) == (h >> 15));
        else
            assert_true((double)x == f16_value(h));
        assert_int_equal(f16_from_f32(x), h);
        if (rest >= 0x7bff)
            continue;
        /* halfway to the next: to even; one float beside it: to the nearer */
        float half = (float)((f16_value(h) + f16_value(h + 1)) / 2);
        float away = h & 0x8000 ? -INFINITY : INFINITY;
        assert_int_equal(f16_from_f32(half), h + (h & 1));
        assert_int_equal(f16_from_f32(nextafterf(half, 0.0f)), h);
        assert_int_equal(f16_from_f32(nextafterf(half, away)), h + 1);
    }
    assert_int_equal(f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(f16_from_f32(-FLT_MAX), 0xfc00);
    assert_int_equal(f16_from_f32(0x1p-25f), 0);
    assert_int_equal(f16_from_f32(nextafterf(0x1p-25f, 1.0f)), 1);
    assert_int_equal(f16_from_f32(-1e-45f), 0x8000);
}

static void bf16_every_value(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float x = f32_from_bf16((uint16_t)h);
        assert_int_equal(bits_from_f32(x), h << 16);
        if (isnan(x)) {
            assert_int_equal(bf16_from_f32(x), h | 64);
            continue;
        }
        assert_int_equal(bf16_from_f32(x), h);
        if (isinf(x))
            continue;
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x8000)), h + (h & 1));
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_true(isnan(f32_from_bf16(bf16_from_f32(f32_from_bits(0x7f800001)))));
}

static void e4m3_every_value(void **state)
{
    (void)state;
    for (unsigned e = 0; e < 256; e++) {
        float x = f32_from_e4m3((uint8_t)e);
        assert_int_equal(e4m3_from_f32(x), e);
        if ((e & 0x7f) >= 0x7e)
            continue;
        float half = (x + f32_from_e4m3((uint8_t)(e + 1))) / 2; /* exact */
        float away = e & 0x80 ? -INFINITY : INFINITY;
        assert_int_equal(e4m3_from_f32(half), e + (e & 1));
        assert_int_equal(e4m3_from_f32(nextafterf(half, 0.0f)), e);
        assert_int_equal(e4m3_from_f32(nextafterf(half, away)), e + 1);
    }
    assert_int_equal(e4m3_from_f32(1e9f), 0x7e);
    assert_int_equal(e4m3_from_f32(-INFINITY), 0xfe);
    assert_int_equal(e4m3_from_f32(NAN) & 0x7f, 0x7f);
}

static void e8m0_every_value(void **state)
{
    (void)state;
    for (int e = 0; e < 256; e++)
        assert_true((double)f32_from_e8m0_half((uint8_t)e) == ldexp(1.0, e - 128));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_every_value),
        cmocka_unit_test(bf16_every_value),
        cmocka_unit_test(e4m3_every_value),
        cmocka_unit_test(e8m0_every_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
