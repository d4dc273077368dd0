/* SPDX-License-Identifier: Apache-2.0 */
/* wazn quantize and wazn convert as a user meets them: files that open, losses that are told, refusals that leave
 * nothing behind. */
#include "program.h"

#include "base/filemap.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *model(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(&(struct made_model) { .layers = 2, .dim = 256, .ffn = 512, .context = 256, .chat = true });
    return folder;
}

static const char *text(void)
{
    static char path[4096];
    struct buffer b = { 0 };
    if (path[0])
        return path;
    snprintf(path, sizeof path, "%s", test_join(test_folder(), "text.txt"));
    for (int i = 0; i < 40; i++)
        buffer_printf(&b, "Line %d of a text, %s.\n", i, i % 3 ? "as any other" : "of no meaning");
    test_write(path, b.data, b.used);
    buffer_release(&b);
    return path;
}

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = -2;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* The text that greedy sampling gives: equal where the numbers are. */
static char *continued_new(const char *m)
{
    struct program p;
    RUN(&p, 0, NULL, "run", "-m", m, "--raw", "--temp", "0", "-n", "24", "-q", "-t", "1", "Line 3");
    char *out = strdup(p.output.data);
    program_release(&p);
    return out;
}

static void there_and_back_says_the_same(void **state)
{
    (void)state;
    struct program p;
    char gguf[4096], back[4096], again[4096];
    const char *out = test_folder();
    snprintf(gguf, sizeof gguf, "%s/m.gguf", out);
    snprintf(back, sizeof back, "%s/back", out);
    snprintf(again, sizeof again, "%s/again.gguf", out);
    RUN(&p, 0, NULL, "convert", "-m", model(), "-o", gguf);
    assert_non_null(strstr(p.errors.data, "m.gguf: "));
    program_release(&p);
    RUN(&p, 0, NULL, "convert", "-m", gguf, "-o", back, "--json", "-q");
    json_t *report = program_json(&p);
    assert_string_equal(json_text(report, "file", ""), back);
    assert_true(json_whole(report, "bytes", 0) > 1000000);
    json_decref(report);
    program_release(&p);
    RUN(&p, 0, NULL, "convert", "-m", back, "-o", again, "-q");
    program_release(&p);
    char *a = continued_new(model()), *b = continued_new(gguf), *c = continued_new(back), *d = continued_new(again);
    assert_string_equal(b, a);
    assert_string_equal(c, a);
    assert_string_equal(d, a);
    free(a);
    free(b);
    free(c);
    free(d);
    /* the chat format and its tokens went over */
    RUN(&p, 0, NULL, "inspect", "-m", back, "--json");
    json_t *seen = program_json(&p);
    assert_string_equal(json_text(seen, "chat_format", ""), "chatml");
    assert_int_equal(json_whole(json_object_get(json_object_get(seen, "special_tokens"), "eos"), "id", -1), 258);
    json_decref(seen);
    program_release(&p);
}

static void the_loss_is_told_and_kept(void **state)
{
    (void)state;
    struct program p;
    const char *path = test_join(test_folder(), "q.gguf");
    double kl[3], size[3];
    static const char *const formats[] = { "q4_k_m", "q6_k", "q8_0" };
    for (int i = 0; i < 3; i++) {
        RUN(&p, 0, NULL, "quantize", "-m", model(), "--to", formats[i], "--calibrate", text(), "-o", path, "--json",
            "-t", "1");
        assert_non_null(strstr(p.errors.data, "mean KL"));
        json_t *report = program_json(&p);
        const json_t *loss = json_object_get(report, "loss");
        kl[i] = json_real_of(loss, "kl_mean", -1);
        size[i] = (double)json_whole(report, "bytes", 0);
        assert_true(json_real_of(loss, "top1_agreement", 0) > 0.5);
        assert_true(json_real_of(json_object_get(report, "worst_tensor"), "error", 0) > 0);
        program_release(&p);
        /* the file says so itself */
        RUN(&p, 0, NULL, "inspect", "-m", path, "--json");
        json_t *seen = program_json(&p);
        const json_t *own = json_object_get(seen, "quantization");
        assert_string_equal(json_text(own, "recipe", ""), formats[i]);
        double stored = json_real_of(json_object_get(own, "loss"), "kl_mean", -1);
        assert_true(stored > kl[i] * 0.999 && stored < kl[i] * 1.001);
        assert_int_equal(json_object_size(json_object_get(own, "worst_tensors")), 3);
        json_decref(seen);
        json_decref(report);
        program_release(&p);
    }
    assert_true(kl[0] > kl[1] && kl[1] > kl[2] && kl[2] > 0);
    assert_true(size[0] < size[1] && size[1] < size[2]);
    free(continued_new(path));
}

