/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tools.h"

#include "base/filemap.h"
#include "base/utf8.h"
#include "cli/tools_impl.h"

#include <stdlib.h>
#include <string.h>

#define PROPERTY_BYTES_MAX 255 /* of a name that can stand in a command */

struct tools {
    json_t *file; /* what the tools point into */
    json_t *offered;
    struct tool *at;
    size_t n;
};

/* ---- keys ---- */

static bool is_among(const char *key, const char *const *known)
{
    while (*known && strcmp(*known, key) != 0)
        known++;
    return *known != NULL;
}

/* Jansson's iterator takes a plain pointer, but does not write. */
static json_t *plain(const json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

static int check_keys(const json_t *object, const char *const *known, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(plain(object), key, value)
        if (!is_among(key, known))
            return error_set(err, ERROR_FORMAT, "there is no key \"%s\"", key);
    return 0;
}

static bool holds_zero(const json_t *string)
{
    return strlen(json_string_value(string)) != json_string_length(string);
}

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static bool is_name(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && *text && json_string_length(value) <= 64 && strspn(text, name_letters) == json_string_length(value);
}

/* ---- the function ---- */

static int check_parameters(const json_t *parameters, struct error *err)
{
    if (!parameters)
        return 0;
    const json_t *type = json_object_get(parameters, "type"), *properties = json_object_get(parameters, "properties");
    const json_t *required = json_object_get(parameters, "required"), *value;
    const char *key;
    size_t i;
    if (!json_is_object(parameters) || (type && (!json_is_string(type) || strcmp(json_string_value(type), "object"))))
        return error_set(err, ERROR_FORMAT, "\"parameters\" is not the schema of an object");
    if (properties && !json_is_object(properties))
        return error_set(err, ERROR_FORMAT, "\"properties\" is not an object");
    json_object_foreach(plain(properties), key, value)
        if (!json_is_object(value) && !json_is_boolean(value))
            return error_set(err, ERROR_FORMAT, "the schema of \"%s\" is not an object", key);
    if (required && !json_is_array(required))
        return error_set(err, ERROR_FORMAT, "\"required\" is not an array");
    json_array_foreach(required, i, value) {
        if (!json_is_string(value) || holds_zero(value) || !json_object_get(properties, json_string_value(value)))
            return error_set(err, ERROR_FORMAT, "\"required\", entry %zu, names nothing in \"properties\"", i + 1);
    }
    return 0;
}

static int read_function(struct tool *tool, const json_t *function, struct error *err)
{
    static const char *const known[] = { "name", "description", "parameters", "strict", NULL };
    const json_t *name = json_object_get(function, "name"), *about = json_object_get(function, "description");
    const json_t *strict = json_object_get(function, "strict");
    if (!json_is_object(function))
        return error_set(err, ERROR_FORMAT, "\"function\" is not an object");
    if (!is_name(name))
        return error_set(err, ERROR_FORMAT, "\"name\" is not 1 to 64 of the characters a-z, A-Z, 0-9, _ and -");
    tool->name = json_string_value(name);
    int rc = check_keys(function, known, err);
    if (rc)
        return rc;
    if (about && (!json_is_string(about) || holds_zero(about)))
        return error_set(err, ERROR_FORMAT, "\"description\" is not a text");
    if (strict && !json_is_boolean(strict) && !json_is_null(strict))
        return error_set(err, ERROR_FORMAT, "\"strict\" is neither true nor false");
    tool->parameters = json_object_get(function, "parameters");
    return check_parameters(tool->parameters, err);
}

/* ---- the command ---- */

/* The bytes between braces, where the whole text is one pair of them; else 0. */
static size_t braced(const char *text)
{
    size_t n = *text == '{' ? strcspn(text + 1, "{}") : 0;
    return n > 0 && strcmp(text + 1 + n, "}") == 0 ? n : 0;
}

/* The property of that name, as the schema spells it; NULL: there is none. */
static const char *property(const struct tool *tool, const char *name, size_t n)
{
    char text[PROPERTY_BYTES_MAX + 1];
    if (n > PROPERTY_BYTES_MAX)
        return NULL;
    memcpy(text, name, n);
    text[n] = '\0';
    return json_object_iter_key(json_object_iter_at(plain(json_object_get(tool->parameters, "properties")), text));
}

/* A property in braces that is only a part of the text would be taken as it stands, which nobody wants. */
static const char *buried(const struct tool *tool, const char *text)
{
    for (const char *at = text; (at = strchr(at, '{')); at++) {
        size_t n = strcspn(at + 1, "{}");
        const char *key = at[1 + n] == '}' ? property(tool, at + 1, n) : NULL;
        if (key)
            return key;
    }
    return NULL;
}

static int read_word(struct tool *tool, const json_t *entry, int group, bool any_dash, struct error *err)
{
    const char *text = json_string_value(entry);
    size_t number = tool->n_words + 1;
    if (!text || holds_zero(entry))
        return error_set(err, ERROR_FORMAT, "\"command\", word %zu, is not a text", number);
    if (number > TOOL_WORDS_MAX)
        return error_set(err, ERROR_LIMIT, "\"command\" has more than %d words", TOOL_WORDS_MAX);
    struct tool_word *words = realloc(tool->words, number * sizeof *words);
    if (!words)
        return error_memory(err, number * sizeof *words, "a command");
    tool->words = words;
    size_t n = braced(text);
    const char *key = n ? property(tool, text + 1, n) : NULL, *part = n ? NULL : buried(tool, text);
    if (number == 1 && (key || !*text))
        return error_set(err, ERROR_FORMAT, "\"command\" does not begin with a program");
    if (n && !key && strspn(text + 1, name_letters) == n) /* other text in braces may be a program's own, as awk's */
        return error_set(err, ERROR_FORMAT, "\"command\", word %zu: the parameters have no \"%.*s\"", number, (int)n,
            text + 1);
    if (part)
        return error_set(err, ERROR_FORMAT, "\"command\", word %zu: {%s} stands inside other text, but a value is a "
            "whole word", number, part);
    words[tool->n_words++] = (struct tool_word) { key ? key : text, key != NULL, any_dash, group };
    return 0;
}

static int read_group(struct tool *tool, const json_t *entries, int group, bool any_dash, struct error *err)
{
    size_t i, from = tool->n_words;
    const json_t *entry;
    bool values = false;
    int rc = 0;
    json_array_foreach(entries, i, entry) {
        rc = read_word(tool, entry, group, any_dash, err);
        if (rc)
            return rc;
        values |= tool->words[from + i].value;
    }
    if (!values)
        return error_set(err, ERROR_FORMAT, "\"command\", word %zu: an array in it holds no {value}", from + 1);
    return 0;
}

static int read_command(struct tool *tool, const json_t *command, bool any_dash, struct error *err)
{
    size_t i;
    const json_t *entry;
    if (!json_is_array(command) || json_array_size(command) == 0)
        return error_set(err, ERROR_FORMAT, "\"command\" is not an array with a program and its arguments");
    json_array_foreach(command, i, entry) {
        int rc = json_is_array(entry) && i > 0 ? read_group(tool, entry, (int)i, any_dash, err)
                                               : read_word(tool, entry, (int)i, any_dash, err);
        if (rc)
            return rc;
        any_dash |= json_is_string(entry) && strcmp(json_string_value(entry), "--") == 0;
    }
    return 0;
}

/* ---- a tool ---- */

/* Keys beside "function", which speak of the command alone. */
static int read_settings(struct tool *tool, const json_t *entry, struct error *err)
{
    const json_t *command = json_object_get(entry, "command"), *timeout = json_object_get(entry, "timeout");
    const json_t *input = json_object_get(entry, "stdin"), *dash = json_object_get(entry, "allow_dash");
    if (!command && (timeout || input || dash))
        return error_set(err, ERROR_FORMAT, "\"%s\" without \"command\"",
            timeout ? "timeout" : input ? "stdin" : "allow_dash");
    double seconds = timeout ? json_number_value(timeout) : TOOL_SECONDS;
    if (timeout && (!json_is_number(timeout) || !(seconds > 0) || seconds > TOOL_SECONDS_MAX))
        return error_set(err, ERROR_FORMAT, "\"timeout\" is not a number of seconds above 0 and up to %.0f",
            TOOL_SECONDS_MAX);
    const char *word = input ? json_string_value(input) : "arguments";
    if (!word || (strcmp(word, "arguments") != 0 && strcmp(word, "none") != 0))
        return error_set(err, ERROR_FORMAT, "\"stdin\" is neither \"arguments\" nor \"none\"");
    if (dash && !json_is_boolean(dash))
        return error_set(err, ERROR_FORMAT, "\"allow_dash\" is neither true nor false");
    tool->seconds = seconds;
    tool->takes_input = strcmp(word, "arguments") == 0;
    return command ? read_command(tool, command, json_is_true(dash), err) : 0;
}

static int read_tool(struct tool *tool, const json_t *entry, struct error *err)
{
    static const char *const known[] = { "type", "function", "command", "timeout", "stdin", "allow_dash", NULL };
    if (!json_is_object(entry))
        return error_set(err, ERROR_FORMAT, "it is not an object");
    int rc = read_function(tool, json_object_get(entry, "function"), err); /* first: errors then tell its name */
    if (rc == 0 && strcmp(json_text(entry, "type", ""), "function") != 0)
        rc = error_set(err, ERROR_FORMAT, "\"type\" is not \"function\"");
    if (rc == 0)
        rc = check_keys(entry, known, err);
    return rc ? rc : read_settings(tool, entry, err);
}

/* ---- all of them ---- */

static const struct tool *named(const struct tools *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->at[i].name, name) == 0)
            return &t->at[i];
    return NULL;
}

