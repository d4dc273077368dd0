/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a value each storage format loses: stated bounds on ordinary values and on weights of a real model, never
 * more than plain rounding, less where importance says so. */
#include "support.h"

#include "base/filemap.h"
#include "base/random.h"
#include "tensor/format.h"
#include "tensor/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N (256 * 96)

/* Root of squared error over squared values, for values of a normal distribution. */
static const double loss_bounds[FORMAT_COUNT] = {
    [FORMAT_f32] = 1e-30,
    [FORMAT_f16] = 2.2e-4,
    [FORMAT_bf16] = 1.75e-3,
    [FORMAT_f8_e4m3] = 0.0275,
    [FORMAT_q4_0] = 0.088,
    [FORMAT_q4_1] = 0.080,
    [FORMAT_q5_0] = 0.044,
    [FORMAT_q5_1] = 0.0387,
    [FORMAT_q8_0] = 0.0055,
    [FORMAT_q2_k] = 0.265,
    [FORMAT_q3_k] = 0.147,
    [FORMAT_q4_k] = 0.0715,
    [FORMAT_q5_k] = 0.0353,
    [FORMAT_q6_k] = 0.0172,
    [FORMAT_iq4_nl] = 0.0748,
    [FORMAT_mxfp4] = 0.1175,
    [FORMAT_q8_1] = 0.0055,
    [FORMAT_q8_k] = 0.0071,
};

/* Formats whose encoders search, and the plain rounding they are held against: parts of `size` values, levels
 * 0..top from end to end (affine), or -steps..steps - 1 with the peak on the lowest. The scales of plain rounding are
 * real numbers, so it has an advantage that no stored block has. Yet of its squared error on normal values at most
 * `share` must remain, and `weighted` of its weighted error where the weights are known. */
static const struct searched {
    const struct format *format;
    int size, top, steps;
    double share, weighted;
} searched[] = {
    { &format_q2_k, 16, 3, 0, 0.640, 0.313 },
    { &format_q3_k, 16, 0, 4, 0.868, 0.535 },
    { &format_q4_k, 32, 15, 0, 0.808, 0.464 },
    { &format_q5_k, 32, 31, 0, 0.841, 0.511 },
    { &format_q6_k, 16, 0, 32, 0.826, 0.463 },
    { &format_iq4_nl, 32, 0, 8, 0.730, 0.471 },
};

static float samples[N], weights[N], back[N];

static double squared_error(const float *x, const float *y, const float *w, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (w ? w[i] : 1.0) * ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sum;
}

static double loss(const struct format *f, const float *x, const float *importance, const float *w, int n)
{
    unsigned char *bytes = malloc(format_row_bytes(f, n) + sizeof(float));
    assert_non_null(bytes);
    f->encode(bytes, x, importance, n);
    f->decode(back, bytes, n);
    free(bytes);
    return squared_error(x, back, w, n);
}

static double energy(const float *x, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

static double plain_rounding(const struct searched *s, const float *x, const float *w, int n)
{
    double sum = 0.0;
    for (int part = 0; part < n; part += s->size) {
        double low = 0.0, high = 0.0;
        for (int i = part; i < part + s->size; i++) {
            low = fmin(low, x[i]);
            high = fmax(high, x[i]);
        }
        double least = s->top ? 0.0 : -s->steps, most = s->top ? s->top : s->steps - 1;
        double scale = s->top ? (high - low) / s->top : (high > -low ? high : low) / -s->steps;
        double base = s->top ? low : 0.0;
        for (int i = part; i < part + s->size; i++) {
            double level = fmin(fmax(round((x[i] - base) / scale), least), most);
            double off = level * scale + base - x[i];
            sum += (w ? w[i] : 1.0) * off * off;
        }
    }
    return sum;
}

/* Normal values; those of a long-tailed distribution; weights that differ by four orders of magnitude. */
static void fill(int kind)
{
    struct random r;
    random_seed(&r, 30 + (uint64_t)kind);
    for (int i = 0; i < N; i++) {
        double x = random_normal(&r);
        samples[i] = (float)(kind ? x * exp(0.7 * random_normal(&r)) * 0.02 : x);
        weights[i] = (float)pow(10.0, 4.0 * random_unit(&r) - 2.0);
    }
}

static void losses_are_bounded(void **state)
{
    (void)state;
    fill(0);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (!formats[i]->encode)
            continue;
        double relative = sqrt(loss(formats[i], samples, NULL, NULL, N) / energy(samples, N));
        printf("%-8s relative error %.6f\n", formats[i]->name, relative);
        if (!(relative <= loss_bounds[i]))
            fail_msg("%s: relative error %.6g, expected at most %.6g", formats[i]->name, relative, loss_bounds[i]);
    }
}

