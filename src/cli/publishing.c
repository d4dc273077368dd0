/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/publishing.h"

#include "base/cpu.h"
#include "base/filemap.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"
#include "publish/publish.h"

#include <stdlib.h>
#include <string.h>

#define CALIBRATE_TOKENS 4096

struct publishing {
    struct loaded l;
    struct tokens ids;
    const char *step; /* of the progress now shown */
};

static void show_remark(void *context, int level, const char *text)
{
    const struct publishing *p = context;
    if (level >= LOG_WARNING || (level == LOG_INFO && !p->l.args->at[OPT_quiet].set))
        fprintf(stderr, "wazn: %s\n", text);
}

static void show_progress(void *context, const char *step, const char *unit, uint64_t done, uint64_t total)
{
    struct publishing *p = context;
    if (!p->step || strcmp(p->step, step) != 0) {
        progress_end(&p->l.progress);
        progress_begin(&p->l.progress, step, unit, p->l.args->at[OPT_quiet].set);
        p->step = step;
    }
    progress_update(&p->l.progress, done, total);
}

static bool is_stopped(void *context)
{
    (void)context;
    return interrupt_seen();
}

int publishing_recipe(const struct recipe **out, const struct arguments *args, struct error *err)
{
    struct buffer names = { 0 };
    const char *to = args->at[OPT_to].set ? args->at[OPT_to].text : NULL;
    *out = to ? recipe_find(to) : NULL;
    if (!to || *out)
        return 0;
    recipe_names(&names);
    int rc = error_set(err, ERROR_USAGE, "there is no format \"%s\"; there are %s", to, names.data ? names.data : "");
    buffer_release(&names);
    return rc;
}

/* A model without a tokenizer can still be written, but no text be read for it. */
static int read_tokenizer(struct publishing *p, struct error *err)
{
    struct error reason = { 0 };
    int rc = loaded_tokenizer(&p->l, &reason);
    if (rc == 0)
        return 0;
    if (rc == ERROR_NOT_FOUND && !p->l.args->at[OPT_calibrate].set && !p->l.args->at[OPT_tokenizer].set) {
        show_remark(p, LOG_WARNING, reason.text);
        return 0;
    }
    return error_set(err, rc, "%s", reason.text);
}

static int read_text(struct publishing *p, struct error *err)
{
    const struct option_value *file = &p->l.args->at[OPT_calibrate], *most = &p->l.args->at[OPT_calibrate_tokens];
    size_t n = 0, limit = most->set ? (size_t)most->whole : CALIBRATE_TOKENS;
    char *text = NULL;
    if (!file->set)
        return 0;
    int rc = file_read_new(&text, &n, file->text, INPUT_BYTES_MAX, err);
    if (rc == 0)
        rc = tokenizer_encode(p->l.tokenizer, text, n, TOKENIZE_DEFAULT, &p->ids, err);
    free(text);
    if (rc == 0 && p->ids.used < 2)
        rc = error_set(err, ERROR_USAGE, "\"%s\" has %zu tokens: nothing to calibrate on", file->text, p->ids.used);
    if (p->ids.used > limit)
        p->ids.used = limit;
    return rc;
}

static json_t *report_json(const struct publish_report *r, const char *path)
{
    json_t *o = json_pack("{s:o, s:I, s:I}", "file", json_string_new(path, strlen(path)), "source_bytes",
        (json_int_t)r->source_bytes, "bytes", (json_int_t)r->bytes);
    if (r->worst[0])
        json_object_set_new(o, "worst_tensor", json_pack("{s:s, s:f}", "name", r->worst, "error", r->error_worst));
    if (r->measured)
        json_object_set_new(o, "loss", loss_json_new(&r->loss));
    return o;
}

static void report_text(const struct publish_report *r, const char *path)
{
    char before[32], after[32];
    fprintf(stderr, "wazn: %s: %s from %s\n", path, terminal_bytes(after, r->bytes),
        terminal_bytes(before, r->source_bytes));
    if (r->worst[0])
        fprintf(stderr, "wazn: largest relative squared error of a tensor: %.3g (%s)\n", r->error_worst, r->worst);
    if (r->measured)
        fprintf(stderr, "wazn: on %llu tokens: mean KL %.4g (median %.3g, 99%% under %.3g, largest %.3g), same "
            "likeliest token %.2f%%, perplexity %.4g, was %.4g\n", (unsigned long long)r->loss.tokens, r->loss.kl_mean,
            r->loss.kl_median, r->loss.kl_p99, r->loss.kl_max, 100 * r->loss.top1_agreement, r->loss.perplexity,
            r->loss.perplexity_source);
}

static int write_model(struct publishing *p, const struct recipe *recipe, struct error *err)
{
    const struct option_value *at = p->l.args->at;
    struct keep_rule rules[KEEP_RULES_MAX];
    struct publish_report report;
    struct log log = { show_remark, p };
    struct publish_options wanted = { .path = at[OPT_output].text, .recipe = recipe, .rules = rules,
        .ids = p->ids.used ? p->ids.ids : NULL, .n_ids = p->ids.used, .loss_max = at[OPT_loss].set ? at[OPT_loss].real
        : 0, .threads = at[OPT_threads].set ? (int)at[OPT_threads].whole : cpu_cores(),
        .watch = { show_progress, is_stopped, p }, .log = &log };
    int rc = keep_read(rules, &wanted.n_rules, at[OPT_keep].set ? at[OPT_keep].text : "", err);
    if (rc == 0)
        rc = publish(&report, p->l.source, p->l.model, p->l.tokenizer, &wanted, err);
    progress_end(&p->l.progress);
    if (rc)
        return rc;
    if (!at[OPT_quiet].set)
        report_text(&report, wanted.path);
    return at[OPT_json].set ? json_print(report_json(&report, wanted.path), err) : 0;
}

int publishing_run(const struct arguments *args, const struct recipe *recipe, struct error *err)
{
    struct publishing p = { 0 };
    if (!args->at[OPT_output].set)
        return error_set(err, ERROR_USAGE, "an output is missing: wazn %s -m MODEL -o OUT.gguf, or a folder",
            args->command->name);
    interrupt_catch();
    int rc = loaded_source(&p.l, args, err);
    if (rc == 0)
        rc = loaded_model(&p.l, err);
    if (rc == 0)
        rc = read_tokenizer(&p, err);
    if (rc == 0)
        rc = read_text(&p, err);
    if (rc == 0)
        rc = write_model(&p, recipe, err);
    tokens_release(&p.ids);
    loaded_close(&p.l);
    return rc;
}
