/* SPDX-License-Identifier: Apache-2.0 */
/* With y = sum of p_s out_s over a token's slots s and out = W act + b: the gradient of p_s is dy . out_s, which is
 * act . (W^T dy) + b . dy. So out is never needed, and W^T dy, times p_s, goes on to the activation. */
#include "backend/cpu/act_impl.h"
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/low_rank.h"
#include "backend/cpu/matmul_backward.h"
#include "backend/cpu/moe_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <string.h>

struct backward_job {
    const struct flow *f;
    const struct moe_shape *shape;
    const struct weight *down_bias; /* NULL: none */
    const float *dy;
    float *dx;
    int dim;
};

static float dot(const float *a, const float *b, int n)
{
    float sum;
    kernels.dots[FORMAT_f32](&sum, 1, a, 0, 1, b, 0, 1, n);
    return sum;
}

static void scale_row(float *x, float factor, int n)
{
    for (int i = 0; i < n; i++)
        x[i] *= factor;
}

static void gather_gradient(void *job, int token, int thread)
{
    const struct backward_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    (void)thread;
    for (int i = token * j->shape->used; i < (token + 1) * j->shape->used; i++)
        memcpy(s->slot_dy + (size_t)s->slots[i] * (size_t)j->dim, j->dy + (size_t)token * (size_t)j->dim,
            (size_t)j->dim * sizeof(float));
}

/* The gradients of the chosen weights, then of the logits behind them; and the slots' gradients get their weights. */
static void weigh_token(void *job, int token, int thread)
{
    const struct backward_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    int used = j->shape->used, experts = j->shape->experts, ffn = j->shape->ffn;
    const float *weights = s->weights + (size_t)token * (size_t)used;
    const int32_t *chosen = s->chosen + (size_t)token * (size_t)used;
    const int32_t *slots = s->slots + (size_t)token * (size_t)used;
    const float *dy = j->dy + (size_t)token * (size_t)j->dim;
    float *gradient = s->router_gradient + (size_t)token * (size_t)experts;
    float *bias = scratch_of(s->rows, s->rows_stride, thread);
    memset(gradient, 0, (size_t)experts * sizeof *gradient);
    for (int i = 0; i < used; i++) {
        size_t inner = (size_t)slots[i] * (size_t)ffn;
        float sum = dot(s->slot_act + inner, s->slot_dact + inner, ffn);
        if (j->down_bias)
            sum += dot(tensor_part(&j->down_bias->tensor, chosen[i], 0, j->dim, bias), dy, j->dim);
        gradient[chosen[i]] = sum;
        scale_row(s->slot_dact + inner, weights[i], ffn);
        scale_row(s->slot_dy + (size_t)slots[i] * (size_t)j->dim, weights[i], j->dim);
    }
}

/* The router's softmax backwards: of its gradient, those of the chosen weights, become those of the logits. With
 * w = p / sum of the chosen p (or a softmax of the chosen logits alone), dp = (dw - sum of w dw) / that sum. */
static void route_backward(void *job, int token, int thread)
{
    const struct backward_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    int used = j->shape->used, experts = j->shape->experts;
    const float *weights = s->weights + (size_t)token * (size_t)used;
    const float *p = s->router + (size_t)token * (size_t)experts;
    const int32_t *chosen = s->chosen + (size_t)token * (size_t)used;
    float *gradient = s->router_gradient + (size_t)token * (size_t)experts;
    float mean = 0, sum = 0;
    (void)thread;
    for (int i = 0; i < used; i++) {
        mean += weights[i] * gradient[chosen[i]];
        sum += p[chosen[i]];
    }
    if (j->shape->softmax_after) {
        for (int i = 0; i < used; i++)
            gradient[chosen[i]] = weights[i] * (gradient[chosen[i]] - mean);
        return;
    }
    for (int i = 0; j->shape->renormalize && i < used; i++)
        gradient[chosen[i]] = (gradient[chosen[i]] - mean) / sum;
    mean = 0;
    for (int i = 0; i < used; i++)
        mean += p[chosen[i]] * gradient[chosen[i]];
    for (int e = 0; e < experts; e++)
        gradient[e] = p[e] * (gradient[e] - mean);
}

static void scatter_token(void *job, int token, int thread)
{
    const struct backward_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    (void)thread;
    for (int i = token * j->shape->used; i < (token + 1) * j->shape->used; i++)
        kernels.add(j->dx + (size_t)token * (size_t)j->dim, s->slot_dy + (size_t)s->slots[i] * (size_t)j->dim, j->dim);
}

