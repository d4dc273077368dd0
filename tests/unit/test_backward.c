/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of all operations but attention and experts: backward_case.h says how. */
#include "backward_case.h"

#include "tensor/block.h"
#include "tensor/half.h"

/* ---- norm ---- */

struct norm_case {
    struct norm_shape shape;
    int tokens, width;
};

static double norm_loss(const struct op *op)
{
    const struct norm_case *c = op->arg;
    const double *x = op->in[0].wide, *gain = op->in[1].wide, *bias = op->n > 2 ? op->in[2].wide : NULL;
    int n = c->width / c->shape.groups;
    double loss = 0;
    for (int r = 0; r < c->tokens * c->shape.groups; r++, x += n) {
        double mean = 0, squares = 0;
        for (int i = 0; i < n && c->shape.kind == NORM_LAYER; i++)
            mean += x[i] / n;
        for (int i = 0; i < n; i++)
            squares += (x[i] - mean) * (x[i] - mean) / n;
        for (int i = 0; i < n; i++) {
            double y = (x[i] - mean) / sqrt(squares + (double)c->shape.eps) * (gain[i] + (double)c->shape.offset);
            loss += (double)op->weights[r * n + i] * (y + (bias ? bias[i] : 0));
        }
    }
    return loss;
}

static void norm_run(struct flow *f, const struct op *op)
{
    const struct norm_case *c = op->arg;
    int n = c->width / c->shape.groups;
    struct value x = value_of(&op->in[0], c->width), y = out_of(op, NULL, c->width);
    struct weight gain = weight_of(&op->in[1], 1, n), bias = { .gradient = NULL };
    if (op->n > 2)
        bias = weight_of(&op->in[2], 1, n);
    norm_backward(f, &y, &x, &gain, &bias, &c->shape);
}

