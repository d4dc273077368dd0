/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation that treats tokens one by one, against plain formulas in double: any number of threads and a token
 * alone must give the same bits. Attention and experts have their own files. */
#include "backend_case.h"

#define TOKENS 9

/* One operation on x (tokens, width) -> y (tokens, out); the flow has TOKENS tokens or is a token alone. */
struct op_case {
    void (*run)(struct flow *f, struct value *y, struct value *x, const void *arg);
    const void *arg;
    int width, out;
};

static const int32_t ids[TOKENS] = { 3, 0, 12, 12, 7, 1, 10, 2, 5 };
static const int32_t positions[TOKENS] = { 0, 1, 2, 1000, 1001, 5, 6, 131071, 3 };

static void run_op(const struct op_case *c, const float *x, float *y, int first, int tokens, int threads)
{
    struct flow_shape shape = { .tokens_max = TOKENS, .threads = threads, .width_max = c->width, .dim = c->width,
        .heads = 1, .kv_heads = 1, .head_dim = 8, .context_max = 64 };
    struct case_flow f;
    flow_open(&f, &shape);
    f.flow.tokens = tokens;
    f.flow.ids = ids + first;
    f.flow.positions = positions + first;
    float *copy = floats_new((size_t)(tokens * c->width));
    memcpy(copy, x + first * c->width, (size_t)(tokens * c->width) * sizeof *x);
    struct value in = { .data = copy, .width = c->width }, out = { .data = y, .width = c->out };
    c->run(&f.flow, &out, &in, c->arg);
    free(copy);
    flow_close(&f);
}

/* The result of the whole, checked to be the same in every way of computing it; the caller frees. */
static float *run_all_ways(const struct op_case *c, const float *x)
{
    size_t n = (size_t)(TOKENS * c->out);
    float *y = floats_new(n), *again = floats_new(n);
    run_op(c, x, y, 0, TOKENS, 1);
    for (size_t i = 1; i < CASE_THREADS; i++) {
        run_op(c, x, again, 0, TOKENS, case_threads[i]);
        assert_same_bits(again, y, n);
    }
    for (int t = 0; t < TOKENS; t++) {
        run_op(c, x, again, t, 1, 1 + t % 3);
        assert_same_bits(again, y + t * c->out, (size_t)c->out);
    }
    free(again);
    return y;
}

struct linear_arg {
    const struct weight *w, *bias;
};

static void run_linear(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    const struct linear_arg *a = arg;
    linear(f, y, x, a->w, a->bias);
}

/* What the dots see of a row of x. */
static void as_multiplied(const struct format *w, float *row, int n)
{
    const struct format *pair = formats[w->pair];
    if (!kernels.dots[w->id] || pair->id == FORMAT_f32)
        return;
    unsigned char *encoded = malloc(format_row_bytes(pair, n));
    pair->encode(encoded, row, NULL, n);
    pair->decode(row, encoded, n);
    free(encoded);
}

static void check_linear(struct random *r, const struct format *format, int rows, int cols, const struct format *bias)
{
    struct case_weight w, b;
    weight_open(&w, r, format, rows, cols, 1);
    if (bias)
        weight_open(&b, r, bias, 1, rows, 1);
    float *x = random_new(r, (size_t)(TOKENS * cols), 1);
    struct linear_arg arg = { &w.weight, bias ? &b.weight : NULL };
    struct op_case c = { run_linear, &arg, cols, rows };
    float *y = run_all_ways(&c, x);
    for (int t = 0; t < TOKENS; t++) {
        as_multiplied(format, x + t * cols, cols);
        for (int i = 0; i < rows; i++) {
            double sum = bias ? (double)b.values[i] : 0, size = fabs(sum);
            for (int k = 0; k < cols; k++) {
                double term = (double)w.values[i * cols + k] * (double)x[t * cols + k];
                sum += term;
                size += fabs(term);
            }
            assert_near(y[t * rows + i], sum, 2 * sqrt(cols) * size, (size_t)i);
        }
    }
    free(y);
    free(x);
    weight_close(&w);
    if (bias)
        weight_close(&b);
}

static void linear_of_every_format(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 1);
    int checked = 0;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        if (!f->encode || f->id == FORMAT_q8_1 || f->id == FORMAT_q8_k)
            continue;
        check_linear(&r, f, 1, f->block, NULL);
        check_linear(&r, f, 37, f->block * 3, &format_f32);
        check_linear(&r, f, 131, f->block < 32 ? 259 : 256 + f->block, &format_bf16);
        checked++;
    }
    assert_true(checked >= 8);
    check_linear(&r, &format_f32, 1, 1, &format_f16);
    check_linear(&r, &format_f32, 2080, 33, &format_q8_0); /* a bias longer than a part, in blocks */
}

struct norm_arg {
    struct norm_shape shape;
    const struct weight *gain, *bias;
};

