/* SPDX-License-Identifier: Apache-2.0 */
/* Functions as harmony shows them to the model: TypeScript types made from JSON schemas. What a schema says beyond
 * this (patterns, limits, $ref) is not shown, as in the reference; nothing is followed, so nothing can go in circles.
 */
#include "text/chat/harmony_impl.h"

#include "base/map.h"

struct ts {
    struct buffer *out;
    size_t from; /* where the text begins in out */
    int depth, rc;
    struct error *err;
};

/* True while there is room for more. */
static bool may_go_on(struct ts *t)
{
    if (t->rc == 0 && t->out->used - t->from > HARMONY_TOOLS_BYTES_MAX)
        t->rc = error_set(
            t->err, ERROR_LIMIT, "the tools' schemas become more than %d bytes of text", HARMONY_TOOLS_BYTES_MAX);
    return t->rc == 0;
}

static void type(struct ts *t, const json_t *schema, int indent);

static void pad(struct ts *t, int indent)
{
    buffer_printf(t->out, "%*s", indent, "");
}

static void text(struct ts *t, const json_t *string)
{
    buffer_add(t->out, json_string_value(string), json_string_length(string));
}

static const json_t *string_of(const json_t *schema, const char *key)
{
    const json_t *value = json_object_get(schema, key);
    return json_is_string(value) ? value : NULL;
}

static void comment(struct ts *t, int indent, const json_t *string)
{
    if (!string)
        return;
    pad(t, indent);
    buffer_add_text(t->out, "// ");
    text(t, string);
    buffer_add_byte(t->out, '\n');
}

/* "default: 3". Strings are quoted; those of an enum are bare, or JSON where `json_enum`. */
static void default_value(struct ts *t, const json_t *schema, const json_t *value, bool json_enum)
{
    bool is_enum = json_array_size(json_object_get(schema, "enum")) > 0;
    buffer_add_text(t->out, "default: ");
    if (!json_is_string(value) || (is_enum && json_enum)) {
        json_write(t->out, value, JSON_WRITE_COMPACT);
        return;
    }
    if (!is_enum)
        buffer_add_byte(t->out, '"');
    text(t, value);
    if (!is_enum)
        buffer_add_byte(t->out, '"');
}

/* The type, and " | null" for a nullable one that does not say so already. */
static void nullable_type(struct ts *t, const json_t *schema, int indent)
{
    size_t from = t->out->used;
    type(t, schema, indent);
    if (json_is_true(json_object_get(schema, "nullable")) &&
        (t->out->used == from || !memmem(t->out->data + from, t->out->used - from, "null", 4)))
        buffer_add_text(t->out, " | null");
}

/* " // DESCRIPTION default: 3" behind a variant. */
static void variant_comment(struct ts *t, const json_t *variant, const json_t *description, bool json_enum)
{
    const json_t *value = json_object_get(variant, "default");
    if (!description && !value)
        return;
    buffer_add_text(t->out, " // ");
    if (description)
        text(t, description);
    if (description && value)
        buffer_add_byte(t->out, ' ');
    if (value)
        default_value(t, variant, value, json_enum);
}

static void union_type(struct ts *t, const json_t *variants, int indent)
{
    for (size_t i = 0; i < json_array_size(variants) && may_go_on(t); i++) {
        const json_t *variant = json_array_get(variants, i);
        buffer_add_byte(t->out, '\n');
        pad(t, indent);
        buffer_add_text(t->out, " | ");
        nullable_type(t, variant, indent + 3);
        variant_comment(t, variant, string_of(variant, "description"), true);
    }
}

/* False where the array names no type. */
static bool listed_types(struct ts *t, const json_t *types)
{
    bool any = false;
    for (size_t i = 0; i < json_array_size(types) && may_go_on(t); i++) {
        const json_t *name = json_array_get(types, i);
        if (!json_is_string(name))
            continue;
        if (any)
            buffer_add_text(t->out, " | ");
        any = true;
        if (strcmp(json_string_value(name), "integer") == 0)
            buffer_add_text(t->out, "number");
        else
            text(t, name);
    }
    return any;
}

