/* SPDX-License-Identifier: Apache-2.0 */
/* A schema to a grammar: which keywords there are, where they may stand, and what refers to what. */
#include "infer/schema_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 500 /* of one anyOf */

/* Keywords by what they do: say nothing about what is valid, belong to one type, or decide alone. */
enum keyword_use { USE_NOTE, USE_TYPE, USE_OBJECT, USE_ARRAY, USE_STRING, USE_NUMBER, USE_ALONE, USE_UNKNOWN };

static const struct {
    const char *name;
    enum keyword_use use;
} keywords[] = { { "title", USE_NOTE }, { "description", USE_NOTE }, { "default", USE_NOTE }, { "examples", USE_NOTE },
    { "$schema", USE_NOTE }, { "$id", USE_NOTE }, { "$comment", USE_NOTE }, { "$defs", USE_NOTE },
    { "definitions", USE_NOTE }, { "deprecated", USE_NOTE }, { "readOnly", USE_NOTE }, { "writeOnly", USE_NOTE },
    { "type", USE_TYPE }, { "properties", USE_OBJECT }, { "required", USE_OBJECT },
    { "additionalProperties", USE_OBJECT }, { "items", USE_ARRAY }, { "minItems", USE_ARRAY },
    { "maxItems", USE_ARRAY }, { "minLength", USE_STRING }, { "maxLength", USE_STRING }, { "pattern", USE_STRING },
    { "format", USE_STRING }, { "minimum", USE_NUMBER }, { "maximum", USE_NUMBER }, { "exclusiveMinimum", USE_NUMBER },
    { "exclusiveMaximum", USE_NUMBER }, { "multipleOf", USE_NUMBER }, { "enum", USE_ALONE }, { "const", USE_ALONE },
    { "anyOf", USE_ALONE }, { "allOf", USE_ALONE }, { "$ref", USE_ALONE } };

static enum keyword_use use_of(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return keywords[i].use;
    return USE_UNKNOWN;
}

static void place(struct schema_compiler *c)
{
    if (c->b.rc && !c->placed)
        error_in(c->b.err, "%s", c->path.data ? c->path.data : "#");
    c->placed = c->b.rc != 0;
}

int schema_fail(struct schema_compiler *c, int code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    builder_fail(&c->b, code, "%s", text);
    place(c);
    return c->b.rc;
}

#define STRING_BIT (1u << JSON_STRING)
#define NUMBER_BITS (1u << JSON_REAL | 1u << JSON_INTEGER)
#define ALL_BITS (1u << JSON_OBJECT | 1u << JSON_ARRAY | STRING_BIT | NUMBER_BITS | 1u << JSON_TRUE | 1u << JSON_FALSE \
    | 1u << JSON_NULL)

static unsigned type_bit(struct schema_compiler *c, const json_t *name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = { { "object", 1u << JSON_OBJECT }, { "array", 1u << JSON_ARRAY }, { "string", STRING_BIT },
        { "number", NUMBER_BITS }, { "integer", 1u << JSON_INTEGER }, { "boolean", 1u << JSON_TRUE | 1u << JSON_FALSE },
        { "null", 1u << JSON_NULL } };
    for (size_t i = 0; json_is_string(name) && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, json_string_value(name)) == 0)
            return types[i].bits;
    schema_fail(c, ERROR_FORMAT, "\"type\" is not one of object, array, string, number, integer, boolean, null");
    return 0;
}

static unsigned types_of(struct schema_compiler *c, const json_t *type)
{
    unsigned bits = 0;
    size_t i;
    json_t *entry;
    if (!type)
        return ALL_BITS;
    if (!json_is_array(type))
        return type_bit(c, type);
    json_array_foreach(type, i, entry)
    {
        if (c->b.rc == 0)
            bits |= type_bit(c, entry);
    }
    if (bits == 0)
        schema_fail(c, ERROR_FORMAT, "\"type\" is an empty array");
    return bits;
}

/* Where nothing names the type, keywords of a type do. */
static unsigned types_meant(unsigned uses)
{
    unsigned bits = 0;
    bits |= uses >> USE_OBJECT & 1u ? 1u << JSON_OBJECT : 0;
    bits |= uses >> USE_ARRAY & 1u ? 1u << JSON_ARRAY : 0;
    bits |= uses >> USE_STRING & 1u ? STRING_BIT : 0;
    bits |= uses >> USE_NUMBER & 1u ? NUMBER_BITS : 0;
    return bits;
}

static uint32_t compile_types(struct schema_compiler *c, const json_t *schema, unsigned types, uint32_t next)
{
    struct builder *b = &c->b;
    uint32_t ways[7], n = 0;
    if (types >> JSON_OBJECT & 1u)
        ways[n++] = schema_object(c, schema, next);
    if (types >> JSON_ARRAY & 1u && b->rc == 0)
        ways[n++] = schema_array(c, schema, next);
    if (types >> JSON_STRING & 1u && b->rc == 0)
        ways[n++] = schema_string(c, schema, next);
    if (types & NUMBER_BITS && b->rc == 0)
        ways[n++] = schema_number(c, schema, !(types >> JSON_REAL & 1u), next);
    if (types >> JSON_TRUE & 1u)
        ways[n++] = build_either(b, build_text(b, "true", 4, next), build_text(b, "false", 5, next));
    if (types >> JSON_NULL & 1u)
        ways[n++] = build_text(b, "null", 4, next);
    return n == 1 ? ways[0] : build_split(b, ways, n);
}

