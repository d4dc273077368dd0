/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, told once, where it happened.
 *
 * A function that can fail returns 0 or a negative enum error_code and takes `struct error *err` (may be NULL) last.
 * The place that fails writes the text; callers put context in front; the door (command line, HTTP) shows it.
 * Wording: lower case, no full stop, what was tried, then the reason with its numbers. */
#ifndef WAZN_BASE_ERROR_H
#define WAZN_BASE_ERROR_H

#include <stdarg.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_USAGE = -1,        /* the caller asked for something senseless */
    ERROR_NOT_FOUND = -2,    /* a file, model or name that is not there */
    ERROR_IO = -3,           /* the system refused to read or write */
    ERROR_FORMAT = -4,       /* bytes that are not what they claim to be */
    ERROR_UNSUPPORTED = -5,  /* well formed, but nothing here handles it */
    ERROR_MEMORY = -6,       /* no memory */
    ERROR_LIMIT = -7,        /* a stated limit would be passed: context, plan, size */
    ERROR_CANCELLED = -8,    /* the user stopped it */
    ERROR_CODE_LAST = -8
};

#define ERROR_TEXT_SIZE 1024

struct error {
    int code; /* 0: nothing happened */
    char text[ERROR_TEXT_SIZE];
};

/* Record it and return `code`. err may be NULL. Control characters and bytes that are not UTF-8 are shown as \xNN. */
int error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, with the text of errno behind ": ". The code is ERROR_NOT_FOUND for ENOENT, ERROR_MEMORY for ENOMEM,
 * else ERROR_IO. */
int error_errno(struct error *err, int saved_errno, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Record "out of memory" for `bytes` bytes of `what`; returns ERROR_MEMORY. */
int error_memory(struct error *err, unsigned long long bytes, const char *what);

/* Put "context: " in front of what is recorded. Does nothing where nothing is recorded. */
void error_in(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Exit status of a program that failed with `code`: 0 for 0; 130 for ERROR_CANCELLED; 1 for unknown codes. */
int error_exit_status(int code);

/* Short stable name: "usage", "not_found" ...; "unknown" for other numbers. */
const char *error_name(int code);

#endif
