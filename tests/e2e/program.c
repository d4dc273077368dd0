/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 60.0

static const char *home(void)
{
    static const char *folder;
    if (!folder)
        folder = test_folder();
    return folder;
}

static void become_program(const char *const *arguments, int in, int out, int err)
{
    const char *argv[64] = { test_program() };
    for (int i = 0; arguments[i] && i < 62; i++)
        argv[i + 1] = arguments[i];
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    setenv("HOME", home(), 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

void program_start(struct program *p, const char *const *arguments)
{
    int in[2], out[2], err[2];
    *p = (struct program) { .in = -1 };
    home(); /* made here, so that the child does not remove it */
    assert_int_equal(pipe(in) | pipe(out) | pipe(err), 0);
    fflush(stdout);
    fflush(stderr);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0)
        become_program(arguments, in[0], out[1], err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    p->in = in[1];
    p->out = out[0];
    p->err = err[0];
    signal(SIGPIPE, SIG_IGN);
}

void program_write(struct program *p, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t wrote = write(p->in, text, n);
        if (wrote < 0 && errno == EPIPE)
            return; /* it ended without reading all: what it said tells why */
        assert_true(wrote > 0);
        text += wrote;
        n -= (size_t)wrote;
    }
}

void program_close_input(struct program *p)
{
    if (p->in >= 0)
        close(p->in);
    p->in = -1;
}

static void read_some(int *fd, struct buffer *into)
{
    char *room = buffer_room(into, 65536);
    assert_non_null(room);
    ssize_t n = read(*fd, room, 65536);
    if (n > 0) {
        into->used += (size_t)n;
        return;
    }
    close(*fd);
    *fd = -1;
}

/* False when both ends are closed. */
static bool read_more(struct program *p, double until)
{
    struct pollfd fds[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };
    if (p->out < 0 && p->err < 0)
        return false;
    double left = until - clock_seconds();
    if (left <= 0 || poll(fds, 2, (int)(left * 1000) + 1) < 0) {
        kill(p->pid, SIGKILL);
        fail_msg("the program did not end or answer within %g seconds", SECONDS_MAX);
    }
    if (fds[0].revents)
        read_some(&p->out, &p->output);
    if (fds[1].revents)
        read_some(&p->err, &p->errors);
    return true;
}

void program_wait_for(struct program *p, bool errors, const char *text)
{
    double until = clock_seconds() + SECONDS_MAX;
    struct buffer *b = errors ? &p->errors : &p->output;
    while (!b->data || !memmem(b->data, b->used, text, strlen(text))) {
        if (!read_more(p, until))
            fail_msg("\"%s\" never came", text);
    }
}

void program_wait_output(struct program *p, size_t bytes)
{
    double until = clock_seconds() + SECONDS_MAX;
    while (p->output.used < bytes) {
        if (!read_more(p, until))
            fail_msg("%zu bytes of output came, not %zu", p->output.used, bytes);
    }
}

void program_end(struct program *p)
{
    double until = clock_seconds() + SECONDS_MAX;
    struct rusage usage;
    int status;
    program_close_input(p);
    while (read_more(p, until))
        ;
    assert_int_equal(wait4(p->pid, &status, 0, &usage), p->pid);
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    p->peak_rss = (uint64_t)usage.ru_maxrss * 1024;
    buffer_add(&p->output, "", 0);
    buffer_add(&p->errors, "", 0);
}

void program_release(struct program *p)
{
    buffer_release(&p->output);
    buffer_release(&p->errors);
}

void program_run(struct program *p, int status, const char *input, const char *const *arguments)
{
    program_start(p, arguments);
    if (input)
        program_write(p, input);
    program_end(p);
    if (p->status == status)
        return;
    printf("wazn");
    for (int i = 0; arguments[i]; i++)
        printf(" %s", arguments[i]);
    printf("\nended with %d, expected %d\n%s\n%s\n", p->status, status, p->output.data, p->errors.data);
    fail();
}

json_t *program_json(const struct program *p)
{
    json_t *value;
    struct error e = { 0 };
    if (json_read_new(&value, p->output.data, p->output.used, "the program's output", &e) != 0)
        fail_msg("%s", e.text);
    return value;
}
