/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/calls.h"

#include <stdlib.h>
#include <string.h>

#define FUNCTIONS "functions."

static void call_release(struct call *c)
{
    free(c->name);
    free(c->arguments);
    free(c->id);
}

/* Keep the first n. */
static void cut(struct calls *c, size_t n)
{
    while (c->n > n)
        call_release(&c->at[--c->n]);
}

void calls_release(struct calls *c)
{
    cut(c, 0);
    free(c->at);
    *c = (struct calls) { 0 };
}

/* id may be NULL. */
static int add(struct calls *c, const char *name, const char *arguments, size_t n, const char *id, struct error *err)
{
    struct call *at = realloc(c->at, (c->n + 1) * sizeof *at);
    if (!at)
        return error_memory(err, (c->n + 1) * sizeof *at, "calls");
    c->at = at;
    struct call call = { strdup(name), strndup(arguments, n), id ? strdup(id) : NULL };
    if (!call.name || !call.arguments || (id && !call.id)) {
        call_release(&call);
        return error_memory(err, n, "a call");
    }
    c->at[c->n++] = call;
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* White space around JSON. */
static void trim(const char **text, size_t *n)
{
    while (*n > 0 && is_space(**text))
        (*text)++, (*n)--;
    while (*n > 0 && is_space((*text)[*n - 1]))
        (*n)--;
}

/* ---- harmony ---- */

static int add_received(struct calls *c, const char *recipient, const char *text, size_t n, struct error *err)
{
    if (strncmp(recipient, FUNCTIONS, strlen(FUNCTIONS)) != 0)
        return error_set(err, ERROR_NOT_FOUND, "the call is for \"%s\", functions are called as " FUNCTIONS "NAME",
            recipient);
    return add(c, recipient + strlen(FUNCTIONS), n ? text : "{}", n ? n : 2, NULL, err);
}

/* ---- JSON ---- */

static bool is_text(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

static const json_t *arguments_of(const json_t *call)
{
    const json_t *arguments = json_object_get(call, "arguments");
    return arguments ? arguments : json_object_get(call, "parameters");
}

static int add_json(struct calls *c, const json_t *entry, struct error *err)
{
    const json_t *wrapped = json_object_get(entry, "function"), *id = json_object_get(entry, "id");
    const json_t *call = json_is_object(wrapped) ? wrapped : entry, *arguments = arguments_of(call);
    const json_t *name = json_object_get(call, "name");
    struct buffer text = { 0 };
    if (!is_text(name) || !*json_string_value(name))
        return error_set(err, ERROR_FORMAT, "the call has no \"name\" of a function");
    if (is_text(arguments))
        buffer_add_text(&text, json_string_value(arguments));
    else if (json_is_object(arguments))
        json_write(&text, arguments, JSON_WRITE_COMPACT);
    else if (!arguments || json_is_null(arguments))
        buffer_add_text(&text, "{}");
    else
        return error_set(err, ERROR_FORMAT, "the arguments of the call are not a JSON object");
    int rc = buffer_check(&text, "a call", err);
    if (rc == 0)
        rc = add(c, json_string_value(name), text.data, text.used, is_text(id) ? json_string_value(id) : NULL, err);
    buffer_release(&text);
    return rc;
}

static int add_all(struct calls *c, const json_t *value, struct error *err)
{
    size_t i, n = json_array_size(value);
    const json_t *entry;
    int rc = 0;
    if (!json_is_array(value))
        return add_json(c, value, err);
    if (n == 0)
        return error_set(err, ERROR_FORMAT, "the list of calls is empty");
    if (n > CALLS_MAX)
        return error_set(err, ERROR_LIMIT, "there are %zu calls, the limit is %d", n, CALLS_MAX);
    json_array_foreach(value, i, entry) {
        rc = add_json(c, entry, err);
        if (rc)
            break;
    }
    return rc;
}

int calls_read(struct calls *c, const char *recipient, const char *text, size_t n, struct error *err)
{
    size_t before = c->n;
    json_t *value;
    if (n > CALLS_BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "the call has %zu bytes, the limit is %zu", n, CALLS_BYTES_MAX);
    if (n > 0 && memchr(text, 0, n))
        return error_set(err, ERROR_FORMAT, "the call holds a zero byte");
    trim(&text, &n);
    if (*recipient)
        return add_received(c, recipient, text, n, err);
    int rc = json_read_new(&value, text, n, "the call", err);
    if (rc)
        return rc;
    rc = add_all(c, value, err);
    if (rc)
        cut(c, before);
    json_decref(value);
    return rc;
}

/* ---- calls without a mark ---- */

static bool has_mark(const struct chat_format *f)
{
    for (const struct chat_span *s = f->spans; s && s->open; s++)
        if (s->channel == CHAT_TOOL_CALL)
            return true;
    return f->reader != NULL;
}

/* {"name" stands in front. */
static bool begins_with_name(const char *text, size_t n)
{
    static const char name[] = "\"name\"";
    if (n == 0 || *text != '{')
        return false;
    for (text++, n--; n > 0 && is_space(*text); text++)
        n--;
    return n >= strlen(name) && memcmp(text, name, strlen(name)) == 0;
}

bool calls_are_answer(const struct chat_format *f, const char *text, size_t n)
{
    json_t *value;
    if (has_mark(f))
        return false;
    trim(&text, &n);
    if (begins_with_name(text, n))
        return true;
    if (n == 0 || *text != '{' || json_read_new(&value, text, n, "an answer", NULL) != 0)
        return false;
    const json_t *wrapped = json_object_get(value, "function");
    const json_t *call = json_is_object(wrapped) ? wrapped : value;
    bool is_call = json_is_string(json_object_get(call, "name")) && json_is_object(arguments_of(call));
    json_decref(value);
    return is_call;
}
