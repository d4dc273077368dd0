/* SPDX-License-Identifier: Apache-2.0 */
/* chat, with a script as its standard input. */
#include "program.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define NO_END "256=-inf,257=-inf,258=-inf"

static const char *model(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(
            &(struct made_model) { .layers = 2, .dim = 64, .ffn = 96, .context = 512, .chat = MADE_CHATML });
    return folder;
}

static void a_talk_is_saved_and_goes_on(void **state)
{
    (void)state;
    char script[600];
    const char *saved = test_join(test_folder(), "talk.json");
    struct program p;
    snprintf(script, sizeof script, "/system Be brief.\nHello\n\n/retry\nAgain\\\nand more\n/stats\n/save %s\n"
        "/nonsense\n/help\n/reset\n/load %s\n/quit\nnever sent\n", saved, saved);
    RUN(&p, 0, script, "chat", "-m", model(), "-n", "12", "--seed", "3");
    assert_non_null(strstr(p.errors.data, "5 messages saved"));
    assert_non_null(strstr(p.errors.data, "5 messages loaded"));
    assert_non_null(strstr(p.errors.data, "unknown command \"/nonsense\""));
    assert_non_null(strstr(p.errors.data, "/retry"));
    const char *reused = strstr(p.errors.data, " reused)");
    assert_non_null(reused);
    assert_null(strstr(p.errors.data, "(0 reused)"));
    program_release(&p);
    json_t *file;
    assert_int_equal(json_read_file_new(&file, saved, 1 << 20, NULL), 0);
    const json_t *messages = json_object_get(file, "messages");
    static const char *const roles[] = { "system", "user", "assistant", "user", "assistant" };
    assert_int_equal(json_array_size(messages), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(json_text(json_array_get(messages, i), "role", ""), roles[i]);
    assert_string_equal(json_text(json_array_get(messages, 3), "content", ""), "Again\nand more");
    json_decref(file);
}

static void control_characters_are_shown(void **state)
{
    (void)state;
    struct program p;
    bool escaped = false;
    RUN(&p, 0, "one\ntwo\nthree\n", "chat", "-m", model(), "-n", "60", "--temp", "3", "--top-k", "0", "--top-p", "1",
        "--min-p", "0", "--seed", "1", "--logit-bias", NO_END);
    for (size_t i = 0; i < p.output.used; i++) {
        unsigned char c = (unsigned char)p.output.data[i];
        assert_true(c >= 0x20 || c == '\n' || c == '\t');
        assert_true(c != 0x7f);
        escaped = escaped || strncmp(p.output.data + i, "\\x", 2) == 0;
    }
    assert_true(escaped);
    program_release(&p);
}

static void interrupt_stops_the_answer_alone(void **state)
{
    (void)state;
    const char *slow = make_model(&(struct made_model) {
        .layers = 4, .dim = 256, .ffn = 512, .context = 16384, .chat = MADE_CHATML });
    struct program p;
    const char *const arguments[] = { "chat", "-m", slow, "--temp", "0", "--ctx", "16384", "--logit-bias", NO_END,
        NULL };
    program_start(&p, arguments);
    program_write(&p, "Tell me a long story\n");
    program_wait_output(&p, 20);
    kill(p.pid, SIGINT);
    program_wait_for(&p, true, "stopped");
    program_write(&p, "/stats\n");
    program_wait_for(&p, true, "2 messages");
    program_end(&p);
    assert_int_equal(p.status, 0);
    program_release(&p);
}

static void a_full_context_is_told(void **state)
{
    (void)state;
    char script[1200];
    struct program p;
    memset(script, 'w', 900);
    snprintf(script + 900, 100, "\nshort\n/stats\n");
    RUN(&p, 0, script, "chat", "-m", model(), "-n", "5", "--temp", "0", "--logit-bias", NO_END);
    assert_non_null(strstr(p.errors.data, "do not fit the context of 512"));
    assert_non_null(strstr(p.errors.data, "was not sent"));
    assert_non_null(strstr(p.errors.data, "2 messages;"));
    program_release(&p);
}

static void broken_conversations_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "{}", "{\"messages\": [1]}", "{\"messages\": [{\"role\": \"user\"}]}",
        "[{\"role\": \"king\", \"content\": \"x\"}]", "[{\"role\": \"user\", \"content\": \"a\\u0000b\"}]" };
    const char *path = test_join(test_folder(), "bad.json");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct program p;
        test_write(path, texts[i], strlen(texts[i]));
        RUN(&p, 5, "", "chat", "-m", model(), "--load", path);
        assert_non_null(strstr(p.errors.data, "bad.json"));
        program_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_talk_is_saved_and_goes_on),
        cmocka_unit_test(control_characters_are_shown),
        cmocka_unit_test(interrupt_stops_the_answer_alone),
        cmocka_unit_test(a_full_context_is_told),
        cmocka_unit_test(broken_conversations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
