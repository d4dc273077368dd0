/* SPDX-License-Identifier: Apache-2.0 */
/* Mistral's instruction formats. v1: [INST] and [/INST] as plain text, in three
 * editions of the template. v3 makes them control tokens and adds tools;
 * v7 adds a token pair for the system message, which before is part of a user's. The SentencePiece vocabularies want a
 * space behind control tokens, the "tekken" ones none. Every text continues what came before: that space is written
 * here, never added by the tokenizer. */
#include "text/chat/chat_impl.h"

#define CALL_ID_BYTES 9

/* A control token and the text behind it. */
static void token(struct chat_writer *w, const char *name, const char *space)
{
    chat_token(w, name);
    chat_continue(w);
    chat_text(w, space);
}

static void end_of_message(struct chat_writer *w)
{
    chat_eos(w);
    chat_silent(w);
    chat_continue(w);
}

/* ---- [INST] as text ---- */

struct edition {
    const char *before_user, *before_answer, *behind_answer;
    bool system;    /* goes into the first user's message; else it is refused */
    bool continues; /* no dummy space behind control tokens */
};

static int render_text(struct chat_writer *w, const struct chat_request *r, const struct edition *e)
{
    static const char *const roles[] = {"user", "assistant", "system", NULL};
    const struct chat_message *system = e->system ? chat_system(r) : NULL;
    size_t first = system ? 1 : 0;
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    int rc = chat_check_roles(w, r, roles);
    if (rc == 0)
        rc = chat_check_turns(w, r, first);
    if (rc)
        return rc;
    chat_bos(w);
    for (size_t i = first; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "assistant")) {
            chat_says(w, m, CHAT_ANSWER);
            chat_text(w, e->before_answer);
            chat_text(w, m->content);
            chat_eos(w);
            chat_silent(w);
            chat_text(w, e->behind_answer);
            continue;
        }
        if (e->continues && !w->text.used)
            chat_continue(w);
        chat_text(w, e->before_user);
        chat_text(w, "[INST] ");
        if (system && i == first) {
            chat_text(w, system->content);
            chat_text(w, "\n\n");
        }
        chat_text(w, m->content);
        chat_text(w, " [/INST]");
    }
    return 0;
}

static int render_v1(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_text(w, r,
        &(struct edition){.before_user = " ", .before_answer = " ", .system = true, .continues = true});
}

static int render_mixtral(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_text(w, r, &(struct edition){0});
}

static int render_v0_1(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_text(w, r, &(struct edition){.behind_answer = " "});
}

/* ---- with control tokens ---- */

struct dialect {
    const char *space;  /* behind control tokens */
    bool system_tokens; /* [SYSTEM_PROMPT] and results with [TOOL_CONTENT]: v7 */
    bool trim_answers;
};

/* v3 writes a function's members one by one, strings as they are. */
static void tool_v3(struct chat_writer *w, const json_t *tool)
{
    const json_t *function = json_object_get(tool, "function");
    bool first = true;
    chat_text(w, "{\"type\": \"function\", \"function\": {");
    void *at = json_object_iter((json_t *)(uintptr_t)function);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)function, at)) {
        const char *key = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        if (strcmp(key, "return") == 0)
            continue;
        chat_text(w, first ? "\"" : ", \"");
        chat_text(w, key);
        chat_text(w, "\": ");
        if (json_is_string(value)) {
            chat_text(w, "\"");
            chat_text(w, json_string_value(value));
            chat_text(w, "\"");
        } else {
            chat_json(w, value, 0);
        }
        first = false;
    }
    chat_text(w, "}}");
}

static void tools_section(struct chat_writer *w, const struct dialect *d, const json_t *tools)
{
    token(w, "[AVAILABLE_TOOLS]", d->space);
    if (d->system_tokens) {
        chat_json(w, tools, 0);
    } else {
        for (size_t i = 0; i < json_array_size(tools); i++) {
            chat_text(w, i ? ", " : "[");
            tool_v3(w, json_array_get(tools, i));
        }
        chat_text(w, "]");
    }
    token(w, "[/AVAILABLE_TOOLS]", "");
}

static int calls(struct chat_writer *w, const struct dialect *d, const struct chat_message *m)
{
    chat_says(w, m, CHAT_TOOL_CALL);
    token(w, "[TOOL_CALLS]", d->space);
    for (size_t k = 0; k < chat_call_count(m); k++) {
        const json_t *call = chat_call(m, k);
        const char *id = json_text(json_array_get(m->tool_calls, k), "id", "");
        if (strlen(id) != CALL_ID_BYTES)
            return chat_refuse(w, "the id of a call has 9 characters");
        chat_text(w, k ? ", {\"name\": \"" : "[{\"name\": \"");
        chat_text(w, json_text(call, "name", ""));
        chat_text(w, "\", \"arguments\": ");
        chat_arguments(w, json_object_get(call, "arguments"));
        chat_text(w, ", \"id\": \"");
        chat_text(w, id);
        chat_text(w, "\"}");
    }
    chat_text(w, "]");
    return 0;
}

static int result(struct chat_writer *w, const struct dialect *d, const struct chat_message *m)
{
    if (!m->tool_call_id || strlen(m->tool_call_id) != CALL_ID_BYTES)
        return chat_refuse(w, "the result of a tool names its call by an id of 9 characters");
    token(w, "[TOOL_RESULTS]", d->space);
    if (d->system_tokens) {
        chat_text(w, m->tool_call_id);
        token(w, "[TOOL_CONTENT]", d->space);
        chat_text(w, m->content);
    } else {
        chat_text(w, "{\"content\": ");
        chat_text(w, m->content);
        chat_text(w, ", \"call_id\": \"");
        chat_text(w, m->tool_call_id);
        chat_text(w, "\"}");
    }
    token(w, "[/TOOL_RESULTS]", "");
    return 0;
}

