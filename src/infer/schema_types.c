/* SPDX-License-Identifier: Apache-2.0 */
/* The keywords of each type of values. */
#include "infer/schema_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A keyword that counts; `absent` where it is missing. */
static uint32_t count_of(struct schema_compiler *c, const json_t *schema, const char *key, uint32_t absent)
{
    const json_t *value = json_object_get(schema, key);
    double n = json_number_value(value);
    if (!value)
        return absent;
    if (!json_is_number(value) || n < 0 || n != trunc(n)) {
        schema_fail(c, ERROR_FORMAT, "\"%s\" is not a whole number from 0 on", key);
        return absent;
    }
    return n < REPEAT_FOREVER ? (uint32_t)n : REPEAT_FOREVER;
}

static bool counts_of(struct schema_compiler *c, const json_t *schema, const char *least_key, const char *most_key,
    uint32_t *least, uint32_t *most)
{
    *least = count_of(c, schema, least_key, 0);
    *most = count_of(c, schema, most_key, REPEAT_FOREVER);
    if (*least > *most)
        schema_fail(c, ERROR_FORMAT, "\"%s\" is %u, more than the %u of \"%s\"", least_key, *least, *most, most_key);
    if (*least > SCHEMA_LEAST_MAX)
        schema_fail(c, ERROR_LIMIT, "\"%s\" is %u, at most %d is supported", least_key, *least, SCHEMA_LEAST_MAX);
    return c->b.rc == 0;
}

uint32_t schema_array(struct schema_compiler *c, const json_t *schema, uint32_t next)
{
    const json_t *items = json_object_get(schema, "items");
    uint32_t least, most;
    if (!counts_of(c, schema, "minItems", "maxItems", &least, &most))
        return NODE_THE_END;
    uint32_t item = items ? schema_compile(c, items, "items", -1, NODE_THE_END) : build_any(&c->b, NODE_THE_END);
    return build_array(&c->b, item, least, most, next);
}

uint32_t schema_string(struct schema_compiler *c, const json_t *schema, uint32_t next)
{
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    bool counted = json_object_get(schema, "minLength") || json_object_get(schema, "maxLength");
    uint32_t least, most;
    if ((pattern && !json_is_string(pattern)) || (format && !json_is_string(format)))
        schema_fail(c, ERROR_FORMAT, "\"%s\" is not a string", pattern && !json_is_string(pattern) ? "pattern"
                                                                                                : "format");
    if (pattern && format)
        schema_fail(c, ERROR_UNSUPPORTED, "\"pattern\" beside \"format\" is not supported");
    if (counted && (pattern || format))
        schema_fail(c, ERROR_UNSUPPORTED, "\"minLength\" and \"maxLength\" beside \"pattern\" or \"format\" are not "
            "supported");
    if (!counts_of(c, schema, "minLength", "maxLength", &least, &most))
        return NODE_THE_END;
    if (format && !format_pattern(json_string_value(format)))
        schema_fail(c, ERROR_UNSUPPORTED, "the format \"%.80s\" is not supported", json_string_value(format));
    if (c->b.rc)
        return NODE_THE_END;
    if (format)
        return build_pattern(&c->b, format_pattern(json_string_value(format)), next);
    if (pattern && strlen(json_string_value(pattern)) != json_string_length(pattern))
        schema_fail(c, ERROR_FORMAT, "\"pattern\" holds a zero byte");
    if (pattern)
        return build_pattern(&c->b, json_string_value(pattern), next);
    return build_string(&c->b, least, most, next);
}

/* The narrower of two keywords for one bound. `upper`: the smaller one. */
static struct decimal bound_of(struct schema_compiler *c, const json_t *schema, const char *key, const char *strict_key,
    bool upper)
{
    const json_t *loose = json_object_get(schema, key), *strict = json_object_get(schema, strict_key);
    if ((loose && !json_is_number(loose)) || (strict && !json_is_number(strict)))
        schema_fail(c, ERROR_FORMAT, "\"%s\" is not a number", loose && !json_is_number(loose) ? key : strict_key);
    if (c->b.rc || (!loose && !strict))
        return (struct decimal) { 0 };
    double a = json_number_value(loose), s = json_number_value(strict);
    bool is_strict = strict && (!loose || (upper ? s <= a : s >= a));
    struct decimal d = decimal_of(is_strict ? strict : loose);
    d.strict = is_strict;
    return d;
}

