/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/reply.h"

#include "base/clock.h"
#include "cli/input.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers go to standard output as they are; a terminal gets nothing it would act on. */
static void show(struct reply *r, FILE *out, bool terminal, const char *bytes, size_t n)
{
    if (terminal || r->clean) {
        struct buffer clean = { 0 };
        terminal_clean(&clean, bytes, n);
        r->failed |= clean.failed || fwrite(clean.data ? clean.data : "", 1, clean.used, out) != clean.used;
        buffer_release(&clean);
    } else {
        r->failed |= fwrite(bytes, 1, n, out) != n;
    }
    r->failed |= fflush(out) != 0;
}

/* ---- what is not the answer ---- */

static enum reply_thoughts choose_thoughts(const struct loaded *l)
{
    const struct option_value *v = &l->args->at[OPT_show_reasoning];
    if (l->args->at[OPT_quiet].set)
        return THOUGHTS_HIDDEN;
    if (!v->set)
        return terminal_has_styles(stderr) ? THOUGHTS_DIM : THOUGHTS_PLAIN;
    if (strcmp(v->text, "hidden") == 0)
        return THOUGHTS_HIDDEN;
    return strcmp(v->text, "dim") == 0 ? THOUGHTS_DIM : THOUGHTS_PLAIN;
}

/* Where nobody sees the thoughts, that there are some. */
static void show_thinking(struct reply *r)
{
    size_t tokens = r->parser.counts.tokens[CHAT_REASONING];
    if (r->loaded->args->at[OPT_quiet].set || !terminal_is(stderr) || tokens % 8 != 1)
        return;
    fprintf(stderr, "\r\033[Kthinking, %zu tokens", tokens);
    r->opened = true;
}

static void show_aside(struct reply *r, enum chat_channel channel, const char *bytes, size_t n)
{
    if (channel == CHAT_REASONING && r->thoughts == THOUGHTS_HIDDEN) {
        show_thinking(r);
        return;
    }
    if (r->loaded->args->at[OPT_quiet].set)
        return;
    if (!r->opened && channel == CHAT_REASONING && r->thoughts == THOUGHTS_DIM)
        fputs("\033[2m", stderr);
    show(r, stderr, true, bytes, n);
    r->opened = true;
}

/* The part that was being shown on standard error is over. */
static void end_aside(struct reply *r)
{
    if (!r->opened)
        return;
    r->opened = false;
    if (r->channel == CHAT_REASONING && r->thoughts == THOUGHTS_HIDDEN)
        fputs("\r\033[K", stderr);
    else
        fputs(r->channel == CHAT_REASONING && r->thoughts == THOUGHTS_DIM ? "\033[0m\n\n" : "\n\n", stderr);
}

static void end_call(struct reply *r)
{
    struct reply_call *calls = realloc(r->calls, (r->n_calls + 1) * sizeof *calls);
    if (!calls) {
        r->call.text.failed = true; /* told where texts are checked */
        return;
    }
    r->calls = calls;
    buffer_add_text(&r->call.recipient, chat_parser_recipient(&r->parser));
    r->calls[r->n_calls++] = r->call;
    r->call = (struct reply_call) { 0 };
}

static void take_text(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct reply *r = context;
    if (channel != r->channel)
        end_aside(r);
    r->channel = channel;
    switch (channel) {
    case CHAT_REASONING:
        buffer_add(&r->reasoning, bytes, n);
        show_aside(r, channel, bytes, n);
        break;
    case CHAT_PREAMBLE:
        buffer_add(&r->preamble, bytes, n);
        show_aside(r, channel, bytes, n);
        break;
    case CHAT_TOOL_CALL:
        buffer_add(&r->call.text, bytes, n);
        if (n == 0)
            end_call(r);
        break;
    default:
        buffer_add(&r->answer, bytes, n);
        if (!r->keep)
            show(r, stdout, r->terminal, bytes, n);
    }
}

static int check_texts(const struct reply *r, struct error *err)
{
    const struct buffer *const texts[] = { &r->answer, &r->reasoning, &r->preamble, &r->call.text, &r->piece };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof *texts; i++)
        rc = buffer_check(texts[i], "a reply", err);
    return rc;
}

/* ---- tokens ---- */

static int take_token(void *context, int32_t id, struct error *err)
{
    struct reply *r = context;
    tokens_add(&r->ids, id);
    int rc = tokens_check(&r->ids, err);
    if (rc == 0)
        rc = guide_accept(r->loaded->guide, id, err);
    if (rc)
        return rc;
    if (r->loaded->format) {
        rc = chat_parser_push(&r->parser, id, err);
    } else {
        buffer_clear(&r->piece);
        rc = detokenizer_push(&r->detokenizer, id, &r->piece, err);
        if (rc == 0 && r->piece.used > 0)
            take_text(r, CHAT_ANSWER, r->piece.data, r->piece.used);
    }
    if (rc == 0 && r->failed)
        return error_set(err, ERROR_IO, "could not write the reply");
    return rc ? rc : check_texts(r, err);
}

