/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of attention and of mixtures of experts: backward_case.h says how. */
#include "backward_case.h"

/* ---- attention ---- */

struct attention_case {
    int heads, kv_heads, head_dim, window;
    float softcap;
    bool sinks;
    int texts[4]; /* tokens of each, one behind the other; 0: no more */
};

enum { Q, K, V, SINKS };

static int tokens_of(const struct attention_case *c)
{
    int n = 0;
    for (int i = 0; i < 4; i++)
        n += c->texts[i];
    return n;
}

/* One query: the outputs' part of the loss. first: row of the text's first token. */
static double query_loss(const struct op *op, int first, int row, int head)
{
    const struct attention_case *c = op->arg;
    int dim = c->head_dim, kv = head / (c->heads / c->kv_heads);
    int from = c->window && row - first >= c->window ? row - c->window + 1 : first;
    const double *q = op->in[Q].wide + (row * c->heads + head) * dim;
    const float *weights = op->weights + (row * c->heads + head) * dim;
    double sum = c->sinks ? exp(op->in[SINKS].wide[head]) : 0, loss = 0;
    for (int r = from; r <= row; r++) {
        const double *k = op->in[K].wide + (r * c->kv_heads + kv) * dim;
        const double *v = op->in[V].wide + (r * c->kv_heads + kv) * dim;
        double score = 0, value = 0;
        for (int i = 0; i < dim; i++) {
            score += q[i] * k[i] * 0.25;
            value += (double)weights[i] * v[i];
        }
        if (c->softcap > 0)
            score = (double)c->softcap * tanh(score / (double)c->softcap);
        sum += exp(score);
        loss += exp(score) * value;
    }
    return loss / sum;
}

static double attention_loss(const struct op *op)
{
    const struct attention_case *c = op->arg;
    double loss = 0;
    int first = 0;
    for (int text = 0; text < 4; first += c->texts[text++])
        for (int t = 0; t < c->texts[text]; t++)
            for (int h = 0; h < c->heads; h++)
                loss += query_loss(op, first, first + t, h);
    return loss;
}

/* Keys and values go through the caches and back, as in a training pass. */
static void attention_run(struct flow *f, const struct op *op)
{
    const struct attention_case *c = op->arg;
    int tokens = tokens_of(c), kv_width = c->kv_heads * c->head_dim, width = c->heads * c->head_dim;
    size_t n = (size_t)(tokens * kv_width);
    float *k = floats_new(n), *v = floats_new(n), *dk = calloc(n, sizeof *dk), *dv = calloc(n, sizeof *dv);
    struct kv_layer caches[4];
    struct span spans[4];
    f->n_spans = 0;
    for (int i = 0, first = 0; i < 4 && c->texts[i]; first += c->texts[i++]) {
        size_t at = (size_t)(first * c->head_dim);
        caches[i] = (struct kv_layer) { .format = &format_f32, .capacity = tokens, .k = (unsigned char *)(k + at),
            .v = (unsigned char *)(v + at), .k_gradient = dk + at, .v_gradient = dv + at };
        spans[f->n_spans++] = (struct span) { .first = first, .count = c->texts[i], .layers = &caches[i] };
    }
    f->spans = spans;
    struct weight sinks = c->sinks ? weight_of(&op->in[SINKS], 1, c->heads) : (struct weight) { .gradient = NULL };
    struct attention_shape shape = { .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim,
        .scale = 0.25f, .softcap = c->softcap, .window = c->window, .sinks = &sinks,
        .sums = floats_new((size_t)(2 * tokens * c->heads)) };
    struct value q = value_of(&op->in[Q], width), out = out_of(op, floats_new((size_t)(tokens * width)), width);
    struct value key = value_of(&op->in[K], kv_width), value = value_of(&op->in[V], kv_width);
    kv_store(f, &key, &value, &shape);
    attention(f, &out, &q, &shape);
    attention_backward(f, &out, &q, &shape);
    kv_store_backward(f, &key, &value, &shape);
    free(shape.sums);
    free(out.data);
    free(k);
    free(v);
    free(dk);
    free(dv);
}

static void attentions(void **state)
{
    (void)state;
    const struct attention_case cases[] = {
        { 1, 1, 5, 0, 0, false, { 9 } },
        { 4, 2, 11, 0, 0, true, { 13, 1, 20 } },
        { 6, 2, 8, 7, 0, true, { 30, 25 } },
        { 3, 3, 16, 0, 1.5f, false, { 70 } },      /* more than a block */
        { 5, 1, 7, 66, 2, true, { 3, 140 } },      /* a window over more than a block */
        { 40, 1, 6, 5, 0, false, { 8, 11, 2, 3 } }, /* a group larger than a tile */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct attention_case *c = &cases[i];
        int tokens = tokens_of(c);
        size_t q = (size_t)(tokens * c->heads * c->head_dim), kv = (size_t)(tokens * c->kv_heads * c->head_dim);
        struct op op = { .n_out = q, .terms = (size_t)(tokens * c->heads), .arg = c, .loss = attention_loss,
            .run = attention_run };
        struct random r;
        random_seed(&r, 200 + i);
        op_open(&op, &r, (const size_t[]) { q, kv, kv, (size_t)c->heads }, c->sinks ? 4 : 3);
        struct flow_shape shape = { .tokens_max = tokens, .width_max = c->heads * c->head_dim, .dim = 8,
            .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim, .context_max = tokens };
        op_check(&op, shape, &(struct flow) { .tokens = 0 });
        op_close(&op);
    }
}

