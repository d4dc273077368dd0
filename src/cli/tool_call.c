/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"
#include "base/utf8.h"
#include "cli/tools.h"
#include "cli/tools_impl.h"
#include "text/unicode.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- checking arguments ---- */

#define NAME_SHOWN 64

/* A name that the model wrote, for "%.*s": its bytes that go into an error. */
static int shown(const char *name)
{
    size_t n = strnlen(name, NAME_SHOWN);
    return (int)(n - utf8_incomplete_tail(name, n));
}

static bool is_of_type(const json_t *value, const char *type)
{
    static const char *const names[] = { [JSON_OBJECT] = "object", [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "integer", [JSON_REAL] = "number", [JSON_TRUE] = "boolean", [JSON_FALSE] = "boolean",
        [JSON_NULL] = "null" };
    if (json_is_real(value) && strcmp(type, "integer") == 0)
        return floor(json_real_value(value)) == json_real_value(value);
    return strcmp(type, names[json_typeof(value)]) == 0 || (json_is_integer(value) && strcmp(type, "number") == 0);
}

/* type: a name or an array of names. */
static bool is_of_types(const json_t *value, const json_t *type)
{
    size_t i;
    const json_t *one;
    if (json_is_string(type))
        return is_of_type(value, json_string_value(type));
    json_array_foreach(type, i, one)
        if (json_is_string(one) && is_of_type(value, json_string_value(one)))
            return true;
    return !json_is_array(type);
}

static bool is_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b) != 0;
}

static bool is_among(const json_t *value, const json_t *values)
{
    size_t i;
    const json_t *one;
    json_array_foreach(values, i, one)
        if (is_equal(value, one))
            return true;
    return !json_is_array(values);
}

/* "argument "unit" is not ...: " and the part of the schema that says what it must be. */
static int refuse(const char *name, const char *reason, const json_t *wanted, struct error *err)
{
    struct buffer text = { 0 };
    json_write(&text, wanted, 0);
    int rc = error_set(err, ERROR_FORMAT, "argument \"%.*s\" %s %s", shown(name), name, reason,
        text.data ? text.data : "");
    buffer_release(&text);
    return rc;
}

static int check_value(const char *name, const json_t *value, const json_t *schema, struct error *err)
{
    const json_t *type = json_object_get(schema, "type"), *values = json_object_get(schema, "enum");
    const json_t *only = json_object_get(schema, "const");
    if (!is_of_types(value, type))
        return refuse(name, "is not of the type", type, err);
    if (!is_among(value, values))
        return refuse(name, "is not one of", values, err);
    if (only && !is_equal(value, only))
        return refuse(name, "is not", only, err);
    return 0;
}

