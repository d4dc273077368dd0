/* SPDX-License-Identifier: Apache-2.0 */
/* wazn selftest: is this build right on this machine; with -m, is this model whole. */
#include "cli/command.h"
#include "cli/load.h"
#include "cli/selftest.h"
#include "cli/terminal.h"

#include "base/cpu.h"
#include "kernel/kernel.h"

#include <stdarg.h>

void selftest_note(struct selftest *t, bool passed, const char *name, const char *format, ...)
{
    if (passed)
        t->passed++;
    else
        t->failed++;
    if (passed && t->quiet)
        return;
    va_list args;
    char detail[ERROR_TEXT_SIZE];
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    printf("%-6s %-44s %s\n", passed ? "ok" : "FAILED", name, detail);
    fflush(stdout);
}

static int check_given(struct selftest *t, const struct arguments *args, struct error *err)
{
    struct loaded l;
    int rc = loaded_source(&l, args, err);
    if (rc == 0)
        rc = loaded_model(&l, err);
    if (rc == 0) {
        selftest_note(t, true, "the model opens", "%s", source_path(l.source));
        selftest_model(t, l.source, l.model);
    }
    loaded_close(&l);
    return rc;
}

static int run(const struct arguments *args, struct error *err)
{
    char features[64];
    struct selftest t = { .quiet = args->at[OPT_quiet].set,
        .threads = args->at[OPT_threads].set ? (int)args->at[OPT_threads].whole : cpu_cores() };
    int rc = 0;
    interrupt_catch();
    cpu_describe(kernels.features, features, sizeof features);
    if (!t.quiet)
        printf("wazn %s, processor: %s, threads: %d\n", WAZN_VERSION, features, t.threads);
    if (args->at[OPT_model].set) {
        rc = check_given(&t, args, err);
    } else {
        selftest_kernels(&t);
        selftest_formats(&t);
        selftest_made_model(&t);
    }
    if (rc == 0 && interrupt_seen())
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    if (rc)
        return rc;
    printf("%d passed, %d failed\n", t.passed, t.failed);
    return t.failed ? error_set(err, ERROR_FORMAT, "%d of %d checks failed", t.failed, t.passed + t.failed) : 0;
}

static const enum option_id takes[] = { OPT_model, OPT_threads, OPT_cpu, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn selftest", "kernels, formats, threads and a made model on this machine",
    "wazn selftest -m MODEL", "weights without NaN, and the same result in every way of running", NULL };

const struct command command_selftest = {
    .name = "selftest",
    .summary = "check this build on this machine, or a model",
    .usage = "[-m MODEL] [--threads N]",
    .about = "Prints one line a check and ends with \"N passed, N failed\"; the exit status is 0 where none failed.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
