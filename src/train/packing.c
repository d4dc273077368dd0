/* SPDX-License-Identifier: Apache-2.0 */
#include "train/packing.h"

#include "base/arena.h"
#include "base/random.h"

#include <stdlib.h>

#define WINDOW 64 /* passes that samples are sorted into together */

/* An epoch laid out: pass i holds samples order[first[i]] to order[first[i + 1] - 1]. */
struct plan {
    bool made;
    uint64_t epoch;
    size_t passes;
    size_t *order; /* (samples) */
    size_t *first; /* (samples + 1) */
};

struct item {
    size_t sample;
    int count;
    size_t place, pass; /* in the window: where it came from, where it goes */
};

struct bin {
    int tokens, texts;
    size_t at; /* where its samples go */
};

struct packing {
    const struct dataset *data;
    struct packing_options options;
    size_t samples, window; /* window: samples in one, at most */
    struct arena arena;
    struct plan step_plan, count_plan; /* two, so that counting leaves what a step gave alone */
    uint64_t step_plan_first;          /* number of the first step in step_plan */
    struct item *items;                /* (window) */
    struct bin *bins;                  /* (window) */
    size_t *turns;                     /* (window) */
    struct packed_pass *passes;        /* of a step */
    struct train_text *texts;
    struct packed_step step;
};

static size_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void layout(struct packing *p)
{
    struct plan *plans[] = {&p->step_plan, &p->count_plan};
    uint64_t passes = least((uint64_t)p->options.passes, p->samples);
    for (int i = 0; i < 2; i++) {
        plans[i]->order = arena_take(&p->arena, p->samples, sizeof *plans[i]->order);
        plans[i]->first = arena_take(&p->arena, p->samples + 1, sizeof *plans[i]->first);
    }
    p->items = arena_take(&p->arena, p->window, sizeof *p->items);
    p->bins = arena_take(&p->arena, p->window, sizeof *p->bins);
    p->turns = arena_take(&p->arena, p->window, sizeof *p->turns);
    p->passes = arena_take(&p->arena, passes, sizeof *p->passes);
    p->texts = arena_take(&p->arena, least(passes * (uint64_t)p->options.texts_max, p->samples), sizeof *p->texts);
}

int packing_open(struct packing **out, const struct dataset *d, const struct packing_options *options,
    struct error *err)
{
    const struct dataset_size *size = dataset_size(d);
    *out = NULL;
    if (options->tokens_max < 1 || options->texts_max < 1 || options->passes < 1)
        return error_set(err, ERROR_USAGE, "a step of %d passes of %d tokens in %d texts cannot be", options->passes,
            options->tokens_max, options->texts_max);
    if (size->longest > options->tokens_max)
        return error_set(err, ERROR_LIMIT, "the longest sample has %d tokens, a pass takes %d", size->longest,
            options->tokens_max);
    struct packing *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, sizeof *p, "the order of samples");
    p->data = d;
    p->options = *options;
    p->samples = size->samples;
    p->window = least((uint64_t)WINDOW * (uint64_t)options->texts_max, p->samples);
    layout(p);
    int rc = arena_reserve(&p->arena, err);
    if (rc) {
        packing_close(p);
        return rc;
    }
    layout(p);
    *out = p;
    return 0;
}

void packing_close(struct packing *p)
{
    if (p)
        arena_release(&p->arena);
    free(p);
}

static int count_of(const struct packing *p, size_t sample)
{
    struct train_text text;
    dataset_sample(p->data, sample, &text);
    return text.count;
}

static void shuffle(size_t *list, size_t n, struct random *r)
{
    for (size_t i = n; i-- > 1;) {
        size_t k = random_below_wide(r, i + 1), held = list[i];
        list[i] = list[k];
        list[k] = held;
    }
}

