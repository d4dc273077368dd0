/* SPDX-License-Identifier: Apache-2.0 */
/* wazn tune as a user meets it: conversations are learned where the assistant speaks, what is wrong is named. */
#include "program.h"

#include "base/filemap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *model(void)
{
    return make_model(&(struct made_model) { .layers = 2, .dim = 32, .ffn = 48, .context = 128, .chat = MADE_CHATML });
}

static const char *written(const char *name, const char *text)
{
    const char *path = test_join(test_folder(), name);
    test_write(path, text, strlen(text));
    return path;
}

static const char *chats(void)
{
    struct buffer b = { 0 };
    for (int i = 0; i < 60; i++)
        buffer_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"say %d\"},{\"role\":\"assistant\","
            "\"content\":\"It is %d.\"}]}\n", i % 6, i % 6);
    const char *path = written("chats.jsonl", b.data);
    buffer_release(&b);
    return path;
}

/* Numbers of lines of a type in a run's log; returns how many. */
static int read_numbers(double *out, int most, const char *folder, const char *type, const char *key)
{
    struct error err = { 0 };
    char *log;
    size_t size;
    int n = 0;
    if (file_read_new(&log, &size, test_join(folder, "log.jsonl"), 1 << 20, &err) != 0)
        fail_msg("%s", err.text);
    for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *o = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (n < most && strcmp(json_text(o, "type", ""), type) == 0)
            out[n++] = json_real_of(o, key, NAN);
        json_decref(o);
    }
    free(log);
    return n;
}

static int read_losses(double *losses, int most, const char *folder, const char *type)
{
    return read_numbers(losses, most, folder, type, "loss");
}

static void a_preview_shows_what_is_learned(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 0, NULL, "tune", "-m", model(), "--preview", "1", chats());
    const char *said = strstr(p.output.data, "⟦");
    assert_non_null(said);
    assert_non_null(strstr(said, "I"));
    assert_non_null(strstr(p.output.data, "<|im_start|>"));
    assert_true(strstr(p.output.data, "<|im_start|>") < said);
    assert_non_null(strstr(p.errors.data, "samples   60"));
    program_release(&p);
}

/* Whether the token is shown as learned: the mark last opened in front of it is not closed. */
static bool is_learned(const char *shown, const char *token)
{
    const char *at = strstr(shown, token), *open = NULL, *close = NULL;
    assert_non_null(at);
    for (const char *c = shown; (c = strstr(c, "⟦")) && c < at; c++)
        open = c;
    for (const char *c = shown; (c = strstr(c, "⟧")) && c < at; c++)
        close = c;
    return open && !(close && close > open);
}

/* Harmony leaves thoughts out of what it shows of the past; those of the last turn are learned all the same. */
static void thoughts_are_learned(void **state)
{
    (void)state;
    struct program p;
    const char *m = make_model(&(struct made_model) { .layers = 1, .dim = 32, .ffn = 32, .context = 512,
        .chat = MADE_HARMONY });
    char chat[4096];
    const char *text = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
        "\"reasoning_content\":\"~\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":"
        "\"assistant\",\"reasoning_content\":\"^\",\"content\":\"=\"}]}\n";
    snprintf(chat, sizeof chat, "%s", written("chat.jsonl", text));
    RUN(&p, 0, NULL, "tune", "-m", m, "--preview", "1", chat);
    assert_null(strstr(p.output.data, "~")); /* of an earlier turn */
    assert_true(is_learned(p.output.data, "^") && is_learned(p.output.data, "="));
    program_release(&p);
    RUN(&p, 0, NULL, "tune", "-m", m, "--preview", "1", "--skip-reasoning", chat);
    assert_true(!is_learned(p.output.data, "^") && is_learned(p.output.data, "="));
    program_release(&p);
}

static void conversations_are_learned(void **state)
{
    (void)state;
    struct program p;
    double losses[64], held[8];
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_join(test_folder(), "run"));
    RUN(&p, 0, NULL, "tune", "-m", model(), "-o", folder, "--method", "full", "--lr", "0.02", "--epochs", "4",
        "--batch-tokens", "256", "--pass-tokens", "128", "--validation", "0.1", "--validate-every", "5",
        "--sample-prompt", "say 3", "-t", "2", chats());
    assert_non_null(strstr(p.errors.data, "validation loss"));
    program_release(&p);
    int n = read_losses(losses, 64, folder, "step"), measured = read_losses(held, 8, folder, "validation");
    assert_true(n > 20 && losses[n - 1] < 0.3 * losses[0]);
    assert_true(measured >= 2 && held[measured - 1] < held[0]);
    RUN(&p, 0, NULL, "run", "-m", test_join(folder, "model"), "--temp", "0", "-n", "12", "-q", "say 4");
    assert_non_null(strstr(p.output.data, "It is"));
    program_release(&p);
}

/* The base stays as it is, what was learned stands beside it; a merged model says the same. */
static void adapters_are_learned(void **state)
{
    (void)state;
    struct program p;
    double losses[64];
    char folder[4096], merged[4096];
    snprintf(folder, sizeof folder, "%s", test_join(test_folder(), "run"));
    snprintf(merged, sizeof merged, "%s", test_join(test_folder(), "merged"));
    RUN(&p, 0, NULL, "tune", "-m", model(), "-o", folder, "--rank", "6", "--lr", "0.05", "--epochs", "8",
        "--batch-tokens", "256", "--pass-tokens", "128", "--dropout", "0.05", "--sample-every", "0", "-t", "2",
        chats());
    program_release(&p);
    int n = read_losses(losses, 64, folder, "step");
    if (!(n > 40 && losses[n - 1] < 0.85 * losses[0]))
        fail_msg("%d steps, loss %g to %g", n, losses[0], losses[n - 1]);
    RUN(&p, 0, NULL, "run", "-m", model(), "--adapter", test_join(folder, "adapter"), "--temp", "0", "-n", "6", "-q",
        "say 4");
    char *said = strdup(p.output.data);
    program_release(&p);
    RUN(&p, 0, NULL, "merge", "-m", model(), "--adapter", test_join(folder, "adapter"), "-o", merged, "-q");
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", merged, "--temp", "0", "-n", "6", "-q", "say 4");
    assert_string_equal(p.output.data, said);
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", model(), "--temp", "0", "-n", "6", "-q", "say 4");
    assert_string_not_equal(p.output.data, said);
    program_release(&p);
    free(said);
}

