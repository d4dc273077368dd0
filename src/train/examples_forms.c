/* SPDX-License-Identifier: Apache-2.0 */
#include "train/examples_impl.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HUMAN "\n\nHuman:"
#define ASSISTANT "\n\nAssistant:"

int examples_add(json_t *list, const char *role, const json_t *content)
{
    json_t *message = json_is_string(content)
        ? json_pack("{s:s, s:O}", "role", role, "content", (json_t *)(uintptr_t)content) : NULL;
    return message ? json_array_append_new(list, message) : -1;
}

static const char *role_of(const char *from)
{
    static const char *const known[][2] = {{"human", "user"}, {"gpt", "assistant"}, {"chatgpt", "assistant"},
        {"model", "assistant"}, {"observation", "tool"}, {"function_response", "tool"}, {NULL, NULL}};
    for (int i = 0; known[i][0]; i++)
        if (strcmp(from, known[i][0]) == 0)
            return known[i][1];
    return from;
}

/* ShareGPT's function_call: its value is the call, or a list of calls, as JSON. */
static int add_calls(json_t *list, const json_t *value, struct error *err)
{
    json_t *calls, *all = json_array();
    int rc = json_read_new(&calls, json_string_value(value), json_string_length(value), "a function_call", err);
    if (rc == 0 && json_is_object(calls)) {
        json_array_append_new(all, calls);
        calls = NULL;
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(calls); i++)
        json_array_append(all, json_array_get(calls, i));
    json_decref(calls);
    json_t *wrapped = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        char id[16]; /* of 9 letters, as Mistral wants them */
        snprintf(id, sizeof id, "call%05u", (unsigned)(json_array_size(list) * 16 + i) % 100000);
        json_array_append_new(wrapped,
            json_pack("{s:s, s:s, s:O}", "id", id, "type", "function", "function", json_array_get(all, i)));
    }
    if (rc == 0 && json_array_size(wrapped) == 0)
        rc = error_set(err, ERROR_FORMAT, "a function_call holds no call");
    if (rc == 0)
        json_array_append_new(list, json_pack("{s:s, s:O}", "role", "assistant", "tool_calls", wrapped));
    json_decref(all);
    json_decref(wrapped);
    return rc;
}

/* A tool's result answers the last call, if it does not say which. */
static void name_call(json_t *list, json_t *message)
{
    const json_t *before = json_array_get(list, json_array_size(list) - 1);
    const json_t *call = json_array_get(json_object_get(before, "tool_calls"), 0);
    if (call && json_object_get(call, "id") && !json_object_get(message, "tool_call_id"))
        json_object_set(message, "tool_call_id", json_object_get(call, "id"));
}

static int add_sharegpt(json_t *list, const json_t *from, struct error *err)
{
    const char *role = json_text(from, "from", "");
    const json_t *value = json_object_get(from, "value");
    if (!json_is_string(value))
        return error_set(err, ERROR_FORMAT, "the \"value\" of message %zu is no string", json_array_size(list) + 1);
    if (strcmp(role, "function_call") == 0)
        return add_calls(list, value, err);
    json_t *message = json_pack("{s:s, s:O}", "role", role_of(role), "content", (json_t *)(uintptr_t)value);
    if (!message)
        return error_memory(err, 1, "a message");
    if (strcmp(role_of(role), "tool") == 0)
        name_call(list, message);
    json_array_append_new(list, message);
    return 0;
}

static int add_one(json_t *list, const json_t *from, struct error *err)
{
    if (!json_is_object(from))
        return error_set(err, ERROR_FORMAT, "message %zu is no object", json_array_size(list) + 1);
    if (json_is_string(json_object_get(from, "from")))
        return add_sharegpt(list, from, err);
    return json_array_append(list, (json_t *)(uintptr_t)from) ? error_memory(err, 1, "a message") : 0;
}

int examples_add_list(json_t *list, const json_t *from, const char *role, struct error *err)
{
    int rc = 0;
    if (json_is_string(from))
        return examples_add(list, role, from) ? error_memory(err, 1, "a message") : 0;
    if (!json_is_array(from))
        return error_set(err, ERROR_FORMAT, "what the %s says is neither a string nor a list of messages", role);
    for (size_t i = 0; i < json_array_size(from) && rc == 0; i++)
        rc = add_one(list, json_array_get(from, i), err);
    return rc;
}

