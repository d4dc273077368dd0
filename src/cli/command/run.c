/* SPDX-License-Identifier: Apache-2.0 */
/* wazn run: one prompt, one answer on standard output; everything else goes to standard error. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/reply.h"
#include "cli/request.h"
#include "cli/terminal.h"

#include "base/cpu.h"

#include <string.h>

/* The system message, where there is one, and the prompt as a user's. */
static int encode_messages(struct loaded *l, const struct buffer *text, struct tokens *out, struct error *err)
{
    const struct option_value *system = &l->args->at[OPT_system];
    struct chat_message messages[2];
    size_t n = 0;
    if (text->used > 0 && strlen(text->data) != text->used)
        return error_set(err, ERROR_USAGE, "the message holds a zero byte at position %zu", strlen(text->data));
    if (system->set)
        messages[n++] = (struct chat_message) { .role = "system", .content = system->text };
    messages[n++] = (struct chat_message) { .role = "user", .content = text->data ? text->data : "" };
    return request_render(l, messages, n, out, err);
}

/* The prompt as tokens: a conversation of one or two messages, or the text alone. */
static int encode_prompt(struct loaded *l, const struct buffer *text, struct tokens *out, struct error *err)
{
    const struct option_value *at = l->args->at;
    unsigned flags = TOKENIZE_DEFAULT | (at[OPT_special].set ? TOKENIZE_SPECIAL : 0);
    if (l->format)
        return encode_messages(l, text, out, err);
    int rc = tokenizer_encode(l->tokenizer, text->data ? text->data : "", text->used, flags, out, err);
    if (rc == 0 && out->used == 0) {
        int32_t bos = tokenizer_special(l->tokenizer, TOKEN_BOS);
        if (bos < 0)
            return error_set(err, ERROR_USAGE, "the prompt is empty and the vocabulary has no BOS to start from");
        tokens_add(out, bos);
    }
    return rc ? rc : tokens_check(out, err);
}

static int choose_format(struct loaded *l, struct error *err)
{
    const struct option_value *at = l->args->at;
    if (at[OPT_raw].set && (at[OPT_chat_format].set || at[OPT_system].set))
        return error_set(err, ERROR_USAGE, "--raw has no chat format and no system message");
    int rc = at[OPT_raw].set ? 0 : loaded_format(l, err);
    if (rc)
        return rc;
    if (l->format && at[OPT_special].set)
        return error_set(err, ERROR_USAGE, "--special goes with --raw: a message must not spell control tokens");
    if (at[OPT_raw].set || l->format)
        return 0;
    if (at[OPT_system].set)
        return error_set(err, ERROR_USAGE, "this model has no chat template to put a system message in; choose a "
            "format with --chat-format");
    if (!at[OPT_quiet].set)
        fputs("wazn: this model has no chat template: it continues the text, as with --raw (--chat-format gives it "
            "one)\n", stderr);
    return 0;
}

static json_t *settings_json(const struct loaded *l)
{
    json_t *settings = json_object();
    for (int i = 0; i < SAMPLING_COUNT; i++) {
        json_t *value = json_pack("{s:f, s:s}", "value", l->sampling.at[i], "source",
            loaded_setting_source(l, l->sampling.source[i]));
        json_object_set_new(settings, sampling_key((enum sampling_setting)i), value);
    }
    return settings;
}

static int print_json(const struct loaded *l, const struct reply *r, struct error *err)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < r->ids.used; i++)
        json_array_append_new(ids, json_integer(r->ids.ids[i]));
    json_t *timings = json_pack("{s:f, s:f, s:f, s:f, s:f}", "load_seconds", l->seconds, "prompt_seconds",
        r->prompt_seconds, "prompt_tokens_per_second", reply_rate(r->prompt_tokens - r->reused, r->prompt_seconds),
        "generation_seconds", r->generation.seconds, "generation_tokens_per_second",
        reply_rate(r->generation.tokens, r->generation.seconds));
    json_t *value = json_pack("{s:o, s:o, s:i, s:i, s:s, s:i, s:I, s:o, s:o, s:I, s:I}", "text",
        json_string_new(r->answer.data, r->answer.used), "ids", ids, "prompt_tokens", r->prompt_tokens,
        "generated_tokens", r->generation.tokens, "stop_reason", reply_end_name(r), "context",
        session_context(l->session), "seed", (json_int_t)l->sampling.seed, "sampling", settings_json(l), "timings",
        timings, "planned_bytes", (json_int_t)l->plan.total, "peak_rss_bytes", (json_int_t)cpu_peak_rss());
    if (value)
        reply_json(r, value);
    return json_print(value, err);
}

