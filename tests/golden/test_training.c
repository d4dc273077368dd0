/* SPDX-License-Identifier: Apache-2.0 */
/* Loss curves of 200 steps against PyTorch's AdamW on transformers' models: tools/golden/training.py.
 *
 * Rounding grows along a run: weights that differ in their last bit give other gradients. How fast it does so is the
 * model's, not ours: the golden files have PyTorch's curve in float64 and in float32, and ours may part from the first
 * by FEW times what the second has parted so far, and a few units of the loss. */
#include "case.h"
#include "runner.h"

#include "support.h"

#include "train/objective/likelihood.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW 16.0
#define UNIT 0x1p-24

static char paths[CASES_MAX][CASE_PATH_MAX];
static int n_paths;

struct curve {
    const json_t *wide, *narrow; /* arrays of [loss, norm, learning rate] */
    double parted[2];            /* the most that the second was off the first so far: of losses, of norms */
    double worst[2];             /* of ours, in units of what is allowed */
    double most;                 /* of our losses */
    size_t step;
};

static double number(const json_t *curve, size_t step, size_t which)
{
    return json_number_value(json_array_get(json_array_get(curve, step), which));
}

static int compare_step(void *context, const struct step_result *r, struct error *err)
{
    struct curve *c = context;
    (void)err;
    for (size_t i = 0; i < 2; i++) {
        double expected = number(c->wide, c->step, i), ours = i ? r->norm : r->loss;
        c->parted[i] = fmax(c->parted[i], fabs(expected - number(c->narrow, c->step, i)));
        double allowed = FEW * (c->parted[i] + 4 * UNIT * expected), difference = fabs(ours - expected);
        c->most = i ? c->most : fmax(c->most, difference);
        c->worst[i] = fmax(c->worst[i], difference / allowed);
        if (!(difference <= allowed))
            fail_msg("step %zu: %s %.9g, expected %.9g within %.2g", c->step, i ? "norm" : "loss", ours, expected,
                allowed);
    }
    if (fabs(r->lr - number(c->wide, c->step, 2)) > 1e-15)
        fail_msg("step %zu: learning rate %.17g, expected %.17g", c->step, r->lr, number(c->wide, c->step, 2));
    c->step++;
    return 0;
}

static struct dataset *dataset_of(const json_t *samples)
{
    struct dataset_builder *b;
    struct dataset *d;
    struct error err = { 0 };
    assert_int_equal(dataset_builder_open(&b, &err), 0);
    for (size_t i = 0; i < json_array_size(samples); i++) {
        const json_t *sample = json_array_get(samples, i), *from = json_object_get(sample, "ids");
        int32_t ids[64], targets[64];
        size_t n = json_array_size(from);
        assert_in_range(n, 1, 64);
        for (size_t k = 0; k < n; k++) {
            ids[k] = (int32_t)json_integer_value(json_array_get(from, k));
            targets[k] = (int32_t)json_integer_value(json_array_get(json_object_get(sample, "targets"), k));
        }
        struct train_text text = { .ids = ids, .targets = targets, .count = (int)n };
        if (dataset_builder_add(b, &text, 0, &err) != 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(dataset_builder_finish(&d, b, &err), 0);
    dataset_builder_close(b);
    return d;
}

static struct trainer_options options_of(const json_t *s)
{
    return (struct trainer_options) {
        .schedule = { .kind = SCHEDULE_COSINE, .lr = json_real_of(s, "lr", NAN),
            .lr_min = json_real_of(s, "lr_min", NAN), .warmup = (uint64_t)json_whole(s, "warmup", -1),
            .steps = (uint64_t)json_whole(s, "steps", -1) },
        .optimizer = { .kind = OPTIMIZER_ADAMW, .beta1 = json_real_of(s, "beta1", NAN),
            .beta2 = json_real_of(s, "beta2", NAN), .eps = json_real_of(s, "eps", NAN),
            .weight_decay = json_real_of(s, "weight_decay", NAN) },
        .clip = json_real_of(s, "clip", NAN), .threads = 2 };
}

/* Texts of one step in `passes` passes of `texts`. */
static void run(struct runner *r, const json_t *json, struct curve *c)
{
    const json_t *settings = json_object_get(json, "settings");
    struct dataset *d = dataset_of(json_object_get(json, "samples"));
    int texts = (int)json_whole(settings, "texts", 0), passes = (int)json_whole(settings, "passes", 0);
    struct packing_options packed = { .tokens_max = texts * dataset_size(d)->longest, .texts_max = texts,
        .passes = passes };
    struct train_options wanted = { .tokens_max = packed.tokens_max, .texts_max = texts, .logits_max = 7,
        .threads = 2 };
    struct trainer_options options = options_of(settings);
    struct trainer_watch watch = { .step = compare_step, .context = c };
    struct likelihood l = { 0 };
    struct train_pass *pass = NULL;
    struct trainer *t = NULL;
    struct error err = { 0 };
    int rc = packing_open(&l.packing, d, &packed, &err);
    if (rc == 0)
        rc = model_own(r->model, &format_f32, NULL, &err);
    if (rc == 0)
        rc = train_pass_open(&pass, r->model, &wanted, &err);
    struct objective objective = likelihood_objective(&l);
    if (rc == 0)
        rc = trainer_open(&t, pass, &objective, &options, &watch, &err);
    if (rc == 0)
        rc = trainer_run(t, &err);
    if (rc)
        fail_msg("%s", err.text);
    assert_int_equal(c->step, options.schedule.steps);
    trainer_close(t);
    train_pass_close(pass);
    packing_close(l.packing);
    dataset_close(d);
}

static void curves(void **state)
{
    const char *path = *state, *folder = test_folder();
    struct golden_case c;
    struct runner r;
    struct curve curve = { 0 };
    struct error err = { 0 };
    char model[512];
    const char *name = strrchr(path, '/') + 1;
    snprintf(model, sizeof model, "tests/golden/data/models/%s", name);
    json_t *json;
    assert_int_equal(json_read_file_new(&json, path, 1 << 22, &err), 0);
    case_read(&c, test_repo(model));
    case_write_folder(&c, folder);
    runner_open(&r, folder);
    curve.wide = json_object_get(json, "float64");
    curve.narrow = json_object_get(json, "float32");
    run(&r, json, &curve);
    printf("%s: loss %.4f to %.4f in %zu steps, %.2g off float64, float32 of PyTorch %.2g; %.2f of what is "
           "allowed (norms %.2f)\n", c.name, number(curve.wide, 0, 0), number(curve.wide, curve.step - 1, 0),
        curve.step,
        curve.most, curve.parted[0], curve.worst[0], curve.worst[1]);
    runner_close(&r);
    case_release(&c);
    json_decref(json);
}

int main(void)
{
    struct CMUnitTest tests[CASES_MAX];
    n_paths = case_list(paths, CASES_MAX, "tests/golden/data/training", "");
    for (int i = 0; i < n_paths; i++)
        tests[i] = (struct CMUnitTest) { .name = strrchr(paths[i], '/') + 1, .test_func = curves,
            .initial_state = paths[i] };
    return _cmocka_run_group_tests("training", tests, (size_t)n_paths, NULL, NULL);
}