static void string_type(struct ts *t, const json_t *values)
{
    bool any = false;
    for (size_t i = 0; i < json_array_size(values) && may_go_on(t); i++) {
        const json_t *value = json_array_get(values, i);
        if (!json_is_string(value))
            continue;
        buffer_add_text(t->out, any ? " | \"" : "\"");
        text(t, value);
        buffer_add_byte(t->out, '"');
        any = true;
    }
    if (!any)
        buffer_add_text(t->out, "string");
}

/* ---- objects ---- */

static void examples(struct ts *t, const json_t *list, int indent)
{
    if (json_array_size(list) == 0)
        return;
    pad(t, indent);
    buffer_add_text(t->out, "// Examples:\n");
    for (size_t i = 0; i < json_array_size(list) && may_go_on(t); i++) {
        const json_t *example = json_array_get(list, i);
        if (!json_is_string(example))
            continue;
        pad(t, indent);
        buffer_add_text(t->out, "// - \"");
        text(t, example);
        buffer_add_text(t->out, "\"\n");
    }
}

static void key_name(struct ts *t, const char *key, bool required, int indent)
{
    pad(t, indent);
    buffer_printf(t->out, "%s%s:", key, required ? "" : "?");
}

/* A property that is one of several: its comments, then a line for each variant. The property's description is told
 * once: in front, or where the first variant has the same one, behind none. */
static void union_property(struct ts *t, const char *key, const json_t *schema, bool required, int indent)
{
    const json_t *variants = json_object_get(schema, "oneOf"), *value = json_object_get(schema, "default");
    const json_t *about = string_of(schema, "description");
    const json_t *first = string_of(json_array_get(variants, 0), "description");
    bool in_front = about && !(first && json_equal(about, first));
    if (in_front)
        comment(t, indent, about);
    if (value) {
        pad(t, indent);
        buffer_add_text(t->out, "// ");
        default_value(t, schema, value, false);
        buffer_add_byte(t->out, '\n');
    }
    key_name(t, key, required, indent);
    buffer_add_byte(t->out, '\n');
    for (size_t i = 0; i < json_array_size(variants) && may_go_on(t); i++) {
        const json_t *variant = json_array_get(variants, i), *said = string_of(variant, "description");
        if ((i == 0 && in_front) || (said && about && json_equal(said, about)))
            said = NULL;
        pad(t, indent);
        buffer_add_text(t->out, " | ");
        nullable_type(t, variant, indent + 3);
        variant_comment(t, variant, said, false);
        buffer_add_byte(t->out, '\n');
    }
    pad(t, indent);
    buffer_add_text(t->out, ",\n");
}

static void plain_property(struct ts *t, const char *key, const json_t *schema, bool required, int indent)
{
    const json_t *value = json_object_get(schema, "oneOf") ? NULL : json_object_get(schema, "default");
    key_name(t, key, required, indent);
    buffer_add_byte(t->out, ' ');
    nullable_type(t, schema, indent + 4);
    buffer_add_byte(t->out, ',');
    if (value) {
        buffer_add_text(t->out, " // ");
        default_value(t, schema, value, false);
    }
    buffer_add_byte(t->out, '\n');
}

static void property(struct ts *t, const char *key, const json_t *schema, bool required, int indent)
{
    const json_t *title = string_of(schema, "title"), *variants = json_object_get(schema, "oneOf");
    if (title) {
        comment(t, indent, title);
        pad(t, indent);
        buffer_add_text(t->out, "//\n");
    }
    if (!variants)
        comment(t, indent, string_of(schema, "description"));
    examples(t, json_object_get(schema, "examples"), indent);
    if (json_is_array(variants))
        union_property(t, key, schema, required, indent);
    else
        plain_property(t, key, schema, required, indent);
}

static int required_names(struct map *names, const json_t *list, struct error *err)
{
    int rc = map_init(names, json_array_size(list), err);
    for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
        const json_t *name = json_array_get(list, i);
        if (json_is_string(name))
            rc = map_put(names, json_string_value(name), json_string_length(name), 1, err);
    }
    return rc;
}

