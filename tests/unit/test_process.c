/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/clock.h"
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_SECONDS 60.0 /* a run that reaches it has failed */
#define START_SECONDS 1.0 /* in which a shell begins its work */
#define SOON_SECONDS 20.0 /* generous: the machine may be busy */

static struct process_result result;

static void run_options(const struct process_options *o)
{
    struct error err = { 0 };
    double begun = clock_seconds();
    process_result_release(&result);
    int rc = process_run(&result, o, &err);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    assert_true(clock_seconds() - begun < SOON_SECONDS);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to reap */
    assert_int_equal(errno, ECHILD);
}

static void run(const char *const *argv)
{
    run_options(&(struct process_options) { .argv = argv, .output_max = 100000, .seconds_max = LONG_SECONDS });
}

static void shell(const char *script)
{
    run((const char *const[]) { "/bin/sh", "-c", script, NULL });
}

static void shell_for(const char *script, double seconds)
{
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    run_options(&(struct process_options) { .argv = argv, .output_max = 1000, .seconds_max = seconds });
}

static const char *output(void)
{
    return result.output.data ? result.output.data : "";
}

static void expect(enum process_end end, int status)
{
    assert_int_equal(result.end, end);
    assert_int_equal(result.status, status);
}

static void collects_what_it_writes(void **state)
{
    (void)state;
    shell("echo out; echo problem >&2; exit 3");
    expect(PROCESS_EXITED, 3);
    assert_string_equal(output(), "out\n");
    assert_string_equal(result.errors.data, "problem\n");
    assert_false(result.output_cut || result.errors_cut);
    shell("kill -USR1 $$");
    expect(PROCESS_KILLED, SIGUSR1);
    run((const char *const[]) { "true", NULL }); /* found in PATH */
    expect(PROCESS_EXITED, 0);
    assert_int_equal(result.output.used, 0);
}

static void takes_words_as_they_are(void **state)
{
    (void)state;
    run((const char *const[]) { "printf", "[%s]", "$HOME; echo `id`", "*", "", "\"'\n", NULL });
    expect(PROCESS_EXITED, 0);
    assert_string_equal(output(), "[$HOME; echo `id`][*][][\"'\n]");
}

static void gives_input(void **state)
{
    (void)state;
    size_t n = 3 << 20;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    memset(bytes, 'x', n);
    struct process_options o = { .argv = (const char *const[]) { "cat", NULL }, .input = bytes, .input_size = n,
        .output_max = n, .seconds_max = LONG_SECONDS };
    run_options(&o);
    assert_int_equal(result.output.used, n);
    assert_memory_equal(result.output.data, bytes, n);
    o.argv = (const char *const[]) { "true", NULL }; /* does not read it */
    run_options(&o);
    expect(PROCESS_EXITED, 0);
    o.argv = (const char *const[]) { "/bin/sh", "-c", "exec <&-; echo ok", NULL };
    run_options(&o);
    assert_string_equal(output(), "ok\n");
    o.argv = (const char *const[]) { "head", "-c", "3", "/dev/stdin", NULL }; /* it can be opened by name */
    run_options(&o);
    assert_string_equal(output(), "xxx");
    free(bytes);
    run((const char *const[]) { "cat", NULL });
    expect(PROCESS_EXITED, 0);
    assert_int_equal(result.output.used, 0);
}

static void keeps_output_within_its_limit(void **state)
{
    (void)state;
    shell("head -c 100000 /dev/zero; head -c 100001 /dev/zero >&2; echo end > /dev/null; exit 5");
    expect(PROCESS_EXITED, 5);
    assert_int_equal(result.output.used, 100000);
    assert_int_equal(result.errors.used, 100000);
    assert_true(!result.output_cut && result.errors_cut);
    shell_for("yes", START_SECONDS);
    expect(PROCESS_TIMED_OUT, 0);
    assert_int_equal(result.output.used, 1000);
    assert_true(result.output_cut);
}

static void ends_what_takes_too_long(void **state)
{
    (void)state;
    shell_for("echo begun; sleep 100", START_SECONDS);
    expect(PROCESS_TIMED_OUT, 0);
    assert_string_equal(output(), "begun\n");
    shell_for("trap 'echo asked; exit 0' TERM; while :; do sleep 0.01; done", START_SECONDS);
    expect(PROCESS_TIMED_OUT, 0);
    assert_string_equal(output(), "asked\n");
    shell_for("trap 'exit 0' TERM; sh -c \"trap 'echo inner; exit 0' TERM; while :; do sleep 0.01; done\"; echo outer",
        START_SECONDS); /* the whole group is asked */
    assert_string_equal(output(), "inner\n");
    shell_for("trap '' TERM; sleep 100; sleep 100", 0.3); /* must be killed */
    expect(PROCESS_TIMED_OUT, 0);
    shell_for("exec >&- 2>&-; sleep 100", 0.3); /* neither reads nor writes */
    expect(PROCESS_TIMED_OUT, 0);
    shell_for("kill -STOP $$", 0.3);
    expect(PROCESS_TIMED_OUT, 0);
}

static bool third_time(void *context)
{
    return ++*(int *)context >= 3;
}

static void ends_when_told(void **state)
{
    (void)state;
    int asked = 0;
    struct process_options o = { .argv = (const char *const[]) { "sleep", "100", NULL }, .output_max = 10,
        .seconds_max = LONG_SECONDS, .cancelled = third_time, .context = &asked };
    run_options(&o);
    expect(PROCESS_CANCELLED, 0);
    assert_true(asked >= 3);
}