static void search_beats_plain_rounding(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        fill(kind);
        for (size_t i = 0; i < sizeof searched / sizeof *searched; i++) {
            const struct searched *s = &searched[i];
            double plain = plain_rounding(s, samples, NULL, N), plain_weighted = plain_rounding(s, samples, weights, N);
            double ours = loss(s->format, samples, NULL, NULL, N);
            double blind = loss(s->format, samples, NULL, weights, N);
            double weighted = loss(s->format, samples, weights, weights, N);
            printf("%-8s of plain rounding's error %.3f, weighted %.3f (without importance %.3f)\n", s->format->name,
                ours / plain, weighted / plain_weighted, blind / plain_weighted);
            if (!(ours < (kind ? 0.95 : s->share) * plain && weighted < 0.9 * blind &&
                    weighted < (kind ? 0.7 : s->weighted) * plain_weighted))
                fail_msg("%s: error %.6g, plain %.6g; weighted %.6g, plain %.6g, without importance %.6g",
                    s->format->name, ours, plain, weighted, plain_weighted, blind);
        }
    }
}

/* What weighs nothing may come out as anything: the rest must fit better for it. */
static void importance_zero_frees(void **state)
{
    (void)state;
    fill(0);
    for (int i = 0; i < N; i++) {
        weights[i] = i % 4 ? 1.0f : 0.0f;
        samples[i] *= i % 4 ? 1.0f : 3.0f;
    }
    for (size_t i = 0; i < sizeof searched / sizeof *searched; i++) {
        const struct format *f = searched[i].format;
        double blind = loss(f, samples, NULL, weights, N), seeing = loss(f, samples, weights, weights, N);
        if (!(seeing < 0.9 * blind))
            fail_msg("%s: error %.6g with importance, %.6g without", f->name, seeing, blind);
    }
}

/* An error must not disappear in storage. mxfp4 cannot hold NaN. */
static void nan_stays_visible(void **state)
{
    (void)state;
    fill(0);
    samples[300] = NAN;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (!formats[i]->encode)
            continue;
        loss(formats[i], samples, NULL, NULL, 512);
        int bad = 0, others = 0;
        for (int k = 0; k < 512; k++) {
            bad += isnan(back[k]);
            others += isnan(back[k]) && k / formats[i]->block != 300 / formats[i]->block;
        }
        assert_int_equal(others, 0);
        if (i == FORMAT_mxfp4 ? bad : !bad)
            fail_msg("%s: %d NaN values", formats[i]->name, bad);
    }
}

/* Blocks whose best scale is below the smallest binary16 still keep their largest values. */
static void tiny_blocks_survive(void **state)
{
    (void)state;
    fill(0);
    for (int i = 0; i < N; i++)
        samples[i] *= 2e-6f;
    for (size_t i = 0; i < sizeof searched / sizeof *searched; i++) {
        double relative = sqrt(loss(searched[i].format, samples, NULL, NULL, N) / energy(samples, N));
        if (!(relative < 0.3))
            fail_msg("%s: relative error %.6g", searched[i].format->name, relative);
    }
}

static void real_weights(void **state)
{
    (void)state;
    const char *path = test_data("weights/gpt2-small-partial/decoder5.att.query.w.dat");
    struct filemap file;
    if (!path)
        skip();
    assert_int_equal(filemap_open(&file, path, NULL), 0);
    assert_true(file.size >= sizeof samples);
    for (int i = 0; i < N; i++) {
        const unsigned char *b = file.data + 4 * i; /* big-endian */
        samples[i] = f32_from_bits((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
    }
    filemap_close(&file);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (!formats[i]->encode || i == FORMAT_q8_1 || i == FORMAT_q8_k) /* never in files */
            continue;
        double relative = sqrt(loss(formats[i], samples, NULL, NULL, N) / energy(samples, N));
        printf("%-8s relative error %.6f of GPT-2 weights\n", formats[i]->name, relative);
        if (!(relative <= 1.03 * loss_bounds[i]))
            fail_msg("%s: relative error %.6g, expected at most 1.03 * %.6g", formats[i]->name, relative,
                loss_bounds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_bounded),
        cmocka_unit_test(search_beats_plain_rounding),
        cmocka_unit_test(importance_zero_frees),
        cmocka_unit_test(nan_stays_visible),
        cmocka_unit_test(tiny_blocks_survive),
        cmocka_unit_test(real_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