/* Of two answers the chosen one becomes likelier, also where it was not learned from. */
static void preferences_are_learned(void **state)
{
    (void)state;
    struct program p;
    double losses[64], margins[64], held[8];
    char folder[4096];
    struct buffer b = { 0 };
    for (int i = 0; i < 40; i++)
        buffer_printf(&b, "{\"prompt\":\"say %d\",\"chosen\":\"It is %d.\",\"rejected\":\"Go away, %d!\"}\n", i, i, i);
    for (int orpo = 0; orpo < 2; orpo++) {
        snprintf(folder, sizeof folder, "%s", test_join(test_folder(), "run"));
        RUN(&p, 0, NULL, "tune", "-m", model(), "-o", folder, "--objective", orpo ? "orpo" : "dpo", "--method", "full",
            "--lr", "0.003", "--epochs", "4", "--pairs", "4", "--validation", "0.2", "--validate-every", "8",
            "--sample-every", "0", "--precision", "f32", "-t", "2", written("pairs.jsonl", b.data));
        program_release(&p);
        int n = read_losses(losses, 64, folder, "step");
        assert_int_equal(n, 32);
        read_numbers(margins, 64, folder, "step", "margin");
        assert_true(losses[n - 1] < losses[0] && margins[n - 1] > margins[0]);
        assert_true(read_numbers(held, 8, folder, "validation", "margin") == 4 && held[3] > held[0] && held[3] > 0);
        if (!orpo) /* nothing was learned: the model is its own reference */
            assert_true(fabs(losses[0] - log(2)) < 1e-6 && fabs(margins[0]) < 1e-6);
    }
    buffer_release(&b);
}

/* Answers that hold a letter of the alphabet's first half are rewarded: they become more. Twice the same run gives the
 * same bits, and what is learned from is what was sampled: the same log-probabilities. */
static void rewards_are_learned(void **state)
{
    (void)state;
    struct program p;
    double rewards[2][64], differences[64];
    struct buffer b = { 0 };
    for (int i = 0; i < 24; i++)
        buffer_printf(&b, "{\"prompt\":\"say %d\",\"answer\":\"e\"}\n", i);
    char prompts[4096];
    snprintf(prompts, sizeof prompts, "%s", written("prompts.jsonl", b.data));
    for (int run = 0; run < 2; run++) {
        char folder[4096];
        snprintf(folder, sizeof folder, "%s", test_join(test_folder(), "run"));
        RUN(&p, 0, NULL, "tune", "-m", model(), "-o", folder, "--objective", "grpo", "--method", "full", "--reward",
            "[{\"kind\":\"regex\",\"pattern\":\"[a-m]\"}]", "--max-tokens", "3", "--group", "8", "--prompts", "4",
            "--steps", "40", "--lr", "0.01", "--validation", "0.2", "--validate-every", "20", "--sample-every", "0",
            "-t", run ? "1" : "2", prompts);
        program_release(&p);
        assert_int_equal(read_numbers(rewards[run], 64, folder, "step", "reward"), 40);
        read_numbers(differences, 64, folder, "step", "sampling_difference");
        for (int i = 0; i < 40; i++)
            assert_true(differences[i] == 0);
    }
    double early = 0, late = 0;
    for (int i = 0; i < 8; i++) {
        early += rewards[0][i] / 8;
        late += rewards[0][32 + i] / 8;
    }
    if (!(late > early + 0.3))
        fail_msg("rewards of %g became %g", early, late);
    assert_memory_equal(rewards[0], rewards[1], 40 * sizeof rewards[0][0]);
    buffer_release(&b);
}

static void assert_refused(const char *words, const char *name, const char *text)
{
    struct program p;
    const char *folder = test_join(test_folder(), "run");
    program_start(&p, (const char *const[]) { "tune", "-m", model(), "-o", folder, written(name, text), NULL });
    program_end(&p);
    assert_true(p.status > 0 && p.status < 128);
    if (!strstr(p.errors.data, words))
        fail_msg("\"%s\" does not say \"%s\"", p.errors.data, words);
    program_release(&p);
}

static void bad_data_are_named(void **state)
{
    (void)state;
    assert_refused("bad.jsonl:2", "bad.jsonl", "{\"text\":\"a good line\"}\n{\"text\":\n");
    assert_refused("roles.jsonl:1", "roles.jsonl", "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}\n");
    assert_refused("bytes.jsonl:1", "bytes.jsonl", "{\"text\":\"\xff\xfe\"}\n");
    assert_refused("there is nothing to learn from", "empty.jsonl", "\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preview_shows_what_is_learned),
        cmocka_unit_test(thoughts_are_learned),
        cmocka_unit_test(conversations_are_learned),
        cmocka_unit_test(adapters_are_learned),
        cmocka_unit_test(preferences_are_learned),
        cmocka_unit_test(rewards_are_learned),
        cmocka_unit_test(bad_data_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