/* A text's gradients do not see the others: alone or in company, the same bits. */
static void texts_are_apart(void **state)
{
    (void)state;
    const struct attention_case alone = { 4, 2, 8, 9, 0, false, { 40 } };
    const struct attention_case company = { 4, 2, 8, 9, 0, false, { 40, 33 } };
    struct op ops[2];
    struct random r;
    for (int i = 0; i < 2; i++) {
        const struct attention_case *c = i ? &company : &alone;
        size_t q = (size_t)(tokens_of(c) * 32), kv = (size_t)(tokens_of(c) * 16);
        ops[i] = (struct op) { .n_out = q, .terms = 1, .arg = c, .loss = attention_loss, .run = attention_run };
        random_seed(&r, 300);
        op_open(&ops[i], &r, (const size_t[]) { q, kv, kv }, 3);
        for (int k = 0; i && k < 3; k++)
            memcpy(ops[1].in[k].data, ops[0].in[k].data, ops[0].in[k].n * sizeof(float));
        if (i)
            memcpy(ops[1].weights, ops[0].weights, ops[0].n_out * sizeof(float));
        struct flow_shape shape = { .tokens_max = tokens_of(c), .threads = 2, .width_max = 32, .dim = 8, .heads = 4,
            .kv_heads = 2, .head_dim = 8, .context_max = 80, .training = true };
        struct case_flow f;
        flow_open(&f, &shape);
        for (int k = 0; k < 3; k++)
            memset(ops[i].in[k].gradient, 0, ops[i].in[k].n * sizeof(float));
        ops[i].run(&f.flow, &ops[i]);
        flow_close(&f);
    }
    for (int k = 0; k < 3; k++)
        assert_same_bits(ops[1].in[k].gradient, ops[0].in[k].gradient, ops[0].in[k].n);
    op_close(&ops[0]);
    op_close(&ops[1]);
}

/* ---- experts ---- */

struct moe_case {
    int tokens, dim, ffn, experts, used;
    struct act_shape activation;
    bool softmax_after, renormalize, biases;
};

enum { X, ROUTER, GATE, UP, DOWN, GATE_BIAS, UP_BIAS, DOWN_BIAS, ROUTER_BIAS, MOE_INPUTS };

static double activated(const struct act_shape *s, double g, double up)
{
    double limit = (double)s->limit;
    if (s->kind == ACT_SILU)
        return g / (1 + exp(-g)) * up;
    g = fmin(g, limit);
    return g / (1 + exp(-(double)s->alpha * g)) * (fmin(fmax(up, -limit), limit) + 1);
}

/* The loss of one expert on one token. */
static double expert_loss(const struct op *op, int token, int expert)
{
    const struct moe_case *c = op->arg;
    const double *x = op->in[X].wide + token * c->dim;
    const float *weights = op->weights + token * c->dim;
    double loss = 0;
    for (int o = 0; c->biases && o < c->dim; o++)
        loss += (double)weights[o] * op->in[DOWN_BIAS].wide[expert * c->dim + o];
    for (int k = 0; k < c->ffn; k++) {
        const double *gate = op->in[GATE].wide + (expert * c->ffn + k) * c->dim;
        const double *up = op->in[UP].wide + (expert * c->ffn + k) * c->dim;
        double g = c->biases ? op->in[GATE_BIAS].wide[expert * c->ffn + k] : 0, back = 0;
        double u = c->biases ? op->in[UP_BIAS].wide[expert * c->ffn + k] : 0;
        for (int i = 0; i < c->dim; i++) {
            g += gate[i] * x[i];
            u += up[i] * x[i];
            back += (double)weights[i] * op->in[DOWN].wide[(expert * c->dim + i) * c->ffn + k];
        }
        loss += activated(&c->activation, g, u) * back;
    }
    return loss;
}

