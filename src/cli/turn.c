/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/turn.h"

#include "cli/calls.h"
#include "cli/request.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

/* What a call gets back where its command did not run. */
#define REFUSED "The user refused this call. Do not repeat it; answer without it or ask the user."

/* What a reply calls. problem: why it cannot be read, in words for the model; then there are no calls. */
struct called {
    struct calls calls;
    struct buffer problem;
    const char *recipient; /* of the call with the problem */
};

static void called_release(struct called *c)
{
    calls_release(&c->calls);
    buffer_release(&c->problem);
}

/* Mistral's models know ids of nine letters and digits; the others take any. */
static int name_calls(struct turn *t, struct calls *calls, struct error *err)
{
    for (size_t i = 0; i < calls->n; i++) {
        char id[16];
        snprintf(id, sizeof id, "call%05d", (t->replies * 64 + (int)i) % 100000);
        if (!calls->at[i].id && !(calls->at[i].id = strdup(id)))
            return error_memory(err, sizeof id, "a call");
    }
    return 0;
}

static int read_calls(struct turn *t, const struct reply *r, struct called *c, struct error *err)
{
    bool answer = r->n_calls == 0 && calls_are_answer(t->loaded->format, r->answer.data, r->answer.used);
    int rc = answer ? calls_read(&c->calls, "", r->answer.data, r->answer.used, err) : 0;
    for (size_t i = 0; i < r->n_calls && rc == 0; i++) {
        const struct reply_call *call = &r->calls[i];
        c->recipient = call->recipient.data ? call->recipient.data : "";
        rc = calls_read(&c->calls, c->recipient, call->text.data ? call->text.data : "", call->text.used, err);
    }
    if (rc == 0)
        return name_calls(t, &c->calls, err);
    if (rc == ERROR_MEMORY)
        return rc;
    calls_release(&c->calls);
    c->calls = (struct calls) { 0 };
    buffer_add_text(&c->problem, err->text);
    *err = (struct error) { 0 };
    return buffer_check(&c->problem, "a call", err);
}

/* ---- what was said ---- */

static json_t *calls_json_new(const struct calls *calls)
{
    json_t *array = calls->n > 0 ? json_array() : NULL;
    for (size_t i = 0; i < calls->n; i++) {
        const struct call *c = &calls->at[i];
        json_array_append_new(array, json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", c->id, "type", "function", "function",
            "name", c->name, "arguments", c->arguments));
    }
    return array;
}

/* The text of a message: the answer, or what was said before calls; a call that cannot be read stays as it was
 * written. */
static void message_text(struct buffer *out, const struct reply *r, const struct called *c)
{
    const struct buffer *said = r->answer.used > 0 ? &r->answer : &r->preamble;
    buffer_add(out, said->data ? said->data : "", said->used);
    for (size_t i = 0; i < r->n_calls && c->problem.used > 0; i++)
        buffer_add(out, r->calls[i].text.data ? r->calls[i].text.data : "", r->calls[i].text.used);
}

/* A stop token that is part of the format is part of the turn; the end of all text is not. */
static void keep_stop(const struct loaded *l, struct reply *r)
{
    for (int i = 0; l->format->controls && l->format->controls[i] && r->generation.stop_id >= 0; i++) {
        const char *name = l->format->controls[i];
        if (tokenizer_find(l->tokenizer, name, strlen(name)) == r->generation.stop_id) {
            tokens_add(&r->ids, r->generation.stop_id);
            return;
        }
    }
}

static int add_reply(struct turn *t, struct reply *r, const struct called *c, struct error *err)
{
    struct buffer text = { 0 };
    json_t *calls = calls_json_new(&c->calls);
    bool as_call = c->calls.n > 0 && r->n_calls == 0; /* the answer is the call */
    keep_stop(t->loaded, r);
    if (!as_call)
        message_text(&text, r, c);
    int rc = buffer_check(&text, "a message", err);
    if (rc == 0)
        rc = tokens_check(&r->ids, err);
    if (rc == 0 && c->calls.n > 0 && json_array_size(calls) != c->calls.n)
        rc = error_memory(err, 0, "calls");
    struct chat_message m = { .role = "assistant", .content = text.data ? text.data : c->calls.n > 0 ? NULL : "",
        .reasoning = r->reasoning.used > 0 ? r->reasoning.data : NULL, .tool_calls = calls, .ids = r->ids.ids,
        .n_ids = r->ids.used };
    if (rc == 0)
        rc = conversation_add(t->talk, &m, err);
    json_decref(calls);
    buffer_release(&text);
    return rc;
}

static int add_result(struct turn *t, const char *name, const char *id, const char *result, struct error *err)
{
    return conversation_add(t->talk,
        &(struct chat_message) { .role = "tool", .name = name, .tool_call_id = id, .content = result }, err);
}

/* ---- calls ---- */

static bool is_cancelled(void *context)
{
    (void)context;
    return interrupt_seen();
}

static void show_line(const char *front, const char *text, size_t n)
{
    struct buffer clean = { 0 };
    terminal_clean(&clean, text, n);
    fprintf(stderr, "wazn: %s%s\n", front, clean.data ? clean.data : "");
    buffer_release(&clean);
}

/* The person agrees to the command, or types the result of a tool without one. *refused: neither. */
static int ask(struct turn *t, const struct tool *tool, struct buffer *typed, bool *refused, struct error *err)
{
    bool command = tool_has_command(tool);
    enum line_result got = line_ask(t->lines, command ? "run this command? [y/N] " : "its result: ", typed);
    const char *word = typed->data ? typed->data : "";
    bool agrees = strcmp(word, "y") == 0 || strcmp(word, "yes") == 0;
    *refused = got != LINE_TEXT || (command && !agrees);
    if (command)
        buffer_clear(typed);
    if (got == LINE_INTERRUPTED)
        return error_set(err, ERROR_CANCELLED, "stopped");
    return buffer_check(typed, "a result", err);
}

