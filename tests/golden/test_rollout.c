/* SPDX-License-Identifier: Apache-2.0 */
/* What is sampled is what is trained: the log-probabilities that a rollout notes are, bit for bit, those that the
 * training pass computes of the same texts, for every family, in f32 and bf16; and completions do not depend on how
 * many grow at once, on threads or on how prompts are cut. */
#include "case.h"
#include "runner.h"

#include "support.h"

#include "base/pool.h"
#include "model/train_pass.h"
#include "train/rollout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LONG: over blocks of attention and its segments, which threads share, and over rings. */
enum { PROMPTS = 3, GROUP = 3, COMPLETIONS = PROMPTS * GROUP, TOKENS = 19, SHORT = 30, LONG = 530, SEED = 5 };

static char paths[CASES_MAX][CASE_PATH_MAX];

struct kept {
    int32_t ids[TOKENS];
    float logprobs[TOKENS];
    int count;
    enum rollout_end end;
};

struct ready {
    struct golden_case c;
    struct runner r;
    int32_t ids[LONG];
    int longest;
    struct rollout_prompt prompts[PROMPTS];
    int32_t stop;
};

static void ready_open(struct ready *k, const char *path, int longest)
{
    const char *folder = test_folder();
    case_read(&k->c, path);
    case_write_folder(&k->c, folder);
    runner_open(&k->r, folder);
    for (int i = 0; i < LONG; i++)
        k->ids[i] = k->c.ids[i % k->c.n_ids];
    k->longest = longest;
    k->prompts[0] = (struct rollout_prompt) { k->ids, 7 };
    k->prompts[1] = (struct rollout_prompt) { k->ids + 7, 1 };
    k->prompts[2] = (struct rollout_prompt) { k->ids, longest };
    k->stop = k->c.ids[3];
}

static void ready_close(struct ready *k)
{
    runner_close(&k->r);
    case_release(&k->c);
}

static struct rollout_options options_of(const struct ready *k, double temperature)
{
    struct rollout_options o = { .prompts_max = PROMPTS, .group = GROUP, .sequences = COMPLETIONS,
        .prompt_max = k->longest, .tokens_max = TOKENS, .stops = &k->stop, .n_stops = 1, .threads = 1 };
    for (int i = 0; i < SAMPLING_COUNT; i++)
        o.sampling.at[i] = sampling_off((enum sampling_setting)i);
    o.sampling.at[SAMPLING_temperature] = temperature;
    return o;
}

static void sample(const struct ready *k, const struct rollout_options *o, struct kept *kept)
{
    struct rollout *r;
    struct error err = { 0 };
    const struct completion *c;
    if (rollout_open(&r, k->r.model, o, &err) != 0)
        fail_msg("%s", err.text);
    for (int again = 0; again < 2; again++) { /* a run leaves nothing behind */
        if (rollout_run(r, k->prompts, PROMPTS, again ? SEED : SEED + 1, NULL, &c, &err) != 0)
            fail_msg("%s", err.text);
    }
    for (int i = 0; i < COMPLETIONS; i++) {
        assert_in_range(c[i].count, 1, TOKENS);
        kept[i] = (struct kept) { .count = c[i].count, .end = c[i].end };
        memcpy(kept[i].ids, c[i].ids, (size_t)c[i].count * sizeof *c[i].ids);
        memcpy(kept[i].logprobs, c[i].logprobs, (size_t)c[i].count * sizeof *c[i].logprobs);
        assert_int_equal(c[i].end == ROLLOUT_STOP, c[i].ids[c[i].count - 1] == k->stop);
        assert_true(c[i].end == ROLLOUT_STOP || c[i].count == TOKENS);
    }
    rollout_close(r);
}

/* The same completions as texts to learn from: the targets are what was sampled. */
struct texts {
    int32_t ids[COMPLETIONS][LONG + TOKENS], targets[COMPLETIONS][LONG + TOKENS];
    struct train_text text[COMPLETIONS];
    int tokens, counted;
};

