/* SPDX-License-Identifier: Apache-2.0 */
/* Each backward against differences of its operation, written down again in double: with D(h) the central difference
 * over 2 h, (4 D(h) - D(2 h)) / 3 is the derivative but for less than |D(h) - D(2 h)|, and the rounding of doubles over
 * h. What is left is the float32 of the backward itself. Gradients are added to what is there; any number of threads
 * gives the same bits. */
#ifndef WAZN_TESTS_BACKWARD_CASE_H
#define WAZN_TESTS_BACKWARD_CASE_H

#include "backend_case.h"

#define INPUTS_MAX 9
#define STEP 0x1p-12
#define SAMPLES 48 /* elements of an input that are checked */
#define ROUGH 24.0 /* of float32, in roots of terms */

struct input {
    size_t n;
    float *data, *gradient, *start; /* start: what the gradient was before */
    double *wide;                   /* data, or a little beside it */
};

struct op {
    struct input in[INPUTS_MAX];
    int n;
    size_t n_out, terms; /* terms: about how many products are added up for a value */
    float *weights;      /* (n_out): the loss is the outputs' sum with these */
    const void *arg;
    double (*loss)(const struct op *op);
    void (*run)(struct flow *f, const struct op *op); /* forward where that is needed, then backward */
};

static inline void op_open(struct op *op, struct random *r, const size_t *sizes, int n)
{
    assert_in_range(n, 1, INPUTS_MAX);
    op->n = n;
    for (int k = 0; k < n; k++) {
        struct input *in = &op->in[k];
        in->n = sizes[k];
        in->data = random_new(r, in->n, 1);
        in->start = random_new(r, in->n, 1);
        in->gradient = floats_new(in->n);
        in->wide = malloc(in->n * sizeof *in->wide + 1);
    }
    op->weights = random_new(r, op->n_out, 1);
}

static inline void op_close(struct op *op)
{
    for (int k = 0; k < op->n; k++) {
        free(op->in[k].data);
        free(op->in[k].start);
        free(op->in[k].gradient);
        free(op->in[k].wide);
    }
    free(op->weights);
}

static inline double difference(const struct op *op, double *x, double h)
{
    double at = *x, above, below;
    *x = at + h;
    above = op->loss(op);
    *x = at - h;
    below = op->loss(op);
    *x = at;
    return (above - below) / (2 * h);
}

static inline void check_input(const struct op *op, int k, double loss)
{
    const struct input *in = &op->in[k];
    double squares = 0;
    for (size_t i = 0; i < in->n; i++) {
        double added = (double)in->gradient[i] - (double)in->start[i];
        squares += added * added / (double)in->n;
    }
    for (size_t s = 0; s < in->n && s < SAMPLES; s++) {
        size_t i = in->n <= SAMPLES ? s : s * 7919 % in->n;
        double h = STEP * fmax(1, fabs(in->wide[i]));
        double near = difference(op, &in->wide[i], h), far = difference(op, &in->wide[i], 2 * h);
        double want = (4 * near - far) / 3, got = (double)in->gradient[i] - (double)in->start[i];
        double rough = ROUGH * sqrt((double)op->terms) * (fabs(want) + sqrt(squares)) + fabs((double)in->start[i]);
        double allowed = fabs(near - far) + 8 * DBL_EPSILON * (fabs(loss) + (double)op->n_out) / h
            + FLT_EPSILON * rough;
        if (!(fabs(got - want) <= allowed))
            fail_msg("input %d, element %zu of %zu: gradient %.9g, expected %.9g, off by %.3g of %.3g", k, i, in->n,
                got, want, fabs(got - want), allowed);
    }
}

/* Run it with 1 to 3 threads in a flow of this shape, with the rows of `like`, and compare. */
static inline void op_check(struct op *op, struct flow_shape shape, const struct flow *like)
{
    float *first[INPUTS_MAX] = { NULL };
    shape.training = true;
    for (int threads = 1; threads <= 3; threads++) {
        struct case_flow c;
        shape.threads = threads;
        flow_open(&c, &shape);
        c.flow.ids = like->ids;
        c.flow.positions = like->positions;
        c.flow.spans = like->spans;
        c.flow.n_spans = like->n_spans;
        for (int k = 0; k < op->n; k++)
            memcpy(op->in[k].gradient, op->in[k].start, op->in[k].n * sizeof(float));
        op->run(&c.flow, op);
        flow_close(&c);
        for (int k = 0; k < op->n; k++) {
            if (threads > 1) {
                assert_same_bits(op->in[k].gradient, first[k], op->in[k].n);
                continue;
            }
            first[k] = malloc(op->in[k].n * sizeof(float) + 1);
            memcpy(first[k], op->in[k].gradient, op->in[k].n * sizeof(float));
        }
    }
    for (int k = 0; k < op->n; k++) {
        free(first[k]);
        for (size_t i = 0; i < op->in[k].n; i++)
            op->in[k].wide[i] = (double)op->in[k].data[i];
    }
    double loss = op->loss(op);
    for (int k = 0; k < op->n; k++)
        check_input(op, k, loss);
}

static inline struct flow_shape plain_shape(int tokens, int width)
{
    return (struct flow_shape) { .tokens_max = tokens, .width_max = width, .dim = width, .heads = 1, .kv_heads = 1,
        .head_dim = 8, .context_max = tokens };
}

static inline struct value value_of(const struct input *in, int width)
{
    return (struct value) { .data = in->data, .width = width, .gradient = in->gradient };
}

static inline struct value out_of(const struct op *op, float *data, int width)
{
    return (struct value) { .data = data, .width = width, .gradient = op->weights };
}

static inline struct weight weight_of(const struct input *in, int64_t rows, int64_t cols)
{
    return (struct weight) { .tensor = { .format = &format_f32, .rows = rows, .cols = cols, .data = in->data },
        .gradient = in->gradient };
}

#endif