/* Append what the model is told of its call. */
static int answer_call(struct turn *t, const struct call *c, struct buffer *result, struct error *err)
{
    const struct tool *tool = NULL;
    json_t *arguments = NULL;
    struct buffer shown = { 0 };
    bool refused = false;
    int rc = tools_find(&tool, t->tools, c->name, err);
    if (rc == 0)
        rc = tool_arguments_new(&arguments, tool, c->arguments, strlen(c->arguments), err);
    if (rc && rc != ERROR_MEMORY) { /* the call was wrong: the model is told, nobody is asked */
        show_line("the model calls wrongly: ", err->text, strlen(err->text));
        buffer_add_text(result, err->text);
        *err = (struct error) { 0 };
        return buffer_check(result, "a result", err);
    }
    if (rc == 0)
        rc = tool_describe(&shown, tool, arguments, err);
    if (rc == 0) {
        fprintf(stderr, "wazn: the model calls a tool\n%s", shown.data ? shown.data : "");
        rc = ask(t, tool, result, &refused, err);
    }
    if (rc == 0 && refused) {
        buffer_clear(result);
        buffer_add_text(result, REFUSED);
        fputs("wazn: refused\n", stderr);
    } else if (rc == 0 && tool_has_command(tool)) {
        rc = tool_run(result, tool, arguments, is_cancelled, NULL, err);
        if (rc == 0)
            show_line("its result: ", result->data ? result->data : "", result->used);
    }
    buffer_release(&shown);
    json_decref(arguments);
    return rc ? rc : buffer_check(result, "a result", err);
}

/* Results for all calls. After Ctrl-C those that have none are told so, and the turn ends. */
static int answer_calls(struct turn *t, const struct called *c, struct error *err)
{
    bool stopped = false;
    int rc = 0;
    for (size_t i = 0; i < c->calls.n && rc == 0; i++) {
        struct buffer result = { 0 };
        rc = stopped ? ERROR_CANCELLED : answer_call(t, &c->calls.at[i], &result, err);
        if (rc == ERROR_CANCELLED) {
            stopped = true;
            buffer_clear(&result);
            buffer_add_text(&result, "The user stopped this call.");
            rc = buffer_check(&result, "a result", err);
        }
        if (rc == 0)
            rc = add_result(t, c->calls.at[i].name, c->calls.at[i].id, result.data ? result.data : "", err);
        buffer_release(&result);
    }
    if (rc == 0 && c->problem.used > 0) {
        const char *name = c->recipient && *c->recipient ? c->recipient : "unknown";
        show_line("the model calls wrongly: ", c->problem.data, c->problem.used);
        rc = add_result(t, strncmp(name, "functions.", 10) == 0 ? name + 10 : name, NULL, c->problem.data, err);
    }
    if (rc == 0 && stopped)
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    return rc;
}

/* ---- the turn ---- */

static int make_reply(struct turn *t, bool first, struct error *err)
{
    struct loaded *l = t->loaded;
    struct tokens prompt = { 0 };
    struct reply r = { .clean = true, .mark = first };
    int rc = request_render(l, t->talk->messages, t->talk->n, &prompt, err);
    if (rc == 0) {
        l->sampling.seed = (l->sampling.seed + (t->replies++ > 0)) % (uint64_t)OPTION_SEED_MAX;
        rc = reply_make(l, &prompt, &r, err);
    }
    bool made = r.ids.used > 0;
    if (made && (!terminal_is(stdout) || r.answer.used == 0) && (r.answer.used > 0 || r.n_calls == 0))
        putchar('\n');
    fflush(stdout);
    tokens_release(&prompt);
    reply_release(&t->last);
    t->last = r;
    if (rc == ERROR_CANCELLED && made)
        *err = (struct error) { 0 };
    return rc == ERROR_CANCELLED && made ? 0 : rc;
}

/* One reply and the results of its calls. *more: the model shall go on. */
static int step(struct turn *t, bool first, bool *more, struct error *err)
{
    struct called called = { 0 };
    *more = false;
    int rc = make_reply(t, first, err);
    if (rc)
        return rc;
    if (!t->tools)
        reply_show_calls(&t->last);
    else if (t->last.generation.end == GENERATE_STOP)
        rc = read_calls(t, &t->last, &called, err);
    else if (t->last.n_calls > 0)
        fputs("wazn: the reply was cut: what it calls is not run\n", stderr);
    if (rc == 0)
        rc = add_reply(t, &t->last, &called, err);
    if (rc == 0)
        reply_warn(t->loaded, &t->last);
    if (rc == 0 && t->last.cancelled)
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    *more = called.calls.n > 0 || called.problem.used > 0;
    if (rc == 0)
        rc = answer_calls(t, &called, err);
    called_release(&called);
    return rc;
}

int turn_take(struct turn *t, struct error *err)
{
    size_t before = t->talk->n;
    bool more = true;
    int rc = 0;
    for (int i = 0; i < TURN_REPLIES_MAX && more && rc == 0; i++)
        rc = step(t, i == 0, &more, err);
    if (rc == ERROR_CANCELLED) {
        interrupt_lower();
        fputs("wazn: stopped\n", stderr);
        return t->talk->n > before ? 0 : rc;
    }
    if (rc == 0 && more)
        fprintf(stderr, "wazn: the model called tools %d times in this turn and was stopped; what you say goes on from "
            "there\n", TURN_REPLIES_MAX);
    return rc;
}
