/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/likelihood.h"

#include <math.h>

/* Another one for each pass of the run, and never 0. */
static uint64_t seed_of(const struct likelihood *l, uint64_t step, int pass)
{
    return (l->seed << 40 ^ step << 16 ^ (uint64_t)pass) * 2 + 1;
}

static int gradients(void *context, struct train_pass *p, uint64_t step, struct step_result *out, struct error *err)
{
    struct likelihood *l = context;
    const struct packed_step *s = packing_step(l->packing, step);
    int rc = 0;
    for (int i = 0; rc == 0 && i < s->passes; i++) {
        double loss;
        train_pass_seed(p, seed_of(l, step, i));
        rc = train_pass_run(p, s->pass[i].texts, s->pass[i].n, s->counted, &loss, err);
        if (rc == 0)
            out->loss += loss;
    }
    out->epoch = s->epoch;
    out->tokens = s->tokens;
    out->counted = s->counted;
    return rc;
}

static int validate(void *context, struct train_pass *p, struct step_result *out, struct error *err)
{
    const struct train_scoring plain = { .temperature = 1 };
    struct likelihood *l = context;
    const struct dataset_size *size = dataset_size(l->held);
    uint64_t steps = packing_steps(l->held_out, 0);
    double sum = 0;
    train_pass_seed(p, 0);
    for (uint64_t i = 0; i < steps; i++) {
        const struct packed_step *s = packing_step(l->held_out, i);
        struct train_scores scores;
        int rc = train_pass_score(p, s->pass[0].texts, s->pass[0].n, &plain, &scores, err);
        if (rc)
            return rc;
        for (int k = 0; k < scores.count; k++)
            sum -= (double)scores.logprobs[k];
    }
    out->loss = sum / (double)size->counted;
    out->tokens = (int64_t)size->tokens;
    out->counted = (int64_t)size->counted;
    if (size->counted_bytes > 0)
        out->metrics[out->n_metrics++] = (struct step_metric) { "bits_per_byte",
            sum / log(2) / (double)size->counted_bytes };
    return 0;
}

#define DESCRIBED 16

/* The numbers of the step's samples, and how the first begins: enough to find them. */
static void describe(void *context, uint64_t step, struct buffer *out)
{
    struct likelihood *l = context;
    const struct packed_step *s = packing_step(l->packing, step);
    const struct train_text *t = &s->pass[0].texts[0];
    int n = 0;
    buffer_printf(out, "epoch %llu, samples", (unsigned long long)s->epoch + 1);
    for (int i = 0; i < s->passes; i++)
        for (int k = 0; k < s->pass[i].n; k++)
            if (n++ < DESCRIBED)
                buffer_printf(out, " %zu", s->pass[i].samples[k] + 1);
    if (n > DESCRIBED)
        buffer_printf(out, " and %d more", n - DESCRIBED);
    buffer_add_text(out, "; the first begins with the tokens");
    for (int k = 0; k < t->count && k < DESCRIBED; k++)
        buffer_printf(out, " %d", t->ids[k]);
}

struct objective likelihood_objective(struct likelihood *l)
{
    return (struct objective) { .gradients = gradients, .validate = l->held_out ? validate : NULL,
        .describe = describe, .context = l };
}