static int check_values(const struct tool *tool, const json_t *arguments, struct error *err)
{
    const json_t *properties = json_object_get(tool->parameters, "properties");
    const json_t *required = json_object_get(tool->parameters, "required"), *value;
    bool closed = json_is_false(json_object_get(tool->parameters, "additionalProperties"));
    size_t i;
    const char *name;
    json_array_foreach(required, i, value)
        if (!json_object_get(arguments, json_string_value(value)))
            return error_set(err, ERROR_FORMAT, "argument \"%s\" is missing", json_string_value(value));
    json_object_foreach((json_t *)(uintptr_t)arguments, name, value) {
        const json_t *schema = json_object_get(properties, name);
        if (json_is_false(schema) || (!schema && closed))
            return error_set(err, ERROR_FORMAT, "there is no argument \"%.*s\"", shown(name), name);
        int rc = check_value(name, value, schema, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the command line ---- */

struct command_line {
    struct buffer text;                    /* the words, each with a 0 byte behind it */
    size_t at[TOOL_WORDS_MAX];             /* where they begin */
    const char *argv[TOOL_WORDS_MAX + 1];  /* NULL behind the last */
    size_t n;
};

/* null means the same as leaving it out: strict schemas have no other way to say so. */
static const json_t *value_of(const struct tool_word *w, const json_t *arguments)
{
    const json_t *value = json_object_get(arguments, w->text);
    return json_is_null(value) ? NULL : value;
}

static bool is_left_out(const struct tool *tool, int group, const json_t *arguments)
{
    for (size_t i = 0; i < tool->n_words; i++) {
        const struct tool_word *w = &tool->words[i];
        if (w->group == group && w->value && !value_of(w, arguments))
            return true;
    }
    return false;
}

/* Append a value. What a shell would do to it does not happen, but the program itself may take it for an option. */
static int add_value(struct buffer *text, const struct tool_word *w, const json_t *value, struct error *err)
{
    size_t from = text->used;
    if (json_is_string(value))
        buffer_add(text, json_string_value(value), json_string_length(value));
    else
        json_write(text, value, JSON_WRITE_COMPACT);
    int rc = buffer_check(text, "a command", err);
    size_t n = text->used - from;
    if (rc == 0 && n > TOOL_WORD_BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "argument \"%s\" has %zu bytes, a command takes %zu", w->text, n,
            TOOL_WORD_BYTES_MAX);
    if (rc == 0 && n > 0 && memchr(text->data + from, 0, n))
        return error_set(err, ERROR_FORMAT, "argument \"%s\" holds a zero byte", w->text);
    if (rc == 0 && n > 0 && text->data[from] == '-' && !w->any_dash)
        return error_set(err, ERROR_FORMAT, "argument \"%s\" begins with '-': the command could take it for an option",
            w->text);
    return rc;
}

static int command_line_make(struct command_line *c, const struct tool *tool, const json_t *arguments,
    struct error *err)
{
    int rc = 0;
    c->text = (struct buffer) { 0 };
    c->n = 0;
    for (size_t i = 0; i < tool->n_words && rc == 0; i++) {
        const struct tool_word *w = &tool->words[i];
        if (is_left_out(tool, w->group, arguments))
            continue;
        c->at[c->n++] = c->text.used;
        if (w->value)
            rc = add_value(&c->text, w, value_of(w, arguments), err);
        else
            buffer_add_text(&c->text, w->text);
        buffer_add_byte(&c->text, '\0');
    }
    if (rc == 0)
        rc = buffer_check(&c->text, "a command", err);
    for (size_t i = 0; i < c->n && rc == 0; i++)
        c->argv[i] = c->text.data + c->at[i];
    c->argv[c->n] = NULL;
    if (rc)
        buffer_release(&c->text);
    return rc;
}

int tool_arguments_new(json_t **out, const struct tool *tool, const char *text, size_t n, struct error *err)
{
    struct command_line c;
    *out = NULL;
    if (n > TOOL_ARGUMENTS_BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "the arguments have %zu bytes, the limit is %zu", n,
            TOOL_ARGUMENTS_BYTES_MAX);
    int rc = json_read_new(out, text, n, "the arguments", err);
    if (rc == 0 && !json_is_object(*out))
        rc = error_set(err, ERROR_FORMAT, "the arguments are not a JSON object");
    if (rc == 0)
        rc = check_values(tool, *out, err);
    if (rc == 0)
        rc = command_line_make(&c, tool, *out, err);
    if (rc == 0) {
        buffer_release(&c.text);
        return 0;
    }
    json_decref(*out);
    *out = NULL;
    return rc;
}

/* ---- showing a call ---- */

/* JSON in which what does not show itself is escaped. Outside of strings JSON has nothing of the kind but ends of
 * lines. */
static void show_json(struct buffer *out, const struct buffer *json)
{
    for (size_t at = 0; at < json->used;) {
        int32_t point;
        int taken = utf8_decode(json->data + at, json->used - at, &point);
        if (point == '\n' || !unicode_hidden(point))
            buffer_add(out, json->data + at, (size_t)taken);
        else if (point < 0x10000)
            buffer_printf(out, "\\u%04x", (unsigned)point);
        else
            buffer_printf(out, "\\u%04x\\u%04x", 0xd7c0u + ((unsigned)point >> 10),
                0xdc00u + ((unsigned)point & 0x3ff));
        at += (size_t)taken;
    }
}

static int show_word(struct buffer *out, const char *word, struct error *err)
{
    struct buffer text = { 0 };
    json_t *string = json_string(word);
    if (!string)
        return error_memory(err, strlen(word), "a command");
    json_write(&text, string, 0);
    json_decref(string);
    buffer_add_text(out, "  ");
    show_json(out, &text);
    buffer_add_text(out, "\n");
    int rc = buffer_check(&text, "a command", err);
    buffer_release(&text);
    return rc;
}

int tool_describe(struct buffer *out, const struct tool *tool, const json_t *arguments, struct error *err)
{
    struct command_line c;
    struct buffer text = { 0 };
    int rc = command_line_make(&c, tool, arguments, err);
    if (rc)
        return rc;
    json_write(&text, arguments, 2);
    rc = buffer_check(&text, "the arguments", err);
    buffer_printf(out, "function %s\narguments ", tool->name);
    show_json(out, &text);
    buffer_release(&text);
    if (tool->n_words > 0)
        buffer_printf(out, "\ncommand, for up to %g s%s\n", tool->seconds,
            tool->takes_input ? ", with the arguments on standard input" : "");
    else
        buffer_add_text(out, "\nno command: you type the result\n");
    for (size_t i = 0; i < c.n && rc == 0; i++)
        rc = show_word(out, c.argv[i], err);
    buffer_release(&c.text);
    return rc ? rc : buffer_check(out, "the description of a call", err);
}

bool tool_has_command(const struct tool *tool)
{
    return tool->n_words > 0;
}

/* ---- running it ---- */

/* Append what a program wrote, as UTF-8 without zero bytes and without ends of lines behind it. */
static void add_written(struct buffer *out, const struct buffer *written, bool cut)
{
    size_t n = written->used;
    if (cut)
        n -= utf8_incomplete_tail(written->data, n);
    while (!cut && n > 0 && (written->data[n - 1] == '\n' || written->data[n - 1] == '\r'))
        n--;
    for (size_t at = 0; at < n;) {
        int32_t point;
        int taken = utf8_decode(written->data + at, n - at, &point);
        if (point < 0)
            buffer_add_text(out, "\xef\xbf\xbd");
        else if (point > 0)
            buffer_add(out, written->data + at, (size_t)taken);
        at += (size_t)taken;
    }
    if (cut)
        buffer_printf(out, "\n[cut here: there is more than %zu bytes]", TOOL_RESULT_BYTES_MAX);
}

static void add_part(struct buffer *out, const char *title, const struct buffer *written, bool cut)
{
    if (written->used == 0)
        return;
    buffer_printf(out, "%s%s:\n", out->used ? "\n" : "", title);
    add_written(out, written, cut);
}

static void add_outcome(struct buffer *out, const struct tool *tool, const struct process_result *r)
{
    if (r->end == PROCESS_EXITED && r->status == 0) {
        add_written(out, &r->output, r->output_cut);
        if (out->used == 0) /* some tell of failures in words alone */
            add_part(out, "standard error", &r->errors, r->errors_cut);
        if (out->used == 0)
            buffer_add_text(out, "[done, nothing was written]");
        return;
    }
    const char *signal_name = r->end == PROCESS_KILLED ? sigdescr_np(r->status) : NULL;
    if (r->end == PROCESS_TIMED_OUT)
        buffer_printf(out, "error: timed out after %g s", tool->seconds);
    else if (r->end == PROCESS_KILLED)
        buffer_printf(out, "error: killed by signal %d (%s)", r->status, signal_name ? signal_name : "unknown");
    else
        buffer_printf(out, "error: exit status %d", r->status);
    add_part(out, "standard error", &r->errors, r->errors_cut);
    add_part(out, "standard output", &r->output, r->output_cut);
}

int tool_run(struct buffer *result, const struct tool *tool, const json_t *arguments,
    bool (*cancelled)(void *context), void *context, struct error *err)
{
    struct command_line c;
    struct buffer input = { 0 };
    struct process_result r = { .end = PROCESS_EXITED };
    struct error start = { 0 };
    assert(tool->n_words > 0);
    buffer_clear(result);
    int rc = command_line_make(&c, tool, arguments, err);
    if (rc)
        return rc;
    if (tool->takes_input) {
        json_write(&input, arguments, JSON_WRITE_COMPACT);
        buffer_add_byte(&input, '\n');
    }
    rc = buffer_check(&input, "the arguments", err);
    const struct process_options options = { .argv = c.argv, .input = input.data, .input_size = input.used,
        .output_max = TOOL_RESULT_BYTES_MAX, .seconds_max = tool->seconds, .cancelled = cancelled, .context = context };
    int started = rc ? rc : process_run(&r, &options, &start);
    if (rc == 0 && started == ERROR_MEMORY)
        rc = error_set(err, ERROR_MEMORY, "%s", start.text);
    else if (rc == 0 && started)
        buffer_printf(result, "error: %s", start.text);
    else if (rc == 0 && r.end == PROCESS_CANCELLED)
        rc = error_set(err, ERROR_CANCELLED, "stopped");
    else if (rc == 0)
        add_outcome(result, tool, &r);
    process_result_release(&r);
    buffer_release(&input);
    buffer_release(&c.text);
    return rc ? rc : buffer_check(result, "the result of a command", err);
}