int examples_add_alpaca(json_t *list, const json_t *record, struct error *err)
{
    const char *instruction = json_text(record, "instruction", NULL), *input = json_text(record, "input", "");
    const json_t *history = json_object_get(record, "history");
    for (size_t i = 0; i < json_array_size(history); i++)
        if (examples_add(list, "user", json_array_get(json_array_get(history, i), 0)) ||
            examples_add(list, "assistant", json_array_get(json_array_get(history, i), 1)))
            return error_set(err, ERROR_FORMAT, "its \"history\" does not hold pairs of strings");
    if (!instruction)
        return error_set(err, ERROR_FORMAT, "its \"instruction\" is no string");
    json_t *text = json_sprintf("%s%s%s", instruction, *input ? "\n\n" : "", input);
    int rc = examples_add(list, "user", text) ? error_memory(err, 1, "a message") : 0;
    json_decref(text);
    return rc;
}

static int add_dialogue(json_t *list, const char *text, struct error *err)
{
    while (*text) {
        bool human = strncmp(text, HUMAN, strlen(HUMAN)) == 0;
        text += human ? strlen(HUMAN) : strlen(ASSISTANT);
        text += *text == ' ';
        const char *a = strstr(text, HUMAN), *b = strstr(text, ASSISTANT), *end = !a || (b && b < a) ? b : a;
        size_t n = end ? (size_t)(end - text) : strlen(text);
        json_t *said = json_stringn(text, n);
        if (examples_add(list, human ? "user" : "assistant", said)) {
            json_decref(said);
            return error_memory(err, n, "a message");
        }
        json_decref(said);
        text += n;
    }
    return 0;
}

int examples_add_answer(json_t *list, const json_t *from, struct error *err)
{
    const char *text = json_string_value(from);
    if (text && strlen(text) == json_string_length(from) && strncmp(text, HUMAN, strlen(HUMAN)) == 0)
        return add_dialogue(list, text, err);
    return json_is_object(from) ? add_one(list, from, err) : examples_add_list(list, from, "assistant", err);
}

static bool is_answer(const json_t *message)
{
    return strcmp(json_text(message, "role", ""), "assistant") == 0;
}

int examples_part(json_t *prompt, json_t *chosen, json_t *rejected, struct error *err)
{
    size_t same = 0, given = 0;
    if (json_array_size(prompt) > 0 && is_answer(json_array_get(chosen, 0)) && is_answer(json_array_get(rejected, 0)))
        return 0;
    while (same < json_array_size(chosen) && json_equal(json_array_get(chosen, same), json_array_get(rejected, same)))
        if (!is_answer(json_array_get(chosen, same++)))
            given = same;
    if (given == 0)
        return error_set(err, ERROR_FORMAT, "chosen and rejected do not begin with the same prompt");
    if (given == json_array_size(chosen) || given == json_array_size(rejected))
        return error_set(err, ERROR_FORMAT, "chosen or rejected has no answer behind the prompt");
    json_array_clear(prompt); /* whole dialogues repeat it */
    for (; given > 0; given--) {
        json_array_append(prompt, json_array_get(chosen, 0));
        json_array_remove(chosen, 0);
        json_array_remove(rejected, 0);
    }
    return 0;
}

int examples_tools_new(json_t **out, const json_t *tools, struct error *err)
{
    json_t *list = NULL;
    int rc = 0;
    *out = NULL;
    if (json_is_string(tools) && json_string_length(tools) == 0)
        return 0;
    if (json_is_string(tools))
        rc = json_read_new(&list, json_string_value(tools), json_string_length(tools), "\"tools\"", err);
    else
        list = json_incref((json_t *)(uintptr_t)tools);
    if (rc == 0 && !json_is_array(list))
        rc = error_set(err, ERROR_FORMAT, "its \"tools\" are no list");
    json_t *made = json_array();
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        json_t *tool = json_array_get(list, i);
        if (json_object_get(tool, "function"))
            json_array_append(made, tool);
        else
            json_array_append_new(made, json_pack("{s:s, s:O}", "type", "function", "function", tool));
    }
    json_decref(list);
    if (rc || json_array_size(made) == 0) {
        json_decref(made);
        return rc;
    }
    *out = made;
    return 0;
}

int examples_check(const json_t *list, struct error *err)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *role = json_text(m, "role", "");
        int k = 0;
        while (roles[k] && strcmp(roles[k], role) != 0)
            k++;
        if (!roles[k])
            return error_set(err, ERROR_FORMAT, "message %zu has the role \"%s\", not system, developer, user, "
                "assistant or tool", i + 1, role);
        const json_t *content = json_object_get(m, "content");
        if ((!content || json_is_null(content)) && !json_array_size(json_object_get(m, "tool_calls")) &&
            !json_text(m, "reasoning_content", NULL))
            return error_set(err, ERROR_FORMAT, "message %zu has neither content nor calls", i + 1);
    }
    return 0;
}