uint32_t schema_number(struct schema_compiler *c, const json_t *schema, bool whole, uint32_t next)
{
    const json_t *multiple = json_object_get(schema, "multipleOf");
    struct number_bounds bounds = { .whole = whole };
    bounds.low = bound_of(c, schema, "minimum", "exclusiveMinimum", false);
    bounds.high = bound_of(c, schema, "maximum", "exclusiveMaximum", true);
    if (multiple) {
        double m = json_number_value(multiple);
        if (!json_is_number(multiple) || !(m > 0))
            schema_fail(c, ERROR_FORMAT, "\"multipleOf\" is not a number above 0");
        else if (m > MULTIPLE_MAX || m != (double)(int)m)
            schema_fail(c, ERROR_UNSUPPORTED, "\"multipleOf\" is %g: only whole numbers up to %d are supported", m,
                MULTIPLE_MAX);
        else
            bounds.multiple = (uint32_t)m;
        bounds.whole = true; /* whatever the type */
    }
    if (c->b.rc)
        return NODE_THE_END;
    if (!bounds.low.set && !bounds.high.set && bounds.multiple <= 1)
        return build_free_number(&c->b, bounds.whole, next);
    return build_number(&c->b, &bounds, next);
}

/* ---- objects ---- */

static bool is_required(const json_t *required, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach(required, i, entry)
    {
        if (json_is_string(entry) && strcmp(json_string_value(entry), name) == 0)
            return true;
    }
    return false;
}

/* What an object's parts are, and the nodes built so far, from its end. */
struct object {
    const json_t *properties, *required, *additional;
    const char **names;    /* as in the schema */
    char **quoted;         /* as in JSON, with quotes */
    size_t n;
    uint32_t close;        /* where the object may end behind a member */
    uint32_t member, rest; /* where one of the members from here on begins; what follows the one before: , or } */
};