/* Longest first; equal ones as they came, so that the order does not depend on how qsort works. */
static int by_count(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The window's samples to bins; returns how many bins. */
static size_t fit(struct packing *p, size_t n)
{
    size_t bins = 0;
    for (size_t i = 0; i < n; i++) {
        struct item *item = &p->items[i];
        size_t best = bins;
        for (size_t k = 0; k < bins; k++)
            if (p->options.tokens_max - p->bins[k].tokens >= item->count && p->bins[k].texts < p->options.texts_max &&
                (best == bins || p->bins[k].tokens > p->bins[best].tokens))
                best = k;
        if (best == bins)
            p->bins[bins++] = (struct bin){0};
        p->bins[best].tokens += item->count;
        p->bins[best].texts++;
        item->pass = best;
    }
    return bins;
}

/* Samples order[at] .. order[at + n - 1] become passes. */
static void pack_window(struct packing *p, struct plan *plan, size_t at, size_t n, struct random *r)
{
    for (size_t i = 0; i < n; i++)
        p->items[i] =
            (struct item){.sample = plan->order[at + i], .count = count_of(p, plan->order[at + i]), .place = i};
    qsort(p->items, n, sizeof *p->items, by_count);
    size_t bins = fit(p, n), place = at;
    for (size_t k = 0; k < bins; k++)
        p->turns[k] = k;
    shuffle(p->turns, bins, r);
    for (size_t k = 0; k < bins; k++) {
        struct bin *bin = &p->bins[p->turns[k]];
        plan->first[plan->passes++] = bin->at = place;
        place += (size_t)bin->texts;
    }
    for (size_t i = 0; i < n; i++)
        plan->order[p->bins[p->items[i].pass].at++] = p->items[i].sample;
}

static void make_shuffled(struct packing *p, struct plan *plan)
{
    struct random r;
    random_seed(&r, p->options.seed);
    random_seed(&r, random_next(&r) + plan->epoch);
    shuffle(plan->order, p->samples, &r);
    for (size_t at = 0; at < p->samples;) {
        size_t n = 0;
        int64_t tokens = 0;
        while (n < p->window && at + n < p->samples && tokens < (int64_t)WINDOW * p->options.tokens_max)
            tokens += count_of(p, plan->order[at + n++]);
        pack_window(p, plan, at, n, &r);
        at += n;
    }
}

static void make_ordered(const struct packing *p, struct plan *plan)
{
    int tokens = 0, texts = 0;
    for (size_t i = 0; i < p->samples; i++) {
        int count = count_of(p, i);
        if (i == 0 || texts == p->options.texts_max || count > p->options.tokens_max - tokens) {
            plan->first[plan->passes++] = i;
            tokens = texts = 0;
        }
        tokens += count;
        texts++;
    }
}

static void make(struct packing *p, struct plan *plan, uint64_t epoch)
{
    if (plan->made && (plan->epoch == epoch || !p->options.shuffle)) {
        plan->epoch = epoch;
        return;
    }
    *plan = (struct plan){.made = true, .epoch = epoch, .order = plan->order, .first = plan->first};
    for (size_t i = 0; i < p->samples; i++)
        plan->order[i] = i;
    if (p->options.shuffle)
        make_shuffled(p, plan);
    else
        make_ordered(p, plan);
    plan->first[plan->passes] = p->samples;
}

static uint64_t steps_of(const struct packing *p, const struct plan *plan)
{
    size_t passes = (size_t)p->options.passes;
    return plan->passes / passes + (plan->passes % passes != 0);
}

uint64_t packing_steps(struct packing *p, uint64_t epoch)
{
    make(p, &p->count_plan, epoch);
    return steps_of(p, &p->count_plan);
}

/* The epoch that a step lies in: from the one before, or from the first. */
static void find_epoch(struct packing *p, uint64_t step)
{
    if (!p->step_plan.made || step < p->step_plan_first) {
        make(p, &p->step_plan, 0);
        p->step_plan_first = 0;
    }
    while (step - p->step_plan_first >= steps_of(p, &p->step_plan)) {
        p->step_plan_first += steps_of(p, &p->step_plan);
        make(p, &p->step_plan, p->step_plan.epoch + 1);
    }
}

const struct packed_step *packing_step(struct packing *p, uint64_t step)
{
    find_epoch(p, step);
    const struct plan *plan = &p->step_plan;
    size_t from = (size_t)(step - p->step_plan_first) * (size_t)p->options.passes, used = 0;
    p->step = (struct packed_step){.epoch = plan->epoch,
        .passes = (int)least((uint64_t)p->options.passes, plan->passes - from),
        .pass = p->passes};
    for (int i = 0; i < p->step.passes; i++) {
        size_t first = plan->first[from + (size_t)i], n = plan->first[from + (size_t)i + 1] - first;
        p->passes[i] = (struct packed_pass){.texts = p->texts + used, .samples = plan->order + first,
            .n = (int)n};
        for (size_t k = 0; k < n; k++) {
            struct train_text *text = &p->texts[used++];
            dataset_sample(p->data, plan->order[first + k], text);
            p->step.tokens += text->count;
            for (int t = 0; t < text->count; t++)
                p->step.counted += text->targets[t] != TRAIN_SKIP;
        }
    }
    return &p->step;
}
