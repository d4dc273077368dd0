/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"
#include "base/random.h"
#include "cli/selftest.h"
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { N = 992, ROOM = 1088 }; /* 31 blocks of 32: no whole number of wide registers' unrollings */

struct probe {
    float x[ROOM], g[ROOM], b[ROOM], y[ROOM], expected[ROOM];
    unsigned char bytes[ROOM * 4];
};

static void fill(struct probe *p)
{
    struct random r;
    random_seed(&r, 3);
    for (int i = 0; i < ROOM; i++) {
        p->x[i] = (float)(2 * random_normal(&r));
        p->g[i] = (float)random_normal(&r);
        p->b[i] = (float)random_normal(&r);
        p->y[i] = 0;
    }
    memset(p->bytes, 0, sizeof p->bytes);
}

static void compare(struct selftest *t, const struct probe *p, const char *op, const char *version)
{
    char name[80];
    double worst = 0;
    bool good = true;
    for (int i = 0; i < ROOM; i++) {
        double difference = fabs((double)p->y[i] - (double)p->expected[i]);
        good = good && difference <= 1e-4 * fabs((double)p->expected[i]) + 1e-6; /* false for NaN */
        worst = difference > worst ? difference : worst;
    }
    snprintf(name, sizeof name, "kernel %s, %s", op, version);
    selftest_note(t, good, name, "largest difference %.2g", worst);
}

