/* SPDX-License-Identifier: Apache-2.0 */
#include "validate.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <arpa/inet.h>
#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool matches(const char *pattern, const char *text, size_t n)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX, &code, &at, NULL);
    if (!re)
        abort();
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    int found = pcre2_match(re, (PCRE2_SPTR)text, n, 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    return found >= 0;
}

/* A day begins the text. */
static bool is_day(const char *text)
{
    int year, month, day, used = 0;
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (leap && month == 2);
}

static bool is_time(const char *text, size_t n)
{
    return matches("^\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$", text, n) && strtol(text, NULL, 10) < 24
        && strtol(text + 3, NULL, 10) < 60 && strtol(text + 6, NULL, 10) < 60;
}

static bool is_host(const char *text)
{
    if (strlen(text) > 253 || !*text)
        return false;
    for (const char *label = text; label; label = strchr(label, '.') ? strchr(label, '.') + 1 : NULL) {
        size_t n = strcspn(label, ".");
        if (n == 0 || n > 63 || label[0] == '-' || label[n - 1] == '-'
            || strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789-") < n)
            return false;
    }
    return true;
}

static bool keeps_format(const char *format, const char *text, size_t n)
{
    unsigned char address[16];
    const char *at = strrchr(text, '@');
    if (strlen(text) != n)
        return false;
    if (strcmp(format, "date") == 0)
        return n == 10 && is_day(text);
    if (strcmp(format, "time") == 0)
        return is_time(text, n);
    if (strcmp(format, "date-time") == 0)
        return n > 11 && text[10] == 'T' && is_day(text) && is_time(text + 11, n - 11);
    if (strcmp(format, "ipv4") == 0)
        return inet_pton(AF_INET, text, address) == 1;
    if (strcmp(format, "ipv6") == 0)
        return inet_pton(AF_INET6, text, address) == 1;
    if (strcmp(format, "uuid") == 0)
        return n == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-'
            && strspn(text, "0123456789abcdef-") == n;
    if (strcmp(format, "hostname") == 0)
        return is_host(text);
    if (strcmp(format, "email") == 0)
        return at && at > text && at - text <= 64 && is_host(at + 1) && text[0] != '.' && at[-1] != '.'
            && !strstr(text, "..");
    if (strcmp(format, "duration") == 0)
        return matches("^P(?!$)(\\d+W|(\\d+Y)?(\\d+M)?(\\d+D)?(T(?=\\d)(\\d+H)?(\\d+M)?(\\d+S)?)?)$", text, n);
    abort();
}

static size_t points(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static const char *check_string(const json_t *schema, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t n = json_string_length(value);
    const char *pattern = json_text(schema, "pattern", NULL), *format = json_text(schema, "format", NULL);
    if ((long long)points(text) < json_whole(schema, "minLength", 0))
        return "minLength";
    if ((long long)points(text) > json_whole(schema, "maxLength", 1ll << 60))
        return "maxLength";
    if (pattern && !matches(pattern, text, n))
        return "pattern";
    return format && !keeps_format(format, text, n) ? "format" : NULL;
}

static const char *check_number(const json_t *schema, const json_t *value)
{
    double x = json_number_value(value), multiple = json_real_of(schema, "multipleOf", 0);
    if (x < json_real_of(schema, "minimum", -INFINITY))
        return "minimum";
    if (x > json_real_of(schema, "maximum", INFINITY))
        return "maximum";
    if (x <= json_real_of(schema, "exclusiveMinimum", -INFINITY))
        return "exclusiveMinimum";
    if (x >= json_real_of(schema, "exclusiveMaximum", INFINITY))
        return "exclusiveMaximum";
    if (multiple > 0 && json_is_integer(value) && json_integer_value(value) % (json_int_t)multiple != 0)
        return "multipleOf";
    return multiple > 0 && !json_is_integer(value) && fmod(x, multiple) != 0 ? "multipleOf" : NULL;
}

static const char *check_array(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *items = json_object_get(schema, "items");
    const char *wrong = NULL;
    if ((long long)json_array_size(value) < json_whole(schema, "minItems", 0))
        return "minItems";
    if ((long long)json_array_size(value) > json_whole(schema, "maxItems", 1ll << 60))
        return "maxItems";
    for (size_t i = 0; items && !wrong && i < json_array_size(value); i++)
        wrong = validate(root, items, json_array_get(value, i));
    return wrong;
}

static const char *check_object(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const json_t *additional = json_object_get(schema, "additionalProperties");
    const char *name, *wrong = NULL;
    json_t *member;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(value, json_string_value(json_array_get(required, i))))
            return "required";
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        const json_t *its = json_object_get(properties, name);
        if (wrong || (!its && !additional))
            continue;
        wrong = validate(root, its ? its : additional, member);
    }
    return wrong;
}

static bool is_type(const char *type, const json_t *value)
{
    double x = json_number_value(value);
    const struct {
        const char *name;
        bool is;
    } types[] = { { "object", json_is_object(value) }, { "array", json_is_array(value) },
        { "string", json_is_string(value) }, { "number", json_is_number(value) },
        { "integer", json_is_number(value) && x == floor(x) }, { "boolean", json_is_boolean(value) },
        { "null", json_is_null(value) } };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].is;
    abort();
}

static const char *check_type(const json_t *type, const json_t *value)
{
    bool any = json_is_string(type) && is_type(json_string_value(type), value);
    for (size_t i = 0; json_is_array(type) && i < json_array_size(type); i++)
        any |= is_type(json_string_value(json_array_get(type, i)), value);
    return any ? NULL : "type";
}

/* Numbers are equal by value. */
static bool is_same(const json_t *a, const json_t *b)
{
    return json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal(a, b);
}

static const char *check_choice(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    const json_t *any = json_object_get(schema, "anyOf");
    bool found = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        found |= is_same(json_array_get(list, i), value);
    if (list && !found)
        return "enum";
    if (one && !is_same(one, value))
        return "const";
    found = false;
    for (size_t i = 0; !found && i < json_array_size(any); i++)
        found = !validate(root, json_array_get(any, i), value);
    return any && !found ? "anyOf" : NULL;
}

/* "#" or "#/$defs/NAME" */
static const json_t *find(const json_t *root, const char *ref)
{
    return ref[1] ? json_object_get(json_object_get(root, "$defs"), ref + strlen("#/$defs/")) : root;
}

const char *validate(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type");
    const char *ref = json_text(schema, "$ref", NULL), *wrong = NULL;
    if (json_is_boolean(schema))
        return json_is_true(schema) ? NULL : "false";
    if (ref)
        wrong = validate(root, find(root, ref), value);
    if (!wrong && type)
        wrong = check_type(type, value);
    if (!wrong)
        wrong = check_choice(root, schema, value);
    if (!wrong && json_is_string(value))
        wrong = check_string(schema, value);
    if (!wrong && json_is_number(value))
        wrong = check_number(schema, value);
    if (!wrong && json_is_array(value))
        wrong = check_array(root, schema, value);
    if (!wrong && json_is_object(value))
        wrong = check_object(root, schema, value);
    return wrong;
}
