/* SPDX-License-Identifier: Apache-2.0 */
/* wazn selftest: is this build right on this machine; with -m, is this model whole. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/selftest.h"
#include "cli/terminal.h"

#include "base/cpu.h"
#include "kernel/kernel.h"

#include <stdarg.h>
#include <string.h>

void selftest_note(struct selftest *t, bool passed, const char *name, const char *format, ...)
{
    if (passed)
        t->passed++;
    else
        t->failed++;
    if (passed && t->quiet && !t->checks)
        return;
    va_list args;
    char detail[ERROR_TEXT_SIZE];
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    if (t->checks) {
        json_array_append_new(t->checks, json_pack("{s:s, s:b, s:o}", "check", name, "passed", passed, "detail",
            json_string_new(detail, strlen(detail))));
        return;
    }
    printf("%-6s %-44s %s\n", passed ? "ok" : "FAILED", name, detail);
    fflush(stdout);
}

static int check_given(struct selftest *t, const struct arguments *args, json_t *json, struct error *err)
{
    const struct option_value *reference = &args->at[OPT_reference];
    struct loaded l;
    int rc = loaded_source(&l, args, err);
    if (rc == 0)
        rc = loaded_model(&l, err);
    if (rc == 0) {
        selftest_note(t, true, "the model opens", "%s", source_path(l.source));
        selftest_model(t, l.source, l.model);
    }
    if (rc == 0 && reference->set)
        rc = selftest_reference(t, l.model, reference->text, json, err);
    loaded_close(&l);
    return rc;
}

static int check_all(struct selftest *t, const struct arguments *args, json_t *json, struct error *err)
{
    int rc = 0;
    if (args->at[OPT_model].set) {
        rc = check_given(t, args, json, err);
    } else {
        selftest_kernels(t);
        selftest_formats(t);
        selftest_made_model(t);
    }
    return rc == 0 && interrupt_seen() ? error_set(err, ERROR_CANCELLED, "stopped") : rc;
}

static int run(const struct arguments *args, struct error *err)
{
    char features[64];
    json_t *json = NULL;
    struct selftest t = { .quiet = args->at[OPT_quiet].set,
        .threads = args->at[OPT_threads].set ? (int)args->at[OPT_threads].whole : cpu_cores() };
    if (args->at[OPT_reference].set && !args->at[OPT_model].set)
        return error_set(err, ERROR_USAGE, "--reference needs a model to compare: wazn selftest -m MODEL");
    interrupt_catch();
    cpu_describe(kernels.features, features, sizeof features);
    if (args->at[OPT_json].set) {
        t.checks = json_array();
        json = json_pack("{s:s, s:s, s:i, s:O}", "version", WAZN_VERSION, "processor", features, "threads", t.threads,
            "checks", t.checks);
        if (!json)
            return error_memory(err, sizeof *json, "the checks");
    } else if (!t.quiet) {
        printf("wazn %s, processor: %s, threads: %d\n", WAZN_VERSION, features, t.threads);
    }
    int rc = check_all(&t, args, json, err);
    json_decref(t.checks);
    if (rc == 0 && json)
        rc = json_print(json, err);
    else if (rc == 0)
        printf("%d passed, %d failed\n", t.passed, t.failed);
    else
        json_decref(json);
    if (rc)
        return rc;
    return t.failed ? error_set(err, ERROR_FORMAT, "%d of %d checks failed", t.failed, t.passed + t.failed) : 0;
}

static const enum option_id takes[] = { OPT_model, OPT_reference, OPT_threads, OPT_cpu, OPT_json, OPT_quiet,
    OPT_COUNT };

static const char *const examples[] = { "wazn selftest", "kernels, formats, threads and a made model on this machine",
    "wazn selftest -m MODEL", "weights without NaN, and the same result in every way of running",
    "wazn selftest -m MODEL --reference trace.safetensors",
    "name the first layer whose numbers are not those of another implementation", NULL };

const struct command command_selftest = {
    .name = "selftest",
    .summary = "check this build on this machine, or a model",
    .usage = "[-m MODEL [--reference FILE]] [--threads N]",
    .about = "Prints one line a check and ends with \"N passed, N failed\"; the exit status is 0 where none failed.\n"
             "--reference compares every layer with a file that tools/golden/trace.py or wazn logits --layers wrote: "
             "\"carried\" is the error with all layers before it, \"own\" the error of the layer alone, \"allowed\" "
             "how much rounding may change it (docs/cli.md).",
    .takes = takes,
    .examples = examples,
    .run = run,
};
