/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts against plain sums in double; any threads, any batch: the same bits. */
#include "backend_case.h"

#define ALPHA 1.702f
#define LIMIT 0.5f /* cuts much of what the tests' experts make */

struct setting {
    const struct format *format;
    int experts, used, dim, ffn, tokens;
    enum activation activation;
    bool softmax_after, renormalize, biases;
};

struct experts {
    const struct setting *s;
    struct case_weight router, router_bias, gate_bias, up_bias, down_bias;
    struct case_weight *gate, *up, *down; /* (experts) */
    struct tensor *gates, *ups, *downs;
    struct weight gate_weight, up_weight, down_weight;
};

static void matrices_open(struct random *r, const struct setting *s, int rows, int cols, struct case_weight **each,
    struct tensor **tensors, struct weight *w)
{
    *each = calloc((size_t)s->experts, sizeof **each);
    *tensors = calloc((size_t)s->experts, sizeof **tensors);
    for (int e = 0; e < s->experts; e++) {
        weight_open(&(*each)[e], r, s->format, rows, cols, 1 / sqrt(cols));
        (*tensors)[e] = (*each)[e].weight.tensor;
    }
    *w = (struct weight) { .experts = *tensors };
}

static void matrices_close(const struct setting *s, struct case_weight *each, struct tensor *tensors)
{
    for (int e = 0; e < s->experts; e++)
        weight_close(&each[e]);
    free(each);
    free(tensors);
}

static void experts_open(struct experts *x, const struct setting *s, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    x->s = s;
    weight_open(&x->router, &r, &format_f32, s->experts, s->dim, 1);
    weight_open(&x->router_bias, &r, &format_bf16, 1, s->experts, 1);
    weight_open(&x->gate_bias, &r, &format_bf16, s->experts, s->ffn, 1);
    weight_open(&x->up_bias, &r, &format_f32, s->experts, s->ffn, 1);
    weight_open(&x->down_bias, &r, &format_f16, s->experts, s->dim, 1);
    matrices_open(&r, s, s->ffn, s->dim, &x->gate, &x->gates, &x->gate_weight);
    matrices_open(&r, s, s->ffn, s->dim, &x->up, &x->ups, &x->up_weight);
    matrices_open(&r, s, s->dim, s->ffn, &x->down, &x->downs, &x->down_weight);
}

static void experts_close(struct experts *x)
{
    weight_close(&x->router);
    weight_close(&x->router_bias);
    weight_close(&x->gate_bias);
    weight_close(&x->up_bias);
    weight_close(&x->down_bias);
    matrices_close(x->s, x->gate, x->gates);
    matrices_close(x->s, x->up, x->ups);
    matrices_close(x->s, x->down, x->downs);
}

static void run_moe(const struct experts *e, const float *x, float *y, int tokens, int threads)
{
    const struct setting *s = e->s;
    struct flow_shape shape = { .tokens_max = tokens, .threads = threads, .width_max = s->dim, .dim = s->dim,
        .heads = 1, .kv_heads = 1, .head_dim = 8, .context_max = 64, .experts = s->experts,
        .experts_used = s->used, .expert_ffn = s->ffn };
    struct moe_shape moe_shape = { s->experts, s->used, s->ffn, { s->activation, ALPHA, LIMIT }, s->softmax_after,
        s->renormalize };
    struct moe_weights w = { .router = &e->router.weight, .gate = &e->gate_weight, .up = &e->up_weight,
        .down = &e->down_weight };
    if (s->biases) {
        w.router_bias = &e->router_bias.weight;
        w.gate_bias = &e->gate_bias.weight;
        w.up_bias = &e->up_bias.weight;
        w.down_bias = &e->down_bias.weight;
    }
    struct case_flow f;
    flow_open(&f, &shape);
    float *copy = floats_new((size_t)(tokens * s->dim));
    memcpy(copy, x, (size_t)(tokens * s->dim) * sizeof *x);
    struct value in = { .data = copy, .width = s->dim }, out = { .data = y, .width = s->dim };
    moe(&f.flow, &out, &in, &w, &moe_shape);
    free(copy);
    flow_close(&f);
}