/* ---- $ref ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The next step of a JSON pointer (RFC 6901) in a URI fragment; returns what follows it. */
static const char *read_step(const char *at, struct buffer *step)
{
    buffer_clear(step);
    for (; *at && *at != '/'; at++) {
        char c = *at;
        if (c == '%' && hex_value(at[1]) >= 0 && hex_value(at[2]) >= 0) {
            c = (char)(hex_value(at[1]) * 16 + hex_value(at[2]));
            at += 2;
        } else if (c == '~' && (at[1] == '0' || at[1] == '1')) {
            c = at[1] == '0' ? '~' : '/';
            at++;
        }
        buffer_add_byte(step, c);
    }
    return at;
}

/* NULL: nothing there. */
static const json_t *resolve(const json_t *root, const char *ref, struct buffer *step)
{
    const json_t *at = root;
    const char *rest = ref + 1;
    while (at && *rest == '/') {
        rest = read_step(rest + 1, step);
        if (step->failed)
            return NULL;
        const char *name = step->data ? step->data : "";
        if (json_is_array(at))
            at = *name >= '0' && *name <= '9' ? json_array_get(at, strtoul(name, NULL, 10)) : NULL;
        else
            at = json_object_get(at, name);
    }
    return *rest ? NULL : at;
}

static uint32_t add_rule(struct schema_compiler *c, const char *ref)
{
    struct buffer step = { 0 };
    struct schema_rule rule = { .ref = ref, .schema = *ref == '#' ? resolve(c->root, ref, &step) : NULL };
    buffer_release(&step);
    if (!rule.schema)
        schema_fail(c, *ref == '#' ? ERROR_FORMAT : ERROR_UNSUPPORTED, "$ref \"%.80s\" leads %s", ref,
            *ref == '#' ? "nowhere" : "out of the document");
    if (c->b.rc == 0 && c->n_rules == c->rules_capacity) {
        size_t more = c->rules_capacity ? 2 * c->rules_capacity : 16;
        struct schema_rule *moved = realloc(c->rules, more * sizeof *moved);
        if (!moved)
            c->b.rc = error_memory(c->b.err, more * sizeof *moved, "the rules of a schema");
        c->rules = moved ? moved : c->rules;
        c->rules_capacity = moved ? more : c->rules_capacity;
    }
    rule.start = build_promise(&c->b);
    if (c->b.rc == 0)
        c->b.rc = map_put(&c->known, ref, strlen(ref), (int64_t)c->n_rules, c->b.err);
    if (c->b.rc)
        return NODE_THE_END;
    c->rules[c->n_rules++] = rule;
    return rule.start;
}

static uint32_t compile_ref(struct schema_compiler *c, const json_t *value, uint32_t next)
{
    const char *ref = json_string_value(value);
    if (!ref) {
        schema_fail(c, ERROR_FORMAT, "\"$ref\" is not a string");
        return NODE_THE_END;
    }
    int64_t known = map_find(&c->known, ref, strlen(ref), -1);
    return build_call(&c->b, known >= 0 ? c->rules[known].start : add_rule(c, ref), next);
}

/* ---- keywords that decide alone ---- */

static uint32_t compile_any_of(struct schema_compiler *c, const json_t *list, uint32_t next)
{
    uint32_t ways[OPTIONS_MAX];
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0)
        schema_fail(c, ERROR_FORMAT, "\"anyOf\" is not an array of schemas");
    else if (n > OPTIONS_MAX)
        schema_fail(c, ERROR_LIMIT, "\"anyOf\" has %zu schemas, at most %d are supported", n, OPTIONS_MAX);
    for (size_t i = 0; i < n && c->b.rc == 0; i++)
        ways[i] = schema_compile(c, json_array_get(list, i), "anyOf", (int)i, next);
    return c->b.rc ? NODE_THE_END : build_split(&c->b, ways, (uint32_t)n);
}

