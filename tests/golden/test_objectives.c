/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of preferences and rewards against TRL: on random log-probabilities, and through whole tiny models whose
 * gradients PyTorch computes in float64. tools/golden/objectives.py says what each case holds. */
#include "case.h"
#include "runner.h"

#include "support.h"

#include "model/train_pass.h"
#include "train/objective/grpo.h"
#include "train/objective/preference.h"
#include "train/objective/reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 256, TEXTS_MAX = 16 };

static json_t *golden;

static double number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_number(v))
        fail_msg("no number \"%s\"", key);
    return json_number_value(v);
}

static int whole_list(int *out, const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);
    int n = (int)json_array_size(list);
    assert_in_range(n, 1, MOST);
    for (int i = 0; i < n; i++)
        out[i] = (int)json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

static int real_list(double *out, const json_t *object, const char *key)
{
    const json_t *list = json_object_get(object, key);
    int n = (int)json_array_size(list);
    assert_in_range(n, 0, MOST);
    for (int i = 0; i < n; i++)
        out[i] = json_number_value(json_array_get(list, (size_t)i));
    return n;
}

/* NULL where the case has none. */
static const float *float_list(float *out, const json_t *object, const char *key, int n)
{
    double x[MOST];
    if (!json_is_array(json_object_get(object, key)))
        return NULL;
    assert_int_equal(real_list(x, object, key), n);
    for (int i = 0; i < n; i++)
        out[i] = (float)x[i];
    return out;
}

static void check_near(const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound * (fabs(want) + 1)))
        fail_msg("%s is %.9g, expected %.9g", what, got, want);
}

