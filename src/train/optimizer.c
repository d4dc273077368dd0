/* SPDX-License-Identifier: Apache-2.0 */
#include "train/optimizer.h"

#include "base/arena.h"
#include "kernel/kernel.h"
#include "train/muon.h"
#include "train/optimizer_impl.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parameters are cut into pieces: what threads share out, and what sums are cut by. */
#define PIECE 16384
#define TILE 256 /* floats of a master at a time */

struct piece {
    int slot; /* of its parameter */
    size_t first;
    int count;
};

struct optimizer {
    struct optimizer_options options;
    struct pool *pool;
    struct arena arena;
    struct slot *slots; /* (n) */
    size_t n;
    struct piece *pieces; /* (n_pieces) */
    size_t n_pieces;
    double *sums; /* (n_pieces) */
    struct muon *muon;
    struct adamw_step step, still; /* of what decays, of what does not */
};

static bool by_muon(const struct optimizer_options *o, const struct parameter *p)
{
    return o->kind == OPTIMIZER_MUON && p->kind == PARAMETER_MATRIX;
}

static bool decays(const struct optimizer_options *o, const struct parameter *p)
{
    return p->kind == PARAMETER_MATRIX || (p->kind == PARAMETER_TABLE && o->decay_tables);
}

static void layout(struct optimizer *o, const struct parameter *parameters, int threads)
{
    struct arena *a = &o->arena;
    size_t pieces = 0;
    o->slots = arena_take(a, o->n, sizeof *o->slots);
    for (size_t i = 0; i < o->n; i++) {
        const struct parameter *p = &parameters[i];
        size_t count = parameter_count(p);
        struct slot s = { .parameter = *p, .m = arena_take(a, count, sizeof(float)) };
        if (!by_muon(&o->options, p))
            s.v = arena_take(a, count, sizeof(float));
        if (p->format == &format_bf16)
            s.rest = arena_take(a, count, sizeof *s.rest);
        if (o->slots)
            o->slots[i] = s;
        pieces += (count + PIECE - 1) / PIECE;
    }
    o->n_pieces = pieces;
    o->pieces = arena_take(a, pieces, sizeof *o->pieces);
    o->sums = arena_take(a, pieces, sizeof *o->sums);
    if (o->options.kind == OPTIMIZER_MUON)
        o->muon = muon_layout(parameters, o->n, threads, a);
}

static void cut(struct optimizer *o)
{
    struct piece *at = o->pieces;
    for (size_t i = 0; i < o->n; i++) {
        size_t count = parameter_count(&o->slots[i].parameter);
        for (size_t first = 0; first < count; first += PIECE)
            *at++ = (struct piece) { (int)i, first, (int)(count - first < PIECE ? count - first : PIECE) };
    }
}

uint64_t optimizer_bytes(const struct parameter *parameters, size_t n, const struct optimizer_options *options,
    int threads)
{
    struct optimizer measured = { .options = *options, .n = n };
    layout(&measured, parameters, threads);
    return measured.arena.used;
}

int optimizer_open(struct optimizer **out, const struct parameter *parameters, size_t n,
    const struct optimizer_options *options, struct pool *pool, struct error *err)
{
    struct optimizer *o = calloc(1, sizeof *o);
    *out = NULL;
    if (!o)
        return error_memory(err, sizeof *o, "an optimizer");
    o->options = *options;
    o->pool = pool;
    o->n = n;
    layout(o, parameters, pool_threads(pool));
    int rc = arena_reserve(&o->arena, err);
    if (rc) {
        error_in(err, "could not prepare an optimizer");
        free(o);
        return rc;
    }
    layout(o, parameters, pool_threads(pool));
    cut(o);
    *out = o;
    return 0;
}

void optimizer_close(struct optimizer *o)
{
    if (!o)
        return;
    arena_release(&o->arena);
    free(o);
}

/* ---- the norm ---- */

#define LANES 8

static void sum_squares(void *job, int item, int thread)
{
    struct optimizer *o = job;
    const struct piece *piece = &o->pieces[item];
    const float *g = o->slots[piece->slot].parameter.gradient + piece->first;
    double lanes[LANES] = { 0 }, sum = 0;
    int i = 0;
    (void)thread;
    for (; i + LANES <= piece->count; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < piece->count; i++)
        sum += (double)g[i] * (double)g[i];
    for (int k = 0; k < LANES; k++)
        sum += lanes[k];
    o->sums[item] = sum;
}