static uint32_t compile_alone(struct schema_compiler *c, const json_t *schema, const char *key, uint32_t next)
{
    const json_t *value = json_object_get(schema, key);
    if (strcmp(key, "$ref") == 0)
        return compile_ref(c, value, next);
    if (strcmp(key, "anyOf") == 0)
        return compile_any_of(c, value, next);
    if (strcmp(key, "allOf") == 0) {
        if (!json_is_array(value) || json_array_size(value) == 0)
            schema_fail(c, ERROR_FORMAT, "\"allOf\" is not an array of schemas");
        else if (json_array_size(value) > 1)
            schema_fail(c, ERROR_UNSUPPORTED, "\"allOf\" of more than one schema is not supported");
        return c->b.rc ? NODE_THE_END : schema_compile(c, json_array_get(value, 0), "allOf", 0, next);
    }
    unsigned types = types_of(c, json_object_get(schema, "type"));
    if (strcmp(key, "enum") == 0 && !json_is_array(value))
        schema_fail(c, ERROR_FORMAT, "\"enum\" is not an array");
    if (c->b.rc)
        return NODE_THE_END;
    if (strcmp(key, "enum") == 0)
        return schema_values(c, value, types, next);
    json_t *list = json_array();
    uint32_t node = NODE_THE_END;
    if (list && json_array_append(list, (json_t *)(uintptr_t)value) == 0)
        node = schema_values(c, list, types, next);
    else
        c->b.rc = error_memory(c->b.err, 0, "a constant");
    json_decref(list);
    return node;
}

static uint32_t compile_object(struct schema_compiler *c, const json_t *schema, uint32_t next)
{
    const char *key, *alone = NULL, *other = NULL;
    json_t *value;
    unsigned uses = 0;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        enum keyword_use use = use_of(key);
        uses |= 1u << use;
        if (use == USE_UNKNOWN)
            schema_fail(c, ERROR_UNSUPPORTED, "\"%.80s\" is not supported", key);
        if (use == USE_ALONE && alone)
            other = key;
        else if (use == USE_ALONE)
            alone = key;
        else if (use != USE_NOTE && use != USE_TYPE)
            other = key;
    }
    bool typed = uses >> USE_TYPE & 1u, literal = alone && (strcmp(alone, "enum") == 0 || strcmp(alone, "const") == 0);
    if (alone && (other || (typed && !literal)))
        schema_fail(c, ERROR_UNSUPPORTED, "\"%s\" beside \"%.80s\" is not supported", other ? other : "type", alone);
    if (c->b.rc)
        return NODE_THE_END;
    if (alone)
        return compile_alone(c, schema, alone, next);
    unsigned types = typed ? types_of(c, json_object_get(schema, "type")) : types_meant(uses);
    if (c->b.rc)
        return NODE_THE_END;
    return types ? compile_types(c, schema, types, next) : build_any(&c->b, next);
}

uint32_t schema_compile(struct schema_compiler *c, const json_t *schema, const char *name, int index, uint32_t next)
{
    size_t mark = c->path.used;
    uint32_t node = NODE_THE_END;
    if (c->b.rc)
        return node;
    if (name)
        buffer_printf(&c->path, "/%s", name);
    if (index >= 0)
        buffer_printf(&c->path, "/%d", index);
    c->b.rc = buffer_check(&c->path, "a path in a schema", c->b.err);
    if (c->depth++ >= SCHEMA_DEPTH_MAX)
        schema_fail(c, ERROR_LIMIT, "schemas nest deeper than %d", SCHEMA_DEPTH_MAX);
    else if (json_is_false(schema))
        schema_fail(c, ERROR_UNSUPPORTED, "the schema false allows nothing");
    else if (json_is_true(schema))
        node = build_any(&c->b, next);
    else if (!json_is_object(schema))
        schema_fail(c, ERROR_FORMAT, "a schema is an object or true");
    else
        node = compile_object(c, schema, next);
    place(c);
    c->depth--;
    c->path.used = mark;
    return node;
}

/* ---- the whole ---- */

static void compile_all(struct schema_compiler *c, const json_t *schema)
{
    buffer_add_text(&c->path, "#");
    uint32_t start = schema_compile(c, schema, NULL, -1, NODE_THE_END);
    for (size_t i = 0; i < c->n_rules && c->b.rc == 0; i++) {
        buffer_clear(&c->path);
        buffer_add_text(&c->path, c->rules[i].ref);
        uint32_t node = schema_compile(c, c->rules[i].schema, NULL, -1, NODE_THE_END);
        build_keep(&c->b, c->rules[i].start, node);
    }
    if (c->b.rc)
        return;
    uint32_t loop;
    c->b.rc = grammar_find_loop(c->b.g, &loop, c->b.err);
    for (size_t i = 0; i < c->n_rules && c->b.rc == 0 && loop; i++) {
        buffer_clear(&c->path);
        buffer_add_text(&c->path, c->rules[i].ref);
        if (c->rules[i].start == loop)
            schema_fail(c, ERROR_UNSUPPORTED, "the schema refers to itself before any text");
    }
    grammar_finish(&c->b, start);
}

int grammar_open(struct grammar **out, const json_t *schema, struct error *err)
{
    struct schema_compiler c = { .root = schema };
    struct grammar *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return error_memory(err, sizeof *g, "a grammar");
    int rc = builder_init(&c.b, g, err);
    if (rc == 0)
        rc = map_init(&c.known, 16, err);
    if (rc == 0) {
        compile_all(&c, schema);
        rc = c.b.rc;
    }
    map_release(&c.known);
    buffer_release(&c.path);
    free(c.rules);
    if (rc) {
        grammar_close(g);
        return rc;
    }
    *out = g;
    return 0;
}
