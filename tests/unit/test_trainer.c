/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is stopped, killed or refused, and goes on: the weights are those of a run that nobody disturbed. */
#include "support.h"

#include "base/cpu.h"
#include "base/filemap.h"
#include "base/fileout.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "train/history.h"
#include "train/log.h"
#include "train/objective/likelihood.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEPS 9
#define STEPS_MAX 64

/* How a run goes, besides the data, which are always the same. */
struct wish {
    enum optimizer_kind kind;
    const struct format *format;
    const char *folder; /* NULL: no checkpoints */
    uint64_t steps, every, validate_every;
    int threads, keep;
    double clip, explosion;
    uint64_t stop_behind;  /* cancelled behind this step; 0: never */
    uint64_t broken;       /* this step, from 1 on, goes wrong; 0: none */
    double broken_loss;    /* its loss; 0: a gradient that is no number instead */
    const double *held_out; /* losses of validation, one after the other; NULL: measured */
    int big;               /* bytes that are saved beside the state */
    const char *recipe;    /* what the run is identified by */
};

struct run {
    const struct wish *wish;
    struct model *model;
    struct dataset *data, *held;
    struct likelihood likelihood;
    struct objective plain;
    struct train_pass *pass;
    struct trainer *trainer;
    json_t *identity;
    uint64_t done, validations;
    double losses[STEPS_MAX], held_out[STEPS_MAX];
};

static struct dataset *made(size_t n, uint64_t seed)
{
    struct dataset_builder *b;
    struct dataset *d;
    struct random r;
    random_seed(&r, seed);
    assert_int_equal(dataset_builder_open(&b, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        int32_t ids[17];
        int count = 4 + (int)random_below(&r, 13);
        for (int k = 0; k <= count; k++)
            ids[k] = (int32_t)random_below(&r, 40);
        struct train_text text = { ids, ids + 1, count };
        assert_int_equal(dataset_builder_add(b, &text, (uint64_t)count, NULL), 0);
    }
    assert_int_equal(dataset_builder_finish(&d, b, NULL), 0);
    dataset_builder_close(b);
    return d;
}

static int gradients(void *context, struct train_pass *p, uint64_t step, struct step_result *out, struct error *err)
{
    struct run *r = context;
    int rc = r->plain.gradients(r->plain.context, p, step, out, err);
    if (rc == 0 && step + 1 == r->wish->broken && r->wish->broken_loss != 0)
        out->loss = r->wish->broken_loss;
    else if (rc == 0 && step + 1 == r->wish->broken)
        train_pass_weight(p, ROLE_q, 1)->gradient[3] = NAN;
    return rc;
}

static int validate(void *context, struct train_pass *p, struct step_result *out, struct error *err)
{
    struct run *r = context;
    int rc = r->plain.validate(r->plain.context, p, out, err);
    if (rc == 0 && r->wish->held_out)
        out->loss = r->wish->held_out[r->validations];
    return rc;
}

static void describe(void *context, uint64_t step, struct buffer *out)
{
    struct run *r = context;
    r->plain.describe(r->plain.context, step, out);
}

static int keep_step(void *context, const struct step_result *s, struct error *err)
{
    struct run *r = context;
    (void)err;
    assert_in_range(s->step, 1, STEPS_MAX);
    r->losses[s->step - 1] = s->loss;
    r->done = s->step;
    return 0;
}

static int keep_validation(void *context, const struct step_result *s, struct error *err)
{
    struct run *r = context;
    (void)err;
    assert_int_equal(s->n_metrics, 1);
    assert_string_equal(s->metrics[0].name, "bits_per_byte");
    r->held_out[r->validations++] = s->loss;
    return 0;
}

static bool cancelled(void *context)
{
    const struct run *r = context;
    return r->wish->stop_behind > 0 && r->done == r->wish->stop_behind;
}

static int save_learned(void *context, const char *folder, struct error *err)
{
    const struct run *r = context;
    char path[FILE_OUT_PATH];
    size_t n = (size_t)(r->wish->big ? r->wish->big : 100);
    if (mkdir(folder, 0777) != 0)
        return error_errno(err, errno, "could not make \"%s\"", folder);
    char *bytes = calloc(n, 1);
    assert_non_null(bytes);
    snprintf(path, sizeof path, "%s/learned", folder);
    int rc = file_write(path, bytes, n, err);
    free(bytes);
    return rc;
}

static void open_model(struct run *r, uint64_t seed)
{
    struct error err = { 0 };
    json_t *config = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "llama", "hidden_size", 16,
        "intermediate_size", 24, "num_hidden_layers", 2, "num_attention_heads", 2, "num_key_value_heads", 1,
        "vocab_size", 40, "max_position_embeddings", 32);
    if (model_create(&r->model, config, seed, &err) != 0 || model_own(r->model, r->wish->format, NULL, &err) != 0)
        fail_msg("%s", err.text);
    json_decref(config);
}