static int finish_text(struct reply *r, struct error *err)
{
    int rc = 0;
    if (r->loaded->format) {
        rc = chat_parser_end(&r->parser, err);
    } else {
        buffer_clear(&r->piece);
        detokenizer_end(&r->detokenizer, &r->piece);
        if (r->piece.used > 0)
            take_text(r, CHAT_ANSWER, r->piece.data, r->piece.used);
    }
    end_aside(r);
    if (!r->keep && r->terminal && r->answer.used > 0 && r->answer.data[r->answer.used - 1] != '\n')
        fputc('\n', stdout);
    return rc;
}

static void begin(struct loaded *l, const struct tokens *prompt, struct reply *r)
{
    r->loaded = l;
    r->terminal = terminal_is(stdout);
    r->prompt_tokens = (int)prompt->used;
    r->generation = (struct generation) { .stop_id = -1 };
    r->detokenizer = (struct detokenizer) { .tokenizer = l->tokenizer };
    if (l->format)
        chat_parser_init(&r->parser, l->format, l->tokenizer, take_text, r);
    r->thoughts = choose_thoughts(l);
    guide_begin(l->guide, l->format ? &r->parser : NULL);
    sampler_reset(l->sampler, l->sampling.seed);
    sampler_prompt(l->sampler, prompt->ids, prompt->used);
}

static int read_prompt(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err)
{
    double start = clock_seconds();
    progress_begin(&l->progress, "reading the prompt", "tokens", l->args->at[OPT_quiet].set);
    int rc = session_sync(l->session, prompt->ids, prompt->used, &l->watch, err);
    progress_end(&l->progress);
    r->prompt_seconds = clock_seconds() - start;
    r->reused = session_reused(l->session);
    if (rc == 0 && r->mark)
        session_mark(l->session);
    return rc;
}

/* The sampler is told ids of the prompt: they must be ones it knows. */
static int check_ids(const struct loaded *l, const struct tokens *prompt, struct error *err)
{
    for (size_t i = 0; i < prompt->used; i++) {
        if (prompt->ids[i] < 0 || prompt->ids[i] >= tokenizer_size(l->tokenizer)
            || prompt->ids[i] >= model_spec(l->model)->vocabulary)
            return error_set(err, ERROR_FORMAT, "the tokenizer gives token %d, the model's vocabulary has %lld",
                prompt->ids[i], (long long)model_spec(l->model)->vocabulary);
    }
    return 0;
}

int reply_make(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err)
{
    const struct option_value *n = &l->args->at[OPT_max_tokens];
    struct generate_filter filter = { guide_allow, l->guide };
    struct generate_options limits = { .max_tokens = n->set ? (int)n->whole : 0, .stops = l->stops.ids,
        .n_stops = l->stops.used, .filter = &filter, .watch = &l->watch };
    int rc = check_ids(l, prompt, err);
    if (rc)
        return rc;
    begin(l, prompt, r);
    rc = read_prompt(l, prompt, r, err);
    if (rc == 0 && n->set && n->whole == 0)
        r->generation.end = GENERATE_LENGTH;
    else if (rc == 0)
        rc = generate(l->session, l->sampler, &limits, take_token, r, &r->generation, err);
    int ended = finish_text(r, rc == 0 ? err : NULL);
    rc = rc ? rc : ended;
    r->cancelled = rc == ERROR_CANCELLED || (rc == 0 && r->generation.end == GENERATE_CANCELLED);
    if (rc == 0 && r->cancelled)
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    return rc;
}

const char *reply_end_name(const struct reply *r)
{
    return generate_end_name(r->cancelled ? GENERATE_CANCELLED : r->generation.end);
}

double reply_rate(int tokens, double seconds)
{
    return seconds > 0 ? tokens / seconds : 0;
}

/* How often the reply broke its format, by how. */
static void warn_recoveries(const struct reply *r)
{
    const char *before = "";
    size_t all = chat_parser_recoveries(&r->parser);
    if (all == 0)
        return;
    fprintf(stderr, "wazn: the reply broke its format and was mended, %zu time%s: ", all, all == 1 ? "" : "s");
    for (int i = 0; i < CHAT_RECOVERY_COUNT; i++) {
        if (r->parser.counts.recoveries[i] == 0)
            continue;
        fprintf(stderr, "%s%s (%zu)", before, chat_recovery_text((enum chat_recovery)i),
            r->parser.counts.recoveries[i]);
        before = ", ";
    }
    fputc('\n', stderr);
}