static void a_loss_is_searched(void **state)
{
    (void)state;
    struct program p;
    const char *out = test_folder(), *path = test_join(out, "s.gguf");
    RUN(&p, 0, NULL, "quantize", "-m", model(), "--to", "q4_k", "--calibrate", text(), "-o", path, "--json", "-q", "-t",
        "1");
    json_t *fixed = program_json(&p);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%.9g", json_real_of(json_object_get(fixed, "loss"), "kl_mean", 0));
    program_release(&p);
    RUN(&p, 0, NULL, "quantize", "-m", model(), "--loss", wanted, "--calibrate", text(), "-o", path, "--json", "-t",
        "1");
    json_t *found = program_json(&p);
    assert_true(json_real_of(json_object_get(found, "loss"), "kl_mean", 1) <= strtod(wanted, NULL));
    /* choosing tensor by tensor does not lose to one format for all */
    assert_true(json_whole(found, "bytes", 0) <= json_whole(fixed, "bytes", 0));
    json_decref(fixed);
    json_decref(found);
    program_release(&p);
    assert_int_equal(entries(out), 1);
    RUN(&p, 8, NULL, "quantize", "-m", model(), "--loss", "1e-9", "--calibrate", text(), "-o", test_join(out, "n.gguf"),
        "-t", "1");
    assert_non_null(strstr(p.errors.data, "no mix of formats has a mean KL of at most 1e-09"));
    program_release(&p);
    assert_int_equal(entries(out), 1);
}

static void rules_go_before_recipes(void **state)
{
    (void)state;
    struct program p;
    const char *path = test_join(test_folder(), "r.gguf");
    RUN(&p, 0, NULL, "quantize", "-m", model(), "--to", "q4_0", "--keep", "output=q8_0,blk.0.*,v=q5_1", "-o", path,
        "-q");
    program_release(&p);
    RUN(&p, 0, NULL, "inspect", "-m", path, "--json");
    json_t *seen = program_json(&p);
    const json_t *formats = json_object_get(seen, "formats");
    /* of 2 layers: all 7 matrices of the first and 5 vectors are f32; one v is left, and 6 beside the embedding */
    assert_int_equal(json_whole(json_object_get(formats, "f32"), "tensors", 0), 12);
    assert_int_equal(json_whole(json_object_get(formats, "q8_0"), "tensors", 0), 1);
    assert_int_equal(json_whole(json_object_get(formats, "q5_1"), "tensors", 0), 1);
    assert_int_equal(json_whole(json_object_get(formats, "q4_0"), "tensors", 0), 7);
    json_decref(seen);
    program_release(&p);
}

