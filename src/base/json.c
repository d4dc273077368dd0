/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/filemap.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int json_read_new(json_t **out, const char *data, size_t size, const char *what, struct error *err)
{
    json_error_t e;
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (*out)
        return 0;
    /* jansson says nothing at all where memory ran out inside a value */
    if (json_error_code(&e) == json_error_out_of_memory || !e.text[0])
        return error_memory(err, size, what);
    return error_set(err, ERROR_FORMAT, "could not parse %s as JSON: line %d, column %d: %s", what, e.line, e.column,
        e.text);
}

int json_read_file_new(json_t **out, const char *path, size_t limit, struct error *err)
{
    char *data;
    size_t size;
    *out = NULL;
    int rc = file_read_new(&data, &size, path, limit, err);
    if (rc)
        return rc;
    rc = json_read_new(out, data, size, path, err);
    free(data);
    return rc;
}

const char *json_text(const json_t *object, const char *key, const char *absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : absent;
}

bool json_flag(const json_t *object, const char *key, bool absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

long long json_whole(const json_t *object, const char *key, long long absent)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v) && fabs(json_real_value(v)) < 0x1p53 && floor(json_real_value(v)) == json_real_value(v))
        return (long long)json_real_value(v);
    return absent;
}

double json_real_of(const json_t *object, const char *key, double absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : absent;
}

double json_decimal(float x)
{
    char text[32];
    double y = (double)x;
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        y = strtod(text, NULL);
        if ((float)y == x)
            return y;
    }
    return (double)x;
}

/* ---- writing ---- */

static void json_string_out(struct buffer *b, const char *s, size_t n)
{
    static const char escapes[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    buffer_add_byte(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *e = escapes;
        while (*e && *e != (char)c)
            e += 2;
        if (c != 0 && *e) {
            buffer_add_byte(b, '\\');
            buffer_add_byte(b, e[1]);
        } else if (c < 0x20) {
            buffer_printf(b, "\\u%04x", c);
        } else {
            buffer_add_byte(b, (char)c);
        }
    }
    buffer_add_byte(b, '"');
}

/* The shortest digits that read back equal, in Python's choice of plain or exponent form, or serde_json's. */
static void json_real_out(struct buffer *b, double x, bool compact)
{
    char text[40];
    int digits = 1;
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, x);
    while (digits++ < 17 && strtod(text, NULL) != x);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10), shown = digits - 1;
    if (exponent < (compact ? -5 : -4) || exponent >= 16) {
        if (compact)
            snprintf(strchr(text, 'e') + 1, 8, "%d", exponent);
        buffer_add_text(b, text);
        return;
    }
    int decimals = shown - 1 - exponent;
    snprintf(text, sizeof text, "%.*f", decimals > 1 ? decimals : 1, x);
    buffer_add_text(b, text);
}

static void new_line(struct buffer *b, int indent, int depth)
{
    if (indent > 0)
        buffer_printf(b, "\n%*s", indent * depth, "");
}

static void json_out(struct buffer *b, const json_t *v, int indent, int depth);

static void json_array_out(struct buffer *b, const json_t *v, int indent, int depth)
{
    size_t n = json_array_size(v);
    buffer_add_byte(b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buffer_add_text(b, indent ? "," : ", ");
        new_line(b, indent, depth + 1);
        json_out(b, json_array_get(v, i), indent, depth + 1);
    }
    if (n)
        new_line(b, indent, depth);
    buffer_add_byte(b, ']');
}

static void json_object_out(struct buffer *b, const json_t *v, int indent, int depth)
{
    const char *key;
    const json_t *value;
    bool first = true;
    buffer_add_byte(b, '{');
    /* Jansson's iterator takes a plain pointer, but does not write. */
    void *at = json_object_iter((json_t *)(uintptr_t)v);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)v, at)) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        if (!first)
            buffer_add_text(b, indent ? "," : ", ");
        first = false;
        new_line(b, indent, depth + 1);
        json_string_out(b, key, strlen(key));
        buffer_add_text(b, indent < 0 ? ":" : ": ");
        json_out(b, value, indent, depth + 1);
    }
    if (!first)
        new_line(b, indent, depth);
    buffer_add_byte(b, '}');
}

static void json_out(struct buffer *b, const json_t *v, int indent, int depth)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT: json_object_out(b, v, indent, depth); break;
    case JSON_ARRAY: json_array_out(b, v, indent, depth); break;
    case JSON_STRING: json_string_out(b, json_string_value(v), json_string_length(v)); break;
    case JSON_INTEGER: buffer_printf(b, "%lld", (long long)json_integer_value(v)); break;
    case JSON_REAL: json_real_out(b, json_real_value(v), indent < 0); break;
    case JSON_TRUE: buffer_add_text(b, "true"); break;
    case JSON_FALSE: buffer_add_text(b, "false"); break;
    case JSON_NULL: buffer_add_text(b, "null"); break;
    }
}

void json_write(struct buffer *out, const json_t *value, int indent)
{
    json_out(out, value, indent, 0);
}