void reply_warn(const struct loaded *l, const struct reply *r)
{
    if (r->generation.end == GENERATE_CONTEXT && !r->cancelled)
        fprintf(stderr, "wazn: the answer stops here: the context of %d tokens is full (the model was made for %d)\n",
            session_context(l->session), model_spec(l->model)->context);
    if (l->format && chat_reasons(l->format) && r->generation.end == GENERATE_LENGTH && r->answer.used == 0)
        fprintf(stderr, "wazn: the %d tokens of -n ended before an answer began\n", r->generation.tokens);
    if (r->loaded && !guide_complete(l->guide))
        fputs("wazn: the answer ends before its JSON is whole\n", stderr);
    if (l->format)
        warn_recoveries(r);
    if (guide_cut_thoughts(l->guide) && !l->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: the thoughts were ended by their budget of %d tokens\n", l->budget);
}

void reply_tell(const struct loaded *l, const struct reply *r)
{
    const struct chat_counts *n = &r->parser.counts;
    if (l->args->at[OPT_quiet].set)
        return;
    fprintf(stderr, "wazn: loaded in %.2f s; prompt %d tokens (%d reused), %.1f tokens/s; answer %d tokens",
        l->seconds, r->prompt_tokens, r->reused, reply_rate(r->prompt_tokens - r->reused, r->prompt_seconds),
        r->generation.tokens);
    if (l->format && chat_reasons(l->format))
        fprintf(stderr, " (reasoning %zu, answer %zu, calls %zu, marks %zu)", n->tokens[CHAT_REASONING],
            n->tokens[CHAT_ANSWER] + n->tokens[CHAT_PREAMBLE], n->tokens[CHAT_TOOL_CALL], n->marks);
    fprintf(stderr, ", %.1f tokens/s; %s; seed %llu\n", reply_rate(r->generation.tokens, r->generation.seconds),
        reply_end_name(r), (unsigned long long)l->sampling.seed);
}

void reply_show_calls(const struct reply *r)
{
    for (size_t i = 0; i < r->n_calls; i++) {
        const struct reply_call *c = &r->calls[i];
        struct buffer text = { 0 };
        buffer_add_text(&text, "wazn: the model calls what was not offered: ");
        terminal_clean(&text, c->recipient.data ? c->recipient.data : "", c->recipient.used);
        buffer_add_text(&text, c->recipient.used > 0 ? " " : "");
        terminal_clean(&text, c->text.data ? c->text.data : "", c->text.used);
        fprintf(stderr, "%s\n", text.data ? text.data : "");
        buffer_release(&text);
    }
}

static void set_text(json_t *object, const char *key, const struct buffer *text)
{
    if (text->used > 0)
        json_object_set_new(object, key, json_string_new(text->data, text->used));
}

void reply_json(const struct reply *r, json_t *object)
{
    const struct chat_counts *n = &r->parser.counts;
    set_text(object, "reasoning", &r->reasoning);
    set_text(object, "preamble", &r->preamble);
    if (!r->loaded || !r->loaded->format)
        return;
    json_object_set_new(object, "reasoning_tokens", json_integer((json_int_t)n->tokens[CHAT_REASONING]));
    json_object_set_new(object, "answer_tokens",
        json_integer((json_int_t)(n->tokens[CHAT_ANSWER] + n->tokens[CHAT_PREAMBLE])));
    json_object_set_new(object, "call_tokens", json_integer((json_int_t)n->tokens[CHAT_TOOL_CALL]));
    json_object_set_new(object, "mark_tokens", json_integer((json_int_t)n->marks));
    json_object_set_new(object, "recoveries", json_integer((json_int_t)chat_parser_recoveries(&r->parser)));
    for (size_t i = 0; i < r->n_calls; i++) {
        json_t *calls = json_object_get(object, "calls");
        const struct reply_call *c = &r->calls[i];
        if (!calls && json_object_set_new(object, "calls", calls = json_array()) != 0)
            return;
        json_t *text = json_string_new(c->text.data, c->text.used);
        json_array_append_new(calls, json_pack("{s:o, s:o}", "recipient",
            json_string_new(c->recipient.data, c->recipient.used), "text", text));
    }
}

static void release_call(struct reply_call *c)
{
    buffer_release(&c->recipient);
    buffer_release(&c->text);
}

void reply_release(struct reply *r)
{
    if (r->loaded && r->loaded->format)
        chat_parser_release(&r->parser);
    for (size_t i = 0; i < r->n_calls; i++)
        release_call(&r->calls[i]);
    release_call(&r->call);
    free(r->calls);
    buffer_release(&r->answer);
    buffer_release(&r->reasoning);
    buffer_release(&r->preamble);
    buffer_release(&r->piece);
    tokens_release(&r->ids);
}