static void open_trainer(struct run *r)
{
    const struct wish *w = r->wish;
    struct error err = { 0 };
    r->identity = json_pack("{s:s, s:f, s:i}", "recipe", w->recipe ? w->recipe : "usual", "lr", 0.01, "batch", 60);
    struct trainer_options o = { .schedule = { SCHEDULE_COSINE, 0.01, 0.001, 3, 0, w->steps }, .optimizer = { .kind =
        w->kind, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .momentum = 0.95, .weight_decay = 0.1 }, .clip = w->clip,
        .explosion = w->explosion, .threads = w->threads, .validate_every = w->validate_every, .checkpoint_every =
        w->every, .folder = w->folder, .keep = w->keep, .identity = r->identity, .save = save_learned,
        .save_context = r };
    struct objective objective = { gradients, validate, describe, r };
    struct trainer_watch watch = { keep_step, keep_validation, cancelled, r };
    if (trainer_open(&r->trainer, r->pass, &objective, &o, &watch, &err) != 0)
        fail_msg("%s", err.text);
}

/* seed: of the weights before anything is learned or resumed. */
static void open_run(struct run *r, const struct wish *w, uint64_t seed)
{
    struct packing_options train = { .tokens_max = 34, .texts_max = 4, .passes = 2, .seed = 7, .shuffle = true };
    struct packing_options held = { .tokens_max = 34, .texts_max = 4, .passes = 1 };
    struct train_options o = { .tokens_max = 34, .texts_max = 4, .logits_max = 16, .threads = w->threads };
    struct error err = { 0 };
    *r = (struct run) { .wish = w, .data = made(13, 1), .held = made(4, 2) };
    open_model(r, seed);
    int rc = packing_open(&r->likelihood.packing, r->data, &train, &err);
    if (rc == 0)
        rc = packing_open(&r->likelihood.held_out, r->held, &held, &err);
    if (rc == 0)
        rc = train_pass_open(&r->pass, r->model, &o, &err);
    if (rc)
        fail_msg("%s", err.text);
    r->likelihood.held = r->held;
    r->plain = likelihood_objective(&r->likelihood);
    open_trainer(r);
}

static void close_run(struct run *r)
{
    trainer_close(r->trainer);
    train_pass_close(r->pass);
    packing_close(r->likelihood.packing);
    packing_close(r->likelihood.held_out);
    dataset_close(r->data);
    dataset_close(r->held);
    model_close(r->model);
    json_decref(r->identity);
}

static struct wish usual(void)
{
    return (struct wish) { .kind = OPTIMIZER_ADAMW, .format = &format_f32, .steps = STEPS, .threads = 1, .keep = 2,
        .clip = 1 };
}

static void expect_same_weights(const struct run *a, const struct run *b, const char *what)
{
    struct parameter x[64], y[64];
    size_t n = train_pass_parameters(a->pass, NULL);
    assert_in_range(n, 1, 64);
    assert_int_equal(train_pass_parameters(b->pass, y), n);
    train_pass_parameters(a->pass, x);
    for (size_t i = 0; i < n; i++)
        if (memcmp(x[i].data, y[i].data, parameter_count(&x[i]) * (size_t)x[i].format->block_bytes) != 0)
            fail_msg("%s: %s differs", what, x[i].name);
}

static uint64_t resume(struct run *r)
{
    struct error err = { 0 };
    uint64_t step = 99;
    if (trainer_resume(r->trainer, &step, &err) != 0)
        fail_msg("%s", err.text);
    return step;
}

static void finish(struct run *r)
{
    struct error err = { 0 };
    if (trainer_run(r->trainer, &err) != 0)
        fail_msg("%s", err.text);
}