static uint32_t build_colon(struct builder *b, uint32_t value)
{
    return build_byte(b, ':', build_either(b, value, build_byte(b, ' ', value)));
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void build_additional(struct schema_compiler *c, struct object *o)
{
    struct builder *b = &c->b;
    uint32_t rest = build_promise(b);
    uint32_t value = schema_compile(c, o->additional, "additionalProperties", -1, rest);
    char **inner = calloc(o->n ? o->n : 1, sizeof *inner);
    if (!inner)
        b->rc = b->rc ? b->rc : error_memory(b->err, o->n * sizeof *inner, "the names of an object");
    for (size_t i = 0; i < o->n && b->rc == 0; i++) {
        size_t n = strlen(o->quoted[i]);
        if (n > SCHEMA_NAME_MAX)
            schema_fail(c, ERROR_LIMIT, "a name of %zu bytes beside \"additionalProperties\", at most %d are supported",
                n, SCHEMA_NAME_MAX);
        inner[i] = n >= 2 ? strndup(o->quoted[i] + 1, n - 2) : NULL;
        if (!inner[i] && b->rc == 0)
            b->rc = error_memory(b->err, n, "a name of an object");
    }
    if (b->rc == 0) {
        qsort(inner, o->n, sizeof *inner, by_bytes);
        o->member = build_other_name(b, (const char *const *)inner, o->n, build_colon(b, value));
        o->rest = build_either(b, build_byte(b, ',', build_blank(b, o->member)), o->close);
        build_keep(b, rest, o->rest);
    }
    for (size_t i = 0; inner && i < o->n; i++)
        free(inner[i]);
    free(inner);
}

/* Properties from the last to the first: o->member and o->rest move in front of each. */
static bool build_properties(struct schema_compiler *c, struct object *o)
{
    struct builder *b = &c->b;
    bool may_end = true;
    for (size_t i = o->n; i-- > 0 && b->rc == 0;) {
        const char *quoted = o->quoted[i];
        size_t mark = c->path.used;
        buffer_add_text(&c->path, "/properties");
        uint32_t value = schema_compile(c, json_object_get(o->properties, o->names[i]), o->names[i], -1, o->rest);
        c->path.used = mark;
        uint32_t member = build_text(b, quoted, strlen(quoted), build_colon(b, value));
        bool required = is_required(o->required, o->names[i]);
        o->member = required ? member : build_either(b, member, o->member);
        may_end = may_end && !required;
        uint32_t more = build_byte(b, ',', build_blank(b, o->member));
        o->rest = may_end ? build_either(b, more, o->close) : more;
    }
    return may_end;
}

static int read_names(struct schema_compiler *c, struct object *o)
{
    const char *name;
    json_t *value;
    size_t count = json_object_size(o->properties);
    if (count > SCHEMA_NAMES_MAX)
        return schema_fail(c, ERROR_LIMIT, "%zu properties, at most %d are supported", count, SCHEMA_NAMES_MAX);
    o->names = calloc(count ? count : 1, sizeof *o->names);
    o->quoted = calloc(count ? count : 1, sizeof *o->quoted);
    if (!o->names || !o->quoted)
        return c->b.rc = error_memory(c->b.err, 2 * count * sizeof *o->names, "the names of an object");
    json_object_foreach((json_t *)(uintptr_t)o->properties, name, value)
    {
        json_t *text = json_string(name);
        o->names[o->n] = name;
        o->quoted[o->n] = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        json_decref(text);
        if (!o->quoted[o->n++])
            return c->b.rc = error_memory(c->b.err, strlen(name), "a name of an object");
    }
    return 0;
}

static void check_object(struct schema_compiler *c, const struct object *o)
{
    size_t i;
    json_t *entry;
    if (o->properties && !json_is_object(o->properties))
        schema_fail(c, ERROR_FORMAT, "\"properties\" is not an object");
    if (o->required && !json_is_array(o->required))
        schema_fail(c, ERROR_FORMAT, "\"required\" is not an array");
    json_array_foreach(o->required, i, entry)
    {
        if (!json_is_string(entry))
            schema_fail(c, ERROR_FORMAT, "\"required\" holds what is not a string");
        else if (i > SCHEMA_NAMES_MAX)
            schema_fail(c, ERROR_LIMIT, "more than %d required properties", SCHEMA_NAMES_MAX);
        else if (!json_object_get(o->properties, json_string_value(entry)))
            schema_fail(c, ERROR_UNSUPPORTED, "\"%.80s\" is required and not among the properties",
                json_string_value(entry));
    }
}

uint32_t schema_object(struct schema_compiler *c, const json_t *schema, uint32_t next)
{
    struct builder *b = &c->b;
    struct object o = { .properties = json_object_get(schema, "properties"),
        .required = json_object_get(schema, "required"),
        .additional = json_object_get(schema, "additionalProperties") };
    uint32_t node = NODE_THE_END;
    if (!o.properties && !o.additional)
        o.additional = json_true(); /* any object: {"type": "object"} alone */
    check_object(c, &o);
    if (b->rc == 0 && read_names(c, &o) == 0) {
        uint32_t end = build_byte(b, '}', next);
        o.close = build_blank(b, end);
        o.member = build_split(b, NULL, 0);
        o.rest = o.close;
        if (o.additional && !json_is_false(o.additional))
            build_additional(c, &o);
        bool may_be_empty = build_properties(c, &o);
        uint32_t first = build_blank(b, o.member);
        node = build_byte(b, '{', may_be_empty ? build_either(b, first, end) : first);
    }
    for (size_t i = 0; o.quoted && i < o.n; i++)
        free(o.quoted[i]);
    free(o.quoted);
    free(o.names);
    return node;
}