/* Gone, or dead and waiting for a parent that is not us. */
static bool is_dead(long pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    bool dead = !fgets(line, sizeof line, f) || strstr(line, ") Z") || strstr(line, ") X");
    fclose(f);
    return dead;
}

static void leaves_nothing_behind(void **state)
{
    (void)state;
    shell("sleep 100 & echo $!"); /* holds the pipes */
    expect(PROCESS_EXITED, 0);
    long pid = strtol(output(), NULL, 10);
    assert_true(pid > 1);
    for (int i = 0; i < 1000 && !is_dead(pid); i++)
        usleep(10000);
    assert_true(is_dead(pid));
    shell("setsid sleep 100 & until set -- $(cat /proc/$!/stat) && test $5 = $!; do sleep 0.01; done; echo $!");
    /* it left the group: not waited for */
    expect(PROCESS_EXITED, 0);
    pid = strtol(output(), NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
}

static void gives_a_clean_place(void **state)
{
    (void)state;
    sigset_t blocked, before;
    int extra = open("/dev/null", O_RDONLY);
    assert_true(extra > 2 && extra < 10);
    shell("for fd in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$fd && echo $fd; done");
    assert_string_equal(output(), "0\n1\n2\n");
    close(extra);
    shell("set -- $(cat /proc/$$/stat); test $5 = $$"); /* the group is its own */
    expect(PROCESS_EXITED, 0);
    setenv("WAZN_TEST_WORD", "inherited", 1);
    shell("echo $WAZN_TEST_WORD");
    assert_string_equal(output(), "inherited\n");
    signal(SIGPIPE, SIG_IGN);
    shell("kill -PIPE $$; echo alive");
    expect(PROCESS_KILLED, SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    shell("kill -TERM $$; echo alive");
    expect(PROCESS_KILLED, SIGTERM);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void needs_no_standard_descriptors(void **state)
{
    (void)state;
    struct process_options o = { .argv = (const char *const[]) { "/bin/sh", "-c", "cat; echo problem >&2", NULL },
        .input = "words", .input_size = 5, .output_max = 100, .seconds_max = LONG_SECONDS };
    for (int closed = 1; closed < 8; closed++) { /* bit i: descriptor i is free */
        int kept[3];
        bool still_free = true;
        for (int i = 0; i < 3; i++)
            kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        for (int i = 0; i < 3; i++)
            if (closed >> i & 1)
                close(i);
        process_result_release(&result);
        int rc = process_run(&result, &o, NULL);
        for (int i = 0; i < 3; i++) {
            still_free &= (fcntl(i, F_GETFD) < 0) == (closed >> i & 1);
            dup2(kept[i], i);
            close(kept[i]);
        }
        assert_int_equal(rc, 0);
        assert_true(still_free);
        assert_string_equal(output(), "words");
        assert_string_equal(result.errors.data, "problem\n");
    }
}

static void refuse(const char *program, int code, const char *words)
{
    struct error err = { 0 };
    struct process_options o = { .argv = (const char *const[]) { program, NULL }, .output_max = 10,
        .seconds_max = LONG_SECONDS };
    process_result_release(&result);
    assert_int_equal(process_run(&result, &o, &err), code);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" lacks \"%s\"", err.text, words);
    assert_non_null(strstr(err.text, program));
    assert_null(result.output.data);
}

static void tells_why_it_did_not_start(void **state)
{
    (void)state;
    const char *folder = test_folder(), *script = test_join(folder, "script");
    refuse("no-such-program-anywhere", ERROR_NOT_FOUND, "No such file");
    refuse("/nowhere/program", ERROR_NOT_FOUND, "No such file");
    refuse("/dev", ERROR_IO, "Permission denied");
    test_write(script, "echo hello\n", 11);
    refuse(script, ERROR_IO, "Permission denied");
    assert_int_equal(chmod(script, 0755), 0);
    refuse(script, ERROR_IO, "Exec format"); /* no shell takes it up */
}

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void survives_a_full_table(void **state)
{
    (void)state;
    struct rlimit before, now;
    struct process_options o = { .argv = (const char *const[]) { "true", NULL }, .output_max = 10,
        .seconds_max = LONG_SECONDS };
    int open_before = count_descriptors(), failures = 0, rc = ERROR_IO;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t limit = 3; limit < 64 && rc; limit++) {
        now = (struct rlimit) { limit, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
        struct error err = { 0 };
        process_result_release(&result);
        rc = process_run(&result, &o, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (rc) {
            assert_int_equal(rc, ERROR_IO);
            assert_non_null(strstr(err.text, "\"true\""));
            failures++;
        }
        assert_int_equal(count_descriptors(), open_before);
    }
    assert_int_equal(rc, 0);
    assert_true(failures >= 3); /* the input, each pipe */
}

static int release(void **state)
{
    (void)state;
    process_result_release(&result);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collects_what_it_writes),
        cmocka_unit_test(takes_words_as_they_are),
        cmocka_unit_test(gives_input),
        cmocka_unit_test(keeps_output_within_its_limit),
        cmocka_unit_test(ends_what_takes_too_long),
        cmocka_unit_test(ends_when_told),
        cmocka_unit_test(leaves_nothing_behind),
        cmocka_unit_test(gives_a_clean_place),
        cmocka_unit_test(needs_no_standard_descriptors),
        cmocka_unit_test(tells_why_it_did_not_start),
        cmocka_unit_test(survives_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
