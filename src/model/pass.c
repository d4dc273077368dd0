/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pass.h"

#include "model/block.h"

#include <stdlib.h>
#include <string.h>

struct pass {
    const struct model *model;
    struct pass_options options;
    struct arena arena;
    struct blocks blocks;
    struct block_values values; /* of any layer */
    int32_t *ids, *positions;   /* (tokens_max) */
    int32_t *rows;              /* (logits_max) rows of the flow whose logits are wanted */
    struct span *spans;         /* (tokens_max) */
    struct value last;   /* (logits_max, dim) their residual streams */
    struct value logits; /* (logits_max, vocabulary) */
    struct value losses; /* (logits_max, 1) */
    int n_logits;        /* of the last run */
};

static struct value take_value(struct arena *a, int rows, int64_t width)
{
    return (struct value) { .data = arena_take(a, (size_t)rows, (size_t)width * sizeof(float)), .width = (int)width };
}

static void pass_layout(struct pass *p)
{
    const struct spec *s = &p->model->spec;
    const struct pass_options *o = &p->options;
    struct flow_shape shape = blocks_shape(p->model, o->tokens_max, o->context_max, o->threads);
    struct arena *a = &p->arena;
    p->blocks.spec = s;
    p->blocks.global = &p->model->global;
    p->blocks.layers = p->model->layers;
    p->blocks.values = &p->values;
    flow_layout(&p->blocks.flow, &shape, a);
    p->ids = arena_take(a, (size_t)o->tokens_max, sizeof *p->ids);
    p->positions = arena_take(a, (size_t)o->tokens_max, sizeof *p->positions);
    p->rows = arena_take(a, (size_t)o->logits_max, sizeof *p->rows);
    p->spans = arena_take(a, (size_t)o->tokens_max, sizeof *p->spans);
    values_layout(&p->blocks, o->tokens_max, a);
    p->last = take_value(a, o->logits_max, s->dim);
    p->logits = take_value(a, o->logits_max, s->vocabulary);
    p->losses = take_value(a, o->logits_max, 1);
}

uint64_t pass_bytes(const struct model *m, const struct pass_options *options)
{
    struct pass measured = { .model = m, .options = *options };
    pass_layout(&measured);
    return measured.arena.used;
}

int pass_open(struct pass **out, const struct model *m, const struct pass_options *o, struct error *err)
{
    *out = NULL;
    if (o->tokens_max < 1 || o->logits_max < 1 || o->context_max < 1 || o->threads < 1)
        return error_set(err, ERROR_USAGE, "a pass of %d tokens, %d logits, %d positions and %d threads makes no sense",
            o->tokens_max, o->logits_max, o->context_max, o->threads);
    struct pass *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, sizeof *p, "a pass");
    p->model = m;
    p->options = *o;
    pass_layout(p);
    int rc = arena_reserve(&p->arena, err);
    if (rc) {
        error_in(err, "could not prepare passes of %d tokens", o->tokens_max);
        free(p);
        return rc;
    }
    pass_layout(p);
    rc = pool_open(&p->blocks.flow.pool, o->threads, err);
    if (rc) {
        pass_close(p);
        return rc;
    }
    p->blocks.flow.observe = o->observe;
    p->blocks.flow.observe_context = o->observe_context;
    *out = p;
    return 0;
}

void pass_close(struct pass *p)
{
    if (!p)
        return;
    pool_close(p->blocks.flow.pool);
    arena_release(&p->arena);
    free(p);
}

static int check_sequence(const struct pass *p, const struct pass_sequence *q, int i, struct error *err)
{
    const struct spec *s = &p->model->spec;
    int room = q->kv->context < p->options.context_max ? q->kv->context : p->options.context_max;
    if (q->count < 1)
        return error_set(err, ERROR_USAGE, "sequence %d of a pass has %d tokens", i, q->count);
    if (q->kv->n_layers != s->layers)
        return error_set(err, ERROR_USAGE, "sequence %d has a kv cache of %d layers, the model %d", i, q->kv->n_layers,
            s->layers);
    if (q->count > room - q->kv->length)
        return error_set(err, ERROR_LIMIT, "%d tokens behind the %d of sequence %d pass its context of %d", q->count,
            q->kv->length, i, room);
    if (q->count > q->kv->tokens_max)
        return error_set(err, ERROR_LIMIT, "%d tokens of sequence %d in one pass are more than its kv cache's %d",
            q->count, i, q->kv->tokens_max);
    for (int t = 0; t < q->count; t++)
        if (q->ids[t] < 0 || q->ids[t] >= s->vocabulary)
            return error_set(err, ERROR_USAGE, "token %d of sequence %d is %d, outside the vocabulary of %lld", t, i,
                (int)q->ids[t], (long long)s->vocabulary);
    return 0;
}