static void run_norm(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    const struct norm_arg *a = arg;
    norm(f, y, x, a->gain, a->bias, &a->shape);
}

static void norm_row(double *y, const float *x, int n, const struct norm_arg *a, const float *gain, const float *bias)
{
    double mean = 0, squares = 0;
    for (int i = 0; a->shape.kind == NORM_LAYER && i < n; i++)
        mean += (double)x[i] / n;
    for (int i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        y[i] = ((double)x[i] - mean) / sqrt(squares + (double)a->shape.eps)
                * (gain ? (double)gain[i] + (double)a->shape.offset : 1)
            + (bias ? (double)bias[i] : 0);
}

static void check_norm(struct random *r, enum norm_kind kind, int width, int groups, float offset, bool weights)
{
    struct case_weight gain, bias;
    int n = width / groups;
    double expected[4096];
    weight_open(&gain, r, &format_bf16, 1, n, 1);
    weight_open(&bias, r, &format_f32, 1, n, 1);
    struct norm_arg arg = { { kind, 1e-5f, offset, groups }, weights ? &gain.weight : NULL,
        weights && kind == NORM_LAYER ? &bias.weight : NULL };
    struct op_case c = { run_norm, &arg, width, width };
    float *x = random_new(r, (size_t)(TOKENS * width), 3);
    float *y = run_all_ways(&c, x);
    for (int g = 0; g < TOKENS * groups; g++) {
        norm_row(expected, x + g * n, n, &arg, arg.gain ? gain.values : NULL, arg.bias ? bias.values : NULL);
        for (int i = 0; i < n; i++)
            assert_near(y[g * n + i], expected[i], 2 * sqrt(n) + 16 * fabs(expected[i]) + 8, (size_t)i);
    }
    free(x);
    free(y);
    weight_close(&gain);
    weight_close(&bias);
}

static void norms(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 2);
    const int widths[] = { 1, 7, 64, 257, 2048 };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_norm(&r, NORM_RMS, widths[i], 1, 0, true);
        check_norm(&r, NORM_RMS, widths[i], 1, 1, true);
        check_norm(&r, NORM_RMS, widths[i], 1, 0, false);
        check_norm(&r, NORM_LAYER, widths[i], 1, 0, true);
        check_norm(&r, NORM_LAYER, widths[i], 1, 0, false);
    }
    check_norm(&r, NORM_RMS, 5 * 24, 5, 1, true);
    check_norm(&r, NORM_RMS, 32 * 128, 32, 0, true);
}

static void run_rope(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    rope(f, x, arg);
    memcpy(y->data, x->data, (size_t)(f->tokens * x->width) * sizeof *x->data);
}

static void check_rope(struct random *r, int heads, int head_dim, int dims, bool interleaved)
{
    double frequencies[128];
    for (int i = 0; i < dims / 2; i++)
        frequencies[i] = pow(10000, -2.0 * i / dims);
    struct rope_shape shape = { heads, head_dim, dims, interleaved, 1.25f, frequencies };
    int width = heads * head_dim;
    struct op_case c = { run_rope, &shape, width, width };
    float *x = random_new(r, (size_t)(TOKENS * width), 1);
    float *y = run_all_ways(&c, x);
    for (int i = 0; i < TOKENS * heads; i++) {
        const float *from = x + i * head_dim, *to = y + i * head_dim;
        for (int k = 0; k < dims / 2; k++) {
            int a = interleaved ? 2 * k : k, b = interleaved ? 2 * k + 1 : k + dims / 2;
            double angle = positions[i / heads] * frequencies[k], size = fabs((double)from[a]) + fabs((double)from[b]);
            assert_near(to[a], 1.25 * ((double)from[a] * cos(angle) - (double)from[b] * sin(angle)), 3 * size, 0);
            assert_near(to[b], 1.25 * ((double)from[b] * cos(angle) + (double)from[a] * sin(angle)), 3 * size, 0);
        }
        assert_same_bits(from + dims, to + dims, (size_t)(head_dim - dims));
    }
    free(x);
    free(y);
}

static void ropes(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 3);
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        check_rope(&r, 1, 2, 2, interleaved);
        check_rope(&r, 3, 10, 6, interleaved);
        check_rope(&r, 5, 48, 48, interleaved);
        check_rope(&r, 32, 128, 128, interleaved);
        check_rope(&r, 3, 80, 34, interleaved);
    }
}

struct act_arg {
    enum activation kind;
    bool gated;
};

static void run_act(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    const struct act_arg *a = arg;
    struct value up = { .data = floats_new((size_t)(f->tokens * x->width)), .width = x->width };
    for (int i = 0; i < f->tokens * x->width; i++)
        up.data[i] = x->data[i] * 0.75f + 1;
    const struct act_shape shape = { a->kind, 1.702f, 5 };
    act(f, y, x, a->gated ? &up : NULL, &shape);
    act(f, x, x, a->gated ? &up : NULL, &shape);
    assert_same_bits(x->data, y->data, (size_t)(f->tokens * x->width));
    free(up.data);
}

