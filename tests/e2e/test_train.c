/* SPDX-License-Identifier: Apache-2.0 */
/* wazn train as a user meets it: a model that learns, runs that go on bit for bit however they were stopped. */
#include "program.h"

#include "base/filemap.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STEPS 24
#define STEPS_TEXT "24"
#define LAST "checkpoint-00000024"

static const char *config(void)
{
    static const char text[] = "{\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":64,"
        "\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true}";
    static char path[4096];
    if (!path[0]) {
        snprintf(path, sizeof path, "%s", test_join(test_folder(), "config.json"));
        test_write(path, text, strlen(text));
    }
    return path;
}

static const char *tokenizer(void)
{
    return make_model(&(struct made_model) { .layers = 1, .dim = 32, .ffn = 32, .context = 64 });
}

static const char *text(void)
{
    static char path[4096];
    struct buffer b = { 0 };
    if (path[0])
        return path;
    snprintf(path, sizeof path, "%s", test_join(test_folder(), "text.txt"));
    for (int i = 0; i < 400; i++)
        buffer_printf(&b, "%d sheep sleep, %d dogs do not.\n", i % 7, i % 5);
    test_write(path, b.data, b.used);
    buffer_release(&b);
    return path;
}

/* A run in `folder`; `more`: NULL or one more option. */
#define TRAIN(folder, threads, more) { "train", "--config", config(), "--tokenizer", tokenizer(), "-o", folder, "-t", \
    threads, "--steps", STEPS_TEXT, "--length", "32", "--batch-tokens", "128", "--checkpoint-every", "6", \
    "--validate-every", "8", "--sample-every", "12", "--lr", "0.01", text(), more, NULL }

static void train(const char *folder, const char *threads, const char *more)
{
    struct program p;
    program_run(&p, 0, NULL, (const char *const[])TRAIN(folder, threads, more));
    program_release(&p);
}

/* A folder that is not there yet; as many as tests ask for. */
static const char *new_run(void)
{
    static char paths[8][4096];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s", test_join(test_folder(), "run"));
    return path;
}

static void assert_same_file(const char *a, const char *b)
{
    struct filemap x, y;
    struct error err = { 0 };
    if (filemap_open(&x, a, &err) != 0 || filemap_open(&y, b, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    filemap_close(&x);
    filemap_close(&y);
}

/* The run that nothing stopped. */
static const char *whole_run(void)
{
    static char folder[4096];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s", new_run());
        train(folder, "1", NULL);
    }
    return folder;
}

static void assert_same_run(const char *folder)
{
    assert_same_file(test_join(folder, LAST "/state.safetensors"),
        test_join(whole_run(), LAST "/state.safetensors"));
    assert_same_file(test_join(folder, "model/model.safetensors"), test_join(whole_run(), "model/model.safetensors"));
}

/* Losses of the steps in a log; returns how many. */
static int read_losses(double *losses, int most, const char *folder)
{
    struct error err = { 0 };
    char *log;
    size_t size;
    int n = 0;
    if (file_read_new(&log, &size, test_join(folder, "log.jsonl"), 1 << 20, &err) != 0)
        return 0;
    for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *o = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (n < most && strcmp(json_text(o, "type", ""), "step") == 0)
            losses[n++] = json_real_of(o, "loss", NAN);
        json_decref(o);
    }
    free(log);
    return n;
}

static void wait_for_steps(const char *folder, int steps)
{
    double losses[64];
    for (int i = 0; i < 60000 && read_losses(losses, 64, folder) < steps; i++)
        usleep(1000);
    assert_true(read_losses(losses, 64, folder) >= steps);
}

static void a_model_learns(void **state)
{
    (void)state;
    struct program p;
    double losses[64];
    const char *folder = whole_run();
    assert_int_equal(read_losses(losses, 64, folder), STEPS);
    assert_true(losses[0] > 5 && losses[23] < 0.6 * losses[0]);
    RUN(&p, 0, NULL, "run", "-m", test_join(folder, "model"), "--raw", "--temp", "0", "-n", "8", "-q", "3 sheep");
    assert_true(p.output.used > 0);
    program_release(&p);
    assert_true(file_exists(test_join(folder, "report.html")));
    assert_true(file_exists(test_join(folder, "checkpoint-00000018")));
    assert_false(file_exists(test_join(folder, "checkpoint-00000006"))); /* two are kept, and the best */
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    const char *folder = new_run();
    train(folder, "2", NULL);
    assert_same_run(folder);
}

/* Stopped by a signal behind some steps, then gone on with. */
static void stop_and_resume(int signal, int status, const char *words)
{
    struct program p;
    double losses[64], whole[64];
    const char *folder = new_run();
    program_start(&p, (const char *const[])TRAIN(folder, "1", NULL));
    wait_for_steps(folder, 9);
    kill(p.pid, signal);
    program_end(&p);
    assert_int_equal(p.status, status);
    assert_non_null(strstr(p.errors.data, words));
    program_release(&p);
    assert_false(file_exists(test_join(folder, "model")));
    train(folder, "2", "--resume");
    assert_same_run(folder);
    assert_int_equal(read_losses(losses, 64, folder), STEPS);
    read_losses(whole, 64, whole_run());
    assert_memory_equal(losses, whole, STEPS * sizeof *losses);
}

static void a_killed_run_goes_on(void **state)
{
    (void)state;
    stop_and_resume(SIGKILL, 128 + SIGKILL, "");
}