/* Positions for the prompt and, where -n says how long the answer is, for that: short runs need little memory. 0: the
 * usual. */
static int wanted_context(const struct loaded *l, size_t prompt)
{
    const struct option_value *n = &l->args->at[OPT_max_tokens];
    int most = model_spec(l->model)->context;
    long long wanted = (long long)prompt + (n->set ? n->whole : PLAN_CONTEXT / 2);
    if (!n->set && wanted < PLAN_CONTEXT)
        return 0;
    return wanted < most ? (int)wanted : most;
}

static int answer(struct loaded *l, const struct tokens *prompt, struct error *err)
{
    const struct option_value *at = l->args->at;
    uint64_t sampler = sampler_bytes(model_spec(l->model)->vocabulary);
    struct reply r = { .keep = at[OPT_json].set };
    int rc = loaded_plan(l, wanted_context(l, prompt->used), 1, sampler, err);
    if (rc == 0)
        rc = loaded_session(l, err);
    if (rc == 0)
        rc = reply_make(l, prompt, &r, err);
    if (r.prompt_tokens > 0 && (rc == 0 || rc == ERROR_CANCELLED)) {
        int printed = at[OPT_json].set ? print_json(l, &r, rc == 0 ? err : NULL) : 0;
        reply_show_calls(&r);
        reply_warn(l, &r);
        reply_tell(l, &r);
        rc = rc ? rc : printed;
    }
    reply_release(&r);
    return rc;
}

static int run(const struct arguments *args, struct error *err)
{
    struct loaded l;
    struct buffer text = { 0 };
    struct tokens prompt = { 0 };
    if (!args->word && !args->at[OPT_raw].set)
        return error_set(err, ERROR_USAGE, "a prompt is missing: wazn run -m MODEL \"PROMPT\" (- reads standard "
            "input)");
    interrupt_catch();
    int rc = loaded_source(&l, args, err);
    if (rc == 0)
        rc = text_read(&text, args->word ? args->word : "", err);
    if (rc == 0)
        rc = loaded_tokenizer(&l, err);
    if (rc == 0)
        rc = choose_format(&l, err);
    if (rc == 0)
        rc = loaded_sampling(&l, err);
    if (rc == 0)
        rc = loaded_schema(&l, err);
    if (rc == 0)
        rc = request_prepare(&l, err);
    if (rc == 0)
        rc = encode_prompt(&l, &text, &prompt, err);
    if (rc == 0)
        rc = loaded_model(&l, err);
    if (rc == 0)
        rc = answer(&l, &prompt, err);
    buffer_release(&text);
    tokens_release(&prompt);
    loaded_close(&l);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_max_tokens, OPT_temp, OPT_seed, OPT_raw, OPT_json,
    OPT_json_schema, OPT_reasoning, OPT_reasoning_budget, OPT_show_reasoning, OPT_system, OPT_date, OPT_free_headers,
    OPT_special, OPT_chat_format, OPT_tokenizer, OPT_ctx, OPT_kv, OPT_threads, OPT_cpu, OPT_force, OPT_top_k,
    OPT_top_p, OPT_min_p, OPT_typical, OPT_repetition_penalty, OPT_presence_penalty, OPT_frequency_penalty,
    OPT_logit_bias, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn run -m MODEL \"Why is the sky blue?\"",
    "one answer, sampled as the model's authors advise", "wazn run -m MODEL --temp 0 -n 200 --raw \"Once upon a time\"",
    "continue a text, the same every time", "git diff | wazn run -m MODEL --system \"Summarise.\" - > summary.txt",
    "standard input as the message", "wazn run -m MODEL --json --seed 7 \"Name a colour.\"",
    "text, ids, reason of the end and timings as JSON",
    "wazn run -m MODEL --reasoning high --show-reasoning hidden \"How many primes are below 100?\"",
    "think hard, show the answer alone",
    "wazn run -m MODEL --json-schema person.json \"Invent a person.\"", "an answer that a program can read", NULL };

const struct command command_run = {
    .name = "run",
    .summary = "answer one prompt, or continue a text",
    .usage = "-m MODEL [-n N] [--temp T] [--seed S] [--raw] [--json] PROMPT",
    .about = "The model's text goes to standard output as it comes, and nothing else does; the memory plan, "
             "statistics, progress and a model's reasoning go to standard error.\n"
             "PROMPT is sent as a user's message in the model's chat format; - reads it from standard input. A model "
             "without any chat template continues the text.\n"
             "Ctrl-C stops (exit status 130) after what was written so far.",
    .takes_word = true,
    .takes = takes,
    .examples = examples,
    .run = run,
};