double optimizer_norm(struct optimizer *o)
{
    double sum = 0;
    pool_run(o->pool, (int)o->n_pieces, sum_squares, o);
    for (size_t i = 0; i < o->n_pieces; i++)
        sum += o->sums[i];
    return sqrt(sum);
}

/* ---- masters ---- */

/* A float's bits are those of the nearest bf16 (halves go up) as their upper half, plus a rest. */
static void join(float *out, const uint16_t *high, const int16_t *rest, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits = ((uint32_t)high[i] << 16) + (uint32_t)(int32_t)rest[i];
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void part(uint16_t *high, int16_t *rest, const float *in, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &in[i], sizeof bits);
        high[i] = (uint16_t)((bits + 0x8000) >> 16);
        rest[i] = (int16_t)(uint16_t)bits;
    }
}

void slot_read(const struct slot *s, size_t first, float *out, int n)
{
    if (s->rest)
        join(out, (const uint16_t *)s->parameter.data + first, s->rest + first, n);
    else
        memcpy(out, (const float *)s->parameter.data + first, (size_t)n * sizeof *out);
}

void slot_write(const struct slot *s, size_t first, const float *in, int n)
{
    if (s->rest)
        part((uint16_t *)s->parameter.data + first, s->rest + first, in, n);
    else
        memcpy((float *)s->parameter.data + first, in, (size_t)n * sizeof *in);
}

/* ---- AdamW ---- */

static void adamw_piece(void *job, int item, int thread)
{
    const struct optimizer *o = job;
    const struct piece *piece = &o->pieces[item];
    const struct slot *s = &o->slots[piece->slot];
    const struct adamw_step *step = decays(&o->options, &s->parameter) ? &o->step : &o->still;
    float tile[TILE];
    (void)thread;
    if (by_muon(&o->options, &s->parameter))
        return;
    for (int i = 0; i < piece->count; i += TILE) {
        size_t at = piece->first + (size_t)i;
        int n = piece->count - i < TILE ? piece->count - i : TILE;
        slot_read(s, at, tile, n);
        kernels.adamw(tile, s->m + at, s->v + at, s->parameter.gradient + at, step, n);
        slot_write(s, at, tile, n);
    }
}

void optimizer_step(struct optimizer *o, uint64_t step, double lr, double scale)
{
    const struct optimizer_options *options = &o->options;
    assert(step >= 1);
    o->step = (struct adamw_step) { .scale = (float)scale, .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2, .rest1 = (float)(1 - options->beta1), .rest2 = (float)(1 - options->beta2),
        .step = (float)(lr / (1 - pow(options->beta1, (double)step))),
        .root = (float)(1 / sqrt(1 - pow(options->beta2, (double)step))), .eps = (float)options->eps,
        .keep = (float)(1 - lr * options->weight_decay) };
    o->still = o->step;
    o->still.keep = 1;
    pool_run(o->pool, (int)o->n_pieces, adamw_piece, o);
    for (size_t i = 0; i < o->n; i++)
        if (by_muon(options, &o->slots[i].parameter))
            muon_step(o->muon, &o->slots[i], o->pool, &(struct muon_options) { .momentum = options->momentum,
                .lr = lr, .keep = 1 - lr * options->weight_decay, .scale = scale });
}

/* ---- state ---- */

static void add_state(struct file_tensor *out, char (*names)[OPTIMIZER_NAME], size_t *n, const char *prefix,
    const struct slot *s, const void *data, const char *dtype, size_t unit)
{
    const struct parameter *p = &s->parameter;
    if (!data)
        return;
    if (out) {
        snprintf(names[*n], OPTIMIZER_NAME, "%s.%s", prefix, p->name);
        out[*n] = (struct file_tensor) { .name = names[*n], .type_name = dtype, .dims = 3,
            .shape = { p->matrices, p->rows, p->cols }, .data = data, .bytes = parameter_count(p) * unit };
    }
    ++*n;
}

size_t optimizer_state(const struct optimizer *o, struct file_tensor *out, char (*names)[OPTIMIZER_NAME])
{
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++) {
        const struct slot *s = &o->slots[i];
        bool narrow = s->rest;
        add_state(out, names, &n, "weight", s, s->parameter.data, narrow ? "BF16" : "F32", narrow ? 2 : 4);
        add_state(out, names, &n, "rest", s, s->rest, "I16", sizeof *s->rest);
        add_state(out, names, &n, "m", s, s->m, "F32", sizeof *s->m);
        add_state(out, names, &n, "v", s, s->v, "F32", sizeof *s->v);
    }
    return n;
}