/* Both start from the same floats; what differs is that ours become floats again. */
static void check_weights(const json_t *c, const float *weights, int n, double bound)
{
    double want[MOST], largest = 0;
    assert_int_equal(real_list(want, c, "weights"), n);
    for (int i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    assert_true(largest > 0);
    for (int i = 0; i < n; i++)
        if (!(fabs((double)weights[i] - want[i]) <= bound * (fabs(want[i]) + 1e-3 * largest)))
            fail_msg("the derivative by log-probability %d is %.9g, expected %.9g", i, (double)weights[i], want[i]);
}

struct metric {
    const char *name;
    double value;
};

static void check_metrics(const json_t *c, const struct metric *metrics, size_t n, double bound)
{
    const json_t *want = json_object_get(c, "metrics"), *value;
    const char *name;
    assert_true(json_object_size(want) > 0);
    json_object_foreach((json_t *)(uintptr_t)want, name, value)
    {
        size_t at = 0;
        while (at < n && strcmp(metrics[at].name, name) != 0)
            at++;
        assert_true(at < n);
        check_near(name, metrics[at].value, json_number_value(value), bound);
    }
}

static int chosen_of(const json_t *c, const char *key, const char *const *names, int n)
{
    const char *name = json_string_value(json_object_get(c, key));
    for (int i = 0; i < n; i++)
        if (name && strcmp(names[i], name) == 0)
            return i;
    fail_msg("\"%s\" is not known", key);
    return -1;
}

static struct preference_options preference_of(const json_t *c)
{
    static const char *const losses[] = { "sigmoid", "robust", "hinge", "ipo", "orpo" };
    struct preference_options o = { .loss = (enum preference_loss)chosen_of(c, "loss", losses, 5),
        .beta = number(c, "beta"), .label_smoothing = number(c, "label_smoothing") };
    assert_int_equal(preference_check(&o, NULL), 0);
    return o;
}

static struct grpo_options grpo_of(const json_t *c)
{
    static const char *const means[] = { "completions", "tokens", "length" }, *const ratios[] = { "token", "sequence" };
    struct grpo_options o = { .mean = (enum grpo_mean)chosen_of(c, "mean", means, 3),
        .ratio = (enum grpo_ratio)chosen_of(c, "ratio", ratios, 2), .epsilon_low = number(c, "epsilon_low"),
        .epsilon_high = number(c, "epsilon_high"), .ratio_max = number(c, "ratio_max"), .beta = number(c, "beta"),
        .tokens_max = (int)number(c, "tokens_max") };
    assert_int_equal(grpo_check(&o, NULL), 0);
    return o;
}

static int sum_of(const int *counts, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += counts[i];
    return sum;
}

/* TRL computes ORPO in float32. */
static double bound_of(const struct preference_options *o)
{
    return o->loss == PREFERENCE_ORPO ? 1e-5 : 4 * (double)FLT_EPSILON;
}

static void one_preference(const json_t *c)
{
    int counts[MOST], texts = whole_list(counts, c, "counts"), tokens = sum_of(counts, texts);
    float logprobs[MOST], weights[MOST], parts[MOST];
    double reference[MOST];
    struct preference_options o = preference_of(c);
    struct preference_metrics m = { .loss = 0 }, cut = { .loss = 0 };
    real_list(reference, c, "reference");
    struct preference_pairs p = { .n = texts / 2, .counts = counts,
        .logprobs = float_list(logprobs, c, "logprobs", tokens),
        .reference = preference_needs_reference(&o) ? reference : NULL };
    preference_weigh(&o, &p, weights, &m);
    check_near("the loss", m.loss, number(c, "value"), bound_of(&o));
    check_weights(c, weights, tokens, bound_of(&o));
    const struct metric metrics[] = { { "chosen_reward", m.chosen_reward }, { "rejected_reward", m.rejected_reward },
        { "margin", m.margin }, { "accuracy", m.accuracy }, { "chosen_logprob", m.chosen_logprob },
        { "rejected_logprob", m.rejected_logprob }, { "likelihood_loss", m.likelihood_loss },
        { "log_odds", m.log_odds } };
    check_metrics(c, metrics, sizeof metrics / sizeof *metrics, bound_of(&o));

    /* Two passes of a step add up to it. */
    int first = sum_of(counts, 4);
    struct preference_pairs a = p, b = p;
    a.n = 2;
    a.step_pairs = b.step_pairs = p.n;
    b.n -= 2;
    b.counts += 4;
    b.logprobs += first;
    b.reference = p.reference ? p.reference + 4 : NULL;
    preference_weigh(&o, &a, parts, &cut);
    preference_weigh(&o, &b, parts + first, &cut);
    assert_memory_equal(parts, weights, (size_t)tokens * sizeof *parts);
    check_near("the loss of two passes", cut.loss, m.loss, 1e-14);
}

static void preferences(void **state)
{
    const json_t *list = json_object_get(golden, "preference"), *c;
    size_t i;
    (void)state;
    assert_true(json_array_size(list) >= 9);
    json_array_foreach(list, i, c)
        one_preference(c);
}

static void one_grpo(const json_t *c)
{
    int counts[MOST], keep[MOST], texts = whole_list(counts, c, "counts"), tokens = sum_of(counts, texts), left = 0;
    float logprobs[MOST], old[MOST], reference[MOST], entropies[MOST], weights[MOST], parts[MOST];
    double advantages[MOST];
    bool kept[MOST];
    struct grpo_options o = grpo_of(c);
    struct grpo_metrics m = { .loss = 0 }, cut = { .loss = 0 };
    assert_int_equal(whole_list(keep, c, "kept"), texts);
    assert_int_equal(real_list(advantages, c, "advantages"), texts);
    for (int i = 0; i < texts; i++) {
        kept[i] = keep[i];
        left += kept[i] ? counts[i] : 0;
    }
    struct grpo_completions p = { .n = texts, .counts = counts,
        .logprobs = float_list(logprobs, c, "logprobs", tokens), .old = float_list(old, c, "old", tokens),
        .reference = float_list(reference, c, "reference", tokens),
        .entropies = float_list(entropies, c, "entropies", tokens), .advantages = advantages, .kept = kept,
        .step_completions = texts /* TRL counts those that it masks */ };
    grpo_weigh(&o, &p, weights, &m);
    check_near("the loss", m.loss, number(c, "value"), 4 * (double)FLT_EPSILON);
    check_weights(c, weights, tokens, 4 * (double)FLT_EPSILON);
    const struct metric metrics[] = { { "entropy", m.entropy }, { "divergence", m.divergence },
        { "clip_low", m.clip_low }, { "clip_high", m.clip_high } };
    check_metrics(c, metrics, sizeof metrics / sizeof *metrics, 4 * (double)FLT_EPSILON);
    assert_true(p.old || m.ratio == 1 || fabs(m.ratio - 1) < 1e-12);

    int first = sum_of(counts, 5);
    struct grpo_completions a = p, b = p;
    a.step_tokens = b.step_tokens = left;
    a.n = 5;
    b.n -= 5;
    b.counts += 5;
    b.logprobs += first;
    b.old = p.old ? p.old + first : NULL;
    b.reference = p.reference ? p.reference + first : NULL;
    b.entropies += first;
    b.advantages += 5;
    b.kept += 5;
    grpo_weigh(&o, &a, parts, &cut);
    grpo_weigh(&o, &b, parts + first, &cut);
    assert_memory_equal(parts, weights, (size_t)tokens * sizeof *parts);
    check_near("the loss of two passes", cut.loss, m.loss, 1e-14);
}

static void groups(void **state)
{
    const json_t *list = json_object_get(golden, "grpo"), *c;
    size_t i;
    (void)state;
    assert_true(json_array_size(list) >= 16);
    json_array_foreach(list, i, c)
        one_grpo(c);
}

static void one_advantages(const json_t *c)
{
    static const char *const scales[] = { "group", "batch", "none" };
    double rewards[MOST], want[MOST], got[MOST];
    bool kept[MOST], cut[MOST] = { [2] = true, [5] = true };
    int n = real_list(rewards, c, "rewards"), group = (int)number(c, "group");
    struct grpo_options o = { .scale = (enum grpo_scale)chosen_of(c, "scale", scales, 3), .epsilon_low = 0.2 };
    struct grpo_rewards r = { n / group, group, rewards, cut };
    struct grpo_reward_metrics m;
    assert_int_equal(real_list(want, c, "advantages"), n);
    grpo_advantages(&o, &r, got, kept, &m);
    for (int i = 0; i < n; i++) {
        check_near("an advantage", got[i], want[i], 1e-7); /* TRL's factor n / (n - 1) is a float32 */
        assert_true(kept[i]);
    }
    check_near("the mean reward", m.mean, number(c, "mean"), 1e-12);
    check_near("the deviation", m.deviation, number(c, "deviation"), 1e-7);
    check_near("the share of equal groups", m.equal, number(c, "equal"), 1e-12);
    assert_true(m.kept == 1);
    o.drop_equal = o.mask_cut = true;
    grpo_advantages(&o, &r, got, kept, &m);
    for (int i = 0; i < n; i++) { /* the second group's rewards are equal */
        assert_int_equal(kept[i], i / group != 1 && i != 2);
        check_near("an advantage", got[i], want[i], 1e-7);
    }
    check_near("the share of what is kept", m.kept, (n - group - 1) / (double)n, 1e-12);
}

static void advantages(void **state)
{
    const json_t *list = json_object_get(golden, "advantages"), *c;
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(list), 3);
    json_array_foreach(list, i, c)
        one_advantages(c);
}

