/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/reference.h"

static struct train_options options_of(const struct reference_options *o)
{
    return (struct train_options) { .tokens_max = o->tokens_max, .texts_max = o->texts_max,
        .logits_max = o->logits_max, .threads = o->threads, .scores_only = true };
}

uint64_t reference_bytes(const struct model *m, const struct reference_options *options)
{
    struct train_options o = options_of(options);
    return train_pass_bytes(m, &o);
}

/* How many of the texts go into one pass, in their order; at least one, which may be too long: the pass says so. */
static int take_texts(const struct train_text *texts, size_t n, const struct reference_options *o)
{
    int64_t tokens = 0;
    int taken = 0;
    while ((size_t)taken < n && taken < o->texts_max && (taken == 0 || tokens + texts[taken].count <= o->tokens_max))
        tokens += texts[taken++].count;
    return taken;
}

static int count_targets(const struct train_text *t)
{
    int counted = 0;
    for (int i = 0; i < t->count; i++)
        counted += t->targets[i] != TRAIN_SKIP;
    return counted;
}

static int score_some(struct train_pass *p, const struct train_text *texts, int n, size_t first, double *sums,
    struct error *err)
{
    const struct train_scoring plain = { .temperature = 1 };
    struct train_scores scores;
    int rc = train_pass_score(p, texts, n, &plain, &scores, err);
    const float *at = scores.logprobs;
    for (int i = 0; rc == 0 && i < n; i++) {
        int counted = count_targets(&texts[i]);
        if (counted == 0)
            rc = error_set(err, ERROR_USAGE, "text %zu has nothing to be judged by", first + (size_t)i);
        sums[i] = 0;
        for (int k = 0; k < counted; k++)
            sums[i] += (double)*at++;
    }
    return rc;
}

int reference_sums(const struct model *m, const struct train_text *texts, size_t n,
    const struct reference_options *options, const struct session_watch *watch, double *sums, struct error *err)
{
    struct train_options o = options_of(options);
    struct train_pass *p;
    int rc = train_pass_open(&p, m, &o, err);
    for (size_t done = 0; rc == 0 && done < n;) {
        int some = take_texts(texts + done, n - done, options);
        if (watch && watch->cancelled && watch->cancelled(watch->context))
            rc = error_set(err, ERROR_CANCELLED, "stopped after %zu of %zu texts", done, n);
        else
            rc = score_some(p, texts + done, some, done, sums + done, err);
        done += (size_t)some;
        if (rc == 0 && watch && watch->progress)
            watch->progress(watch->context, (int)done, (int)n);
    }
    train_pass_close(p);
    if (rc)
        error_in(err, "asking the reference model");
    return rc;
}