static void make_texts(struct texts *t, const struct ready *k, const struct kept *kept)
{
    t->tokens = t->counted = 0;
    for (int i = 0; i < COMPLETIONS; i++) {
        const struct rollout_prompt *p = &k->prompts[i / GROUP];
        int n = 0;
        for (int j = 0; j < p->count; j++, n++) {
            t->ids[i][n] = p->ids[j];
            t->targets[i][n] = TRAIN_SKIP;
        }
        t->targets[i][n - 1] = kept[i].ids[0];
        for (int j = 1; j < kept[i].count; j++, n++) {
            t->ids[i][n] = kept[i].ids[j - 1];
            t->targets[i][n] = kept[i].ids[j];
        }
        t->text[i] = (struct train_text) { t->ids[i], t->targets[i], n };
        t->tokens += n;
        t->counted += kept[i].count;
    }
}

static void compare(const struct ready *k, const struct kept *kept, const struct train_scores *s, const char *what)
{
    for (int i = 0, at = 0; i < COMPLETIONS; at += kept[i++].count)
        for (int j = 0; j < kept[i].count; j++) {
            assert_true(kept[i].logprobs[j] <= 0 && isfinite(kept[i].logprobs[j]));
            if (memcmp(&s->logprobs[at + j], &kept[i].logprobs[j], sizeof(float)) != 0)
                fail_msg("%s, %s: token %d of completion %d has %.9g, sampled with %.9g", k->c.name, what, j, i,
                    (double)s->logprobs[at + j], (double)kept[i].logprobs[j]);
        }
}

static int same_weights(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    struct train_scores *out = context;
    (void)err;
    *out = *scores;
    memset(weights, 0, (size_t)scores->count * sizeof *weights);
    return 0;
}