/* ---- whole models ---- */

/* What turns a pass's scores into weights. */
struct objective {
    const json_t *c;
    int counts[TEXTS_MAX], texts;
    double loss;
};

static int weigh(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    struct objective *j = context;
    double list[TEXTS_MAX];
    float old[MOST], reference[MOST];
    (void)err;
    assert_int_equal(scores->count, sum_of(j->counts, j->texts));
    if (json_object_get(j->c, "loss")) {
        struct preference_options o = preference_of(j->c);
        struct preference_metrics m = { .loss = 0 };
        real_list(list, j->c, "reference");
        preference_weigh(&o, &(struct preference_pairs) { .n = j->texts / 2, .counts = j->counts,
            .logprobs = scores->logprobs, .reference = list }, weights, &m);
        j->loss = m.loss;
        return 0;
    }
    struct grpo_options o = grpo_of(j->c);
    struct grpo_metrics m = { .loss = 0 };
    assert_int_equal(real_list(list, j->c, "advantages"), j->texts);
    grpo_weigh(&o, &(struct grpo_completions) { .n = j->texts, .counts = j->counts, .logprobs = scores->logprobs,
        .old = float_list(old, j->c, "old", scores->count),
        .reference = float_list(reference, j->c, "reference", scores->count), .advantages = list }, weights, &m);
    j->loss = m.loss;
    return 0;
}

