/* SPDX-License-Identifier: Apache-2.0 */
/* A program, run to its end without a shell.
 *
 * It has our environment and folder, the three standard descriptors and no other, signals as the system sets them, and
 * a process group of its own: Ctrl-C on a terminal does not reach it, and it cannot read from one. When it ends, in
 * whatever way, what it left running in its group is killed. A program that became another user's, and that we may not
 * kill, is waited for. */
#ifndef WAZN_BASE_PROCESS_H
#define WAZN_BASE_PROCESS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct process_options {
    const char *const *argv; /* NULL behind the last; argv[0] is looked for in PATH where it has no slash */
    const void *input;       /* bytes on its standard input, a file that it may read or not; NULL: nothing */
    size_t input_size;
    size_t output_max;       /* bytes kept of standard output, and of standard error; more are read and thrown away */
    double seconds_max;      /* then it is asked to end (SIGTERM), and soon after killed */
    bool (*cancelled)(void *context); /* looked at every few milliseconds; true ends it likewise. NULL: never */
    void *context;
};

enum process_end { PROCESS_EXITED, PROCESS_KILLED, PROCESS_TIMED_OUT, PROCESS_CANCELLED };

struct process_result {
    enum process_end end;
    int status; /* PROCESS_EXITED: its exit status; PROCESS_KILLED: the signal that ended it */
    struct buffer output, errors;
    bool output_cut, errors_cut; /* there was more than output_max */
};

/* 0 where the program ran, however it ended; the caller releases the result. ERROR_NOT_FOUND or ERROR_IO with argv[0]
 * and the reason where it could not be started; ERROR_MEMORY. After an error the result is empty. */
int process_run(struct process_result *result, const struct process_options *options, struct error *err);

void process_result_release(struct process_result *result);

#endif
