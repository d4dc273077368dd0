/* SPDX-License-Identifier: Apache-2.0 */
/* Loss and gradients of every family against PyTorch: the tiny models of test_models.c, two texts packed in one pass.
 * gradient_case.h says how they are compared. */
#include "case.h"
#include "gradient_case.h"
#include "runner.h"

#include "support.h"

#include "model/arch.h"
#include "model/model_impl.h"
#include "model/save.h"
#include "model/train_pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static char paths[CASES_MAX][CASE_PATH_MAX];
static int n_paths;

static struct train_pass *open_pass(const struct runner *r, const struct train_options *o)
{
    struct train_pass *p;
    struct error err = { 0 };
    if (train_pass_open(&p, r->model, o, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

static double run(struct train_pass *p, const struct gradients *g)
{
    struct error err = { 0 };
    double loss;
    if (train_pass_run(p, g->texts, GRADIENT_TEXTS, 0, &loss, &err) != 0)
        fail_msg("%s", err.text);
    return loss;
}

static size_t gradient_size(const struct runner *r, int role, int layer)
{
    struct role_shape shape = role_shape(r->spec, role, layer);
    size_t matrices = shape.kind == ROLE_EXPERTS ? (size_t)r->spec->experts : 1;
    return matrices * (size_t)shape.rows * (size_t)shape.cols;
}

/* Calls with every weight that learns. */
typedef void each_fn(void *context, int role, int layer, const float *gradient);
static void each_gradient(const struct runner *r, const struct train_pass *p, each_fn *call, void *context)
{
    for (int role = 0; role < N_ROLES; role++) {
        int layers = role < N_LAYER_ROLES ? r->spec->layers : 1;
        for (int layer = 0; layer < layers; layer++) {
            const float *gradient = train_pass_weight(p, role, layer)->gradient;
            if (gradient)
                call(context, role, layer, gradient);
        }
    }
}

/* ---- the gradients as a checkpoint would hold them ---- */

/* A model whose weights are the gradients, and the tensors that it would be saved as. */
struct checkpoint {
    const struct runner *r;
    const struct golden_case *c;
    struct model model;
    struct tensor *lists; /* (layers, layer roles, experts) */
    struct save *save;
};

static void turn_weight(struct checkpoint *k, struct weight *to, const struct weight *from, int role, int layer)
{
    struct role_shape shape = role_shape(k->r->spec, role, layer);
    const struct tensor t = { .format = &format_f32, .rows = shape.rows, .cols = shape.cols };
    if (!from->gradient)
        return;
    to->tensor = t;
    to->tensor.data = from->gradient;
    if (!from->experts)
        return;
    struct tensor *list = k->lists + ((size_t)layer * N_LAYER_ROLES + (size_t)role) * (size_t)k->r->spec->experts;
    for (int e = 0; e < k->r->spec->experts; e++) {
        list[e] = t;
        list[e].data = from->gradient + (size_t)e * (size_t)shape.rows * (size_t)shape.cols;
    }
    *to = (struct weight) { .experts = list };
}

static void checkpoint_open(struct checkpoint *k, const struct runner *r, const struct golden_case *c,
    const struct train_pass *p)
{
    const struct spec *s = r->spec;
    struct error err = { 0 };
    *k = (struct checkpoint) { .r = r, .c = c, .model = { .spec = *s } };
    k->model.layers = calloc((size_t)s->layers, sizeof *k->model.layers);
    k->lists = calloc((size_t)s->layers * N_LAYER_ROLES * (size_t)(s->experts + 1), sizeof *k->lists);
    assert_true(k->model.layers && k->lists);
    for (int l = 0; l < s->layers; l++)
        for (int role = 0; role < N_LAYER_ROLES; role++)
            turn_weight(k, &k->model.layers[l].at[role], train_pass_weight(p, role, l), role, l);
    for (int role = N_LAYER_ROLES; role < N_ROLES; role++)
        turn_weight(k, &k->model.global.at[role - N_LAYER_ROLES], train_pass_weight(p, role, 0), role, 0);
    if (save_open(&k->save, &k->model, c->config, SOURCE_SAFETENSORS, false, &err) != 0)
        fail_msg("%s", err.text);
}

static void checkpoint_close(struct checkpoint *k)
{
    save_close(k->save);
    free(k->model.layers);
    free(k->lists);
}

/* Tables may lack what a wrapping model puts in front of names. */
static bool same_name(const char *whole, const char *end)
{
    size_t n = strlen(whole), m = strlen(end);
    return n >= m && strcmp(whole + n - m, end) == 0 && (n == m || whole[n - m - 1] == '.');
}

/* The numbers of a tensor, new; *entry: what the golden file says of it. */
static float *checkpoint_tensor_new(const struct checkpoint *k, const struct gradients *g, size_t i,
    const json_t **entry, int64_t *n)
{
    const struct saved_tensor *t = save_tensor(k->save, i);
    const json_t *list = json_object_get(g->json, "gradients");
    float *scratch = malloc((save_scratch(k->save) + 1) * sizeof *scratch);
    float *x = malloc((size_t)(t->rows * t->cols) * sizeof *x);
    size_t at = 0;
    assert_true(scratch && x);
    while (at < json_array_size(list)
        && !same_name(json_string_value(json_array_get(json_array_get(list, at), 0)), t->name))
        at++;
    *entry = json_array_get(list, at);
    *n = t->rows * t->cols;
    if (!*entry)
        fail_msg("no golden gradient of %s", t->name);
    save_decode(k->save, i, 0, (int)t->rows, x, scratch);
    free(scratch);
    return x;
}

/* ---- comparing ---- */

static void check_gradients(const struct checkpoint *k, const struct gradients *g, struct gradient_worst *worst)
{
    size_t n = save_count(k->save);
    const json_t *entry;
    int64_t count;
    assert_int_equal(json_array_size(json_object_get(g->json, "gradients")), n);
    for (size_t i = 0; i < n; i++) {
        float *x = checkpoint_tensor_new(k, g, i, &entry, &count);
        gradient_check(entry, x, count, k->r->spec->layers, worst);
        free(x);
    }
}

/* ---- the same bits, whatever the way ---- */

struct same {
    const struct runner *r;
    const struct train_pass *other;
    const char *what;
};

static void compare_bits(void *context, int role, int layer, const float *gradient)
{
    const struct same *s = context;
    const float *other = train_pass_weight(s->other, role, layer)->gradient;
    size_t n = gradient_size(s->r, role, layer);
    assert_non_null(other);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&gradient[i], &other[i], sizeof *gradient) != 0)
            fail_msg("%s: gradient %zu of %s in layer %d is %.9g instead of %.9g", s->what, i, role_name(role), layer,
                (double)other[i], (double)gradient[i]);
}

static void check_same_bits(const struct runner *r, const struct gradients *g, const struct train_options *base,
    const struct train_pass *p, double loss)
{
    for (int i = 0; i < 5; i++) {
        struct train_options o = *base;
        char what[64];
        o.threads = 1 + (i + 1) % 3;
        o.checkpoint = i >= 2;
        o.tokens_max += i; /* room that nobody uses */
        snprintf(what, sizeof what, "%d threads, %s", o.threads, o.checkpoint ? "checkpoints" : "all kept");
        struct train_pass *other = open_pass(r, &o);
        assert_true(run(other, g) == loss);
        each_gradient(r, p, compare_bits, &(struct same) { r, other, what });
        train_pass_clear(other); /* and once more, from nothing */
        assert_true(run(other, g) == loss);
        each_gradient(r, p, compare_bits, &(struct same) { r, other, what });
        train_pass_close(other);
    }
    struct train_options o = *base;
    o.checkpoint = true;
    assert_true(r->spec->layers < 2 || train_pass_bytes(r->model, &o) < train_pass_bytes(r->model, base));
}

/* The mean cross entropy as an objective: the same weights for all log-probabilities. Sees them first. */
static int mean_weights(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    double sum = 0;
    (void)err;
    assert_non_null(scores->entropies);
    for (int i = 0; i < scores->count; i++) {
        assert_true(scores->entropies[i] > -1e-3f && isfinite(scores->entropies[i]));
        sum -= (double)scores->logprobs[i];
        weights[i] = -(float)(1 / (double)scores->count);
    }
    *(double *)context = sum / (double)scores->count;
    return 0;
}

static int no_weights(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    (void)context;
    for (int i = 0; i < scores->count; i++)
        weights[i] = 1;
    return error_set(err, ERROR_LIMIT, "not so");
}

/* One pass gives the same gradients as a loss known beforehand and as an objective, bit for bit, whether the head's
 * logits are made again (many chunks) or not. */
static void check_objective(const struct runner *r, const struct gradients *g, const struct train_options *base)
{
    for (int i = 0; i < 4; i++) {
        double loss = 0;
        struct train_options o = *base;
        struct train_objective mean = { { 1, true }, mean_weights, &loss };
        o.logits_max = i % 2 ? g->tokens : base->logits_max;
        o.checkpoint = i >= 2;
        struct train_pass *p = open_pass(r, &o), *other = open_pass(r, &o);
        double plain = run(p, g);
        const struct train_objective none = { { 1, false }, no_weights, NULL };
        /* adds nothing */
        assert_int_equal(train_pass_objective(other, g->texts, GRADIENT_TEXTS, &none, NULL), ERROR_LIMIT);
        assert_int_equal(train_pass_objective(other, g->texts, GRADIENT_TEXTS, &mean, NULL), 0);
        assert_true(fabs(loss - plain) <= 1e-12 * plain);
        each_gradient(r, p, compare_bits, &(struct same) { r, other, "an objective" });
        train_pass_close(other);
        train_pass_close(p);
    }
}

/* Two passes of one text each, as parts of one step, add up to the pass of both. */
static void check_accumulation(const struct checkpoint *whole, const struct gradients *g,
    const struct train_options *options, double loss, struct gradient_worst *worst)
{
    struct train_pass *p = open_pass(whole->r, options);
    int64_t counted = 0;
    double sum = 0, part;
    for (int i = 0; i < GRADIENT_TEXTS; i++)
        for (int k = 0; k < g->texts[i].count; k++)
            counted += g->targets[i][k] != TRAIN_SKIP;
    for (int i = 0; i < GRADIENT_TEXTS; i++) {
        assert_int_equal(train_pass_run(p, &g->texts[i], 1, counted, &part, NULL), 0);
        sum += part;
    }
    assert_true(fabs(sum - loss) <= 1e-12 * loss);
    struct checkpoint parts;
    checkpoint_open(&parts, whole->r, whole->c, p);
    check_gradients(&parts, g, worst);
    checkpoint_close(&parts);
    train_pass_close(p);
}

static void check_case(void **state)
{
    struct golden_case c;
    struct gradients g;
    struct runner r;
    struct checkpoint k;
    struct gradient_worst worst = { .unit = GRADIENT_UNIT }, parts = worst;
    struct runner_dots kept;
    const char *folder = test_folder();
    case_read(&c, *state);
    gradients_read(&g, "gradients", c.name);
    case_write_folder(&c, folder);
    runner_open(&r, folder);
    runner_rounding_off(&kept);
    struct train_options o = { .tokens_max = g.tokens, .texts_max = GRADIENT_TEXTS, .logits_max = 7, .threads = 1 };
    struct train_pass *p = open_pass(&r, &o);
    double loss = run(p, &g), want = json_number_value(json_object_get(g.json, "loss"));
    assert_true(fabs(loss - want) <= GRADIENT_FEW * (r.spec->layers + 1) * GRADIENT_UNIT * want);
    checkpoint_open(&k, &r, &c, p);
    check_gradients(&k, &g, &worst);
    check_same_bits(&r, &g, &o, p, loss);
    check_accumulation(&k, &g, &o, loss, &parts);
    check_objective(&r, &g, &o);
    printf("%-18s %-10s worst element %5.1f units, sum %4.1f, %3.0f%% of the allowed (PyTorch's float32: %.1f)\n",
        c.name, r.spec->arch->name, worst.element, worst.sum, 100 * worst.share, worst.own);
    checkpoint_close(&k);
    train_pass_close(p);
    runner_rounding_on(&kept);
    if (case_is_bf16(&c)) { /* activations that are rounded on the way, and the factors of the backward */
        struct gradient_worst rounded = { .unit = GRADIENT_UNIT_BF16 };
        p = open_pass(&r, &o);
        loss = run(p, &g);
        assert_true(fabs(loss - want) <= GRADIENT_FEW * (r.spec->layers + 1) * GRADIENT_UNIT_BF16 * want);
        checkpoint_open(&k, &r, &c, p);
        check_gradients(&k, &g, &rounded);
        checkpoint_close(&k);
        check_same_bits(&r, &g, &o, p, loss);
        train_pass_close(p);
        printf("%-18s in bf16    worst element %5.1f units, sum %4.1f, %3.0f%% of the allowed\n", c.name,
            rounded.element, rounded.sum, 100 * rounded.share);
    }
    runner_close(&r);
    json_decref(g.json);
    case_release(&c);
}

/* ---- what a pass refuses, and what does not learn ---- */

static void refuses(struct train_pass *p, const struct train_text *texts, int n, int64_t counted, int code,
    const char *words)
{
    struct error err = { 0 };
    double loss = 5;
    assert_int_equal(train_pass_run(p, texts, n, counted, &loss, &err), code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_true(loss == 5);
}

static void open_case(struct golden_case *c, struct gradients *g, struct runner *r, const char *name)
{
    char file[128];
    const char *folder = test_folder();
    snprintf(file, sizeof file, "tests/golden/data/models/%s.json", name);
    case_read(c, test_repo(file));
    gradients_read(g, "gradients", c->name);
    case_write_folder(c, folder);
    runner_open(r, folder);
}

static void close_case(struct golden_case *c, struct gradients *g, struct runner *r)
{
    runner_close(r);
    json_decref(g->json);
    case_release(c);
}

static void refusals(void **state)
{
    (void)state;
    struct golden_case c;
    struct gradients g;
    struct runner r;
    struct error err = { 0 };
    open_case(&c, &g, &r, "gpt2_tied");
    struct train_options o = { .tokens_max = 60, .texts_max = 2, .logits_max = 3, .threads = 1 };
    struct train_pass *p = open_pass(&r, &o);
    int32_t ids[61] = { 0 }, targets[61], none[61];
    for (int i = 0; i < 61; i++) {
        targets[i] = 1;
        none[i] = TRAIN_SKIP;
    }
    const struct train_text good = { ids, targets, 9 }, silent = { ids, none, 9 }, empty = { ids, targets, 0 };
    const struct train_text deep = { ids, targets, 51 }; /* the model has 50 positions */
    const struct train_text three[] = { good, good, good }, full[] = { { ids, targets, 31 }, { ids, targets, 30 } };
    refuses(p, &good, 0, 0, ERROR_LIMIT, "0 texts, 2 are prepared for");
    refuses(p, three, 3, 0, ERROR_LIMIT, "3 texts, 2 are prepared for");
    refuses(p, &empty, 1, 0, ERROR_USAGE, "has 0 tokens");
    refuses(p, &silent, 1, 0, ERROR_USAGE, "none of the 9 tokens");
    refuses(p, &deep, 1, 0, ERROR_LIMIT, "51 tokens, the model 50 learned positions");
    refuses(p, full, 2, 0, ERROR_LIMIT, "61 tokens is longer than the 60");
    refuses(p, &good, 1, 8, ERROR_USAGE, "9 tokens of a training pass count, more than the 8");
    ids[4] = 109;
    refuses(p, &good, 1, 0, ERROR_USAGE, "token 4 of text 0 is 109, outside the vocabulary of 109");
    ids[4] = 0;
    targets[5] = -2;
    refuses(p, &good, 1, 0, ERROR_USAGE, "target 5 of text 0 is -2");
    const struct weight *table = train_pass_weight(p, ROLE_token_embedding, 0);
    for (int64_t i = 0; i < table->tensor.rows * table->tensor.cols; i++)
        assert_true(table->gradient[i] == 0);
    struct train_scores scores;
    for (int i = 0; i < 3; i++) {
        const struct train_scoring senseless = { .temperature = i == 0 ? 0 : i == 1 ? INFINITY : NAN };
        targets[5] = 1;
        assert_int_equal(train_pass_score(p, &good, 1, &senseless, &scores, &err), ERROR_USAGE);
        assert_non_null(strstr(err.text, "at a temperature of"));
    }
    train_pass_close(p);
    o.scores_only = true;
    p = open_pass(&r, &o);
    refuses(p, &good, 1, 0, ERROR_USAGE, "only scores has no gradients");
    assert_null(train_pass_weight(p, ROLE_token_embedding, 0)->gradient);
    train_pass_close(p);
    o.logits_max = 0;
    assert_int_equal(train_pass_open(&p, r.model, &o, &err), ERROR_USAGE);
    assert_null(p);
    close_case(&c, &g, &r);
}

/* Frozen weights have no gradient and take no memory; those of the others stay as they were. */
static void frozen_weights(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt_oss", "gpt2_tied", "qwen3_moe" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct golden_case c;
        struct gradients g;
        struct runner r;
        open_case(&c, &g, &r, names[i]);
        struct train_options all = { .tokens_max = g.tokens, .texts_max = GRADIENT_TEXTS, .logits_max = 7,
            .threads = 2 };
        struct train_options some = all;
        bool frozen[N_ROLES];
        for (int role = 0; role < N_ROLES; role++)
            frozen[role] = role % 3 != 0; /* norms, sinks, biases and matrices of every kind are among both */
        some.frozen = frozen;
        struct train_pass *p = open_pass(&r, &some), *whole = open_pass(&r, &all);
        assert_true(run(p, &g) == run(whole, &g));
        for (int role = 0; role < N_LAYER_ROLES; role++)
            assert_true(!frozen[role] || !train_pass_weight(p, role, 0)->gradient);
        each_gradient(&r, p, compare_bits, &(struct same) { &r, whole, "frozen weights" });
        assert_true(train_pass_bytes(r.model, &some) < train_pass_bytes(r.model, &all));
        train_pass_close(p);
        train_pass_close(whole);
        close_case(&c, &g, &r);
    }
}

int main(void)
{
    static struct CMUnitTest tests[CASES_MAX + 2];
    n_paths = case_list(paths, CASES_MAX, "tests/golden/data/models", "");
    for (int i = 0; i < n_paths; i++)
        tests[i] = (struct CMUnitTest) { .name = strrchr(paths[i], '/') + 1, .test_func = check_case,
            .initial_state = paths[i] };
    tests[n_paths] = (struct CMUnitTest)cmocka_unit_test(refusals);
    tests[n_paths + 1] = (struct CMUnitTest)cmocka_unit_test(frozen_weights);
    return _cmocka_run_group_tests("gradients", tests, (size_t)n_paths + 2, NULL, NULL);
}