/* Run the last version (plain C), keep its answer, run the others that this machine has. */
#define CHECK(op, ...) \
    static void check_##op(struct selftest *t, struct probe *p) \
    { \
        const struct op##_version *v = op##_versions; \
        size_t last = 0; \
        while (v[last].needs) \
            last++; \
        for (size_t i = last + 1; i-- > 0;) { \
            op##_fn *run = v[i].run; \
            if ((v[i].needs & kernels.features) != v[i].needs) \
                continue; \
            fill(p); \
            __VA_ARGS__; \
            if (i == last) \
                memcpy(p->expected, p->y, sizeof p->y); \
            compare(t, p, #op, v[i].name); \
        } \
    }

CHECK(rmsnorm, run(p->y, p->x, p->g, 1.0f, N, 1e-6f))
CHECK(layernorm, run(p->y, p->x, p->g, p->b, N, 1e-5f))
CHECK(softmax, memcpy(p->y, p->x, sizeof p->y); run(p->y, N, 0.5f))
CHECK(softmax_step, memcpy(p->y, p->x, sizeof p->y); p->y[N] = 0.25f; p->y[N + 1] = 1.0f;
      run(p->y, N, &p->y[N], &p->y[N + 1], &p->y[N + 2]))
CHECK(mix, run(p->y, 64, p->x, 5, 1, p->g, 64, 3, 5, 61); run(p->y + 512, 64, p->x, 1, 8, p->g, 64, 7, 5, 61))
CHECK(pair_bf16, uint32_t pairs[N]; run(pairs, p->x, p->g, N); memcpy(p->y, pairs, sizeof pairs))
CHECK(mix_bf16, uint32_t pairs[N]; kernels.pair_bf16(pairs, p->x, p->g, N);
      run(p->y, 64, pairs, 5, 1, pairs + 64, 64, 3, 5, 61); run(p->y + 512, 64, pairs, 1, 8, pairs + 64, 64, 7, 5, 61))
CHECK(transpose, run(p->y, 25, p->x, 41, 23, 39))
CHECK(rope, memcpy(p->y, p->x, sizeof p->y); run(p->y, p->g, p->b, 37, false); run(p->y + 100, p->g, p->b, 37, true))
CHECK(silu_mul, run(p->y, p->x, p->g, N))
CHECK(gelu_mul, run(p->y, p->x, p->g, N))
CHECK(swiglu_clamped, run(p->y, p->x, p->g, N, 1.702f, 1.5f))
CHECK(softcap, memcpy(p->y, p->x, sizeof p->y); run(p->y, N, 1.5f))
CHECK(add, memcpy(p->y, p->g, sizeof p->y); run(p->y, p->x, N))
CHECK(decode, format_q8_0.encode(p->bytes, p->x, NULL, N); run(&format_q8_0, p->y, p->bytes, N))
CHECK(encode, run(&format_q8_0, p->bytes, p->x, N); format_q8_0.decode(p->y, p->bytes, N))
CHECK(rmsnorm_backward, run(p->y, p->y + N / 2, p->x, p->g, p->b, 1.0f, N / 2, 1e-6f))
CHECK(layernorm_backward, run(p->y, p->y + N / 3, p->y + 2 * N / 3, p->x, p->g, p->b, N / 3, 1e-5f))
CHECK(softmax_backward, memcpy(p->y, p->x, sizeof p->y); run(p->y, p->y + N / 2, N / 2, 5, 40, 0.25f, 30))
CHECK(cross_entropy, run(p->y + N, p->y, p->x, N, 77, 0.5f))
CHECK(entropy, run(p->y, p->x, N))
CHECK(silu_mul_backward, run(p->y, p->y + N / 2, p->x, p->g, p->b, N / 2))
CHECK(gelu_mul_backward, run(p->y, p->y + N / 2, p->x, p->g, p->b, N / 2))
CHECK(swiglu_clamped_backward, run(p->y, p->y + N / 2, p->x, p->g, p->b, N / 2, 1.702f, 1.5f))
CHECK(softcap_backward, memcpy(p->y, p->g, sizeof p->y); run(p->y, p->x, N, 5))
CHECK(adamw, run(p->y, p->y + N / 3, p->y + 2 * N / 3, p->g,
          &(struct adamw_step) { 0.5f, 0.9f, 0.95f, 0.1f, 0.05f, 0.01f, 2, 1e-8f, 0.99f }, N / 3))

void selftest_kernels(struct selftest *t)
{
    static struct probe p; /* 40 KB: too much for a stack */
#define X(op) check_##op(t, &p);
    KERNELS(X)
#undef X
}

/* ---- formats ---- */

enum { ROWS = 5, COLUMNS = 3, WIDTH = 512 };

/* Blocks of a format that is only read: bytes small enough that no scale among them is infinite or NaN. */
static void make_rows(const struct format *f, unsigned char *w, const float *values, struct random *r)
{
    size_t bytes = format_row_bytes(f, (int64_t)ROWS * WIDTH);
    if (f->encode) {
        f->encode(w, values, NULL, (int64_t)ROWS * WIDTH);
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        w[i] = (unsigned char)random_below(r, 0x3c);
}

/* Root mean square of what encoding loses, as a share of the values'. Floats keep a share, whole numbers keep steps. */
static double allowed_loss(const struct format *f)
{
    if (f == &format_f32)
        return 0;
    if (f == &format_f16)
        return 0.0005;
    if (f == &format_bf16)
        return 0.004;
    if (f == &format_f8_e4m3)
        return 0.04;
    return 3 * pow(2, -(8.0 * f->block_bytes / f->block - 1));
}

static void check_loss(struct selftest *t, const struct format *f, const float *values, const float *decoded)
{
    char name[80];
    double lost = 0, all = 0;
    for (int i = 0; i < ROWS * WIDTH; i++) {
        lost += ((double)values[i] - (double)decoded[i]) * ((double)values[i] - (double)decoded[i]);
        all += (double)values[i] * (double)values[i];
    }
    snprintf(name, sizeof name, "format %s, there and back", f->name);
    selftest_note(t, sqrt(lost / all) <= allowed_loss(f), name, "%.2g of the values lost", sqrt(lost / all));
}

/* A dot product against the decoded rows in double. The bound scales with the sum of absolute products. */
static void check_dots(struct selftest *t, const struct format *f, const struct dots_version *v,
    const unsigned char *w, const float *decoded, const float *values)
{
    static unsigned char x[COLUMNS * WIDTH * 5];
    static float back[COLUMNS * WIDTH];
    const struct format *pair = formats[f->pair];
    size_t stride = format_row_bytes(pair, WIDTH);
    float y[COLUMNS * ROWS];
    double worst = 0;
    char name[80];
    for (int c = 0; c < COLUMNS; c++) {
        pair->encode(x + (size_t)c * stride, values + c * WIDTH, NULL, WIDTH);
        pair->decode(back + c * WIDTH, x + (size_t)c * stride, WIDTH);
    }
    v->run(y, ROWS, w, format_row_bytes(f, WIDTH), ROWS, x, stride, COLUMNS, WIDTH);
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        double sum = 0, absolute = 1e-30;
        for (int k = 0; k < WIDTH; k++) {
            double product = (double)decoded[i % ROWS * WIDTH + k] * (double)back[i / ROWS * WIDTH + k];
            sum += product;
            absolute += fabs(product);
        }
        double error = fabs((double)y[i] - sum) / absolute;
        worst = error > worst || isnan(error) ? error : worst;
    }
    snprintf(name, sizeof name, "format %s, dot product, %s", f->name, v->name);
    selftest_note(t, worst <= 1e-5, name, "largest scaled error %.2g", worst);
}

static void check_format(struct selftest *t, const struct format *f)
{
    static float values[ROWS * WIDTH], decoded[ROWS * WIDTH];
    static unsigned char w[ROWS * WIDTH * 5];
    struct random r;
    random_seed(&r, 9);
    for (int i = 0; i < ROWS * WIDTH; i++)
        values[i] = (float)random_normal(&r);
    make_rows(f, w, values, &r);
    f->decode(decoded, w, (int64_t)ROWS * WIDTH);
    if (f->encode)
        check_loss(t, f, values, decoded);
    for (const struct dots_version *v = f->dots; v; v = v->needs ? v + 1 : NULL) {
        if ((v->needs & kernels.features) == v->needs)
            check_dots(t, f, v, w, decoded, values);
    }
}

void selftest_formats(struct selftest *t)
{
    for (int i = 0; i < FORMAT_COUNT; i++)
        check_format(t, formats[i]);
}
