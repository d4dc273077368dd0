/* SPDX-License-Identifier: Apache-2.0 */
/* The system, when it says no: while armed, one of the requests for memory, mappings, files and folders fails, and what
 * is held is counted. The linker sends the calls here (see meson.build). */
#ifndef WAZN_TESTS_REFUSALS_H
#define WAZN_TESTS_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>

extern struct refusals {
    bool armed;
    long calls, fail_at;      /* the call that fails; 0: none */
    long held, mapped, files; /* now: blocks of memory, mappings, files and folders */
    bool in_jansson;          /* the call that failed was jansson's */
} refusals;

/* Nothing is held yet; the n-th call from here fails. Set refusals.armed to false to end it. */
void refusals_begin(long n);
/* For json_set_alloc_funcs. */
void *refusals_jansson_malloc(size_t n);

#endif