/* y = W x' + b, where x' is what the dots see of x; and the sum of the products' sizes. */
static double naive_dot(const struct case_weight *w, const double *x, int row, double *size)
{
    int64_t cols = w->weight.tensor.cols;
    double y = 0;
    *size = 0;
    for (int64_t i = 0; i < cols; i++) {
        double term = (double)w->values[row * cols + i] * x[i];
        y += term;
        *size += fabs(term);
    }
    return y;
}

static double activate(enum activation kind, double g, double up)
{
    if (kind == ACT_SWIGLU_CLAMPED) {
        g = fmin(g, (double)LIMIT);
        return g / (1 + exp(-(double)ALPHA * g)) * (fmin(fmax(up, -(double)LIMIT), (double)LIMIT) + 1);
    }
    double inner = kind == ACT_SILU ? g / 2 : sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
    return g / (1 + exp(-2 * inner)) * up;
}

/* One expert on one token, added to y with the token's weight for it; `bound` gathers what rounding may cost. */
static void naive_expert(const struct experts *x, int e, const double *in, double weight, double *y, double *bound)
{
    const struct setting *s = x->s;
    double *act = malloc((size_t)s->ffn * sizeof *act), *error = malloc((size_t)s->ffn * sizeof *error), size;
    for (int i = 0; i < s->ffn; i++) {
        double g = naive_dot(&x->gate[e], in, i, &size), g_size = size, up, up_size;
        up = naive_dot(&x->up[e], in, i, &up_size);
        if (s->biases) {
            g += (double)x->gate_bias.values[e * s->ffn + i];
            up += (double)x->up_bias.values[e * s->ffn + i];
        }
        act[i] = activate(s->activation, g, up);
        error[i] = sqrt(s->dim) * 2 * (2 * g_size * (1 + fabs(up)) + up_size * fabs(g)) + 16 * fabs(act[i]);
    }
    for (int i = 0; i < s->dim; i++) {
        double sum = naive_dot(&x->down[e], act, i, &size), scatter;
        bound[i] += weight * (2 * sqrt(s->ffn) + 16) * size;
        sum += s->biases ? (double)x->down_bias.values[e * s->dim + i] : 0;
        bound[i] += weight * 16 * fabs(sum);
        struct case_weight sizes = x->down[e];
        scatter = 0;
        for (int k = 0; k < s->ffn; k++)
            scatter += fabs((double)sizes.values[i * s->ffn + k]) * error[k];
        bound[i] += weight * scatter;
        y[i] += weight * sum;
    }
    free(act);
    free(error);
}

static void naive_route(const struct experts *x, const double *in, bool *chosen, double *weights)
{
    const struct setting *s = x->s;
    double logits[64], size, sum = 0, used = 0, max = -INFINITY;
    for (int e = 0; e < s->experts; e++) {
        logits[e] = naive_dot(&x->router, in, e, &size) + (s->biases ? (double)x->router_bias.values[e] : 0);
        max = logits[e] > max ? logits[e] : max;
        chosen[e] = false;
    }
    for (int n = 0; n < s->used; n++) {
        int best = -1;
        for (int e = 0; e < s->experts; e++)
            if (!chosen[e] && (best < 0 || logits[e] > logits[best]))
                best = e;
        chosen[best] = true;
    }
    for (int e = 0; e < s->experts; e++) {
        weights[e] = exp(logits[e] - max);
        sum += weights[e];
        used += chosen[e] ? weights[e] : 0;
    }
    for (int e = 0; e < s->experts; e++)
        weights[e] /= s->softmax_after || s->renormalize ? used : sum;
}

static void check_token(const struct experts *x, const float *in, const float *out)
{
    const struct setting *s = x->s;
    double wide[256], y[256] = { 0 }, bound[256] = { 0 }, weights[64];
    bool chosen[64];
    for (int i = 0; i < s->dim; i++)
        wide[i] = (double)in[i];
    naive_route(x, wide, chosen, weights);
    for (int e = 0; e < s->experts; e++)
        if (chosen[e])
            naive_expert(x, e, wide, weights[e], y, bound);
    for (int i = 0; i < s->dim; i++)
        assert_near(out[i], y[i], bound[i], (size_t)i);
}

