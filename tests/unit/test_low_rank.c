/* SPDX-License-Identifier: Apache-2.0 */
/* What lies beside weights, alone: products with it in double, its backward by differences (backward_case.h), the
 * lengths of rows, and what dropout leaves out. */
#include "backward_case.h"

#include "backend/cpu/low_rank.h"
#include "tensor/half.h"

/* ---- linear ---- */

struct low_case {
    int tokens, in, out, rank;
    bool magnitude, bias;
    float dropout;
    const struct case_weight *base; /* frozen, in any format */
};

enum { X, A, B, MAGNITUDE, BIAS };
#define SEED 77
#define SCALE 0.75f

/* What a row's length is held at while its gradients are found. */
static double norm_of(int row)
{
    return 1.5 + 0.25 * (row % 7);
}

/* The mask of all inputs, as the backend has it. */
static float *mask_new(const struct low_case *c)
{
    float *mask = floats_new((size_t)(c->tokens * c->in));
    const struct flow f = { .dropout_seed = SEED };
    const struct low_rank low = { .dropout = c->dropout, .key = 3 };
    for (int t = 0; t < c->tokens; t++)
        low_rank_mask(mask + t * c->in, &f, &low, t, 0, c->in);
    return mask;
}

/* As gradients meet it on their way through the base: rounded by the rule of matmul_backward.h. */
static double rounded(const struct low_case *c, float x)
{
    const struct format *f = c->base->weight.tensor.format;
    return kernels.dots[f->id] && f->pair != FORMAT_f32 ? (double)f32_from_bf16(bf16_from_f32(x)) : (double)x;
}

static double low_loss(const struct op *op)
{
    const struct low_case *c = op->arg;
    const double *x = op->in[X].wide, *a = op->in[A].wide, *b = op->in[B].wide;
    float *mask = mask_new(c);
    double loss = 0, inner[16];
    for (int t = 0; t < c->tokens; t++) {
        for (int k = 0; k < c->rank; k++) {
            inner[k] = 0;
            for (int i = 0; i < c->in; i++)
                inner[k] += (double)(c->dropout > 0 ? mask[t * c->in + i] : 1) * x[t * c->in + i] * a[k * c->in + i];
        }
        for (int o = 0; o < c->out; o++) {
            const float dy = op->weights[t * c->out + o];
            double by = c->magnitude ? op->in[MAGNITUDE].wide[o] / norm_of(o) : 1, through = 0, beside = 0;
            for (int i = 0; i < c->in; i++)
                through += x[t * c->in + i] * rounded(c, c->base->values[o * c->in + i]);
            for (int k = 0; k < c->rank; k++)
                beside += (double)SCALE * inner[k] * b[k * c->out + o];
            loss += by * (rounded(c, dy) * through + (double)dy * beside);
            loss += c->bias ? (double)dy * op->in[op->n - 1].wide[o] : 0;
        }
    }
    free(mask);
    return loss;
}

static void low_run(struct flow *f, const struct op *op)
{
    const struct low_case *c = op->arg;
    float *norms = floats_new((size_t)c->out);
    struct value x = value_of(&op->in[X], c->in), y = out_of(op, NULL, c->out);
    struct low_rank low = { .rank = c->rank, .scale = SCALE, .a = op->in[A].data, .b = op->in[B].data,
        .dropout = c->dropout, .key = 3, .a_gradient = op->in[A].gradient, .b_gradient = op->in[B].gradient };
    struct weight w = c->base->weight, bias = { .gradient = NULL };
    for (int o = 0; o < c->out; o++)
        norms[o] = (float)norm_of(o);
    if (c->magnitude) {
        low.magnitude = op->in[MAGNITUDE].data;
        low.magnitude_gradient = op->in[MAGNITUDE].gradient;
        low.norms = norms;
    }
    if (c->bias)
        bias = weight_of(&op->in[op->n - 1], 1, c->out);
    w.low_rank = &low;
    f->dropout_seed = SEED;
    linear_backward(f, &y, &x, &w, &bias);
    free(norms);
}

static struct flow_shape low_shape(const struct low_case *c)
{
    struct flow_shape shape = plain_shape(c->tokens, c->in > c->out ? c->in : c->out);
    shape.rank_max = c->rank;
    shape.magnitudes = c->magnitude;
    shape.dropout = c->dropout > 0;
    return shape;
}

static void backwards(void **state)
{
    (void)state;
    struct low_case cases[] = {
        { .tokens = 5, .in = 32, .out = 9, .rank = 3 },
        { .tokens = 1, .in = 96, .out = 5, .rank = 1, .bias = true },
        { .tokens = 67, .in = 64, .out = 301, .rank = 7, .dropout = 0.3f, .bias = true },
        { .tokens = 99, .in = 288, .out = 65, .rank = 5, .magnitude = true },
        { .tokens = 12, .in = 288, .out = 270, .rank = 4, .magnitude = true, .bias = true, .dropout = 0.5f },
    };
    const struct format *const bases[] = { &format_f32, &format_bf16, &format_q8_0, &format_q4_0, &format_mxfp4 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct low_case *c = &cases[i];
        struct case_weight base;
        struct random r;
        random_seed(&r, 30 + i);
        /* a magnitude's gradient meets the product itself, whose activations packed weights round */
        weight_open(&base, &r, c->magnitude ? &format_f32 : bases[i], c->out, c->in, 1);
        c->base = &base;
        size_t x = (size_t)(c->tokens * c->in), out = (size_t)c->out, a = (size_t)(c->rank * c->in);
        size_t sizes[] = { x, a, (size_t)c->rank * out, out, out };
        struct op op = { .n_out = out * (size_t)c->tokens, .terms = (size_t)(c->in * c->rank + c->tokens + c->out),
            .arg = c, .loss = low_loss, .run = low_run };
        op_open(&op, &r, sizes, 3 + c->magnitude + c->bias);
        op_check(&op, low_shape(c), &(struct flow) { .tokens = 0 });
        op_close(&op);
        weight_close(&base);
    }
}

