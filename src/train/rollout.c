/* SPDX-License-Identifier: Apache-2.0 */
#include "train/rollout.h"

#include "base/arena.h"
#include "base/pool.h"
#include "base/random.h"
#include "infer/batch.h"

#include <stdlib.h>
#include <string.h>

/* Where one completion grows. */
struct slot {
    struct sampler *sampler;
    int completion; /* of the run; -1: none */
    int32_t next;   /* what it is asked to follow, then what follows */
    int rc;         /* of choosing */
    struct error err;
};

struct growing {
    int32_t *ids;
    float *logprobs; /* (tokens_max) */
    uint64_t seed;
};

struct rollout {
    const struct model *model;
    struct rollout_options options;
    struct batch *batch; /* the sequence behind those of the slots holds a prompt, for its whole group */
    struct slot *slots;  /* (sequences) */
    struct growing *growing;        /* (prompts_max, group) */
    struct completion *completions; /* the same */
    int *which;                     /* (sequences) slots that grow, in the order of the pass's rows */
    int32_t *ids;                   /* (sequences) of the rows */
    float *logprobs;
    struct arena arena;

    /* Of a run. */
    const struct rollout_prompt *prompts;
    int total, started, done;
    int held; /* prompt that the last sequence holds; -1: none */
    int rows; /* slots that grow */
};

static struct batch_options batch_options_of(const struct rollout_options *o)
{
    return (struct batch_options) { .kv_format = &format_f32, .sequences = o->sequences + 1,
        .context = o->prompt_max + o->tokens_max - 1, .chunk = o->chunk ? o->chunk : ROLLOUT_CHUNK,
        .threads = o->threads };
}

static void layout(struct rollout *r, struct arena *a)
{
    const struct rollout_options *o = &r->options;
    size_t completions = (size_t)o->prompts_max * (size_t)o->group, sequences = (size_t)o->sequences;
    r->slots = arena_take(a, sequences, sizeof *r->slots);
    r->growing = arena_take(a, completions, sizeof *r->growing);
    r->completions = arena_take(a, completions, sizeof *r->completions);
    r->which = arena_take(a, sequences, sizeof *r->which);
    r->ids = arena_take(a, sequences, sizeof *r->ids);
    r->logprobs = arena_take(a, sequences, sizeof *r->logprobs);
    for (size_t i = 0; i < completions; i++) {
        struct growing g = { .ids = arena_take(a, (size_t)o->tokens_max, sizeof *g.ids) };
        g.logprobs = arena_take(a, (size_t)o->tokens_max, sizeof *g.logprobs);
        if (r->growing)
            r->growing[i] = g;
    }
}

uint64_t rollout_bytes(const struct model *m, const struct rollout_options *options)
{
    struct rollout measured = { .options = *options };
    struct batch_options batch = batch_options_of(options);
    layout(&measured, &measured.arena);
    return measured.arena.used + batch_bytes(m, &batch)
        + (uint64_t)options->sequences * sampler_bytes(model_spec(m)->vocabulary);
}

static int check_options(const struct rollout_options *o, struct error *err)
{
    if (o->prompts_max < 1 || o->group < 1 || o->sequences < 1 || o->prompt_max < 1 || o->tokens_max < 1
        || o->chunk < 0 || o->prompt_max > INT32_MAX - o->tokens_max || o->sequences == INT32_MAX
        || o->prompts_max > INT32_MAX / o->group)
        return error_set(err, ERROR_USAGE,
            "%d prompts of %d tokens with %d completions of %d tokens, %d at once, make no sense", o->prompts_max,
            o->prompt_max, o->group, o->tokens_max, o->sequences);
    return 0;
}

static int reserve(struct rollout *r, struct error *err)
{
    struct batch_options batch = batch_options_of(&r->options);
    layout(r, &r->arena);
    int rc = arena_reserve(&r->arena, err);
    if (rc)
        return rc;
    layout(r, &r->arena);
    for (int i = 0; rc == 0 && i < r->options.sequences; i++)
        rc = sampler_open(&r->slots[i].sampler, &r->options.sampling, model_spec(r->model)->vocabulary, err);
    return rc ? rc : batch_open(&r->batch, r->model, &batch, err);
}