static void norms(void **state)
{
    (void)state;
    const struct norm_case cases[] = {
        { { NORM_RMS, 1e-5f, 0, 1 }, 7, 45 },
        { { NORM_RMS, 1e-2f, 1, 1 }, 130, 33 }, /* more than two parts of tokens */
        { { NORM_RMS, 1e-6f, 1, 3 }, 65, 42 },
        { { NORM_LAYER, 1e-5f, 0, 1 }, 67, 37 },
        { { NORM_LAYER, 1e-3f, 0, 1 }, 1, 100 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct norm_case *c = &cases[i];
        size_t n = (size_t)(c->tokens * c->width), group = (size_t)(c->width / c->shape.groups);
        struct op op = { .n_out = n, .terms = group + (size_t)c->tokens, .arg = c, .loss = norm_loss, .run = norm_run };
        struct random r;
        random_seed(&r, 1 + i);
        op_open(&op, &r, (const size_t[]) { n, group, group }, c->shape.kind == NORM_LAYER ? 3 : 2);
        op_check(&op, plain_shape(c->tokens, c->width), &(struct flow) { .tokens = 0 });
        op_close(&op);
    }
}

/* ---- linear ---- */

struct linear_case {
    int tokens, in, out;
    bool bias, bf16; /* bf16: input 1 is stored so */
    const struct case_weight *packed; /* instead of input 1, a constant */
};

/* Whether the products are those of numbers rounded to bf16: the rule of matmul_backward.h. */
static bool rounds(const struct linear_case *c)
{
    const struct format *f = c->packed ? c->packed->weight.tensor.format : c->bf16 ? &format_bf16 : &format_f32;
    return kernels.dots[f->id] && f->pair != FORMAT_f32;
}

static double rounded(const struct linear_case *c, float x)
{
    return rounds(c) ? (double)f32_from_bf16(bf16_from_f32(x)) : (double)x;
}

/* x w, of which the gradients are those of rounded factors: (rounded w) x + (rounded x) w - (rounded x) (rounded w). */
static double linear_product(const struct op *op, int t, int o, int i)
{
    const struct linear_case *c = op->arg;
    const int at = t * c->in + i, place = o * c->in + i;
    const double x = op->in[0].wide[at];
    if (c->packed)
        return x * rounded(c, c->packed->values[place]);
    const double w = op->in[1].wide[place], near_w = rounded(c, op->in[1].data[place]);
    const double near_x = rounded(c, op->in[0].data[at]);
    return x * near_w + near_x * (w - near_w);
}

static double linear_loss(const struct op *op)
{
    const struct linear_case *c = op->arg;
    double loss = 0;
    for (int t = 0; t < c->tokens; t++)
        for (int o = 0; o < c->out; o++) {
            const float dy = op->weights[t * c->out + o];
            double y = 0;
            for (int i = 0; i < c->in; i++)
                y += linear_product(op, t, o, i);
            loss += rounded(c, dy) * y + (c->bias ? (double)dy * op->in[2].wide[o] : 0);
        }
    return loss;
}

static void linear_run(struct flow *f, const struct op *op)
{
    const struct linear_case *c = op->arg;
    struct value x = value_of(&op->in[0], c->in), y = out_of(op, NULL, c->out);
    struct weight w = c->packed ? c->packed->weight : weight_of(&op->in[1], c->out, c->in), bias = { .gradient = NULL };
    uint16_t *halves = malloc((size_t)c->in * (size_t)c->out * sizeof *halves);
    assert_non_null(halves);
    if (c->bf16) {
        format_bf16.encode(halves, op->in[1].data, NULL, (int64_t)c->in * c->out);
        w.tensor.format = &format_bf16;
        w.tensor.data = halves;
    }
    if (c->bias)
        bias = weight_of(&op->in[2], 1, c->out);
    linear_backward(f, &y, &x, &w, &bias);
    free(halves);
}

static void check_linear(const struct linear_case *c, uint64_t seed)
{
    size_t in = (size_t)(c->tokens * c->in), w = (size_t)(c->in * c->out), out = (size_t)(c->tokens * c->out);
    struct op op = { .n_out = out, .terms = (size_t)(c->out + c->tokens), .arg = c, .loss = linear_loss,
        .run = linear_run };
    struct random r;
    random_seed(&r, seed);
    op_open(&op, &r, (const size_t[]) { in, w, (size_t)c->out }, c->packed ? 1 : c->bias ? 3 : 2);
    op_check(&op, plain_shape(c->tokens, c->in > c->out ? c->in : c->out), &(struct flow) { .tokens = 0 });
    op_close(&op);
}

static void linears(void **state)
{
    (void)state;
    const struct linear_case cases[] = {
        { .tokens = 5, .in = 13, .out = 9, .bias = true },
        { .tokens = 1, .in = 70, .out = 1 },
        { .tokens = 67, .in = 37, .out = 141, .bias = true }, /* two steps and two tiles each way */
        { .tokens = 99, .in = 261, .out = 65 },
        { .tokens = 131, .in = 3, .out = 530, .bias = true },
        { .tokens = 5, .in = 13, .out = 9, .bias = true, .bf16 = true },
        { .tokens = 1, .in = 70, .out = 1, .bf16 = true },
        { .tokens = 299, .in = 7, .out = 70, .bias = true, .bf16 = true },
        { .tokens = 67, .in = 5, .out = 531, .bf16 = true },
        { .tokens = 3, .in = 261, .out = 65, .bf16 = true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_linear(&cases[i], 20 + i);
}

static void linears_through_formats(void **state)
{
    (void)state;
    for (int k = 0; k < FORMAT_COUNT; k++) {
        struct case_weight w;
        struct random r;
        const struct format *f = formats[k];
        if (!f->encode || f->id == FORMAT_q8_1 || f->id == FORMAT_q8_k)
            continue;
        random_seed(&r, 40 + (uint64_t)k);
        weight_open(&w, &r, f, 11, 512, 1);
        check_linear(&(struct linear_case) { .tokens = 3, .in = 512, .out = 11, .packed = &w }, 60 + (uint64_t)k);
        weight_close(&w);
    }
}

/* MXFP4 whose scales lie apart, and whose rows take turns with another matrix's. */
static void linear_through_split_mxfp4(void **state)
{
    (void)state;
    enum { ROWS = 9, COLS = 288, BLOCKS = COLS / 32 };
    struct case_weight whole;
    struct random r;
    random_seed(&r, 90);
    weight_open(&whole, &r, &format_mxfp4, ROWS, COLS, 1);
    unsigned char *nibbles = calloc(2 * ROWS * BLOCKS, 16), *scales = calloc(2 * ROWS, BLOCKS);
    for (int i = 0; i < ROWS * BLOCKS; i++) {
        const struct mxfp4_block *b = (const struct mxfp4_block *)(const void *)whole.data + i;
        int at = i / BLOCKS * 2 * BLOCKS + i % BLOCKS; /* every second row */
        scales[at] = b->e;
        for (int k = 0; k < 32; k++) { /* value 2 k and 2 k + 1 share a byte there, k and k + 16 here */
            int nibble = b->q[k % 16] >> (k / 16 * 4) & 15;
            nibbles[at * 16 + k / 2] |= (unsigned char)(nibble << (k % 2 * 4));
        }
    }
    struct case_weight split = whole;
    split.weight.tensor.data = nibbles;
    split.weight.tensor.scales = scales;
    split.weight.tensor.skip = 1;
    check_linear(&(struct linear_case) { .tokens = 4, .in = COLS, .out = ROWS, .packed = &split }, 91);
    free(nibbles);
    free(scales);
    weight_close(&whole);
}

/* ---- rope ---- */

struct rope_case {
    struct rope_shape shape;
    int tokens;
    const int32_t *positions;
};

static double rope_loss(const struct op *op)
{
    const struct rope_case *c = op->arg;
    const struct rope_shape *s = &c->shape;
    int pairs = s->dims / 2, dim = s->head_dim;
    double loss = 0;
    for (int row = 0; row < c->tokens * s->heads; row++) {
        const double *x = op->in[0].wide + row * dim;
        const float *w = op->weights + row * dim;
        for (int i = s->dims; i < dim; i++)
            loss += (double)w[i] * x[i];
        for (int i = 0; i < pairs; i++) {
            double angle = c->positions[row / s->heads] * s->inverse_frequency[i], size = (double)s->magnitude;
            int a = s->interleaved ? 2 * i : i, b = s->interleaved ? 2 * i + 1 : i + pairs;
            loss += (double)w[a] * size * (x[a] * cos(angle) - x[b] * sin(angle));
            loss += (double)w[b] * size * (x[b] * cos(angle) + x[a] * sin(angle));
        }
    }
    return loss;
}

/* In place: the gradient of the output is where that of the input will be. */
static void rope_run(struct flow *f, const struct op *op)
{
    const struct rope_case *c = op->arg;
    struct value x = value_of(&op->in[0], c->shape.heads * c->shape.head_dim);
    memcpy(x.gradient, op->weights, op->n_out * sizeof(float));
    rope_backward(f, &x, &c->shape);
    memset(op->in[0].start, 0, op->n_out * sizeof(float));
}

static void ropes(void **state)
{
    (void)state;
    const int32_t positions[] = { 0, 5, 1000, 3, 77 };
    const double frequencies[] = { 1, 0.3, 0.04, 0.001, 1e-5 };
    for (int i = 0; i < 2; i++) {
        struct rope_case c = { { 3, 13, 10, i == 1, 1.25f, frequencies }, 5, positions };
        struct op op = { .n_out = 5 * 39, .terms = 2, .arg = &c, .loss = rope_loss, .run = rope_run };
        struct random r;
        random_seed(&r, 100);
        op_open(&op, &r, (const size_t[]) { 5 * 39 }, 1);
        op_check(&op, plain_shape(5, 39), &(struct flow) { .positions = positions });
        op_close(&op);
    }
}

/* ---- activations ---- */

struct act_case {
    struct act_shape shape;
    bool gated;
    int tokens, width;
};

static double act_value(const struct act_shape *s, double g, double up)
{
    if (s->kind == ACT_SWIGLU_CLAMPED) {
        double limit = (double)s->limit;
        g = fmin(g, limit);
        return g / (1 + exp(-(double)s->alpha * g)) * (fmin(fmax(up, -limit), limit) + 1);
    }
    if (s->kind == ACT_SILU)
        return g / (1 + exp(-g)) * up;
    return g / 2 * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) * up;
}

static double act_loss(const struct op *op)
{
    const struct act_case *c = op->arg;
    double loss = 0;
    for (size_t i = 0; i < op->n_out; i++)
        loss += (double)op->weights[i] * act_value(&c->shape, op->in[0].wide[i], c->gated ? op->in[1].wide[i] : 1);
    return loss;
}

static void act_run(struct flow *f, const struct op *op)
{
    const struct act_case *c = op->arg;
    struct value gate = value_of(&op->in[0], c->width), up, y = out_of(op, NULL, c->width);
    if (c->gated)
        up = value_of(&op->in[1], c->width);
    act_backward(f, &y, &gate, c->gated ? &up : NULL, &c->shape);
}

static void activations(void **state)
{
    (void)state;
    const struct act_case cases[] = {
        { { ACT_SILU, 0, 0 }, true, 3, 37 },
        { { ACT_SILU, 0, 0 }, false, 2, 16 },
        { { ACT_GELU_TANH, 0, 0 }, true, 5, 70 },
        { { ACT_GELU_TANH, 0, 0 }, false, 3, 41 },
        { { ACT_SWIGLU_CLAMPED, 1.702f, 0.75f }, true, 4, 45 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = (size_t)(cases[i].tokens * cases[i].width);
        struct op op = { .n_out = n, .terms = 4, .arg = &cases[i], .loss = act_loss, .run = act_run };
        struct random r;
        random_seed(&r, 110 + i);
        op_open(&op, &r, (const size_t[]) { n, n }, cases[i].gated ? 2 : 1);
        for (size_t k = 0; k < n; k++) /* no clamp within reach of a step */
            for (int in = 0; in < op.n; in++)
                if (fabs(fabs((double)op.in[in].data[k]) - 0.75) < 4 * STEP)
                    op.in[in].data[k] = 0.5f;
        op_check(&op, plain_shape(cases[i].tokens, cases[i].width), &(struct flow) { .tokens = 0 });
        op_close(&op);
    }
}

/* At a clamp's edge the gradient passes, beyond it nothing does: as torch.clamp's. Far out nothing overflows. */
static void activation_edges(void **state)
{
    (void)state;
    float gate[] = { 7, 8, 1, 1, 1, 1 }, up[] = { 1, 1, 7, 8, -7, -8 }, ones[] = { 1, 1, 1, 1, 1, 1 };
    float dgate[6] = { 0 }, dup[6] = { 0 };
    kernels.swiglu_clamped_backward(dgate, dup, ones, gate, up, 6, 1.702f, 7);
    const bool gate_moves[] = { true, false, true, true, true, true };
    const bool up_moves[] = { true, true, true, false, true, false };
    for (int i = 0; i < 6; i++) {
        assert_int_equal(dgate[i] != 0, gate_moves[i]);
        assert_int_equal(dup[i] != 0, up_moves[i]);
    }
    float far[] = { 1e30f, -1e30f, 3e38f, -3e38f, 100, -100 }, slope[6] = { 0 }, other[6] = { 0 };
    kernels.gelu_mul_backward(slope, NULL, ones, far, NULL, 6);
    kernels.silu_mul_backward(other, NULL, ones, far, NULL, 6);
    for (int i = 0; i < 6; i++) {
        assert_true(slope[i] == (far[i] > 0 ? 1.0f : 0.0f));
        assert_true(fabsf(other[i] - (far[i] > 0 ? 1.0f : 0.0f)) < 1e-30f);
    }
}

/* ---- the rest ---- */

struct rest_case {
    int tokens, width, rows;
    float scale;
    const int32_t *picks; /* (tokens) */
    float temperature;    /* of a head */
};

static double embed_loss(const struct op *op)
{
    const struct rest_case *c = op->arg;
    double loss = 0;
    for (size_t i = 0; i < op->n_out; i++)
        loss += (double)op->weights[i] * (double)c->scale
            * op->in[0].wide[c->picks[i / (size_t)c->width] * c->width + (int)(i % (size_t)c->width)];
    return loss;
}

static void embed_run(struct flow *f, const struct op *op)
{
    const struct rest_case *c = op->arg;
    struct value y = out_of(op, NULL, c->width);
    struct weight table = weight_of(&op->in[0], c->rows, c->width);
    if (c->scale == 1)
        embed_positions_backward(f, &y, &table);
    else
        embed_backward(f, &y, &table, c->scale);
}

static void embeddings(void **state)
{
    (void)state;
    const int32_t picks[] = { 3, 0, 3, 6, 3, 0 };
    for (int i = 0; i < 2; i++) {
        const struct rest_case c = { 6, 131, 7, i ? 6.5f : 1, picks, 1 };
        struct op op = { .n_out = 6 * 131, .terms = 3, .arg = &c, .loss = embed_loss, .run = embed_run };
        struct random r;
        random_seed(&r, 120);
        op_open(&op, &r, (const size_t[]) { 7 * 131 }, 1);
        op_check(&op, plain_shape(6, 131), &(struct flow) { .ids = picks, .positions = picks });
        op_close(&op);
    }
}

/* Softcap and temperature, then the loss of each row: what comes behind the last product. */
static double head_loss(const struct op *op)
{
    const struct rest_case *c = op->arg;
    double loss = 0, cap = (double)c->scale, colder = cap / (double)c->temperature;
    for (int t = 0; t < c->tokens; t++) {
        const double *x = op->in[0].wide + t * c->width;
        double sum = 0;
        for (int i = 0; i < c->width; i++)
            sum += exp(colder * tanh(x[i] / cap));
        loss += (double)op->weights[t] * (log(sum) - colder * tanh(x[c->picks[t]] / cap));
    }
    return loss;
}

static void check_entropy(struct flow *f, const struct value *logits, const struct rest_case *c)
{
    struct value y = { .data = floats_new((size_t)c->tokens), .width = 1 };
    entropy(f, &y, logits);
    for (int t = 0; t < c->tokens; t++) {
        const float *x = logits->data + t * c->width;
        double sum = 0, mixed = 0;
        for (int i = 0; i < c->width; i++) {
            sum += exp((double)x[i]);
            mixed += exp((double)x[i]) * (double)x[i];
        }
        assert_near(y.data[t], log(sum) - mixed / sum, 64, (size_t)t);
    }
    free(y.data);
}

static void head_run(struct flow *f, const struct op *op)
{
    const struct rest_case *c = op->arg;
    struct value logits = value_of(&op->in[0], c->width), losses = out_of(op, floats_new((size_t)c->tokens), 1);
    float *data = logits.data;
    logits.data = floats_new(op->in[0].n);
    memcpy(logits.data, data, op->in[0].n * sizeof *data);
    memset(op->in[0].start, 0, op->in[0].n * sizeof *data); /* softcap is in place: it scales the whole gradient */
    memset(logits.gradient, 0, op->in[0].n * sizeof *data);
    softcap(f, &logits, c->tokens, c->scale);
    temper(f, &logits, c->tokens, c->temperature);
    cross_entropy(f, &losses, &logits, c->picks);
    check_entropy(f, &logits, c);
    for (int t = 0; t < c->tokens; t++) {
        double sum = 0;
        for (int i = 0; i < c->width; i++)
            sum += exp((double)logits.data[t * c->width + i]);
        assert_near(losses.data[t], log(sum) - (double)logits.data[t * c->width + c->picks[t]], 64, (size_t)t);
    }
    cross_entropy_backward(f, &losses, &logits, c->picks);
    temper_backward(f, &logits, c->tokens, c->temperature);
    softcap_backward(f, &logits, c->tokens, c->scale / c->temperature); /* what it made is divided by now */
    free(logits.data);
    free(losses.data);
}

static void heads(void **state)
{
    (void)state;
    const int32_t picks[] = { 0, 1022, 512, 7, 7 };
    for (int i = 0; i < 2; i++) {
        const struct rest_case c = { 5, 1023, 0, 2.5f, picks, i ? 0.7f : 1 };
        struct op op = { .n_out = 5, .terms = 16, .arg = &c, .loss = head_loss, .run = head_run };
        struct random r;
        random_seed(&r, 130);
        op_open(&op, &r, (const size_t[]) { 5 * 1023 }, 1);
        op_check(&op, plain_shape(5, 1023), &(struct flow) { .tokens = 0 });
        op_close(&op);
    }
}

static void sums_and_picks(void **state)
{
    (void)state;
    enum { TOKENS = 4, WIDTH = 6 };
    float grads[3][TOKENS * WIDTH], packed[2 * WIDTH] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    struct case_flow c;
    struct flow_shape shape = plain_shape(TOKENS, WIDTH);
    shape.threads = 1;
    shape.training = true;
    flow_open(&c, &shape);
    for (int i = 0; i < 3 * TOKENS * WIDTH; i++)
        grads[i / (TOKENS * WIDTH)][i % (TOKENS * WIDTH)] = (float)i;
    struct value y = { .width = WIDTH, .gradient = grads[0] }, a = { .width = WIDTH, .gradient = grads[1] };
    struct value b = { .width = WIDTH, .gradient = grads[2] }, same = y;
    add_backward(&c.flow, &y, &a, &b);
    add_backward(&c.flow, &y, &same, &a);
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        assert_true(grads[0][i] == (float)i);
        assert_true(grads[1][i] == (float)(TOKENS * WIDTH + 3 * i));
        assert_true(grads[2][i] == (float)(2 * TOKENS * WIDTH + 2 * i));
    }
    const int32_t rows[] = { 3, 1 };
    struct value some = { .width = WIDTH, .gradient = packed };
    gather_backward(&c.flow, &some, &y, rows, 2);
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        float added = i / WIDTH == 3 ? packed[i % WIDTH] : i / WIDTH == 1 ? packed[WIDTH + i % WIDTH] : 0;
        assert_true(grads[0][i] == (float)i + added);
    }
    flow_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),
        cmocka_unit_test(linears),
        cmocka_unit_test(linears_through_formats),
        cmocka_unit_test(linear_through_split_mxfp4),
        cmocka_unit_test(ropes),
        cmocka_unit_test(activations),
        cmocka_unit_test(activation_edges),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(heads),
        cmocka_unit_test(sums_and_picks),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