/* ---- forward ---- */

/* Two beside one weight, the second stretching what the first made; any threads, any company, the same bits. */
static void products(void **state)
{
    (void)state;
    const struct low_case c = { .tokens = 37, .in = 96, .out = 300, .rank = 5 };
    struct case_weight base;
    struct random r;
    random_seed(&r, 9);
    weight_open(&base, &r, &format_f32, c.out, c.in, 1);
    float *x = random_new(&r, (size_t)(c.tokens * c.in), 1), *bias = random_new(&r, (size_t)c.out, 1);
    float *a = random_new(&r, (size_t)(2 * c.rank * c.in), 1), *b = random_new(&r, (size_t)(2 * c.rank * c.out), 1);
    float *magnitude = random_new(&r, (size_t)c.out, 1), *norms = floats_new((size_t)c.out);
    float *first = floats_new((size_t)(c.tokens * c.out)), *y = floats_new((size_t)(c.tokens * c.out));
    struct low_rank second = { .rank = 2, .scale = -1.25f, .a = a + c.rank * c.in, .b = b + c.rank * c.out,
        .magnitude = magnitude, .norms = norms };
    const struct low_rank low = { .next = &second, .rank = c.rank, .scale = SCALE, .a = a, .b = b };
    struct weight w = base.weight, add = { .tensor = { &format_f32, 1, c.out, bias, 0, NULL } };
    w.low_rank = &low;
    for (size_t k = 0; k < CASE_THREADS; k++) {
        struct case_flow f;
        struct flow_shape shape = low_shape(&c);
        shape.threads = case_threads[k];
        flow_open(&f, &shape);
        low_rank_norms(&f.flow, &w, &second);
        for (int from = 0, n; from < c.tokens; from += n) { /* all at once, then a few at a time */
            n = k == 0 || c.tokens - from < (int)k * 3 ? c.tokens - from : (int)k * 3;
            struct value in = { .data = x + from * c.in, .width = c.in }, out = { .data = y + from * c.out,
                .width = c.out };
            f.flow.tokens = n;
            linear(&f.flow, &out, &in, &w, &add);
        }
        flow_close(&f);
        if (k == 0)
            memcpy(first, y, (size_t)(c.tokens * c.out) * sizeof *y);
        assert_same_bits(y, first, (size_t)(c.tokens * c.out));
    }
    for (int o = 0; o < c.out; o++) {
        double row[96], squares = 0, size = 0;
        for (int i = 0; i < c.in; i++) {
            double plain = (double)base.values[o * c.in + i], beside[2] = { 0, 0 };
            for (int k = 0; k < c.rank; k++)
                beside[0] += (double)SCALE * (double)b[k * c.out + o] * (double)a[k * c.in + i];
            for (int k = 0; k < second.rank; k++)
                beside[1] += -1.25 * (double)second.b[k * c.out + o] * (double)second.a[k * c.in + i];
            squares += (plain + beside[1]) * (plain + beside[1]); /* its own, not that of the first */
            row[i] = plain + beside[0] + beside[1];
        }
        assert_near((double)norms[o], sqrt(squares), 32 * sqrt(squares), (size_t)o);
        for (int t = 0; t < c.tokens; t++) {
            double want = 0;
            size = fabs((double)bias[o]);
            for (int i = 0; i < c.in; i++) {
                want += row[i] * (double)x[t * c.in + i];
                size += fabs(row[i] * (double)x[t * c.in + i]) + fabs((double)x[t * c.in + i]) * 4;
            }
            double by = (double)magnitude[o] / sqrt(squares);
            assert_near((double)y[t * c.out + o], want * by + (double)bias[o], 32 * size * (1 + fabs(by)), (size_t)o);
        }
    }
    free(x);
    free(bias);
    free(a);
    free(b);
    free(magnitude);
    free(norms);
    free(first);
    free(y);
    weight_close(&base);
}

/* ---- dropout ---- */

static void masks(void **state)
{
    (void)state;
    enum { N = 4096 };
    float mask[N], part[100], other[N];
    struct flow f = { .dropout_seed = 5 };
    struct low_rank low = { .dropout = 0.25f, .key = 1 };
    int kept = 0, same = 0;
    low_rank_mask(mask, &f, &low, 17, 0, N);
    for (int i = 0; i < N; i++) {
        assert_true(mask[i] == 0 || mask[i] == 1 / 0.75f);
        kept += mask[i] > 0;
    }
    assert_in_range(kept, N * 3 / 4 - 150, N * 3 / 4 + 150); /* five standard deviations */
    low_rank_mask(part, &f, &low, 17, 1000, 100);
    assert_memory_equal(part, mask + 1000, sizeof part);
    for (int what = 0; what < 3; what++) { /* another row, module, seed: another mask */
        struct flow g = { .dropout_seed = what == 2 ? 6 : 5 };
        struct low_rank l = { .dropout = 0.25f, .key = what == 1 ? 2 : 1 };
        low_rank_mask(other, &g, &l, what == 0 ? 18 : 17, 0, N);
        for (int i = same = 0; i < N; i++)
            same += (other[i] > 0) == (mask[i] > 0);
        assert_in_range(same, N * 5 / 8 - 160, N * 5 / 8 + 160); /* 9/16 + 1/16 of them by chance */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backwards),
        cmocka_unit_test(products),
        cmocka_unit_test(masks),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
