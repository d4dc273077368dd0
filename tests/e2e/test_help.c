/* SPDX-License-Identifier: Apache-2.0 */
/* Help, usage errors and exit codes. */
#include "program.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[] = { "run", "chat", "inspect", "tokenize", "logits", "bench", "selftest", NULL };

static void help_names_every_command(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 0, NULL, "--help");
    for (int i = 0; names[i]; i++)
        assert_non_null(strstr(p.output.data, names[i]));
    assert_int_equal(p.errors.used, 0);
    program_release(&p);
    RUN(&p, 0, NULL, "--version");
    assert_string_equal(p.output.data, "wazn " WAZN_VERSION "\n");
    program_release(&p);
    RUN(&p, 2, NULL, "");
    program_release(&p);
}

static void help_of_a_command_is_one_text(void **state)
{
    (void)state;
    for (int i = 0; names[i]; i++) {
        struct program p, q;
        RUN(&p, 0, NULL, "help", names[i]);
        RUN(&q, 0, NULL, names[i], "--help");
        assert_string_equal(p.output.data, q.output.data);
        assert_non_null(strstr(p.output.data, "Usage: wazn "));
        assert_non_null(strstr(p.output.data, "Examples:"));
        assert_non_null(strstr(p.output.data, "--help"));
        program_release(&p);
        program_release(&q);
    }
}

static void wrong_use_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[8], *said;
        int status;
    } cases[] = {
        { { "rnu" }, "did you mean \"run\"", 2 },
        { { "zzzzzz" }, "unknown command", 2 },
        { { "run", "-m", "x", "--tmep", "1", "hi" }, "did you mean --temp", 2 },
        { { "run", "-m", "x", "--sha256", "hi" }, "takes no --sha256", 2 },
        { { "run", "-m", "x", "--temp", "hot", "hi" }, "takes a number", 2 },
        { { "run", "-m", "x", "--temp", "nan", "hi" }, "takes a number", 2 },
        { { "run", "-m", "x", "--temp", "-1", "hi" }, "between 0 and 100", 2 },
        { { "run", "-m", "x", "-n", "1x", "hi" }, "whole number", 2 },
        { { "run", "-m", "x", "-n", "99999999999999999999", "hi" }, "between", 2 },
        { { "run", "-m", "x", "--kv", "q4", "hi" }, "f16|bf16|q8_0|f32", 2 },
        { { "run", "-m", "x", "--raw=1", "hi" }, "takes no value", 2 },
        { { "run", "-m", "x", "-n" }, "needs a value", 2 },
        { { "run", "-m", "x", "hi", "there" }, "quotes", 2 },
        { { "run", "-m", "x" }, "a prompt is missing", 2 },
        { { "run", "hi" }, "a model is missing", 2 },
        { { "chat", "hello" }, "does not know what to do with", 2 },
        { { "tokenize", "-m", "x" }, "takes one of", 2 },
        { { "logits", "-m", "x" }, "needs --tokens", 2 },
        { { "bench" }, "a model is missing", 2 },
        { { "bench", "-m", "x", "--rounds", "0" }, "between 1 and 1000", 2 },
        { { "run", "-m", "/nowhere/at/all", "hi" }, "/nowhere/at/all", 3 },
        { { "inspect", "-m", "/nowhere/at/all" }, "/nowhere/at/all", 3 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program p;
        program_run(&p, cases[i].status, NULL, cases[i].arguments);
        if (strncmp(p.errors.data, "wazn: ", 6) != 0 || !strstr(p.errors.data, cases[i].said))
            fail_msg("case %zu said: %s", i, p.errors.data);
        assert_int_equal(p.output.used, 0);
        program_release(&p);
    }
}

static void full_disk_is_an_error(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int full = open("/dev/full", O_WRONLY), null = open("/dev/null", O_WRONLY);
        dup2(full, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execl(test_program(), "wazn", "--help", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4);
}

static void selftest_passes(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 0, NULL, "selftest");
    assert_non_null(strstr(p.output.data, " passed, 0 failed\n"));
    assert_null(strstr(p.output.data, "FAILED"));
    assert_non_null(strstr(p.output.data, "kernel rmsnorm"));
    assert_non_null(strstr(p.output.data, "format q4_k, dot product"));
    assert_non_null(strstr(p.output.data, "with one thread"));
    program_release(&p);
    RUN(&p, 0, NULL, "selftest", "--cpu", "c", "-q");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_names_every_command),
        cmocka_unit_test(help_of_a_command_is_one_text),
        cmocka_unit_test(wrong_use_is_told),
        cmocka_unit_test(full_disk_is_an_error),
        cmocka_unit_test(selftest_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
