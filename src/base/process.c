/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_MS 10         /* between looks at the program, the clock and the caller's wish */
#define GRACE_SECONDS 0.5  /* between SIGTERM and SIGKILL */
#define READ_BYTES 65536   /* what a pipe holds, unless it was made larger */
#define PIPE_BYTES_MAX (1 << 20)

/* The ends of what the program's standard descriptors are; -1: closed. */
struct ends {
    int child[3], output, errors;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void shut_all(struct ends *e)
{
    for (int i = 0; i < 3; i++)
        shut(&e->child[i]);
    shut(&e->output);
    shut(&e->errors);
}

/* The input is a file in memory: unlike a pipe it needs nobody to feed it, and no SIGPIPE comes of one not read. */
static int open_input(int *fd, const struct process_options *o, struct error *err)
{
    *fd = o->input ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return error_errno(err, errno, "could not make the standard input of \"%s\"", o->argv[0]);
    for (size_t done = 0; o->input && done < o->input_size;) {
        /* pwrite leaves the offset, which the program shares, at the start */
        ssize_t n = pwrite(*fd, (const char *)o->input + done, o->input_size - done, (off_t)done);
        if (n < 0 && errno != EINTR)
            return error_errno(err, errno, "could not write the standard input of \"%s\"", o->argv[0]);
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int open_pipe(int *ours, int *theirs, const struct process_options *o, struct error *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return error_errno(err, errno, "could not make a pipe for \"%s\"", o->argv[0]);
    *ours = pair[0];
    *theirs = pair[1];
    if (fcntl(*ours, F_SETFL, O_NONBLOCK) != 0)
        return error_errno(err, errno, "could not make a pipe for \"%s\"", o->argv[0]);
    return 0;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, standard;
    sigemptyset(&none);
    sigemptyset(&standard);
    /* Handlers end with the old program by themselves; signals that are ignored would stay so. */
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGINT);
    sigaddset(&standard, SIGTERM);
    sigaddset(&standard, SIGCHLD);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    int e = posix_spawnattr_setflags(attributes, flags);
    e = e ? e : posix_spawnattr_setpgroup(attributes, 0);
    e = e ? e : posix_spawnattr_setsigmask(attributes, &none);
    return e ? e : posix_spawnattr_setsigdefault(attributes, &standard);
}

static int spawn(pid_t *pid, const struct ends *ends, const struct process_options *o, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int e = posix_spawn_file_actions_init(&actions);
    if (e)
        return error_errno(err, e, "could not start \"%s\"", o->argv[0]);
    e = posix_spawnattr_init(&attributes);
    if (e == 0) {
        for (int i = 0; i < 3 && e == 0; i++)
            e = posix_spawn_file_actions_adddup2(&actions, ends->child[i], i);
        e = e ? e : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        e = e ? e : set_attributes(&attributes);
        e = e ? e : posix_spawnp(pid, o->argv[0], &actions, &attributes, (char *const *)(uintptr_t)o->argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return e ? error_errno(err, e, "could not start \"%s\"", o->argv[0]) : 0;
}

/* ---- while it runs ---- */

/* Bytes read; 0 where none are there now. The pipe is shut at its end. */
static size_t take(int *fd, struct buffer *kept, bool *cut, size_t limit)
{
    char bytes[READ_BYTES];
    ssize_t n = *fd < 0 ? 0 : read(*fd, bytes, sizeof bytes);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            shut(fd);
        return 0;
    }
    size_t room = limit - kept->used, used = (size_t)n < room ? (size_t)n : room;
    buffer_add(kept, bytes, used);
    *cut |= (size_t)n > room;
    return (size_t)n;
}

static size_t take_both(struct ends *e, struct process_result *r, const struct process_options *o)
{
    size_t n = take(&e->output, &r->output, &r->output_cut, o->output_max);
    return n + take(&e->errors, &r->errors, &r->errors_cut, o->output_max);
}

/* It is not reaped yet: its number, and the number of its group, stay its own. */
static bool has_ended(pid_t pid)
{
    siginfo_t info = { 0 };
    int rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return rc == 0 ? info.si_pid == pid : errno != EINTR;
}

/* Read until it ends; end it where it takes too long or the caller wants so. */
static void follow(pid_t pid, struct ends *e, struct process_result *r, const struct process_options *o)
{
    double until = clock_seconds() + o->seconds_max;
    bool asked = false;
    while (!has_ended(pid)) {
        struct pollfd watched[2] = { { .fd = e->output, .events = POLLIN }, { .fd = e->errors, .events = POLLIN } };
        poll(watched, 2, STEP_MS);
        take_both(e, r, o);
        bool late = clock_seconds() >= until, unwanted = o->cancelled && o->cancelled(o->context);
        if (asked && late) {
            kill(-pid, SIGKILL);
        } else if (!asked && (late || unwanted)) {
            r->end = late ? PROCESS_TIMED_OUT : PROCESS_CANCELLED;
            kill(-pid, SIGTERM);
            until = clock_seconds() + GRACE_SECONDS;
            asked = true;
        }
    }
}

/* It has ended: end its group, take what is left in the pipes and reap it. The pipes are not read to their end: a
 * process that left the group may hold them for ever. */
static int finish(pid_t pid, struct ends *e, struct process_result *r, const struct process_options *o,
    struct error *err)
{
    siginfo_t info = { 0 };
    kill(-pid, SIGKILL);
    for (size_t left = 0; left < 2 * PIPE_BYTES_MAX;) {
        size_t n = take_both(e, r, o);
        if (n == 0)
            break;
        left += n;
    }
    int rc;
    do
        rc = waitid(P_PID, (id_t)pid, &info, WEXITED);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return error_errno(err, errno, "could not learn how \"%s\" ended", o->argv[0]);
    if (r->end == PROCESS_EXITED) {
        r->end = info.si_code == CLD_EXITED ? PROCESS_EXITED : PROCESS_KILLED;
        r->status = info.si_status;
    }
    rc = buffer_check(&r->output, "the output of a program", err);
    return rc ? rc : buffer_check(&r->errors, "the output of a program", err);
}

int process_run(struct process_result *result, const struct process_options *options, struct error *err)
{
    struct ends ends = { { -1, -1, -1 }, -1, -1 };
    pid_t pid;
    *result = (struct process_result) { .end = PROCESS_EXITED };
    /* In the order of the descriptors they become: where 0, 1 or 2 is free in our process, the first takes it, and none
     * is overwritten before it has been copied to its place. */
    int rc = open_input(&ends.child[0], options, err);
    if (rc == 0)
        rc = open_pipe(&ends.output, &ends.child[1], options, err);
    if (rc == 0)
        rc = open_pipe(&ends.errors, &ends.child[2], options, err);
    if (rc == 0)
        rc = spawn(&pid, &ends, options, err);
    for (int i = 0; i < 3; i++)
        shut(&ends.child[i]);
    if (rc == 0) {
        follow(pid, &ends, result, options);
        rc = finish(pid, &ends, result, options, err);
    }
    shut_all(&ends);
    if (rc)
        process_result_release(result);
    return rc;
}

void process_result_release(struct process_result *result)
{
    buffer_release(&result->output);
    buffer_release(&result->errors);
    *result = (struct process_result) { .end = PROCESS_EXITED };
}
