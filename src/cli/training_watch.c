/* SPDX-License-Identifier: Apache-2.0 */
/* A run as it is seen: progress, the log, the page, text that the model writes. */
#include "cli/training_impl.h"

#include "base/clock.h"
#include "cli/terminal.h"
#include "infer/generate.h"
#include "train/report.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_SECONDS 10.0
#define SAMPLE_TOKENS 120
#define SMOOTH 0.1 /* share of the last loss in the one that is shown */

static double seconds(const struct training *t)
{
    return t->before + clock_seconds() - t->begun;
}

void training_report(const struct training *t)
{
    char log[TRAINING_PATH], page[TRAINING_PATH];
    struct error err = { 0 };
    int rc = training_path(log, t, "log.jsonl", &err);
    if (rc == 0)
        rc = training_path(page, t, "report.html", &err);
    if (rc == 0)
        rc = report_write(log, page, &err);
    if (rc)
        fprintf(stderr, "wazn: %s\n", err.text);
}

/* ---- what the model writes ---- */

struct writing {
    const struct training *t;
    struct buffer text;
};

static int write_token(void *context, int32_t id, struct error *err)
{
    struct writing *w = context;
    return tokenizer_add_bytes(w->t->l.tokenizer, id, &w->text, err);
}

/* As a user's message where the model has a chat format. */
static int encode_prompt(const struct training *t, struct tokens *ids, struct error *err)
{
    const char *prompt = t->args->at[OPT_sample_prompt].set ? t->args->at[OPT_sample_prompt].text : "";
    const struct tokenizer *k = t->l.tokenizer;
    if (t->l.format) {
        const struct chat_message said = { .role = "user", .content = prompt };
        const struct chat_request request = { .messages = &said, .n_messages = 1, .add_generation_prompt = true };
        return chat_render(t->l.format, k, &request, ids, err);
    }
    int rc = tokenizer_encode(k, prompt, strlen(prompt), tokenizer_adds_bos(k) ? TOKENIZE_BOS : 0, ids, err);
    if (rc || ids->used > 0)
        return rc;
    int32_t start = tokenizer_special(k, TOKEN_BOS) >= 0 ? tokenizer_special(k, TOKEN_BOS)
                                                         : tokenizer_special(k, TOKEN_EOS);
    tokens_add(ids, start >= 0 ? start : 0);
    return tokens_check(ids, err);
}

static int write_text(struct writing *w, struct session *s, struct sampler *sampler, const struct tokens *ids,
    struct error *err)
{
    const struct loaded *l = &w->t->l;
    struct tokens stops = { 0 };
    struct generation done;
    int32_t eos = tokenizer_special(l->tokenizer, TOKEN_EOS);
    int rc = l->format ? chat_stops(l->format, l->tokenizer, &stops, err) : 0;
    if (!l->format && eos >= 0)
        tokens_add(&stops, eos);
    struct generate_options o = { .max_tokens = SAMPLE_TOKENS, .stops = stops.ids, .n_stops = stops.used };
    if (rc == 0)
        rc = tokens_check(&stops, err);
    if (rc == 0)
        rc = session_sync(s, ids->ids, ids->used, NULL, err);
    if (rc == 0)
        rc = generate(s, sampler, &o, write_token, w, &done, err);
    tokens_release(&stops);
    return rc;
}

static int log_text(const struct training *t, uint64_t step, const struct buffer *text, struct error *err)
{
    const char *prompt = t->args->at[OPT_sample_prompt].set ? t->args->at[OPT_sample_prompt].text : "";
    struct buffer clean = { 0 };
    terminal_clean(&clean, text->data ? text->data : "", text->used);
    int rc = buffer_check(&clean, "a sample", err);
    if (rc == 0 && !t->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: step %llu: %s%s\n", (unsigned long long)step, prompt, clean.data ? clean.data : "");
    if (rc == 0)
        rc = train_log_line(t->log, json_pack("{s:s, s:I, s:s, s:s}", "type", "sample", "step", (json_int_t)step,
            "prompt", prompt, "text", clean.data ? clean.data : ""), err);
    buffer_release(&clean);
    return rc;
}

/* Always with the same random numbers, so that steps can be compared. */
static int write_sample(struct training *t, uint64_t step, struct error *err)
{
    struct writing w = { .t = t };
    const struct spec *spec = model_spec(t->l.model);
    struct session_options o = { .threads = t->options.threads };
    struct sampling sampling;
    struct session *s = NULL;
    struct sampler *sampler = NULL;
    struct tokens ids = { 0 };
    int rc = t->adapter ? adapter_refresh(t->adapter, t->options.threads, err) : 0;
    if (rc == 0)
        rc = encode_prompt(t, &ids, err);
    int64_t wanted = (int64_t)ids.used + SAMPLE_TOKENS;
    o.context = wanted < spec->context ? (int)wanted : spec->context;
    if (rc == 0)
        rc = sampling_init(&sampling, NULL, false, err);
    if (rc == 0)
        rc = session_open(&s, t->l.model, &o, err);
    if (rc == 0)
        rc = sampler_open(&sampler, &sampling, spec->vocabulary, err);
    if (rc == 0)
        rc = write_text(&w, s, sampler, &ids, err);
    if (rc == 0)
        rc = log_text(t, step, &w.text, err);
    sampler_close(sampler);
    session_close(s);
    tokens_release(&ids);
    buffer_release(&w.text);
    return rc;
}

/* ---- the watch ---- */

static int see_step(void *context, const struct step_result *r, struct error *err)
{
    struct training *t = context;
    double now = clock_seconds();
    t->tokens += r->tokens;
    t->last = r->loss;
    t->loss = t->loss > 0 ? t->loss * (1 - SMOOTH) + r->loss * SMOOTH : r->loss;
    snprintf(t->label, sizeof t->label, "loss %.4f, %.0f tokens/s", t->loss, (double)r->tokens / r->seconds);
    progress_update(&t->progress, r->step, t->options.schedule.steps);
    int rc = train_log_step(t->log, "step", r, t->tokens, seconds(t), err);
    if (rc == 0 && t->sample_every > 0 && (r->step % t->sample_every == 0 || r->step == t->options.schedule.steps)) {
        progress_end(&t->progress);
        rc = write_sample(t, r->step, err);
    }
    if (rc == 0 && (now - t->drawn > REPORT_SECONDS || r->step == 1)) {
        training_report(t);
        t->drawn = now;
    }
    return rc;
}

static int see_validation(void *context, const struct step_result *r, struct error *err)
{
    struct training *t = context;
    t->validated = r->loss;
    if (!t->args->at[OPT_quiet].set) {
        progress_end(&t->progress);
        fprintf(stderr, "wazn: step %llu: validation loss %.4f", (unsigned long long)r->step, r->loss);
        for (int i = 0; i < r->n_metrics; i++)
            fprintf(stderr, ", %s %.4f", r->metrics[i].name, r->metrics[i].value);
        fputc('\n', stderr);
    }
    return train_log_step(t->log, "validation", r, t->tokens, seconds(t), err);
}

bool training_show_reading(void *context, uint64_t done, uint64_t total)
{
    struct training *t = context;
    progress_update(&t->progress, done, total);
    return !interrupt_seen();
}

bool training_is_stopped(void *context)
{
    (void)context;
    return interrupt_seen();
}

struct trainer_watch training_watch(struct training *t)
{
    return (struct trainer_watch) { .step = see_step, .validated = see_validation, .cancelled = training_is_stopped,
        .context = t };
}
