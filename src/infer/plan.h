/* SPDX-License-Identifier: Apache-2.0 */
/* The memory plan: what running a model takes, known before it is taken. Every number is measured by the code that
 * takes it; `process` is what the process already holds (program, libraries, tokenizer, the model's index). */
#ifndef WAZN_INFER_PLAN_H
#define WAZN_INFER_PLAN_H

#include "base/error.h"
#include "infer/session.h"

#include <stdbool.h>
#include <stdint.h>

#define PLAN_CONTEXT 4096 /* positions, where nothing else is asked for and the model and the memory allow */

struct plan {
    uint64_t weights_mapped, weights_copied;
    uint64_t kv, scratch;
    uint64_t process;
    uint64_t total;     /* never less than what the process reached while opening */
    uint64_t available; /* memory that may be taken now; 0: unknown, then everything fits */
    int context;        /* positions the KV is for */
};

/* What this process holds and may take, seen when the model is open and the session is not. */
struct plan_process {
    uint64_t resident, peak; /* bytes now (copied weights included) and the most so far */
    uint64_t reserved;       /* what will be taken beside the session: samplers, results */
    uint64_t available;
};

void plan_make(struct plan *p, const struct model *m, const struct session_options *options,
    const struct plan_process *process);

bool plan_fits(const struct plan *p);

/* Longest context, at most `wanted`, whose plan fits in available memory; at least 1. */
int plan_context(const struct model *m, const struct session_options *options, int wanted, uint64_t available);

/* 0, or ERROR_LIMIT with three ways to make it fit, each with its numbers. */
int plan_check(const struct plan *p, const struct model *m, const struct session_options *options, struct error *err);

#endif