/* A pass for scores alone, one that learns, and what it shows an objective. */
static void check_scores(const struct ready *k, const struct kept *kept, double temperature)
{
    static struct texts t;
    struct error err = { 0 };
    struct train_scores scores, shown = { 0 };
    struct train_scoring scoring = { .temperature = temperature > 0 ? (float)temperature : 1 };
    make_texts(&t, k, kept);
    uint64_t bytes[2];
    for (int learns = 0; learns < 2; learns++) {
        struct train_options o = { .tokens_max = t.tokens + 3, .texts_max = COMPLETIONS, .logits_max = 8, .threads = 2,
            .scores_only = !learns };
        struct train_pass *p;
        if (train_pass_open(&p, k->r.model, &o, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(train_pass_score(p, t.text, COMPLETIONS, &scoring, &scores, &err), 0);
        assert_int_equal(scores.count, t.counted);
        assert_null(scores.entropies);
        compare(k, kept, &scores, learns ? "a pass that learns" : "a pass for scores");
        struct train_objective objective = { scoring, same_weights, &shown };
        if (learns) {
            assert_int_equal(train_pass_objective(p, t.text, COMPLETIONS, &objective, &err), 0);
            compare(k, kept, &shown, "an objective");
        } else {
            assert_int_equal(train_pass_objective(p, t.text, COMPLETIONS, &objective, &err), ERROR_USAGE);
        }
        bytes[learns] = train_pass_bytes(k->r.model, &o);
        train_pass_close(p);
    }
    assert_true(bytes[0] < bytes[1]);
}

static void same_completions(const struct kept *a, const struct kept *b)
{
    for (int i = 0; i < COMPLETIONS; i++) {
        assert_int_equal(a[i].count, b[i].count);
        assert_int_equal(a[i].end, b[i].end);
        assert_memory_equal(a[i].ids, b[i].ids, (size_t)a[i].count * sizeof *a[i].ids);
        assert_memory_equal(a[i].logprobs, b[i].logprobs, (size_t)a[i].count * sizeof *a[i].logprobs);
    }
}

static void check(const char *path, int longest)
{
    static const double temperatures[] = { 1, 0.6, 0 };
    struct ready k;
    struct kept kept[COMPLETIONS], other[COMPLETIONS];
    int tokens = 0, stopped = 0, runs = longest == SHORT ? 3 : 1;
    ready_open(&k, path, longest);
    for (int t = 0; t < runs; t++) {
        struct rollout_options o = options_of(&k, temperatures[t]);
        sample(&k, &o, kept);
        check_scores(&k, kept, temperatures[t]);
        for (int i = 0; i < COMPLETIONS; i++) {
            tokens += kept[i].count;
            stopped += kept[i].end == ROLLOUT_STOP;
        }
        if (t == 2) /* nothing is drawn: a group says one thing */
            assert_memory_equal(kept[3].ids, kept[5].ids, (size_t)kept[3].count * sizeof *kept[3].ids);
        o.sequences = 2 + t; /* completions follow each other where others ended */
        o.threads = 1 + t;
        o.chunk = 1 + 4 * t;
        sample(&k, &o, other);
        same_completions(kept, other);
    }
    printf("%-18s %4d tokens, %2d of %d completions stopped: no bit differs\n", k.c.name, tokens, stopped,
        runs * COMPLETIONS);
    ready_close(&k);
}

static void check_case(void **state)
{
    check(*state, SHORT);
}

static void long_prompts(void **state)
{
    static const char *const names[] = { "llama_grouped", "llama_bf16", "qwen3", "mistral_window", "gpt_oss" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[128];
        snprintf(file, sizeof file, "tests/golden/data/models/%s.json", names[i]);
        check(test_repo(file), LONG);
    }
}

/* ---- what is refused ---- */

static void refuses(struct rollout *r, const struct rollout_prompt *prompts, int n, int code, const char *words)
{
    struct error err = { 0 };
    const struct completion *c;
    assert_int_equal(rollout_run(r, prompts, n, 1, NULL, &c, &err), code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void note_progress(void *context, int done, int total)
{
    int *last = context;
    assert_true(done >= *last && done <= total);
    *last = done;
}

static void refusals(void **state)
{
    (void)state;
    struct ready k;
    struct rollout *r;
    struct error err = { 0 };
    const struct completion *c;
    ready_open(&k, test_repo("tests/golden/data/models/gpt2_tied.json"), SHORT);
    struct rollout_options o = options_of(&k, 1);
    assert_int_equal(rollout_open(&r, k.r.model, &o, &err), 0);
    struct rollout_prompt bad[PROMPTS + 1] = { k.prompts[0], k.prompts[1], k.prompts[2], k.prompts[0] };
    int32_t outside[] = { 1, 109 };
    refuses(r, bad, PROMPTS + 1, ERROR_LIMIT, "4 prompts, 1 to 3 are prepared for");
    bad[1].count = 0;
    refuses(r, bad, 2, ERROR_LIMIT, "prompt 1 has 0 tokens, 1 to 30");
    bad[1] = (struct rollout_prompt) { outside, 2 };
    refuses(r, bad, 2, ERROR_USAGE, "token 1 of prompt 1 is 109, outside the vocabulary of 109");
    int done = 0;
    const struct session_watch stop = { .cancelled = always }, follow = { .progress = note_progress, .context = &done };
    assert_int_equal(rollout_run(r, k.prompts, PROMPTS, 1, &stop, &c, &err), ERROR_CANCELLED);
    assert_int_equal(rollout_run(r, k.prompts, PROMPTS, 1, &follow, &c, &err), 0);
    assert_int_equal(done, COMPLETIONS);
    rollout_close(r);
    o.tokens_max = 22; /* the model has 50 positions, the last token needs none */
    assert_int_equal(rollout_open(&r, k.r.model, &o, &err), ERROR_LIMIT);
    assert_null(r);
    o.tokens_max = 21;
    assert_int_equal(rollout_open(&r, k.r.model, &o, &err), 0);
    rollout_close(r);
    o.group = 0;
    assert_int_equal(rollout_open(&r, k.r.model, &o, &err), ERROR_USAGE);
    rollout_close(NULL);
    ready_close(&k);
}

int main(void)
{
    static struct CMUnitTest tests[CASES_MAX + 2];
    int n = case_list(paths, CASES_MAX, "tests/golden/data/models", "");
    for (int i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest) { .name = strrchr(paths[i], '/') + 1, .test_func = check_case,
            .initial_state = paths[i] };
    tests[n] = (struct CMUnitTest)cmocka_unit_test(long_prompts);
    tests[n + 1] = (struct CMUnitTest)cmocka_unit_test(refusals);
    return _cmocka_run_group_tests("rollout", tests, (size_t)n + 2, NULL, NULL);
}