struct prepared {
    int32_t ids[TEXTS_MAX][MOST], targets[TEXTS_MAX][MOST];
    struct train_text texts[TEXTS_MAX];
    int tokens;
};

static void prepare(struct prepared *p, struct objective *j, const json_t *c)
{
    const json_t *list = json_object_get(c, "texts");
    *j = (struct objective) { .c = c, .texts = (int)json_array_size(list) };
    p->tokens = 0;
    for (int i = 0; i < j->texts; i++) {
        const json_t *text = json_array_get(list, (size_t)i), *ids = json_array_get(text, 0);
        int n = (int)json_array_size(ids), prompt = (int)json_integer_value(json_array_get(text, 1));
        for (int k = 0; k < n; k++) {
            p->ids[i][k] = (int32_t)json_integer_value(json_array_get(ids, (size_t)k));
            p->targets[i][k] = TRAIN_SKIP;
            if (k >= prompt)
                p->targets[i][k - 1] = p->ids[i][k];
        }
        p->texts[i] = (struct train_text) { p->ids[i], p->targets[i], n };
        j->counts[i] = n - prompt;
        p->tokens += n;
    }
}

static const struct { const char *name; int role, layer; } parts[] = {
    { "model.embed_tokens.weight", ROLE_token_embedding, 0 },
    { "model.layers.0.self_attn.q_proj.weight", ROLE_q, 0 },
    { "model.layers.1.mlp.down_proj.weight", ROLE_down, 1 },
    { "model.norm.weight", ROLE_final_norm, 0 },
    { "lm_head.weight", ROLE_output, 0 },
};

/* Elements within rounding of their size, 1000 units of 2^-24 (test_gradients.c looks closer), and the norm. Returns
 * the worst, in units. */
static double check_part(const struct train_pass *p, const json_t *entry)
{
    const char *name = json_string_value(json_array_get(entry, 0));
    size_t at = 0, i;
    while (at < sizeof parts / sizeof *parts && strcmp(parts[at].name, name) != 0)
        at++;
    assert_true(at < sizeof parts / sizeof *parts);
    const struct weight *w = train_pass_weight(p, parts[at].role, parts[at].layer);
    size_t n = (size_t)(w->tensor.rows * w->tensor.cols);
    double squares = 0, size = json_number_value(json_array_get(entry, 2)) / sqrt((double)n), worst = 0;
    double norm = json_number_value(json_array_get(entry, 1));
    for (i = 0; i < n; i++)
        squares += (double)w->gradient[i] * (double)w->gradient[i];
    check_near(name, sqrt(squares) / norm, 1, 1e-5);
    const json_t *elements = json_array_get(entry, 5), *e;
    assert_true(json_array_size(elements) >= 2);
    json_array_foreach(elements, i, e)
    {
        double got = (double)w->gradient[json_integer_value(json_array_get(e, 0))];
        double want = json_number_value(json_array_get(e, 1)), own = json_number_value(json_array_get(e, 2));
        double units = fabs(got - want) / ((own + size) * 0x1p-24);
        if (!(units <= 1000))
            fail_msg("%s: element %zu is %.9g, expected %.9g: %.1f units", name, i, got, want, units);
        worst = fmax(worst, units);
    }
    return worst;
}

