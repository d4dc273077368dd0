/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/moe_impl.h"

#include "backend/cpu/act_impl.h"
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/low_rank.h"
#include "backend/cpu/parallel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct moe_job {
    const struct flow *f;
    const struct moe_shape *shape;
    const float *x;
    float *y;
    int dim;
};

/* The highest logits, lower index first on ties, into `chosen` in rising order. No logit is compared but by >, so that
 * NaN still leaves `used` different experts. */
static void choose(const float *logits, int experts, int used, int32_t *chosen)
{
    for (int n = 0; n < used; n++) {
        int best = -1, next = 0;
        for (int e = 0; e < experts; e++) {
            bool taken = next < n && chosen[next] == e;
            next += taken;
            if (!taken && (best < 0 || logits[e] > logits[best]))
                best = e;
        }
        int at = n;
        for (; at > 0 && chosen[at - 1] > best; at--)
            chosen[at] = chosen[at - 1];
        chosen[at] = best;
    }
}

static void route_token(void *job, int token, int thread)
{
    const struct moe_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    int used = j->shape->used, experts = j->shape->experts;
    float *logits = s->router + (size_t)token * (size_t)experts;
    float *weights = s->weights + (size_t)token * (size_t)used;
    int32_t *chosen = s->chosen + (size_t)token * (size_t)used;
    float sum = 0;
    (void)thread;
    choose(logits, experts, used, chosen);
    if (!j->shape->softmax_after)
        kernels.softmax(logits, experts, -INFINITY);
    for (int i = 0; i < used; i++)
        weights[i] = logits[chosen[i]];
    if (j->shape->softmax_after)
        kernels.softmax(weights, used, -INFINITY);
    if (!j->shape->renormalize)
        return;
    for (int i = 0; i < used; i++)
        sum += weights[i];
    for (int i = 0; i < used; i++)
        weights[i] /= sum;
}

/* Deal slots: counting sort of (token, choice) by expert, tokens in order. */
static void sort_slots(const struct moe_job *j)
{
    const struct flow_scratch *s = j->f->scratch;
    int experts = j->shape->experts, n = j->f->tokens * j->shape->used;
    int32_t *first = s->expert_first;
    memset(first, 0, (size_t)(experts + 1) * sizeof *first);
    for (int i = 0; i < n; i++)
        first[s->chosen[i] + 1]++;
    for (int e = 0; e < experts; e++)
        first[e + 1] += first[e];
    for (int i = 0; i < n; i++)
        s->slots[i] = first[s->chosen[i]]++;
    for (int e = experts; e > 0; e--)
        first[e] = first[e - 1];
    first[0] = 0;
}

static void gather_token(void *job, int token, int thread)
{
    const struct moe_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    (void)thread;
    for (int i = token * j->shape->used; i < (token + 1) * j->shape->used; i++)
        memcpy(s->slot_x + (size_t)s->slots[i] * (size_t)j->dim, j->x + (size_t)token * (size_t)j->dim,
            (size_t)j->dim * sizeof(float));
}

/* One matrix of every expert: y = w x + bias. */
struct expert_product {
    const struct weight *w, *bias;
    const float *x;
    float *y;
};

/* `count` of them over the slots of every expert that has some, an expert's one after another. */
static void run_experts(struct flow *f, const struct expert_product *products, int count, int experts)
{
    const struct flow_scratch *s = f->scratch;
    int n = 0;
    for (int e = 0; e < experts; e++) {
        int first = s->expert_first[e], slots = s->expert_first[e + 1] - first;
        for (int i = 0; i < count && slots > 0; i++) {
            const struct expert_product *p = &products[i];
            const struct tensor *t = &p->w->experts[e];
            s->expert_jobs[n++] = (struct matmul) {
                .w = t,
                .bias = weight_present(p->bias) ? &p->bias->tensor : NULL,
                .bias_row = e,
                .x = p->x + (size_t)first * (size_t)t->cols,
                .y = p->y + (size_t)first * (size_t)t->rows,
                .count = slots,
            };
        }
    }
    matmul_run(f, s->expert_jobs, n);
    for (int i = 0; i < count; i++) {
        const struct weight *w = products[i].w;
        const struct beside beside = { w, w->experts[0].rows, w->experts[0].cols, s->expert_first, experts,
            products[i].x };
        low_rank_add(f, &beside, NULL, products[i].y, false);
    }
}

static void sum_token(void *job, int token, int thread)
{
    const struct moe_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    float *y = j->y + (size_t)token * (size_t)j->dim;
    (void)thread;
    memset(y, 0, (size_t)j->dim * sizeof *y);
    for (int i = token * j->shape->used; i < (token + 1) * j->shape->used; i++)
        kernels.mix(y, 0, &s->weights[i], 0, 0, s->slot_x + (size_t)s->slots[i] * (size_t)j->dim, 0, 1, 1, j->dim);
}

void moe_enter(struct flow *f, const struct value *x, const struct moe_weights *w, const struct moe_shape *shape)
{
    const struct flow_scratch *s = f->scratch;
    struct moe_job job = { .f = f, .shape = shape, .x = x->data, .dim = x->width };
    assert(x->width == s->shape.dim && shape->used <= shape->experts);
    assert(shape->experts == s->shape.experts && shape->used <= s->shape.experts_used);
    assert(shape->ffn == s->shape.expert_ffn);

    struct value logits = { .data = s->router, .width = shape->experts };
    linear(f, &logits, x, w->router, w->router_bias);
    parallel_run(f, f->tokens, (double)f->tokens * shape->experts * (shape->used + 16), route_token, &job);
    sort_slots(&job);
    parallel_run(f, f->tokens, (double)f->tokens * shape->used * job.dim, gather_token, &job);
    const struct expert_product in[] = { { w->gate, w->gate_bias, s->slot_x, s->slot_gate },
        { w->up, w->up_bias, s->slot_x, s->slot_up } };
    run_experts(f, in, 2, shape->experts);
}

void moe(struct flow *f, struct value *y, const struct value *x, const struct moe_weights *w,
    const struct moe_shape *shape)
{
    const struct flow_scratch *s = f->scratch;
    struct moe_job job = { .f = f, .shape = shape, .y = y->data, .dim = x->width };
    int slots = f->tokens * shape->used;
    assert(y->width == x->width);
    moe_enter(f, x, w, shape);
    const struct expert_product out = { w->down, w->down_bias, s->slot_gate, s->slot_x };
    act_rows(f, s->slot_gate, s->slot_gate, s->slot_up, slots, shape->ffn, &shape->activation);
    run_experts(f, &out, 1, shape->experts);
    parallel_run(f, f->tokens, (double)slots * job.dim, sum_token, &job);
}
