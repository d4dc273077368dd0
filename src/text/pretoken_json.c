/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json's pre_tokenizer as steps. Spec: Hugging Face tokenizers, pre_tokenizers/. */
#include "text/pretoken_impl.h"

#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define UNDERLINE "\xe2\x96\x81" /* U+2581 */

static bool is_space(int32_t point)
{
    return point >= 0 && unicode_class(point) & UNICODE_SPACE;
}

static bool is_number(int32_t point)
{
    return point >= 0 && unicode_class(point) & UNICODE_NUMBER;
}

static bool is_word(int32_t point)
{
    return point >= 0 && unicode_class(point) & UNICODE_WORD;
}

static bool is_punctuation(int32_t point)
{
    if (point >= 0 && point < 0x80)
        return (point > ' ' && point < '0') || (point > '9' && point < 'A') || (point > 'Z' && point < 'a')
            || (point > 'z' && point < 0x7f);
    utf8proc_category_t c = point < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(point);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

static int read_behavior(enum behavior *out, const json_t *spec, enum behavior absent, struct error *err)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *name = json_text(spec, "behavior", NULL);
    *out = absent;
    for (int i = 0; name && i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum behavior)i;
            return 0;
        }
    return name ? error_set(err, ERROR_UNSUPPORTED, "split behavior \"%s\" is not known", name) : 0;
}

static int add_characters(struct pretoken *p, bool (*test)(int32_t), bool whole_runs, enum behavior behavior,
    struct error *err)
{
    struct pretoken_step step = {.kind = STEP_CHARACTER, .test = test, .whole_runs = whole_runs, .behavior = behavior};
    return pretoken_add(p, step, err);
}

static int add_prefix(struct pretoken *p, const char *prefix, enum scheme scheme, bool replace, struct error *err)
{
    struct pretoken_step step = { .kind = STEP_PREFIX, .scheme = scheme, .replace_spaces = replace };
    step.prefix = strdup(prefix);
    return step.prefix ? pretoken_add(p, step, err) : error_memory(err, strlen(prefix), "a pre-tokenizer");
}

static int add_literal(struct pretoken *p, const char *text, size_t n, enum behavior behavior, bool invert,
    struct error *err)
{
    struct pretoken_step step = { .kind = STEP_REGEX, .behavior = behavior, .invert = invert };
    int rc = regex_new(&step.regex, text, n, 1, err);
    return rc ? rc : pretoken_add(p, step, err);
}

static int add_byte_level(struct pretoken *p, const json_t *spec, struct error *err)
{
    const struct known_pattern *gpt2 = known_pattern_named("gpt2");
    int rc = json_flag(spec, "add_prefix_space", true) ? add_prefix(p, " ", PREFIX_ALWAYS, false, err) : 0;
    if (rc == 0 && json_flag(spec, "use_regex", true))
        rc = pretoken_add_pattern(p, gpt2->text, strlen(gpt2->text), ISOLATED, false, err);
    return rc;
}

static int add_split(struct pretoken *p, const json_t *spec, struct error *err)
{
    const json_t *pattern = json_object_get(spec, "pattern");
    const json_t *text = json_object_get(pattern, "Regex"), *plain = json_object_get(pattern, "String");
    bool invert = json_flag(spec, "invert", false);
    enum behavior behavior;
    int rc = read_behavior(&behavior, spec, ISOLATED, err);
    if (rc)
        return rc;
    if (json_is_string(text))
        return pretoken_add_pattern(p, json_string_value(text), json_string_length(text), behavior, invert, err);
    if (json_is_string(plain))
        return add_literal(p, json_string_value(plain), json_string_length(plain), behavior, invert, err);
    return error_set(
        err, ERROR_FORMAT, "a \"Split\" pre-tokenizer has neither \"Regex\" nor \"String\" as its pattern");
}

static int add_digits(struct pretoken *p, const json_t *spec, struct error *err)
{
    bool individual = json_flag(spec, "individual_digits", false);
    return add_characters(p, is_number, !individual, ISOLATED, err);
}

static int add_punctuation(struct pretoken *p, const json_t *spec, struct error *err)
{
    enum behavior behavior;
    int rc = read_behavior(&behavior, spec, ISOLATED, err);
    return rc ? rc : add_characters(p, is_punctuation, false, behavior, err);
}

static int add_whitespace_split(struct pretoken *p, const json_t *spec, struct error *err)
{
    (void)spec;
    return add_characters(p, is_space, true, REMOVED, err);
}

/* \w+|[^\w\s]+ */
static int add_whitespace(struct pretoken *p, const json_t *spec, struct error *err)
{
    int rc = add_whitespace_split(p, spec, err);
    return rc ? rc : add_characters(p, is_word, true, ISOLATED, err);
}

static int add_delimiter(struct pretoken *p, const json_t *spec, struct error *err)
{
    const char *delimiter = json_text(spec, "delimiter", "");
    if (!*delimiter)
        return error_set(err, ERROR_FORMAT, "a \"CharDelimiterSplit\" pre-tokenizer has no delimiter");
    return add_literal(p, delimiter, strlen(delimiter), REMOVED, false, err);
}

static int add_metaspace(struct pretoken *p, const json_t *spec, struct error *err)
{
    const char *replacement = json_text(spec, "replacement", UNDERLINE);
    const char *scheme = json_text(spec, "prepend_scheme", NULL);
    enum scheme wanted = json_flag(spec, "add_prefix_space", true) ? PREFIX_ALWAYS : PREFIX_NEVER;
    if (scheme)
        wanted = strcmp(scheme, "always") == 0  ? PREFIX_ALWAYS
                 : strcmp(scheme, "first") == 0 ? PREFIX_FIRST
                                                : PREFIX_NEVER;
    int rc = *replacement ? add_prefix(p, replacement, wanted, true, err)
                          : error_set(err, ERROR_FORMAT, "a \"Metaspace\" pre-tokenizer replaces spaces by nothing");
    if (rc == 0 && json_flag(spec, "split", true))
        rc = add_literal(p, replacement, strlen(replacement), MERGED_WITH_NEXT, false, err);
    return rc;
}

static const struct {
    const char *type;
    int (*add)(struct pretoken *p, const json_t *spec, struct error *err);
} step_types[] = {
    { "ByteLevel", add_byte_level },
    { "CharDelimiterSplit", add_delimiter },
    { "Digits", add_digits },
    { "Metaspace", add_metaspace },
    { "Punctuation", add_punctuation },
    { "Split", add_split },
    { "Whitespace", add_whitespace },
    { "WhitespaceSplit", add_whitespace_split },
};

static int add_step(struct pretoken *p, const json_t *spec, struct error *err)
{
    const char *type = json_text(spec, "type", "");
    for (size_t i = 0; i < sizeof step_types / sizeof step_types[0]; i++)
        if (strcmp(type, step_types[i].type) == 0)
            return step_types[i].add(p, spec, err);
    return error_set(err, ERROR_UNSUPPORTED, "pre-tokenizer \"%s\" is not supported", type);
}

int pretoken_new_json(struct pretoken **out, const json_t *spec, struct error *err)
{
    const json_t *steps = json_object_get(spec, "pretokenizers");
    *out = NULL;
    if (!spec || json_is_null(spec))
        return 0;
    int rc = pretoken_new(out, err);
    if (rc || strcmp(json_text(spec, "type", ""), "Sequence") != 0)
        return rc ? rc : add_step(*out, spec, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(steps); i++)
        rc = add_step(*out, json_array_get(steps, i), err);
    return rc;
}
