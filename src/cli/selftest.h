/* SPDX-License-Identifier: Apache-2.0 */
/* The checks behind `wazn selftest`: is this build right on this machine, is this model whole. */
#ifndef WAZN_CLI_SELFTEST_H
#define WAZN_CLI_SELFTEST_H

#include "cli/progress.h"
#include "file/source.h"
#include "model/model.h"

#include <stdbool.h>

struct selftest {
    int passed, failed;
    bool quiet;   /* print failures alone */
    int threads;  /* most to use */
    struct progress progress;
    json_t *checks;  /* for --json: each check goes here instead of being printed; NULL: print */
};

/* Count a check and print its line. detail may be NULL. */
void selftest_note(struct selftest *t, bool passed, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Every version of every kernel that this machine can run, against plain C. */
void selftest_kernels(struct selftest *t);
/* Every format: what it encodes comes back; its dot products agree with plain C and with its decoder. */
void selftest_formats(struct selftest *t);
/* A tiny model with made weights, written, opened and run. */
void selftest_made_model(struct selftest *t);
/* Weights are finite; the same run twice, with one thread and with all, whole and in pieces, gives the same. An error
 * is a failed check. */
void selftest_model(struct selftest *t, const struct source *s, const struct model *m);
/* Every layer against a reference (infer/trace.h): prints a line a layer, or adds "reference" to `json` where that is
 * not NULL, and counts one check, which names the first layer that differs. Errors: the file cannot be used, Ctrl-C. */
int selftest_reference(struct selftest *t, const struct model *m, const char *path, json_t *json, struct error *err);

#endif
