/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/random.h"
#include "infer/trace.h"
#include "kernel/kernel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNIT 0x1p-24
#define TOKENS_PER_PASS 32

enum way { CARRIED, OWN, MOVED, WAYS };

struct comparison {
    const struct spec *spec;
    const struct trace_values *reference;
    struct trace_step *steps;
    struct pass *pass;
    struct kv kv[WAYS];
    struct arena arena; /* of the kv */
    struct random random;
    int first, count; /* tokens of the pass that runs */
    double rounding;  /* the share of e that rounded activations add */
};

const char *trace_step_name(char text[32], int i, int layers)
{
    if (i == 0 || i > layers)
        return i == 0 ? "embedding" : "logits";
    snprintf(text, 32, "layer %d", i - 1);
    return text;
}

double trace_rounding(const struct model *m, struct buffer *names)
{
    struct model_size size;
    double most = 0;
    model_measure(m, &size);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *pair = formats[formats[i]->pair];
        if (size.format_bytes[i] == 0 || pair->id == FORMAT_f32 || !kernels.dots[i])
            continue;
        if (names)
            buffer_printf(names, "%s%s", names->used ? ", " : "", formats[i]->name);
        double step = pair->id == FORMAT_bf16 ? 0x1p-7 : sqrt(pair->block) / 127;
        most = step > most ? step : most;
    }
    return most;
}

/* ---- one step ---- */

static int largest(int a, int b)
{
    return a > b ? a : b;
}

/* e of trace.h, at a position. */
static double movement(const struct comparison *c, int position)
{
    const struct spec *s = c->spec;
    int terms = largest(largest(s->dim, s->heads * s->head_dim), largest(s->ffn, s->expert_ffn));
    double angles = s->learned_positions ? 0 : 0.5 * position;
    return UNIT * (6 * sqrt((double)largest(terms, position + 1)) + angles) + c->rounding;
}

static double share_of(double part, double whole)
{
    return part == 0 ? 0 : sqrt(part) / sqrt(whole); /* INFINITY where the whole is nothing */
}

/* A token's values in all three ways. allowed: of a step that nothing moves (the embedding); else 0. */
static void judge(struct trace_step *s, int token, const float *want, const float *const *ways, int64_t n,
    double allowed)
{
    double length = 0, carried = 0, own = 0, moved = 0, most = 0;
    int64_t element = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = (double)want[i], off = (double)ways[OWN][i] - w;
        length += w * w;
        carried += pow((double)ways[CARRIED][i] - w, 2);
        moved += pow((double)ways[MOVED][i] - (double)ways[OWN][i], 2);
        own += off * off;
        if (!(fabs(off) <= most) && !isnan(most)) {
            most = fabs(off);
            element = i;
        }
    }
    carried = share_of(carried, length);
    if (!(carried <= s->carried))
        s->carried = carried;
    moved = allowed > 0 ? allowed * allowed * length : moved;
    double share = share_of(own, moved);
    if (token > 0 && (share <= s->share || isnan(s->share)))
        return;
    s->share = share;
    s->own = share_of(own, length);
    s->allowed = share_of(moved, length);
    s->token = token;
    s->element = (int)element;
    s->have = ways[OWN][element];
    s->want = want[element];
}

static const float *reference_row(const struct comparison *c, int layer, int token)
{
    const struct trace_values *v = c->reference;
    const float *rows = layer < 0 ? v->embedding : v->layers[layer];
    return rows ? rows + (int64_t)token * c->spec->dim : NULL;
}

static void step(void *context, int layer, float *x, int tokens, int width)
{
    struct comparison *c = context;
    (void)tokens;
    for (int t = 0; t < c->count; t++) {
        float *rows[WAYS];
        for (int way = 0; way < WAYS; way++)
            rows[way] = x + ((int64_t)way * c->count + t) * width;
        const float *want = reference_row(c, layer, c->first + t);
        const float *ways[WAYS] = { rows[CARRIED], rows[OWN], rows[MOVED] };
        if (want) {
            /* A row of a table, perhaps scaled, perhaps with a position's row added: two roundings on each side. */
            judge(&c->steps[layer + 1], c->first + t, want, ways, width, layer < 0 ? 4 * UNIT : 0);
            memcpy(rows[OWN], want, (size_t)width * sizeof *want);
        }
        double e = movement(c, c->first + t);
        for (int i = 0; i < width; i++)
            rows[MOVED][i] = (float)((double)rows[OWN][i] * (random_next(&c->random) >> 63 ? 1 + e : 1 - e));
    }
}

/* ---- the run ---- */

static int run_pass(struct comparison *c, struct error *err)
{
    struct pass_sequence sequences[WAYS];
    int64_t vocabulary = c->spec->vocabulary;
    for (int way = 0; way < WAYS; way++)
        sequences[way] = (struct pass_sequence) { .kv = &c->kv[way], .ids = c->reference->ids + c->first,
            .count = c->count, .all_logits = true };
    int rc = pass_run(c->pass, sequences, WAYS, err);
    for (int t = 0; rc == 0 && t < c->count; t++) {
        const float *ways[WAYS];
        for (int way = 0; way < WAYS; way++)
            ways[way] = pass_logits(c->pass, way * c->count + t);
        judge(&c->steps[c->spec->layers + 1], c->first + t,
            c->reference->logits + (int64_t)(c->first + t) * vocabulary, ways, vocabulary, 0);
    }
    return rc;
}

static void layout(struct comparison *c, const struct kv_options *o)
{
    for (int way = 0; way < WAYS; way++)
        kv_layout(&c->kv[way], c->spec, o, &c->arena);
}

static int open_run(struct comparison *c, const struct model *m, int threads, struct error *err)
{
    int tokens = c->reference->tokens, most = tokens < TOKENS_PER_PASS ? tokens : TOKENS_PER_PASS;
    struct kv_options kv = { .format = &format_f32, .context = tokens, .tokens_max = most };
    struct pass_options pass = { .tokens_max = WAYS * most, .logits_max = WAYS * most, .context_max = tokens,
        .threads = threads, .trace = step, .trace_context = c };
    int rc = kv_check(c->spec, &kv, err);
    if (rc)
        return rc;
    layout(c, &kv);
    rc = arena_reserve(&c->arena, err);
    if (rc) {
        error_in(err, "keys and values for %d times %d tokens", WAYS, tokens);
        return rc;
    }
    layout(c, &kv);
    return pass_open(&c->pass, m, &pass, err);
}

int trace_compare(struct trace_step *steps, const struct model *m, const struct trace_values *reference, int threads,
    const struct session_watch *watch, struct error *err)
{
    struct comparison c = { .spec = model_spec(m), .reference = reference, .steps = steps };
    c.rounding = 4 * trace_rounding(m, NULL) / sqrt(12);
    memset(steps, 0, ((size_t)c.spec->layers + 2) * sizeof *steps);
    random_seed(&c.random, 1);
    int rc = open_run(&c, m, threads, err);
    while (rc == 0 && c.first < reference->tokens) {
        int left = reference->tokens - c.first;
        c.count = left < TOKENS_PER_PASS ? left : TOKENS_PER_PASS;
        if (watch && watch->cancelled && watch->cancelled(watch->context)) {
            rc = error_set(err, ERROR_CANCELLED, "stopped after %d of %d tokens", c.first, reference->tokens);
            break;
        }
        rc = run_pass(&c, err);
        c.first += c.count;
        if (rc == 0 && watch && watch->progress)
            watch->progress(watch->context, c.first, reference->tokens);
    }
    pass_close(c.pass);
    arena_release(&c.arena);
    return rc;
}