static void object_type(struct ts *t, const json_t *schema, int indent)
{
    /* Jansson's iterator takes a plain pointer, but does not write. */
    json_t *properties = (json_t *)(uintptr_t)json_object_get(schema, "properties");
    struct map required = {0};
    comment(t, indent, string_of(schema, "description"));
    buffer_add_text(t->out, "{\n");
    t->rc = required_names(&required, json_object_get(schema, "required"), t->err);
    void *at = json_object_iter(properties);
    for (; at && may_go_on(t); at = json_object_iter_next(properties, at)) {
        const char *key = json_object_iter_key(at);
        property(t, key, json_object_iter_value(at), map_find(&required, key, strlen(key), 0), indent);
    }
    map_release(&required);
    pad(t, indent);
    buffer_add_byte(t->out, '}');
}

static void array_type(struct ts *t, const json_t *schema, int indent)
{
    const json_t *items = json_object_get(schema, "items");
    if (items)
        type(t, items, indent);
    buffer_add_text(t->out, items ? "[]" : "Array<any>");
}

static void named_type(struct ts *t, const char *name, const json_t *schema, int indent)
{
    if (strcmp(name, "object") == 0)
        object_type(t, schema, indent);
    else if (strcmp(name, "string") == 0)
        string_type(t, json_object_get(schema, "enum"));
    else if (strcmp(name, "number") == 0 || strcmp(name, "integer") == 0)
        buffer_add_text(t->out, "number");
    else if (strcmp(name, "boolean") == 0)
        buffer_add_text(t->out, "boolean");
    else if (strcmp(name, "array") == 0)
        array_type(t, schema, indent);
    else
        buffer_add_text(t->out, "any");
}

static void type(struct ts *t, const json_t *schema, int indent)
{
    const json_t *variants = json_object_get(schema, "oneOf"), *name = json_object_get(schema, "type");
    if (!may_go_on(t))
        return;
    if (t->depth == HARMONY_SCHEMA_DEPTH_MAX) {
        t->rc = error_set(t->err, ERROR_LIMIT, "a schema is more than %d levels deep", HARMONY_SCHEMA_DEPTH_MAX);
        return;
    }
    t->depth++;
    if (json_is_array(variants))
        union_type(t, variants, indent);
    else if (!listed_types(t, name))
        named_type(t, json_is_string(name) ? json_string_value(name) : "", schema, indent);
    t->depth--;
}

/* ---- functions ---- */

/* "// LINE" for each line. */
static void description(struct ts *t, const json_t *string)
{
    const char *line = json_string_value(string), *end = line + json_string_length(string);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)), *next = stop ? stop + 1 : end;
        size_t n = (size_t)((stop ? stop : end) - line);
        if (stop && n > 0 && line[n - 1] == '\r')
            n--;
        buffer_add_text(t->out, "// ");
        buffer_add(t->out, line, n);
        buffer_add_byte(t->out, '\n');
        line = next;
    }
}

static void function_type(struct ts *t, const json_t *tool, size_t number)
{
    const json_t *member = json_object_get(tool, "function"), *function = member ? member : tool;
    const json_t *parameters = json_object_get(function, "parameters"), *about = string_of(function, "description");
    const char *name = json_text(function, "name", NULL);
    if (!name) {
        t->rc = error_set(t->err, ERROR_USAGE, "tool %zu names no function", number + 1);
        return;
    }
    if (about)
        description(t, about);
    buffer_printf(t->out, "type %s = (", name);
    if (parameters && !json_is_null(parameters)) {
        buffer_add_text(t->out, "_: ");
        type(t, parameters, 0);
    }
    buffer_add_text(t->out, ") => any;\n\n");
    if (t->rc)
        error_in(t->err, "could not show the function \"%s\" to the model", name);
}

int harmony_tools(struct buffer *out, const json_t *tools, struct error *err)
{
    struct ts t = {.out = out, .from = out->used, .err = err};
    buffer_add_text(out, "# Tools\n\n## functions\n\nnamespace functions {\n\n");
    for (size_t i = 0; i < json_array_size(tools) && may_go_on(&t); i++)
        function_type(&t, json_array_get(tools, i), i);
    buffer_add_text(out, "} // namespace functions");
    return t.rc ? t.rc : buffer_check(out, "tools", err);
}
