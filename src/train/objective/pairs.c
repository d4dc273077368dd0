/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/pairs.h"

#include "train/objective/deal.h"

#include <stdlib.h>
#include <string.h>

/* One set of pairs with what the reference says of them. */
struct side {
    const struct dataset *data;
    size_t n;          /* pairs */
    double *reference; /* (n, 2); NULL: not needed, or not asked yet */
};

struct pairs {
    struct pairs_options options;
    struct side learned, held; /* held.data NULL: there is none */
    uint32_t *order;           /* (learned.n) of the epoch */
    uint64_t epoch;            /* of the order; UINT64_MAX: none yet */
    struct train_text *texts;  /* (texts_max) of a pass */
    int *counts;               /* (texts_max) */
    double *reference;         /* (texts_max) */
};

static int counted(const struct train_text *t)
{
    int n = 0;
    for (int i = 0; i < t->count; i++)
        n += t->targets[i] != TRAIN_SKIP;
    return n;
}

static void pair_of(const struct side *s, size_t i, struct train_text out[2])
{
    dataset_sample(s->data, 2 * i, &out[0]);
    dataset_sample(s->data, 2 * i + 1, &out[1]);
}

static int check_side(const struct pairs *p, const struct side *s, struct error *err)
{
    if (dataset_size(s->data)->samples % 2 != 0 || s->n == 0 || s->n > UINT32_MAX)
        return error_set(err, ERROR_USAGE, "%zu samples are no pairs", dataset_size(s->data)->samples);
    for (size_t i = 0; i < s->n; i++) {
        struct train_text pair[2];
        pair_of(s, i, pair);
        if (pair[0].count + pair[1].count > p->options.tokens_max)
            return error_set(err, ERROR_LIMIT, "pair %zu has %d tokens, more than a pass of %d", i,
                pair[0].count + pair[1].count, p->options.tokens_max);
    }
    return 0;
}

static int side_open(const struct pairs *p, struct side *s, const struct dataset *d, struct error *err)
{
    *s = (struct side) { .data = d, .n = dataset_size(d)->samples / 2 };
    int rc = check_side(p, s, err);
    if (rc == 0 && preference_needs_reference(&p->options.preference)) {
        s->reference = calloc(2 * s->n, sizeof *s->reference);
        rc = s->reference ? 0 : error_memory(err, 2 * s->n * sizeof *s->reference, "what the reference says");
    }
    return rc;
}

int pairs_open(struct pairs **out, const struct dataset *d, const struct dataset *held_out,
    const struct pairs_options *options, struct error *err)
{
    struct pairs *p = calloc(1, sizeof *p);
    int rc = p ? preference_check(&options->preference, err) : error_memory(err, sizeof *p, "pairs");
    if (rc == 0 && (options->texts_max < 2 || options->pairs < 1))
        rc = error_set(err, ERROR_USAGE, "passes of %d texts and steps of %d pairs make no sense", options->texts_max,
            options->pairs);
    if (rc == 0) {
        p->options = *options;
        p->epoch = UINT64_MAX;
        rc = side_open(p, &p->learned, d, err);
    }
    if (rc == 0 && held_out)
        rc = side_open(p, &p->held, held_out, err);
    if (rc == 0) {
        size_t texts = (size_t)options->texts_max;
        p->order = calloc(p->learned.n, sizeof *p->order);
        p->texts = calloc(texts, sizeof *p->texts);
        p->counts = calloc(texts, sizeof *p->counts);
        p->reference = calloc(texts, sizeof *p->reference);
        if (!p->order || !p->texts || !p->counts || !p->reference)
            rc = error_memory(err, texts * sizeof *p->texts, "the texts of a pass");
    }
    if (rc) {
        pairs_close(p);
        p = NULL;
    }
    *out = p;
    return rc;
}

void pairs_close(struct pairs *p)
{
    if (!p)
        return;
    free(p->learned.reference);
    free(p->held.reference);
    free(p->order);
    free(p->texts);
    free(p->counts);
    free(p->reference);
    free(p);
}

static int ask_side(struct side *s, const struct model *m, const struct reference_options *options,
    const struct session_watch *watch, struct error *err)
{
    struct train_text *texts = s->reference ? calloc(2 * s->n, sizeof *texts) : NULL;
    if (!s->reference)
        return 0;
    if (!texts)
        return error_memory(err, 2 * s->n * sizeof *texts, "a list of texts");
    for (size_t i = 0; i < s->n; i++)
        pair_of(s, i, &texts[2 * i]);
    int rc = reference_sums(m, texts, 2 * s->n, options, watch, s->reference, err);
    free(texts);
    return rc;
}

int pairs_reference(struct pairs *p, const struct model *m, const struct reference_options *options,
    const struct session_watch *watch, struct error *err)
{
    int rc = ask_side(&p->learned, m, options, watch, err);
    return rc || !p->held.data ? rc : ask_side(&p->held, m, options, watch, err);
}

/* ---- steps ---- */

uint64_t pairs_steps(const struct pairs *p)
{
    return (p->learned.n + (size_t)p->options.pairs - 1) / (size_t)p->options.pairs;
}

static void shuffle(struct pairs *p, uint64_t epoch)
{
    if (p->epoch != epoch)
        deal(p->order, p->learned.n, p->options.seed, epoch);
    p->epoch = epoch;
}