static int read_entry(struct tools *t, const json_t *entry, struct error *err)
{
    struct tool tool = { 0 };
    int rc = read_tool(&tool, entry, err);
    if (rc == 0 && named(t, tool.name))
        rc = error_set(err, ERROR_FORMAT, "an earlier tool has this name");
    json_t *offer = rc ? NULL : json_pack("{s:s, s:O}", "type", "function", "function",
        json_object_get(entry, "function"));
    if (rc == 0 && (!offer || json_array_append_new(t->offered, offer) != 0))
        rc = error_memory(err, 0, "tools");
    if (rc == 0) {
        t->at[t->n++] = tool;
        return 0;
    }
    free(tool.words);
    if (tool.name)
        error_in(err, "tool %zu (\"%s\")", t->n + 1, tool.name);
    else
        error_in(err, "tool %zu", t->n + 1);
    return rc;
}

static int read_tools(struct tools *t, struct error *err)
{
    static const char *const known[] = { "tools", NULL };
    const json_t *array = json_is_object(t->file) ? json_object_get(t->file, "tools") : t->file, *entry;
    size_t i, n = json_array_size(array);
    int rc = json_is_object(t->file) ? check_keys(t->file, known, err) : 0;
    if (rc)
        return rc;
    if (n == 0)
        return error_set(err, ERROR_FORMAT, "there is no array of tools, or it is empty");
    if (n > TOOLS_MAX)
        return error_set(err, ERROR_LIMIT, "there are %zu tools, the limit is %d", n, TOOLS_MAX);
    t->offered = json_array();
    t->at = calloc(n, sizeof *t->at);
    if (!t->offered || !t->at)
        return error_memory(err, n * sizeof *t->at, "tools");
    json_array_foreach(array, i, entry) {
        rc = read_entry(t, entry, err);
        if (rc)
            return rc;
    }
    return 0;
}