static void one_model(const json_t *c, int logits_max, bool checkpoint)
{
    static struct prepared ready;
    struct golden_case model;
    struct runner r;
    struct objective j;
    struct error err = { 0 };
    char file[128];
    const char *folder = test_folder(), *name = json_string_value(json_object_get(c, "model"));
    double worst = 0;
    snprintf(file, sizeof file, "tests/golden/data/models/%s.json", name);
    case_read(&model, test_repo(file));
    case_write_folder(&model, folder);
    runner_open(&r, folder);
    prepare(&ready, &j, c);
    struct train_options o = { .tokens_max = ready.tokens, .texts_max = j.texts, .logits_max = logits_max,
        .threads = 2, .checkpoint = checkpoint };
    struct train_objective objective = { { .temperature = (float)number(c, "temperature") }, weigh, &j };
    struct train_pass *p;
    assert_int_equal(train_pass_open(&p, r.model, &o, &err), 0);
    assert_int_equal(train_pass_objective(p, ready.texts, j.texts, &objective, &err), 0);
    check_near("the loss", j.loss, number(c, "value"), 1e-5);
    const json_t *list = json_object_get(c, "gradients"), *entry;
    size_t i;
    assert_true(json_array_size(list) >= 4);
    json_array_foreach(list, i, entry)
        worst = fmax(worst, check_part(p, entry));
    const char *loss = json_text(c, "loss", "grpo");
    printf("%-14s %-8s loss %9.6f, worst element %6.1f units\n", name, loss, j.loss, worst);
    train_pass_close(p);
    runner_close(&r);
    case_release(&model);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

/* However texts are packed, a reference says the same, and what a pass of one text says. */
static void references(void **state)
{
    static struct prepared ready;
    struct golden_case model;
    struct runner r;
    struct objective j;
    struct error err = { 0 };
    double sums[TEXTS_MAX], others[TEXTS_MAX];
    const char *folder = test_folder();
    (void)state;
    case_read(&model, test_repo("tests/golden/data/models/llama_plain.json"));
    case_write_folder(&model, folder);
    runner_open(&r, folder);
    prepare(&ready, &j, json_array_get(json_object_get(golden, "models"), 0));
    struct reference_options o = { .tokens_max = ready.tokens, .texts_max = j.texts, .logits_max = 4, .threads = 2 };
    size_t n = (size_t)j.texts;
    assert_int_equal(reference_sums(r.model, ready.texts, n, &o, NULL, sums, &err), 0);
    for (int most = 14; most <= 25; most++) {
        o.tokens_max = most;
        o.texts_max = 1 + most % 3;
        assert_int_equal(reference_sums(r.model, ready.texts, n, &o, NULL, others, &err), 0);
        assert_memory_equal(others, sums, n * sizeof *sums);
    }
    struct train_options alone = { .tokens_max = 14, .texts_max = 1, .logits_max = 14, .threads = 1 };
    struct train_pass *p;
    assert_int_equal(train_pass_open(&p, r.model, &alone, &err), 0);
    for (size_t i = 0; i < n; i++) {
        double loss, mean = -sums[i] / j.counts[i];
        assert_int_equal(train_pass_run(p, &ready.texts[i], 1, 0, &loss, &err), 0);
        assert_true(fabs(loss - mean) <= 1e-12 * mean);
    }
    assert_true(reference_bytes(r.model, &o) < train_pass_bytes(r.model, &alone));
    train_pass_close(p);
    const struct session_watch stop = { .cancelled = always };
    assert_int_equal(reference_sums(r.model, ready.texts, n, &o, &stop, others, &err), ERROR_CANCELLED);
    o.tokens_max = 13;
    assert_int_equal(reference_sums(r.model, ready.texts, n, &o, NULL, others, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "asking the reference model"));
    o.tokens_max = 40;
    o.texts_max = 2;
    for (int i = 0; i < ready.texts[1].count; i++)
        ready.targets[1][i] = TRAIN_SKIP;
    assert_int_equal(reference_sums(r.model, ready.texts, n, &o, NULL, others, &err), ERROR_USAGE);
    assert_non_null(strstr(err.text, "text 1 has nothing"));
    runner_close(&r);
    case_release(&model);
}

static void models(void **state)
{
    const json_t *list = json_object_get(golden, "models"), *c;
    size_t i;
    (void)state;
    assert_true(json_array_size(list) >= 12);
    json_array_foreach(list, i, c)
        one_model(c, i % 2 ? 5 : 64, i % 3 == 0);
}

/* ---- numbers out of range ---- */

static void refusals(void **state)
{
    (void)state;
    const struct preference_options pairs[] = { { PREFERENCE_SIGMOID, 0, 0 }, { PREFERENCE_SIGMOID, NAN, 0 },
        { PREFERENCE_ORPO, -1, 0 }, { PREFERENCE_ROBUST, 1, 0.5 }, { PREFERENCE_SIGMOID, 1, -0.1 },
        { PREFERENCE_IPO, 1, 0.1 } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(preference_check(&pairs[i], NULL), ERROR_USAGE);
    const struct grpo_options good = { .epsilon_low = 0.2, .epsilon_high = 0.2 };
    assert_int_equal(grpo_check(&good, NULL), 0);
    struct grpo_options bad[] = { good, good, good, good, good, good };
    bad[0].epsilon_low = 1.5;
    bad[1].epsilon_high = NAN;
    bad[2].ratio_max = 1.1;
    bad[3].beta = -1;
    bad[4].mean = GRPO_MEAN_LENGTH;
    bad[5].epsilon_low = -0.1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(grpo_check(&bad[i], NULL), ERROR_USAGE);
}

/* What is certain has infinite odds; what is far away must not make NaN of a whole step. */
static void edges(void **state)
{
    (void)state;
    const int counts[] = { 1, 2 };
    const float certain[] = { 0, -1, -2 }, far[] = { -1e30f, 0, -3e30f };
    const double reference[] = { 0, 0 };
    for (int loss = PREFERENCE_SIGMOID; loss <= PREFERENCE_ORPO; loss++)
        for (int i = 0; i < 2; i++) {
            const struct preference_options o = { (enum preference_loss)loss, 0.1, 0 };
            const struct preference_pairs p = { 1, counts, i ? far : certain, reference, 0 };
            struct preference_metrics m = { .loss = 0 };
            float weights[3];
            preference_weigh(&o, &p, weights, &m);
            for (int k = 0; k < 3; k++)
                assert_true(isfinite(weights[k]));
            assert_true(isfinite(m.loss) && isfinite(m.margin));
        }
    const double rewards[] = { 0.1 + 0.2, 0.1 + 0.2, 0.1 + 0.2 };
    double advantage[3];
    bool kept[3];
    struct grpo_reward_metrics m;
    const struct grpo_options by_group = { .scale = GRPO_SCALE_GROUP };
    grpo_advantages(&by_group, &(struct grpo_rewards) { 1, 3, rewards, NULL }, advantage, kept, &m);
    assert_true(advantage[0] == 0 && advantage[1] == 0 && advantage[2] == 0 && m.equal == 1);
    grpo_advantages(&by_group, &(struct grpo_rewards) { 3, 1, rewards, NULL }, advantage, kept, &m);
    assert_true(advantage[0] == 0 && advantage[2] == 0 && m.equal == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences),
        cmocka_unit_test(groups),
        cmocka_unit_test(advantages),
        cmocka_unit_test(models),
        cmocka_unit_test(references),
        cmocka_unit_test(refusals),
        cmocka_unit_test(edges),
    };
    struct error err = { 0 };
    if (json_read_file_new(&golden, test_repo("tests/golden/data/objectives.json"), 1 << 22, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(golden);
    return rc;
}