static void an_interrupted_run_goes_on(void **state)
{
    (void)state;
    stop_and_resume(SIGINT, 130, "the same command with --resume goes on");
}

/* A limit on the size of files stands for a full disk: the model fits, the state of the optimizer does not. */
static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    struct program p;
    struct rlimit before, small;
    const char *folder = new_run();
    program_start(&p, (const char *const[])TRAIN(folder, "1", NULL));
    wait_for_steps(folder, 9);
    kill(p.pid, SIGKILL);
    program_end(&p);
    program_release(&p);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit) { 150000, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    signal(SIGXFSZ, SIG_IGN);
    program_start(&p, (const char *const[])TRAIN(folder, "1", "--resume"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    program_end(&p);
    assert_int_equal(p.status, 4);
    assert_non_null(strstr(p.errors.data, "could not write the checkpoint of step 12"));
    program_release(&p);
    assert_true(file_exists(test_join(folder, "checkpoint-00000006/state.safetensors")));
    train(folder, "1", "--resume");
    assert_same_run(folder);
}

static void assert_refused(const char *words, const char *const *arguments)
{
    struct program p;
    program_run(&p, 2, NULL, arguments);
    if (!strstr(p.errors.data, words))
        fail_msg("\"%s\" does not say \"%s\"", p.errors.data, words);
    program_release(&p);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    const char *folder = whole_run(), *empty = test_folder();
    assert_refused("holds a run: --resume goes on", (const char *const[])TRAIN(folder, "1", NULL));
    assert_refused("it was written with lr 0.01, this run has 0.02", (const char *const[]) { "train", "-o", folder,
        "--steps", STEPS_TEXT, "--length", "32", "--batch-tokens", "128", "--lr", "0.02", text(), "--resume", NULL });
    const char *other = test_join(empty, "other.txt");
    test_write(other, "Other words, other data: nothing that a run could go on with.\n", 62);
    assert_refused("it was written with data \"", (const char *const[]) { "train", "-o", folder, "-t", "1", "--steps",
        STEPS_TEXT, "--length", "32", "--batch-tokens", "128", "--pass-tokens", "32", "--lr", "0.01", "--validation",
        "0.2", other, "--resume", NULL });
    assert_refused("--steps and --epochs both", (const char *const[])TRAIN(test_join(empty, "a"), "1", "--epochs=2"));
    assert_refused("--min-lr 0.5 is above --lr 0.01",
        (const char *const[])TRAIN(test_join(empty, "b"), "1", "--min-lr=0.5"));
    assert_refused("less than the longest sample's", (const char *const[])TRAIN(test_join(empty, "c"), "1",
        "--pass-tokens=8"));
    assert_refused("data are missing", (const char *const[]) { "train", "-o", test_join(empty, "d"), NULL });
}

/* A learning rate that throws the weights far away. */
static void an_explosion_stops_the_run(void **state)
{
    (void)state;
    struct program p;
    program_run(&p, 5, NULL, (const char *const[]) { "train", "--config", config(), "--tokenizer", tokenizer(), "-o",
        new_run(), "-t", "1", "--steps", "400", "--length", "32", "--batch-tokens", "64", "--lr", "90", "--warmup",
        "60", "--clip", "0", "--sample-every", "0", text(), NULL });
    if (!strstr(p.errors.data, "was not made: "))
        fail_msg("%s", p.errors.data);
    assert_non_null(strstr(p.errors.data, "its data: "));
    program_release(&p);
}

/* The loss it begins with is the one that the run before had ended with, not that of a new model. */
static void a_given_model_goes_on(void **state)
{
    (void)state;
    struct program p;
    char model[4096], packed[4096];
    double before[64];
    const char *folder = new_run();
    snprintf(model, sizeof model, "%s", test_join(whole_run(), "model"));
    int n = read_losses(before, 64, whole_run());
    RUN(&p, 0, NULL, "train", "-m", model, "-o", folder, "-t", "1", "--steps", "5", "--length", "32", "--batch-tokens",
        "128", "--precision", "f32", "--json", "-q", text());
    json_t *result = program_json(&p);
    assert_int_equal(json_whole(result, "steps", 0), 5);
    assert_true(json_whole(result, "tokens", 0) > 5 * 64);
    assert_true(json_real_of(result, "loss", NAN) < before[n - 1] + 0.2);
    assert_true(json_real_of(result, "validation_loss", NAN) < 0.6 * before[0]);
    assert_true(file_exists(test_join(json_text(result, "model", ""), "model.safetensors")));
    assert_false(file_exists(test_join(folder, "start")));
    json_decref(result);
    program_release(&p);
    snprintf(packed, sizeof packed, "%s", test_join(test_folder(), "packed.gguf"));
    RUN(&p, 0, NULL, "quantize", "-m", model, "--to", "q8_0", "-o", packed, "-q");
    program_release(&p);
    RUN(&p, 6, NULL, "train", "-m", packed, "-o", new_run(), text());
    assert_non_null(strstr(p.errors.data, "of its weights as q8_0, which cannot learn"));
    program_release(&p);
    assert_refused("give one of the two", (const char *const[]) { "train", "-m", model, "--config", config(), "-o",
        new_run(), text(), NULL });
    assert_refused("it goes on without -m", (const char *const[]) { "train", "-m", model, "-o", whole_run(), "--resume",
        text(), NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_learns),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_given_model_goes_on),
        cmocka_unit_test(a_killed_run_goes_on),
        cmocka_unit_test(an_interrupted_run_goes_on),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(an_explosion_stops_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
