/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat/chat_impl.h"

#include <stdlib.h>

/* The order is that of detection: of two formats that a template's marks fit, the more particular comes first. */
const struct chat_format *const chat_formats[] = {&chat_qwen3, &chat_qwen3_thinking,
    &chat_qwen3_instruct, &chat_qwen2_5, &chat_qwen2, &chat_smollm2, &chat_chatml,
    &chat_llama3_1, &chat_llama3, &chat_llama2, &chat_mistral_v7, &chat_mistral_v7_tekken, &chat_mistral_v3,
    &chat_mistral_tekken, &chat_mistral_v0_1, &chat_mixtral, &chat_mistral_v1, &chat_gemma, &chat_zephyr, &chat_harmony,
    &chat_deepseek_r1, &chat_deepseek_r1_first, &chat_plain, NULL};

const struct chat_format *chat_format_find(const char *name)
{
    for (int i = 0; chat_formats[i]; i++)
        if (strcmp(chat_formats[i]->name, name) == 0)
            return chat_formats[i];
    return NULL;
}

static const char *name_at(const char *const *names, int *i)
{
    for (int k = 0; names && names[k]; k++)
        if ((*i)-- == 0)
            return names[k];
    return NULL;
}

const char *chat_mark(int i)
{
    const char *name = NULL;
    for (int f = 0; chat_formats[f] && !name; f++) {
        name = name_at(chat_formats[f]->controls, &i);
        if (!name)
            name = name_at(chat_formats[f]->stops, &i);
    }
    return name;
}

void chat_format_names(struct buffer *out)
{
    for (int i = 0; chat_formats[i]; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", chat_formats[i]->name);
}

int chat_stops(const struct chat_format *f, const struct tokenizer *t, struct tokens *out, struct error *err)
{
    int32_t eos = tokenizer_special(t, TOKEN_EOS);
    if (eos >= 0)
        tokens_add(out, eos);
    for (int i = 0; f->stops && f->stops[i]; i++) {
        int32_t id = tokenizer_find(t, f->stops[i], strlen(f->stops[i]));
        if (id >= 0 && id != eos)
            tokens_add(out, id);
    }
    return tokens_check(out, err);
}

bool chat_reasons(const struct chat_format *f)
{
    bool reasons = f->reader != NULL;
    for (const struct chat_span *s = f->spans; s && s->open; s++)
        reasons = reasons || s->channel == CHAT_REASONING;
    return reasons;
}

enum chat_effort chat_effort_of(const struct chat_format *f, enum chat_effort wanted)
{
    if (wanted == CHAT_EFFORT_DEFAULT || f->efforts == 0)
        return CHAT_EFFORT_DEFAULT;
    for (int more = wanted; more < CHAT_EFFORT_COUNT; more++)
        if (f->efforts & 1u << more)
            return (enum chat_effort)more;
    int less = wanted;
    while (!(f->efforts & 1u << less))
        less--;
    return (enum chat_effort)less;
}

const char *chat_effort_name(enum chat_effort effort)
{
    static const char *const names[CHAT_EFFORT_COUNT] = {NULL, "none", "minimal", "low", "medium", "high"};
    return names[effort];
}

const struct chat_message *chat_system(const struct chat_request *r)
{
    return r->n_messages > 0 && chat_is(&r->messages[0], "system") ? &r->messages[0] : NULL;
}

bool chat_has_tools(const struct chat_request *r)
{
    return json_array_size(r->tools) > 0;
}

size_t chat_call_count(const struct chat_message *m)
{
    return json_array_size(m->tool_calls);
}

const json_t *chat_call(const struct chat_message *m, size_t i)
{
    const json_t *call = json_array_get(m->tool_calls, i), *function = json_object_get(call, "function");
    return function ? function : call;
}

int chat_check_turns(struct chat_writer *w, const struct chat_request *r, size_t from)
{
    bool user = true;
    for (size_t i = from; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "tool") || chat_call_count(m))
            continue;
        if (!chat_is(m, user ? "user" : "assistant"))
            return chat_refuse(w, "behind an optional system message, user and assistant must take turns, "
                                  "and the user begins");
        user = !user;
    }
    return 0;
}

int chat_check_roles(struct chat_writer *w, const struct chat_request *r, const char *const *roles)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        int k = 0;
        while (roles[k] && !chat_is(&r->messages[i], roles[k]))
            k++;
        if (!roles[k] && w->rc == 0)
            w->rc = error_set(w->err, ERROR_USAGE, "chat format %s: it has no role \"%s\" (message %zu)",
                w->format->name, r->messages[i].role, i + 1);
    }
    return w->rc;
}

/* ---- messages from JSON ---- */

static int read_content(struct chat_message *m, const json_t *content, size_t i, struct error *err)
{
    const json_t *part = json_array_size(content) == 1 ? json_array_get(content, 0) : NULL;
    if (part && strcmp(json_text(part, "type", ""), "text") == 0)
        content = json_object_get(part, "text");
    if (json_is_string(content)) {
        m->content = json_string_value(content);
        if (strlen(m->content) != json_string_length(content))
            return error_set(err, ERROR_USAGE, "message %zu holds a NUL character", i + 1);
        return 0;
    }
    if (!content || json_is_null(content))
        return 0;
    return error_set(
        err, ERROR_USAGE, "the content of message %zu is neither a string nor one part of type \"text\"", i + 1);
}

static int read_calls(struct chat_message *m, const json_t *calls, size_t i, struct error *err)
{
    if (!calls || json_is_null(calls))
        return 0;
    if (!json_is_array(calls))
        return error_set(err, ERROR_USAGE, "tool_calls of message %zu is not an array", i + 1);
    m->tool_calls = calls;
    for (size_t k = 0; k < chat_call_count(m); k++)
        if (!json_is_string(json_object_get(chat_call(m, k), "name")))
            return error_set(err, ERROR_USAGE, "call %zu of message %zu names no function", k + 1, i + 1);
    return 0;
}

int chat_messages_new(struct chat_message **out, size_t *n, const json_t *array, struct error *err)
{
    int rc = 0;
    *out = NULL;
    *n = 0;
    if (!json_is_array(array))
        return error_set(err, ERROR_USAGE, "messages are not an array");
    size_t count = json_array_size(array);
    struct chat_message *messages = calloc(count + 1, sizeof *messages);
    if (!messages)
        return error_memory(err, (count + 1) * sizeof *messages, "messages");
    for (size_t i = 0; i < count && rc == 0; i++) {
        const json_t *from = json_array_get(array, i);
        struct chat_message *m = &messages[i];
        m->role = json_text(from, "role", NULL);
        m->name = json_text(from, "name", NULL);
        m->reasoning = json_text(from, "reasoning_content", NULL);
        m->tool_call_id = json_text(from, "tool_call_id", NULL);
        if (!m->role)
            rc = error_set(err, ERROR_USAGE, "message %zu has no role", i + 1);
        if (rc == 0)
            rc = read_content(m, json_object_get(from, "content"), i, err);
        if (rc == 0)
            rc = read_calls(m, json_object_get(from, "tool_calls"), i, err);
    }
    if (rc) {
        free(messages);
        return rc;
    }
    *out = messages;
    *n = count;
    return 0;
}