static void wrong_use_is_refused(void **state)
{
    (void)state;
    struct program p;
    const char *out = test_folder();
    char path[4096], same[4096];
    static const struct {
        int status;
        const char *words, *arguments[8];
    } cases[] = {
        { 2, "needs --to FORMAT", { NULL } },
        { 2, "there is no format \"q9\"; there are q2_k_s", { "--to", "q9" } },
        { 2, "give one of the two", { "--to", "q8_0", "--loss", "0.1" } },
        { 2, "measured on a text", { "--loss", "0.1" } },
        { 2, "no tensor is called \"nothing\"", { "--to", "q8_0", "--keep", "nothing=q4_0" } },
        { 2, "names no format that can be written", { "--to", "q8_0", "--keep", "output=q8_1" } },
        { 3, "no-such", { "--to", "q8_0", "--calibrate", "no-such-file" } },
    };
    snprintf(path, sizeof path, "%s/x.gguf", out);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *arguments[16] = { "quantize", "-m", model(), "-o", path };
        for (int k = 0; cases[i].arguments[k]; k++)
            arguments[5 + k] = cases[i].arguments[k];
        program_run(&p, cases[i].status, NULL, arguments);
        if (!strstr(p.errors.data, cases[i].words))
            fail_msg("\"%s\" is not in: %s", cases[i].words, p.errors.data);
        program_release(&p);
    }
    RUN(&p, 2, NULL, "convert", "-m", model(), "--to", "q8_0", "-o", path);
    program_release(&p);
    RUN(&p, 2, NULL, "convert", "-m", model());
    program_release(&p);
    RUN(&p, 2, NULL, "convert", "-m", model(), "-o", model());
    assert_non_null(strstr(p.errors.data, "is the model it would be made from"));
    program_release(&p);
    RUN(&p, 0, NULL, "convert", "-m", model(), "-o", path, "-q");
    program_release(&p);
    snprintf(same, sizeof same, "%s/./x.gguf", out);
    RUN(&p, 2, NULL, "quantize", "-m", path, "--to", "q8_0", "-o", same);
    assert_non_null(strstr(p.errors.data, "is the model it would be made from"));
    program_release(&p);
    RUN(&p, 3, NULL, "convert", "-m", path, "-o", test_join(out, "no/such/folder"));
    program_release(&p);
    assert_int_equal(entries(out), 1);
}

static void blocks_go_to_a_folder_only_when_asked(void **state)
{
    (void)state;
    struct program p;
    const char *out = test_folder();
    char q8[4096], folder[4096];
    snprintf(q8, sizeof q8, "%s/q8.gguf", out);
    snprintf(folder, sizeof folder, "%s/folder", out);
    RUN(&p, 0, NULL, "quantize", "-m", model(), "--to", "q8_0", "-o", q8, "-q");
    program_release(&p);
    RUN(&p, 6, NULL, "convert", "-m", q8, "-o", folder);
    assert_non_null(strstr(p.errors.data, "--to bf16, f16 or f32"));
    program_release(&p);
    assert_int_equal(entries(out), 1);
    RUN(&p, 0, NULL, "convert", "-m", q8, "--to", "f32", "-o", folder, "-q");
    program_release(&p);
    free(continued_new(folder));
    RUN(&p, 2, NULL, "convert", "-m", q8, "--to", "f32", "-o", folder);
    assert_non_null(strstr(p.errors.data, "it is there already"));
    program_release(&p);
}

/* A limit on the size of files stands for a full disk: the system refuses to reserve the room. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct program p;
    struct rlimit before, small = { 200000, 200000 };
    const char *out = test_folder();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    signal(SIGXFSZ, SIG_IGN);
    program_start(&p, (const char *const[]) { "quantize", "-m", model(), "--to", "q8_0", "-o", test_join(out, "x.gguf"),
        NULL });
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    program_end(&p);
    assert_int_equal(p.status, 4);
    assert_non_null(strstr(p.errors.data, "could not reserve"));
    program_release(&p);
    assert_int_equal(entries(out), 0);
}

static void an_interrupt_leaves_nothing(void **state)
{
    (void)state;
    struct program p;
    const char *out = test_folder();
    const char *big = make_model(&(struct made_model) { .layers = 4, .dim = 512, .ffn = 4096, .context = 256 });
    program_start(&p, (const char *const[]) { "quantize", "-m", big, "--to", "q4_k", "--calibrate", text(), "-o",
        test_join(out, "x.gguf"), "-t", "1", NULL });
    for (int i = 0; i < 60000 && entries(out) == 0; i++) /* until it began to write */
        usleep(1000);
    assert_int_equal(entries(out), 1);
    kill(p.pid, SIGINT);
    program_end(&p);
    assert_int_equal(p.status, 130);
    program_release(&p);
    assert_int_equal(entries(out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back_says_the_same),
        cmocka_unit_test(the_loss_is_told_and_kept),
        cmocka_unit_test(a_loss_is_searched),
        cmocka_unit_test(rules_go_before_recipes),
        cmocka_unit_test(wrong_use_is_refused),
        cmocka_unit_test(blocks_go_to_a_folder_only_when_asked),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(an_interrupt_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