static void fails(struct run *r, int code, const char *words)
{
    struct error err = { 0 };
    assert_int_equal(trainer_run(r->trainer, &err), code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* "checkpoint-00000003 checkpoint-00000004", sorted. */
static void list(char *out, size_t size, const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    size_t used = 0;
    assert_true(n >= 0);
    out[0] = '\0';
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.' && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void holds(const char *folder, const char *expected)
{
    char names[4096];
    list(names, sizeof names, folder);
    assert_string_equal(names, expected);
}

/* ---- going on ---- */

static void check_every_stop(struct wish w)
{
    struct run whole, first, second;
    open_run(&whole, &w, 3);
    finish(&whole);
    assert_true(whole.losses[STEPS - 1] < whole.losses[0]);
    for (uint64_t stop = 1; stop < STEPS; stop++) {
        char what[32];
        w.folder = test_folder();
        w.stop_behind = stop;
        open_run(&first, &w, 3);
        assert_int_equal(resume(&first), 0);
        fails(&first, ERROR_CANCELLED, "stopped behind step");
        close_run(&first);
        w.stop_behind = 0;
        w.threads = 3 - w.threads;
        open_run(&second, &w, 4); /* weights come from the checkpoint */
        assert_int_equal(resume(&second), stop);
        finish(&second);
        assert_int_equal(second.done, STEPS);
        snprintf(what, sizeof what, "stopped behind %d", (int)stop);
        expect_same_weights(&whole, &second, what);
        for (uint64_t i = stop; i < STEPS; i++)
            assert_true(second.losses[i] == whole.losses[i]);
        close_run(&second);
    }
    close_run(&whole);
}

static void stopped_runs_go_on_bit_for_bit(void **state)
{
    (void)state;
    struct wish w = usual();
    check_every_stop(w);
    w.kind = OPTIMIZER_MUON;
    w.format = &format_bf16;
    check_every_stop(w);
}

/* Whole ones. */
static int checkpoints(const char *folder)
{
    char names[4096];
    int n = 0;
    list(names, sizeof names, folder);
    for (const char *name = names, *end; *name; name = *end ? end + 1 : end) {
        end = strchrnul(name, ' ');
        n += strncmp(name, "checkpoint-", 11) == 0 && !memchr(name, '.', (size_t)(end - name));
    }
    return n;
}

/* Trains in a process of its own; returns true where it was killed before it had ended. */
static bool killed(const struct wish *w, struct random *random)
{
    int before = checkpoints(w->folder), status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct run r;
        open_run(&r, w, 5);
        resume(&r);
        _exit(trainer_run(r.trainer, NULL) == 0 ? 0 : 1);
    }
    while (checkpoints(w->folder) == before && waitpid(child, &status, WNOHANG) == 0)
        nanosleep(&(struct timespec) { .tv_nsec = 100000 }, NULL);
    nanosleep(&(struct timespec) { .tv_nsec = (long)random_below(random, 6000000) }, NULL);
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) < 0)
        return false; /* it had ended, and was waited for above */
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void killed_runs_go_on_bit_for_bit(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run whole, last;
    struct random random;
    int kills = 0;
    w.steps = 40;
    w.big = 200000;
    w.keep = 4000;
    open_run(&whole, &w, 5);
    finish(&whole);
    w.folder = test_folder();
    w.every = 1;
    random_seed(&random, 11);
    while (kills < 6 && killed(&w, &random))
        kills++;
    assert_in_range(kills, 1, 6);
    open_run(&last, &w, 6);
    assert_in_range(resume(&last), kills, 40); /* each came at least one step further */
    finish(&last);
    expect_same_weights(&whole, &last, "killed");
    char names[4096];
    list(names, sizeof names, w.folder);
    assert_null(strstr(names, ".part"));
    assert_int_equal(checkpoints(w.folder), 40);
    close_run(&last);
    close_run(&whole);
}

static void half_written_ones_are_taken_away(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run r;
    w.folder = test_folder();
    w.every = 4;
    open_run(&r, &w, 3);
    finish(&r);
    close_run(&r);
    char half[FILE_OUT_PATH], inner[FILE_OUT_PATH], other[FILE_OUT_PATH];
    snprintf(half, sizeof half, "%s/checkpoint-00000010.77.part", w.folder);
    snprintf(inner, sizeof inner, "%.4000s/model", half);
    snprintf(other, sizeof other, "%s/notes.77.part", w.folder);
    assert_int_equal(mkdir(half, 0777), 0);
    assert_int_equal(mkdir(inner, 0777), 0);
    test_write(test_join(inner, "learned"), "x", 1);
    test_write(other, "mine", 4);
    open_run(&r, &w, 3);
    assert_int_equal(resume(&r), STEPS);
    holds(w.folder, "checkpoint-00000008 checkpoint-00000009 notes.77.part");
    close_run(&r);
}

static void other_runs_are_refused(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run r;
    struct error err = { 0 };
    uint64_t step = 99;
    w.folder = test_folder();
    open_run(&r, &w, 3);
    finish(&r);
    close_run(&r);
    w.recipe = "another";
    open_run(&r, &w, 3);
    assert_int_equal(trainer_resume(r.trainer, &step, &err), ERROR_USAGE);
    if (!strstr(err.text, "recipe \"usual\", this run has \"another\""))
        fail_msg("%s", err.text);
    close_run(&r);
    w.recipe = NULL;
    w.kind = OPTIMIZER_MUON; /* whose state has other tensors */
    open_run(&r, &w, 3);
    assert_int_equal(trainer_resume(r.trainer, &step, &err), ERROR_FORMAT);
    close_run(&r);
}

/* Bytes that somebody changed are told, and nothing is read from them. */
static void damaged_checkpoints_are_refused(void **state)
{
    (void)state;
    static const char *const files[] = { "run.json", "state.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        struct wish w = usual();
        struct run r;
        struct error err = { 0 };
        char path[FILE_OUT_PATH];
        uint64_t step = 99;
        w.folder = test_folder();
        open_run(&r, &w, 3);
        finish(&r);
        close_run(&r);
        snprintf(path, sizeof path, "%s/checkpoint-00000009/%s", w.folder, files[i]);
        assert_int_equal(truncate(path, 70), 0);
        open_run(&r, &w, 3);
        assert_int_equal(trainer_resume(r.trainer, &step, &err), ERROR_FORMAT);
        assert_non_null(strstr(err.text, "could not go on from"));
        assert_int_equal(step, 0);
        close_run(&r);
    }
}

/* ---- what stops a run ---- */

/* The samples that an error names are those that the step saw. */
static void data_of_a_step_are_named(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run r;
    struct buffer out = { 0 };
    struct train_text first;
    open_run(&r, &w, 3);
    r.plain.describe(r.plain.context, 1, &out);
    size_t number = 0;
    const char *at = strstr(out.data, "epoch 1, samples ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "epoch 1, samples %zu", &number), 1);
    assert_in_range(number, 1, 13);
    dataset_sample(r.data, number - 1, &first);
    at = strstr(out.data, "begins with the tokens");
    assert_non_null(at);
    at += strlen("begins with the tokens");
    for (int i = 0; i < first.count && i < 16; i++)
        assert_int_equal(strtol(at, (char **)(uintptr_t)&at, 10), first.ids[i]);
    assert_string_equal(at, "");
    buffer_release(&out);
    close_run(&r);
}

static void broken_steps_are_not_made(void **state)
{
    (void)state;
    static const struct {
        double loss;
        const char *words;
    } cases[] = { { NAN, "step 6 was not made: its loss is nan; its data: epoch 2, samples " },
        { INFINITY, "step 6 was not made: its loss is inf" },
        { 0, "step 6 was not made: the norm of its gradients is nan" } };
    for (size_t i = 0; i < 3; i++) {
        struct wish w = usual();
        struct run r;
        w.folder = test_folder();
        w.every = 4;
        w.broken = 6;
        w.broken_loss = cases[i].loss;
        open_run(&r, &w, 3);
        fails(&r, ERROR_FORMAT, cases[i].words);
        assert_int_equal(r.done, 5);
        holds(w.folder, "checkpoint-00000004");
        close_run(&r);
        w.broken = 0;
        open_run(&r, &w, 3);
        assert_int_equal(resume(&r), 4);
        finish(&r);
        assert_int_equal(r.done, STEPS);
        close_run(&r);
    }
}

static void explosions_stop_a_run(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run r;
    w.steps = 50;
    w.explosion = 3;
    w.broken = 40;
    w.broken_loss = 100;
    open_run(&r, &w, 3);
    fails(&r, ERROR_FORMAT, "step 40 was not made: its loss explodes, it is 100");
    assert_int_equal(r.done, 39);
    w.broken_loss = 2 * r.losses[38]; /* that happens */
    close_run(&r);
    open_run(&r, &w, 3);
    finish(&r);
    close_run(&r);
}

static void full_disks_lose_nothing(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run r, whole;
    struct rlimit before, small;
    open_run(&whole, &w, 3);
    finish(&whole);
    w.folder = test_folder();
    w.stop_behind = 5;
    open_run(&r, &w, 3);
    fails(&r, ERROR_CANCELLED, "stopped behind step 5 of 9");
    close_run(&r);
    w.stop_behind = 7;
    open_run(&r, &w, 3);
    assert_int_equal(resume(&r), 5);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 3000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct error err = { 0 };
    int rc = trainer_run(r.trainer, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERROR_IO);
    assert_non_null(strstr(err.text, "could not write the checkpoint of step 7"));
    close_run(&r);
    holds(w.folder, "checkpoint-00000005");
    w.stop_behind = 0;
    open_run(&r, &w, 8);
    assert_int_equal(resume(&r), 5);
    finish(&r);
    expect_same_weights(&whole, &r, "a full disk");
    close_run(&r);
    close_run(&whole);
}

/* ---- what is kept, measured and written down ---- */

static void the_last_and_the_best_stay(void **state)
{
    (void)state;
    static const double losses[] = { 5, 4, 3, 3.5, 6, 3.1, 4, 9, 3 };
    struct wish w = usual();
    struct run r;
    w.folder = test_folder();
    w.every = w.validate_every = 1;
    w.held_out = losses;
    open_run(&r, &w, 3);
    finish(&r);
    assert_int_equal(r.validations, STEPS);
    holds(w.folder, "checkpoint-00000003 checkpoint-00000008 checkpoint-00000009");
    close_run(&r);
}

/* Validation changes nothing, and is the mean over its data of what a pass says of each text alone. */
static void validation_measures_and_leaves_alone(void **state)
{
    (void)state;
    struct wish w = usual();
    struct run plain, r;
    open_run(&plain, &w, 3);
    finish(&plain);
    w.validate_every = 2;
    open_run(&r, &w, 3);
    finish(&r);
    assert_int_equal(r.validations, 5); /* and behind the last step */
    expect_same_weights(&plain, &r, "validated");
    double sum = 0, loss;
    for (size_t i = 0; i < dataset_size(r.held)->samples; i++) {
        struct train_text text;
        dataset_sample(r.held, i, &text);
        assert_int_equal(train_pass_run(r.pass, &text, 1, 0, &loss, NULL), 0);
        sum += loss * text.count;
    }
    sum /= (double)dataset_size(r.held)->counted;
    assert_true(fabs(r.held_out[4] - sum) <= 1e-6 * sum);
    close_run(&plain);
    close_run(&r);
}

static void write_steps(const char *path, uint64_t behind, uint64_t until, bool end)
{
    struct train_log *log;
    struct error err = { 0 };
    json_t *run = json_pack("{s:s, s:I}", "type", "run", "behind", (json_int_t)behind);
    if (train_log_open(&log, path, run, behind, &err) != 0)
        fail_msg("%s", err.text);
    for (uint64_t i = behind + 1; i <= until; i++) {
        struct step_result r = { .step = i, .loss = (double)i, .tokens = 10, .seconds = 0.5, .norm = 2, .lr = 0.1 };
        assert_int_equal(train_log_step(log, "step", &r, (int64_t)i * 10, 1, &err), 0);
        r.loss = (double)behind;
        if (i % 2 == 0)
            assert_int_equal(train_log_step(log, "validation", &r, (int64_t)i * 10, 1, &err), 0);
    }
    if (end)
        assert_int_equal(train_log_line(log, json_pack("{s:s}", "type", "end"), &err), 0);
    train_log_close(log);
}

static void logs_go_on_where_the_run_does(void **state)
{
    (void)state;
    const char *path = test_join(test_folder(), "log.jsonl");
    struct history h;
    struct error err = { 0 };
    write_steps(path, 0, 7, true);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs("{\"type\":\"step\",\"st", f); /* cut off by a crash */
    fclose(f);
    write_steps(path, 5, 8, false);
    if (history_read(&h, path, &err) != 0)
        fail_msg("%s", err.text);
    const struct series *loss = history_find(&h, "loss", false), *held = history_find(&h, "loss", true);
    assert_non_null(loss);
    assert_non_null(held);
    assert_int_equal(json_integer_value(json_object_get(h.run, "behind")), 0);
    assert_null(h.end);
    assert_int_equal(loss->n, 8);
    for (size_t i = 0; i < 8; i++)
        assert_true(loss->step[i] == (double)(i + 1));
    assert_int_equal(held->n, 4);
    assert_true(held->value[1] == 0 && held->value[2] == 5);
    const struct series *speed = history_find(&h, "tokens_per_second", false);
    assert_true(speed && fabs(speed->value[0] - 20) < 1e-6);
    history_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_runs_go_on_bit_for_bit),
        cmocka_unit_test(killed_runs_go_on_bit_for_bit),
        cmocka_unit_test(half_written_ones_are_taken_away),
        cmocka_unit_test(other_runs_are_refused),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(data_of_a_step_are_named),
        cmocka_unit_test(broken_steps_are_not_made),
        cmocka_unit_test(explosions_stop_a_run),
        cmocka_unit_test(full_disks_lose_nothing),
        cmocka_unit_test(the_last_and_the_best_stay),
        cmocka_unit_test(validation_measures_and_leaves_alone),
        cmocka_unit_test(logs_go_on_where_the_run_does),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