static void activations(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 4);
    const int widths[] = { 1, 13, 64, 1001 };
    const struct act_arg args[] = { { ACT_GELU_TANH, false }, { ACT_SILU, false }, { ACT_GELU_TANH, true },
        { ACT_SILU, true }, { ACT_SWIGLU_CLAMPED, true } };
    for (size_t i = 0; i < 20; i++) {
        struct act_arg arg = args[i % 5];
        struct op_case c = { run_act, &arg, widths[i / 5], widths[i / 5] };
        float *x = random_new(&r, (size_t)(TOKENS * c.width), 6);
        float *y = run_all_ways(&c, x);
        for (int k = 0; k < TOKENS * c.width; k++) {
            double g = (double)x[k], inner = sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
            double gate = arg.kind == ACT_SILU ? g / (1 + exp(-g)) : g / (1 + exp(-2 * inner));
            double up = arg.gated ? (double)(x[k] * 0.75f + 1) : 1;
            if (arg.kind == ACT_SWIGLU_CLAMPED) {
                g = fmin(g, 5);
                gate = g / (1 + exp(-(double)1.702f * g));
                up = fmin(fmax(up, -5), 5) + 1;
            }
            /* The exponent's own rounding counts as many ulps as the exponent is large; where its exponential
             * overflows, what remains of the gate is gone. */
            assert_near(y[k], gate * up, fabs(gate * up) * (8 + 6 * fabs(inner)) + 1e-28, (size_t)k);
        }
        free(x);
        free(y);
    }
}

struct embed_arg {
    const struct weight *table, *positions;
    float scale;
};

static void run_embed(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    const struct embed_arg *a = arg;
    struct flow low_flow = *f;
    int32_t low[TOKENS];
    (void)x;
    embed(f, y, a->table, a->scale);
    for (int t = 0; t < f->tokens; t++)
        low[t] = f->positions[t] % 11;
    low_flow.positions = low;
    if (a->positions)
        embed_positions(&low_flow, y, a->positions);
}

static void embeddings(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 5);
    const struct format *const kinds[] = { &format_f32, &format_f16, &format_q8_0, &format_bf16 };
    for (size_t i = 0; i < 8; i++) {
        struct case_weight table, places;
        int width = kinds[i % 4]->block == 1 ? 37 : 8192 + 32;
        weight_open(&table, &r, kinds[i % 4], 13, width, 1);
        weight_open(&places, &r, kinds[i % 4], 11, width, 1);
        struct embed_arg arg = { &table.weight, i < 4 ? &places.weight : NULL, i < 4 ? 1 : 6.5f };
        struct op_case c = { run_embed, &arg, width, width };
        float *x = random_new(&r, (size_t)(TOKENS * width), 1);
        float *y = run_all_ways(&c, x);
        for (int k = 0; k < TOKENS * width; k++) {
            float expected = table.values[ids[k / width] * width + k % width] * arg.scale;
            if (arg.positions)
                expected += places.values[positions[k / width] % 11 * width + k % width];
            assert_same_bits(&y[k], &expected, 1);
        }
        free(x);
        free(y);
        weight_close(&table);
        weight_close(&places);
    }
}

static void run_rest(struct flow *f, struct value *y, struct value *x, const void *arg)
{
    const float *cap = arg;
    const int32_t last = f->tokens - 1;
    memcpy(y->data, x->data, (size_t)(f->tokens * x->width) * sizeof *x->data);
    softcap(f, y, f->tokens, *cap);
    add(f, y, y, x);
    struct value row = { .data = floats_new((size_t)x->width), .width = x->width };
    gather(f, &row, y, &last, 1);
    assert_same_bits(row.data, y->data + (size_t)last * (size_t)x->width, (size_t)x->width);
    free(row.data);
}

static void softcap_add_gather(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 6);
    const int widths[] = { 1, 29, 4096, 9001 };
    for (size_t i = 0; i < 4; i++) {
        float cap = 30;
        struct op_case c = { run_rest, &cap, widths[i], widths[i] };
        float *x = random_new(&r, (size_t)(TOKENS * c.width), i % 2 ? 40 : 0.01);
        float *y = run_all_ways(&c, x);
        for (int k = 0; k < TOKENS * c.width; k++) {
            double capped = 30 * tanh((double)x[k] / 30);
            assert_near(y[k], capped + (double)x[k], 4 * fabs(capped) + 2 * fabs((double)x[k]), (size_t)k);
        }
        free(x);
        free(y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_of_every_format),
        cmocka_unit_test(norms),
        cmocka_unit_test(ropes),
        cmocka_unit_test(activations),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(softcap_add_gather),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