static int check_run(const struct pass *p, const struct pass_sequence *sequences, int n, struct error *err)
{
    int64_t tokens = 0, logits = 0;
    int rc = n < 1 ? error_set(err, ERROR_USAGE, "a pass of %d sequences makes no sense", n) : 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        rc = check_sequence(p, &sequences[i], i, err);
        tokens += sequences[i].count;
        logits += sequences[i].all_logits ? sequences[i].count : 1;
    }
    if (rc == 0 && tokens > p->options.tokens_max)
        rc = error_set(err, ERROR_LIMIT, "a pass of %lld tokens is longer than the %d prepared for", (long long)tokens,
            p->options.tokens_max);
    if (rc == 0 && logits > p->options.logits_max)
        rc = error_set(err, ERROR_LIMIT, "logits of %lld tokens were asked for, %d are prepared for", (long long)logits,
            p->options.logits_max);
    return rc;
}

/* Lay the sequences' new tokens side by side. */
static void fill_flow(struct pass *p, const struct pass_sequence *sequences, int n)
{
    struct flow *f = &p->blocks.flow;
    f->tokens = p->n_logits = 0;
    for (int i = 0; i < n; i++) {
        const struct pass_sequence *q = &sequences[i];
        p->spans[i] = (struct span) { .first = f->tokens, .count = q->count, .position = q->kv->length,
            .layers = q->kv->layers };
        for (int t = 0; t < q->count; t++, f->tokens++) {
            p->ids[f->tokens] = q->ids[t];
            p->positions[f->tokens] = q->kv->length + t;
            if (q->all_logits || t == q->count - 1)
                p->rows[p->n_logits++] = f->tokens;
        }
    }
    f->ids = p->ids;
    f->positions = p->positions;
    f->spans = p->spans;
    f->n_spans = n;
}

static void forward(struct pass *p)
{
    const struct spec *s = &p->model->spec;
    blocks_embed(&p->blocks);
    for (int i = -1; i < s->layers; i++) {
        if (i >= 0)
            block_forward(&p->blocks, i);
        if (p->options.trace)
            p->options.trace(p->options.trace_context, i, p->values.x.data, p->blocks.flow.tokens, s->dim);
    }
}

/* Logits of the wanted rows only. From here on the flow is those rows. */
static void finish(struct pass *p)
{
    const struct model *m = p->model;
    const struct spec *s = &m->spec;
    struct flow *f = &p->blocks.flow;
    struct norm_shape whole = { .kind = s->norm, .eps = s->norm_eps, .offset = s->norm_offset, .groups = 1 };
    gather(f, &p->last, &p->values.x, p->rows, p->n_logits);
    f->tokens = p->n_logits;
    norm(f, &p->last, &p->last, &m->global.final_norm, &m->global.final_norm_bias, &whole);
    linear(f, &p->logits, &p->last, s->tied ? &m->global.token_embedding : &m->global.output, NULL);
    if (s->logit_softcap > 0)
        softcap(f, &p->logits, p->n_logits, s->logit_softcap);
}

int pass_run(struct pass *p, const struct pass_sequence *sequences, int n, struct error *err)
{
    int rc = check_run(p, sequences, n, err);
    if (rc)
        return rc;
    fill_flow(p, sequences, n);
    forward(p);
    finish(p);
    for (int i = 0; i < n; i++)
        kv_grow(sequences[i].kv, sequences[i].count);
    return 0;
}

void pass_logprobs(struct pass *p, const int32_t *ids, float temperature, float *logprobs)
{
    struct flow *f = &p->blocks.flow;
    temper(f, &p->logits, p->n_logits, temperature);
    cross_entropy(f, &p->losses, &p->logits, ids);
    for (int i = 0; i < p->n_logits; i++)
        logprobs[i] = -p->losses.data[i];
}

struct pool *pass_pool(const struct pass *p)
{
    return p->blocks.flow.pool;
}

float *pass_logits(const struct pass *p, int row)
{
    return p->logits.data + (size_t)row * (size_t)p->logits.width;
}