/* What goes through the model at once. */
struct pass {
    struct pairs *p;
    int pairs;          /* of the pass */
    int64_t step_pairs; /* of all its passes */
    struct preference_metrics *metrics;
};

static int weigh(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    const struct pass *pass = context;
    const struct pairs *p = pass->p;
    const struct preference_pairs pairs = { .n = pass->pairs, .counts = p->counts, .logprobs = scores->logprobs,
        .reference = p->learned.reference ? p->reference : NULL, .step_pairs = pass->step_pairs };
    (void)err;
    preference_weigh(&p->options.preference, &pairs, weights, pass->metrics);
    return 0;
}

/* Put pairs into the pass until one does not fit; order NULL: as they lie. Returns how many. */
static int fill(struct pairs *p, const struct side *s, const uint32_t *order, size_t first, size_t end,
    int64_t *tokens, int64_t *counting)
{
    int used = 0, n = 0;
    for (size_t i = first; i < end && 2 * (n + 1) <= p->options.texts_max; i++, n++) {
        size_t which = order ? order[i] : i;
        struct train_text *pair = &p->texts[2 * n];
        pair_of(s, which, pair);
        if (used + pair[0].count + pair[1].count > p->options.tokens_max)
            break;
        used += pair[0].count + pair[1].count;
        for (int k = 0; k < 2; k++) {
            p->counts[2 * n + k] = counted(&pair[k]);
            *counting += p->counts[2 * n + k];
            if (s->reference)
                p->reference[2 * n + k] = s->reference[2 * which + (size_t)k];
        }
    }
    *tokens += used;
    return n;
}

static void add_metrics(const struct pairs *p, const struct preference_metrics *m, struct step_result *out)
{
    const struct step_metric all[] = { { "accuracy", m->accuracy }, { "margin", m->margin },
        { "chosen_reward", m->chosen_reward }, { "rejected_reward", m->rejected_reward },
        { "likelihood_loss", m->likelihood_loss }, { "log_odds", m->log_odds } };
    int n = p->options.preference.loss == PREFERENCE_ORPO ? 6 : 4;
    out->loss = m->loss;
    for (int i = 0; i < n; i++)
        out->metrics[out->n_metrics++] = all[i];
}

static int gradients(void *context, struct train_pass *t, uint64_t step, struct step_result *out, struct error *err)
{
    struct pairs *p = context;
    struct preference_metrics metrics = { 0 };
    uint64_t steps = pairs_steps(p), each = (uint64_t)p->options.pairs;
    size_t first = (size_t)(step % steps * each), end = first + (size_t)each;
    int rc = 0;
    out->epoch = step / steps;
    shuffle(p, out->epoch);
    end = end < p->learned.n ? end : p->learned.n;
    struct pass pass = { .p = p, .step_pairs = (int64_t)(end - first), .metrics = &metrics };
    struct train_objective objective = { .scoring = { .temperature = 1 }, .weigh = weigh, .context = &pass };
    for (int i = 0; rc == 0 && first < end; i++, first += (size_t)pass.pairs) {
        pass.pairs = fill(p, &p->learned, p->order, first, end, &out->tokens, &out->counted);
        train_pass_seed(t, ((p->options.seed << 40) ^ (step << 16) ^ (uint64_t)i) * 2 + 1);
        rc = train_pass_objective(t, p->texts, 2 * pass.pairs, &objective, err);
    }
    add_metrics(p, &metrics, out);
    return rc;
}

static int validate(void *context, struct train_pass *t, struct step_result *out, struct error *err)
{
    struct pairs *p = context;
    const struct train_scoring plain = { .temperature = 1 };
    struct preference_metrics metrics = { 0 };
    float *unused = calloc((size_t)p->options.tokens_max, sizeof *unused);
    int rc = unused ? 0 : error_memory(err, (size_t)p->options.tokens_max * sizeof *unused, "weights of a pass");
    train_pass_seed(t, 0);
    for (size_t first = 0; rc == 0 && first < p->held.n;) {
        struct train_scores scores;
        int n = fill(p, &p->held, NULL, first, p->held.n, &out->tokens, &out->counted);
        rc = train_pass_score(t, p->texts, 2 * n, &plain, &scores, err);
        if (rc)
            break;
        const struct preference_pairs pairs = { .n = n, .counts = p->counts, .logprobs = scores.logprobs,
            .reference = p->held.reference ? p->reference : NULL, .step_pairs = (int64_t)p->held.n };
        preference_weigh(&p->options.preference, &pairs, unused, &metrics);
        first += (size_t)n;
    }
    free(unused);
    add_metrics(p, &metrics, out);
    return rc;
}

static void describe(void *context, uint64_t step, struct buffer *out)
{
    struct pairs *p = context;
    uint64_t steps = pairs_steps(p);
    size_t first = (size_t)(step % steps) * (size_t)p->options.pairs;
    shuffle(p, step / steps);
    buffer_add_text(out, "pairs");
    for (size_t i = first; i < p->learned.n && i < first + (size_t)p->options.pairs && i < first + 16; i++)
        buffer_printf(out, " %u", (unsigned)p->order[i]);
}

struct objective pairs_objective(struct pairs *p)
{
    return (struct objective) { .gradients = gradients, .validate = p->held.data ? validate : NULL,
        .describe = describe, .context = p };
}