int tools_parse(struct tools **out, const char *data, size_t size, const char *what, struct error *err)
{
    struct tools *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return error_memory(err, sizeof *t, "tools");
    int rc = json_read_new(&t->file, data, size, what, err);
    if (rc == 0) {
        rc = read_tools(t, err);
        if (rc)
            error_in(err, "could not read the tools of %s", what);
    }
    if (rc) {
        tools_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

int tools_open(struct tools **out, const char *path, struct error *err)
{
    char *data;
    size_t size;
    *out = NULL;
    int rc = file_read_new(&data, &size, path, TOOLS_BYTES_MAX, err);
    if (rc)
        return rc;
    rc = tools_parse(out, data, size, path, err);
    free(data);
    return rc;
}

void tools_close(struct tools *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->at[i].words);
    free(t->at);
    json_decref(t->offered);
    json_decref(t->file);
    free(t);
}

const json_t *tools_json(const struct tools *t)
{
    return t->offered;
}

int tools_find(const struct tool **out, const struct tools *t, const char *name, struct error *err)
{
    struct buffer names = { 0 };
    *out = named(t, name);
    if (*out)
        return 0;
    for (size_t i = 0; i < t->n; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", t->at[i].name);
    size_t n = strnlen(name, 64);
    int rc = error_set(err, ERROR_NOT_FOUND, "there is no function \"%.*s\", only: %s",
        (int)(n - utf8_incomplete_tail(name, n)), name, names.data ? names.data : "");
    buffer_release(&names);
    return rc;
}