int rollout_open(struct rollout **out, const struct model *m, const struct rollout_options *options, struct error *err)
{
    *out = NULL;
    int rc = check_options(options, err);
    if (rc)
        return rc;
    struct rollout *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "a rollout");
    r->model = m;
    r->options = *options;
    rc = reserve(r, err);
    if (rc) {
        error_in(err, "could not prepare %d completions at once", options->sequences);
        rollout_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void rollout_close(struct rollout *r)
{
    if (!r)
        return;
    for (int i = 0; r->arena.base && i < r->options.sequences; i++)
        sampler_close(r->slots[i].sampler);
    batch_close(r->batch);
    arena_release(&r->arena);
    free(r);
}

/* ---- a run ---- */

static int check_prompts(const struct rollout *r, const struct rollout_prompt *prompts, int n, struct error *err)
{
    int64_t vocabulary = model_spec(r->model)->vocabulary;
    if (n < 1 || n > r->options.prompts_max)
        return error_set(err, ERROR_LIMIT, "%d prompts, 1 to %d are prepared for", n, r->options.prompts_max);
    for (int i = 0; i < n; i++) {
        if (prompts[i].count < 1 || prompts[i].count > r->options.prompt_max)
            return error_set(err, ERROR_LIMIT, "prompt %d has %d tokens, 1 to %d are prepared for", i,
                prompts[i].count, r->options.prompt_max);
        for (int k = 0; k < prompts[i].count; k++)
            if (prompts[i].ids[k] < 0 || prompts[i].ids[k] >= vocabulary)
                return error_set(err, ERROR_USAGE, "token %d of prompt %d is %d, outside the vocabulary of %lld", k, i,
                    (int)prompts[i].ids[k], (long long)vocabulary);
    }
    return 0;
}

/* The prompt is read once for its group, but for its last token: that is each completion's own first step. */
static int start(struct rollout *r, int at, struct error *err)
{
    struct slot *s = &r->slots[at];
    int prompt = r->started / r->options.group, holder = r->options.sequences;
    const struct rollout_prompt *p = &r->prompts[prompt];
    if (r->held != prompt) {
        int rc = batch_prompt(r->batch, holder, p->ids, p->count - 1, err);
        if (rc)
            return rc;
        r->held = prompt;
    }
    batch_copy(r->batch, at, holder);
    s->completion = r->started++;
    s->next = p->ids[p->count - 1];
    sampler_reset(s->sampler, r->growing[s->completion].seed);
    sampler_prompt(s->sampler, p->ids, (size_t)p->count);
    r->completions[s->completion].count = 0;
    return 0;
}

static int fill_slots(struct rollout *r, struct error *err)
{
    int rc = 0;
    r->rows = 0;
    for (int i = 0; rc == 0 && i < r->options.sequences; i++) {
        if (r->slots[i].completion < 0 && r->started < r->total)
            rc = start(r, i, err);
        if (rc || r->slots[i].completion < 0)
            continue;
        r->ids[r->rows] = r->slots[i].next;
        r->which[r->rows++] = i;
    }
    return rc;
}

static void choose(void *job, int row, int thread)
{
    struct rollout *r = job;
    struct slot *s = &r->slots[r->which[row]];
    (void)thread;
    s->rc = sampler_choose(s->sampler, batch_logits(r->batch, row), &s->next, &s->err);
    r->ids[row] = s->next;
}

static bool is_stop(const struct rollout_options *o, int32_t id)
{
    for (size_t i = 0; i < o->n_stops; i++)
        if (o->stops[i] == id)
            return true;
    return false;
}

static void append(struct rollout *r, int row)
{
    struct slot *s = &r->slots[r->which[row]];
    struct completion *c = &r->completions[s->completion];
    const struct growing *g = &r->growing[s->completion];
    g->ids[c->count] = s->next;
    g->logprobs[c->count++] = r->logprobs[row];
    sampler_accept(s->sampler, s->next);
    bool stopped = is_stop(&r->options, s->next);
    if (!stopped && c->count < r->options.tokens_max)
        return;
    c->end = stopped ? ROLLOUT_STOP : ROLLOUT_LENGTH;
    s->completion = -1;
    r->done++;
}

/* One token for every slot that has something to grow. */
static int step(struct rollout *r, struct error *err)
{
    double temperature = r->options.sampling.at[SAMPLING_temperature];
    int rc = fill_slots(r, err);
    if (rc == 0)
        rc = batch_push_some(r->batch, r->which, r->ids, r->rows, err);
    if (rc)
        return rc;
    pool_run(batch_pool(r->batch), r->rows, choose, r);
    for (int i = 0; i < r->rows; i++) {
        const struct slot *s = &r->slots[r->which[i]];
        if (s->rc)
            return error_set(err, s->rc, "%s", s->err.text);
    }
    batch_logprobs(r->batch, r->ids, temperature > 0 ? (float)temperature : 1, r->logprobs);
    for (int i = 0; i < r->rows; i++)
        append(r, i);
    return 0;
}

static void begin(struct rollout *r, const struct rollout_prompt *prompts, int n, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    r->prompts = prompts;
    r->total = n * r->options.group;
    r->started = r->done = 0;
    r->held = -1;
    for (int i = 0; i < r->total; i++) {
        r->growing[i].seed = random_next(&random);
        r->completions[i] = (struct completion) { .ids = r->growing[i].ids, .logprobs = r->growing[i].logprobs };
    }
    for (int i = 0; i < r->options.sequences; i++)
        r->slots[i].completion = -1;
}

int rollout_run(struct rollout *r, const struct rollout_prompt *prompts, int n, uint64_t seed,
    const struct session_watch *watch, const struct completion **out, struct error *err)
{
    int rc = check_prompts(r, prompts, n, err);
    if (rc)
        return rc;
    begin(r, prompts, n, seed);
    while (rc == 0 && r->done < r->total) {
        if (watch && watch->cancelled && watch->cancelled(watch->context))
            return error_set(err, ERROR_CANCELLED, "stopped after %d of %d completions", r->done, r->total);
        rc = step(r, err);
        if (rc == 0 && watch && watch->progress)
            watch->progress(watch->context, r->done, r->total);
    }
    *out = r->completions;
    return rc;
}