static int answer(struct chat_writer *w, const struct dialect *d, const struct chat_message *m)
{
    int rc = 0;
    bool calling = chat_call_count(m) > 0;
    if (!calling || (d->system_tokens && *chat_content(m))) {
        chat_says(w, m, CHAT_ANSWER);
        chat_text(w, d->space);
        if (d->trim_answers)
            chat_trimmed(w, m->content);
        else
            chat_text(w, m->content);
    }
    if (calling)
        rc = calls(w, d, m);
    end_of_message(w);
    return rc;
}

static void user(
    struct chat_writer *w, const struct dialect *d, const struct chat_message *m, const struct chat_message *system)
{
    token(w, "[INST]", d->space);
    if (system) {
        chat_text(w, system->content);
        chat_text(w, "\n\n");
    }
    chat_text(w, m->content);
    token(w, "[/INST]", "");
}

static int render_tokens(struct chat_writer *w, const struct chat_request *r, const struct dialect *d)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", NULL};
    const struct chat_message *system = d->system_tokens ? NULL : chat_system(r);
    size_t first = system ? 1 : 0, last_user = 0;
    int rc = chat_check_roles(w, r, roles);
    if (rc == 0 && !d->system_tokens)
        rc = chat_check_turns(w, r, first);
    chat_bos(w);
    chat_continue(w);
    for (size_t i = 0; i < r->n_messages; i++)
        if (chat_is(&r->messages[i], "user"))
            last_user = i;
    for (size_t i = first; i < r->n_messages && rc == 0; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "system")) {
            token(w, "[SYSTEM_PROMPT]", d->space);
            chat_text(w, m->content);
            token(w, "[/SYSTEM_PROMPT]", "");
        } else if (chat_is(m, "tool")) {
            rc = result(w, d, m);
        } else if (chat_is(m, "assistant")) {
            rc = answer(w, d, m);
        } else {
            if (chat_has_tools(r) && i == last_user)
                tools_section(w, d, r->tools);
            /* The templates put the system message into the user's only where that ends the conversation. */
            user(w, d, m, i + 1 == r->n_messages ? system : NULL);
        }
    }
    return rc;
}

static int render_v3(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_tokens(w, r, &(struct dialect){.space = " ", .trim_answers = true});
}

static int render_tekken(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_tokens(w, r, &(struct dialect){.space = ""});
}

static int render_v7(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_tokens(w, r, &(struct dialect){.space = " ", .system_tokens = true});
}

static int render_v7_tekken(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_tokens(w, r, &(struct dialect){.space = "", .system_tokens = true});
}

#define LIST(...)                                                                                                      \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static const char *const controls[] = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", NULL};
static const struct chat_span call_span[] = {{"[TOOL_CALLS]", NULL, CHAT_TOOL_CALL}, {0}};

const struct chat_format chat_mistral_v1 = {.name = "mistral-v1",
    .summary = "Mistral 7B Instruct 0.1 and 0.2, Mixtral 8x7B: templates with spaces around every part",
    .render = render_v1,
    .marks = LIST(" [INST] ", " [/INST]", "eos_token"),
    .unlike = LIST("<<SYS>>", "[AVAILABLE_TOOLS]", "[SYSTEM_PROMPT]")};

const struct chat_format chat_mixtral = {.name = "mixtral",
    .summary = "Mistral 7B Instruct 0.2 and Mixtral 8x7B with their first templates: no space before answers",
    .render = render_mixtral,
    .marks = LIST("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"),
    .unlike = LIST("eos_token + ' '", "' ' + message", "<<SYS>>", "system")};

const struct chat_format chat_mistral_v0_1 = {.name = "mistral-v0.1",
    .summary = "Mistral 7B Instruct 0.1 with its first template: a space behind answers",
    .render = render_v0_1,
    .marks = LIST("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token + ' '"),
    .unlike = LIST("' ' + message", "<<SYS>>", "system")};

const struct chat_format chat_mistral_v3 = {.name = "mistral-v3",
    .summary = "Mistral 7B Instruct 0.3, Mixtral 8x22B",
    .render = render_v3,
    .controls = controls,
    .marks = LIST("[INST] ", "[/INST]", "[AVAILABLE_TOOLS] "),
    .unlike = LIST(" [/INST]", "[SYSTEM_PROMPT]"),
    .spans = call_span};

const struct chat_format chat_mistral_tekken = {.name = "mistral-tekken",
    .summary = "Mistral Nemo (v3 tekken)",
    .render = render_tekken,
    .controls = controls,
    .marks = LIST("[INST]", "[/INST]", "[AVAILABLE_TOOLS]"),
    .unlike = LIST("[INST] ", "[SYSTEM_PROMPT]", "[THINK]"),
    .spans = call_span};

const struct chat_format chat_mistral_v7 = {.name = "mistral-v7",
    .summary = "Mistral Large 2411 (v7)",
    .render = render_v7,
    .controls = controls,
    .marks = LIST("[INST] ", "[/INST]", "[SYSTEM_PROMPT] "),
    .unlike = LIST(" [/INST]", "[THINK]", "today"),
    .spans = call_span};

const struct chat_format chat_mistral_v7_tekken = {.name = "mistral-v7-tekken",
    .summary = "Mistral Small 3 (v7 tekken)",
    .render = render_v7_tekken,
    .controls = controls,
    .marks = LIST("[INST]", "[/INST]", "[SYSTEM_PROMPT]"),
    .unlike = LIST("[INST] ", "[THINK]", "[ARGS]", "today"),
    .spans = call_span};