/* One matrix of every expert, over its slots. */
struct expert_product {
    const struct weight *w, *bias;
    const float *dy, *x;
    float *dx;
    bool with_weights; /* the gradients of w and bias too */
};

static void run_experts(struct flow *f, const struct expert_product *p, int experts)
{
    const struct flow_scratch *s = f->scratch;
    int n = 0;
    for (int e = 0; e < experts; e++) {
        int first = s->expert_first[e], slots = s->expert_first[e + 1] - first;
        const struct tensor *t = &p->w->experts[e];
        size_t rows = (size_t)t->rows, cols = (size_t)t->cols;
        bool with_bias = p->with_weights && weight_present(p->bias) && p->bias->gradient;
        if (slots == 0)
            continue;
        s->expert_backward_jobs[n++] = (struct matmul_backward) {
            .w = t,
            .dy = p->dy + (size_t)first * rows,
            .x = p->x ? p->x + (size_t)first * cols : NULL,
            .dx = p->dx ? p->dx + (size_t)first * cols : NULL,
            .dw = p->with_weights && p->w->gradient ? p->w->gradient + (size_t)e * rows * cols : NULL,
            .dbias = with_bias ? p->bias->gradient + (size_t)e * rows : NULL,
            .count = slots,
        };
    }
    matmul_backward_run(f, s->expert_backward_jobs, n);
    const struct beside beside = { p->w, p->w->experts[0].rows, p->w->experts[0].cols, s->expert_first, experts, p->x };
    if (p->w->low_rank)
        low_rank_backward(f, &beside, p->dy, p->dx, p->with_weights);
}

/* From slot_dact, the gradient of the activation, to that of slot_x in slot_dy. */
static void enter_backward(struct flow *f, const struct moe_weights *w, const struct moe_shape *shape, int slots)
{
    const struct flow_scratch *s = f->scratch;
    size_t inner = (size_t)slots * (size_t)shape->ffn;
    const struct value act = { .width = shape->ffn, .gradient = s->slot_dact };
    struct value gate = { .data = s->slot_gate, .width = shape->ffn, .gradient = s->slot_dgate };
    struct value up = { .data = s->slot_up, .width = shape->ffn, .gradient = s->slot_dup };
    memset(s->slot_dgate, 0, inner * sizeof *s->slot_dgate);
    memset(s->slot_dup, 0, inner * sizeof *s->slot_dup);
    memset(s->slot_dy, 0, (size_t)slots * (size_t)s->shape.dim * sizeof *s->slot_dy);
    act_backward_rows(f, &act, &gate, &up, slots, &shape->activation);
    run_experts(f, &(struct expert_product) { w->up, w->up_bias, s->slot_dup, s->slot_x, s->slot_dy, true },
        shape->experts);
    run_experts(f, &(struct expert_product) { w->gate, w->gate_bias, s->slot_dgate, s->slot_x, s->slot_dy, true },
        shape->experts);
}

void moe_backward(struct flow *f, const struct value *y, struct value *x, const struct moe_weights *w,
    const struct moe_shape *shape)
{
    const struct flow_scratch *s = f->scratch;
    struct backward_job job = { .f = f, .shape = shape, .dy = y->gradient, .dx = x->gradient, .dim = x->width };
    int slots = f->tokens * shape->used;
    assert(s->shape.training && y->width == x->width);
    job.down_bias = weight_present(w->down_bias) ? w->down_bias : NULL;
    moe_enter(f, x, w, shape);
    act_rows(f, s->slot_act, s->slot_gate, s->slot_up, slots, shape->ffn, &shape->activation);

    parallel_run(f, f->tokens, (double)slots * job.dim, gather_gradient, &job);
    memset(s->slot_dact, 0, (size_t)slots * (size_t)shape->ffn * sizeof *s->slot_dact);
    run_experts(f, &(struct expert_product) { w->down, NULL, s->slot_dy, NULL, s->slot_dact, false }, shape->experts);
    parallel_run(f, f->tokens, (double)slots * (2.0 * shape->ffn + job.dim), weigh_token, &job);
    run_experts(f, &(struct expert_product) { w->down, w->down_bias, s->slot_dy, s->slot_act, NULL, true },
        shape->experts);
    enter_backward(f, w, shape, slots);
    parallel_run(f, f->tokens, (double)slots * job.dim, scatter_token, &job);

    const struct value logits = { .width = shape->experts, .gradient = s->router_gradient };
    parallel_run(f, f->tokens, (double)f->tokens * shape->experts, route_backward, &job);
    linear_backward(f, &logits, x, w->router, w->router_bias);
}