static double token_loss(const struct op *op, int token)
{
    const struct moe_case *c = op->arg;
    double logits[16], all = 0, used = 0, loss = 0;
    bool chosen[16] = { false };
    for (int e = 0; e < c->experts; e++) {
        logits[e] = c->biases ? op->in[ROUTER_BIAS].wide[e] : 0;
        for (int i = 0; i < c->dim; i++)
            logits[e] += op->in[ROUTER].wide[e * c->dim + i] * op->in[X].wide[token * c->dim + i];
        all += exp(logits[e]);
    }
    for (int n = 0; n < c->used; n++) {
        int best = -1;
        for (int e = 0; e < c->experts; e++)
            if (!chosen[e] && (best < 0 || logits[e] > logits[best]))
                best = e;
        chosen[best] = true;
        used += exp(logits[best]);
    }
    for (int e = 0; e < c->experts; e++)
        if (chosen[e])
            loss += exp(logits[e]) / (c->softmax_after || c->renormalize ? used : all) * expert_loss(op, token, e);
    return loss;
}

static double moe_loss(const struct op *op)
{
    const struct moe_case *c = op->arg;
    double loss = 0;
    for (int t = 0; t < c->tokens; t++)
        loss += token_loss(op, t);
    return loss;
}

static struct weight stack_of(const struct op *op, int input, struct tensor *list, int rows, int cols)
{
    const struct moe_case *c = op->arg;
    for (int e = 0; e < c->experts; e++)
        list[e] = (struct tensor) { .format = &format_f32, .rows = rows, .cols = cols,
            .data = op->in[input].data + e * rows * cols };
    return (struct weight) { .experts = list, .gradient = op->in[input].gradient };
}

static void moe_run(struct flow *f, const struct op *op)
{
    const struct moe_case *c = op->arg;
    struct tensor lists[3][16];
    struct weight w[MOE_INPUTS] = { [ROUTER] = weight_of(&op->in[ROUTER], c->experts, c->dim),
        [GATE] = stack_of(op, GATE, lists[0], c->ffn, c->dim), [UP] = stack_of(op, UP, lists[1], c->ffn, c->dim),
        [DOWN] = stack_of(op, DOWN, lists[2], c->dim, c->ffn) };
    if (c->biases) {
        w[GATE_BIAS] = weight_of(&op->in[GATE_BIAS], c->experts, c->ffn);
        w[UP_BIAS] = weight_of(&op->in[UP_BIAS], c->experts, c->ffn);
        w[DOWN_BIAS] = weight_of(&op->in[DOWN_BIAS], c->experts, c->dim);
        w[ROUTER_BIAS] = weight_of(&op->in[ROUTER_BIAS], 1, c->experts);
    }
    struct moe_weights weights = { .router = &w[ROUTER], .router_bias = &w[ROUTER_BIAS], .gate = &w[GATE], .up = &w[UP],
        .down = &w[DOWN], .gate_bias = &w[GATE_BIAS], .up_bias = &w[UP_BIAS], .down_bias = &w[DOWN_BIAS] };
    struct moe_shape shape = { c->experts, c->used, c->ffn, c->activation, c->softmax_after, c->renormalize };
    struct value x = value_of(&op->in[X], c->dim), y = out_of(op, NULL, c->dim);
    moe_backward(f, &y, &x, &weights, &shape);
}

static void experts(void **state)
{
    (void)state;
    const struct act_shape silu = { ACT_SILU, 0, 0 }, clamped = { ACT_SWIGLU_CLAMPED, 1.702f, 1.25f };
    const struct moe_case cases[] = {
        { 11, 9, 7, 5, 2, silu, false, true, false },
        { 6, 8, 13, 7, 3, silu, false, false, false },
        { 12, 7, 5, 6, 3, clamped, true, false, true },
        { 3, 5, 4, 4, 1, silu, false, false, true },
        { 3, 5, 4, 4, 1, silu, true, false, true }, /* one weight, always 1: the router learns nothing */
        { 4, 6, 3, 3, 3, silu, false, true, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct moe_case *c = &cases[i];
        size_t inner = (size_t)(c->experts * c->ffn), wide = (size_t)(c->experts * c->dim);
        size_t x = (size_t)(c->tokens * c->dim), matrix = inner * (size_t)c->dim;
        struct op op = { .n_out = x, .terms = (size_t)(c->ffn * c->dim), .arg = c, .loss = moe_loss, .run = moe_run };
        struct random r;
        random_seed(&r, 400 + i);
        op_open(&op, &r, (const size_t[]) { x, wide, matrix, matrix, matrix, inner, inner, wide, (size_t)c->experts },
            c->biases ? MOE_INPUTS : GATE_BIAS);
        struct flow_shape shape = { .tokens_max = c->tokens, .width_max = c->dim, .dim = c->dim, .heads = 1,
            .kv_heads = 1, .head_dim = 8, .context_max = 16, .experts = c->experts, .experts_used = c->used,
            .expert_ffn = c->ffn };
        op_check(&op, shape, &(struct flow) { .tokens = 0 });
        op_close(&op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attentions),
        cmocka_unit_test(texts_are_apart),
        cmocka_unit_test(experts),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