static void check_setting(const struct setting *s, bool compare)
{
    struct experts e;
    struct random r;
    size_t n = (size_t)(s->tokens * s->dim);
    random_seed(&r, 11);
    experts_open(&e, s, 5);
    float *x = random_new(&r, n, 1), *y = floats_new(n), *again = floats_new(n);
    run_moe(&e, x, y, s->tokens, 1);
    for (int t = 0; compare && t < s->tokens; t++)
        check_token(&e, x + t * s->dim, y + t * s->dim);
    for (size_t i = 1; i < CASE_THREADS; i++) {
        run_moe(&e, x, again, s->tokens, case_threads[i]);
        assert_same_bits(again, y, n);
    }
    for (int t = 0; t < s->tokens; t++) {
        run_moe(&e, x + t * s->dim, again, 1, 1 + t % 3);
        assert_same_bits(again, y + t * s->dim, (size_t)s->dim);
    }
    free(x);
    free(y);
    free(again);
    experts_close(&e);
}

static void settings(void **state)
{
    (void)state;
    const struct setting all[] = {
        { &format_f32, 8, 2, 48, 80, 17, ACT_SILU, false, true, false },
        { &format_f32, 8, 2, 48, 80, 17, ACT_SILU, false, false, true },
        { &format_bf16, 5, 3, 37, 23, 12, ACT_GELU_TANH, false, true, true },
        { &format_f16, 64, 4, 33, 41, 40, ACT_SILU, true, false, true },
        { &format_f32, 3, 3, 20, 64, 5, ACT_SILU, true, false, false },
        { &format_f32, 1, 1, 7, 5, 3, ACT_SILU, false, false, true },
        { &format_bf16, 16, 4, 250, 129, 64, ACT_SILU, true, false, true },
        { &format_f32, 5, 3, 45, 33, 20, ACT_SWIGLU_CLAMPED, true, false, true },
    };
    dots_fn *dots = kernels.dots[FORMAT_bf16];
    kernels.dots[FORMAT_bf16] = NULL; /* decoded: activations are not rounded, as here */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check_setting(&all[i], true);
    kernels.dots[FORMAT_bf16] = dots;
}

/* Activations are rounded in between: only the sameness of bits can be asked for. */
static void formats_with_encoded_activations(void **state)
{
    (void)state;
    const struct format *const kinds[] = { &format_q8_0, &format_q4_0, &format_q5_1, &format_mxfp4,
        &format_bf16 };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct setting s = { kinds[i], 6, 2, 96, 160, 14, ACT_SILU, i % 2, true, true };
        check_setting(&s, false);
    }
}

/* The same logits everywhere: the lower experts are taken. NaN: some experts are taken, and nothing breaks. */
static void ties_and_nans(void **state)
{
    (void)state;
    const struct setting s = { &format_f32, 7, 3, 16, 24, 6, ACT_SILU, true, false, false };
    struct experts e;
    struct random r;
    random_seed(&r, 12);
    experts_open(&e, &s, 6);
    float *x = random_new(&r, (size_t)(s.tokens * s.dim), 1), *y = floats_new((size_t)(s.tokens * s.dim));
    memset(e.router.data, 0, tensor_bytes(&e.router.weight.tensor));
    memset(e.router.values, 0, tensor_bytes(&e.router.weight.tensor));
    run_moe(&e, x, y, s.tokens, 2);
    for (int t = 0; t < s.tokens; t++)
        check_token(&e, x + t * s.dim, y + t * s.dim);
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < 3; i++) {
        x[(int)i * s.dim] = bad[i];
        run_moe(&e, x, y, s.tokens, 2);
        assert_true(isnan(y[(int)i * s.dim]));
        assert_true(isfinite(y[5 * s.dim]));
    }
    memset(e.router.data, 0xff, tensor_bytes(&e.router.weight.tensor));
    run_moe(&e, x, y, s.tokens, 3);
    assert_true(isnan(y[0]));
    free(x);
    free(y);
    experts_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings),
        cmocka_unit_test(formats_with_encoded_activations),
        cmocka_unit_test(ties_and_nans),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
