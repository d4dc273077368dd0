/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of tokenizer.json's normalizer: Unicode forms by utf8proc, text put in front, replaced or stripped.
 * Spec: Hugging Face tokenizers, normalizers/. Malformed UTF-8 passes through unchanged. */
#include "text/regex.h"
#include "text/tokenizer_impl.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int normalizer_add(struct tokenizer *t, struct normalizer step, struct error *err)
{
    if (t->normalizer_count == NORMALIZERS_MAX) {
        if (step.close)
            step.close(&step);
        return error_set(err, ERROR_LIMIT, "the normalizer has more than %d steps", NORMALIZERS_MAX);
    }
    t->normalizers[t->normalizer_count++] = step;
    return 0;
}

/* -- Unicode forms -- */

static int map_valid(const char *text, size_t n, unsigned options, struct buffer *out, struct error *err)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t bytes = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &mapped,
        (utf8proc_option_t)options);
    if (bytes < 0)
        return bytes == UTF8PROC_ERROR_NOMEM
            ? error_memory(err, n, "normalized text")
            : error_set(err, ERROR_FORMAT, "could not normalize text: %s", utf8proc_errmsg(bytes));
    buffer_add(out, mapped, (size_t)bytes);
    free(mapped);
    return 0;
}

/* A character that NFC leaves alone whatever stands before it: a starter that neither falls apart nor joins backwards.
 */
static bool nfc_inert(int32_t point)
{
    if (point < 0x300)
        return point < 0x80 || utf8proc_get_property(point)->decomp_seqindex == UINT16_MAX;
    if (point >= 0x1100 && point <= 0x11ff)
        return false; /* Hangul letters join by rule, not by table */
    const utf8proc_property_t *p = utf8proc_get_property(point);
    bool falls_apart = p->decomp_seqindex != UINT16_MAX && p->decomp_type == 0;
    bool joins = p->comb_index != UINT16_MAX && p->comb_index >= 0x8000;
    return p->combining_class == 0 && !falls_apart && !joins;
}

/* Must stay as it is, and what follows must not move before it. */
static bool nfc_wall(int32_t point)
{
    return point >= 0x7fd && unicode_class(point) & UNICODE_OLD_NFC;
}

/* End of the stretch from `at` on that is inert. *last: where its last character begins, which what follows may join;
 * the end where that must not be. */
static size_t inert_stretch(const char *text, size_t at, size_t n, size_t *last)
{
    *last = at;
    while (at < n) {
        int32_t point;
        int bytes = utf8_decode(text + at, n - at, &point);
        bool wall = !nfc_inert(point) && nfc_wall(point);
        if (!nfc_inert(point) && !wall)
            break;
        *last = wall ? at + (size_t)bytes : at;
        at += (size_t)bytes;
    }
    return at;
}

static int nfc_valid(const char *text, size_t n, unsigned options, struct buffer *out, struct error *err)
{
    for (size_t at = 0, last; at < n;) {
        size_t end = inert_stretch(text, at, n, &last);
        if (end == n) {
            buffer_add(out, text + at, n - at);
            return 0;
        }
        buffer_add(out, text + at, last - at); /* the last may join with what follows */
        for (int32_t point; end < n;) {
            int bytes = utf8_decode(text + end, n - end, &point);
            if (nfc_inert(point) || nfc_wall(point))
                break;
            end += (size_t)bytes;
        }
        int rc = map_valid(text + last, end - last, options, out, err);
        if (rc)
            return rc;
        at = end;
    }
    return 0;
}

/* What a step's state points to. */
struct form {
    const char *type;
    unsigned options;
    int (*run)(const char *text, size_t n, unsigned options, struct buffer *out, struct error *err);
};

static const struct form forms[] = {
    { "NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE, nfc_valid },
    { "NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, map_valid },
    { "NFKC", UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE, map_valid },
    { "NFKD", UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, map_valid },
};

static int run_form(const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out,
    struct error *err)
{
    const struct form *form = step->state;
    (void)place;
    for (size_t at = 0; at < n;) {
        int32_t point;
        size_t good = utf8_valid_prefix(text + at, n - at);
        int rc = good ? form->run(text + at, good, form->options, out, err) : 0;
        if (rc)
            return rc;
        at += good;
        if (at < n) {
            int bad = utf8_decode(text + at, n - at, &point);
            buffer_add(out, text + at, (size_t)bad);
            at += (size_t)bad;
        }
    }
    return 0;
}

static int run_lowercase(const struct normalizer *step, const char *text, size_t n, enum place place,
    struct buffer *out, struct error *err)
{
    (void)step;
    (void)place;
    (void)err;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        int32_t point;
        char lower[4];
        bytes = (size_t)utf8_decode(text + at, n - at, &point);
        if (point == 0x130) /* the one character whose lower case is two */
            buffer_add_text(out, "i\xcc\x87");
        else if (point < 0)
            buffer_add(out, text + at, bytes);
        else
            buffer_add(out, lower, (size_t)utf8_encode(lower, utf8proc_tolower(point)));
    }
    return 0;
}

/* -- text put in front, replaced, stripped -- */

struct change {
    struct regex *regex; /* what is replaced */
    size_t n;
    bool left, right;    /* which ends are stripped */
    char text[];         /* (n) what comes in its place, or in front */
};

static void close_change(struct normalizer *step)
{
    struct change *change = step->state;
    regex_close(change->regex);
    free(change);
}

static struct change *change_new(const char *text, size_t n, struct error *err)
{
    struct change *change = calloc(1, sizeof *change + n + 1);
    if (!change) {
        error_memory(err, n, "a normalizer");
        return NULL;
    }
    change->n = n;
    memcpy(change->text, text, n);
    return change;
}

static int run_prepend(const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out,
    struct error *err)
{
    const struct change *change = step->state;
    (void)err;
    if (place != PLACE_CONTINUED)
        buffer_add(out, change->text, change->n);
    buffer_add(out, text, n);
    return 0;
}

static int replace_valid(const struct change *change, struct regex_match **match, const char *text, size_t n,
    struct buffer *out, struct error *err)
{
    size_t at = 0, from = 0, start, stop;
    int rc = regex_begin(match, n, err);
    while (rc == 0 && from <= n && (rc = regex_find(change->regex, match, text, n, from, &start, &stop, err)) == 1) {
        int32_t point;
        buffer_add(out, text + at, start - at);
        buffer_add(out, change->text, change->n);
        at = stop;
        from = stop > start ? stop : stop < n ? stop + (size_t)utf8_decode(text + stop, n - stop, &point) : n + 1;
        rc = 0;
    }
    buffer_add(out, text + at, n - at);
    return rc;
}

static int run_replace(const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out,
    struct error *err)
{
    struct regex_match *match = NULL;
    int rc = 0;
    (void)place;
    for (size_t at = 0; rc == 0 && at < n;) {
        int32_t point;
        size_t good = utf8_valid_prefix(text + at, n - at);
        if (good)
            rc = replace_valid(step->state, &match, text + at, good, out, err);
        at += good;
        if (at < n) {
            int bad = utf8_decode(text + at, n - at, &point);
            buffer_add(out, text + at, (size_t)bad);
            at += (size_t)bad;
        }
    }
    regex_match_close(match);
    return rc;
}

/* A pattern that is one byte of text, the usual " " to U+2581: no need for PCRE2. */
static int run_replace_byte(const struct normalizer *step, const char *text, size_t n, enum place place,
    struct buffer *out, struct error *err)
{
    const struct change *change = step->state;
    char byte = change->text[change->n];
    (void)place;
    (void)err;
    for (size_t at = 0; at < n;) {
        const char *found = memchr(text + at, byte, n - at);
        size_t stretch = found ? (size_t)(found - text) - at : n - at;
        buffer_add(out, text + at, stretch);
        if (found)
            buffer_add(out, change->text, change->n);
        at += stretch + (found != NULL);
    }
    return 0;
}

static int run_strip(const struct normalizer *step, const char *text, size_t n, enum place place, struct buffer *out,
    struct error *err)
{
    const struct change *change = step->state;
    size_t start = change->left ? n : 0, end = change->right ? 0 : n;
    int32_t point;
    (void)place;
    (void)err;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        bytes = (size_t)utf8_decode(text + at, n - at, &point);
        if (point >= 0 && unicode_class(point) & UNICODE_SPACE)
            continue;
        start = at < start ? at : start;
        end = change->right ? at + bytes : n;
    }
    buffer_add(out, text + start, end > start ? end - start : 0);
    return 0;
}

/* -- from tokenizer.json -- */

static int add_change(struct tokenizer *t, struct change *change,
    int (*run)(const struct normalizer *, const char *, size_t, enum place, struct buffer *, struct error *),
    struct error *err)
{
    struct normalizer step = { .run = run, .close = close_change, .state = change };
    return change ? normalizer_add(t, step, err) : ERROR_MEMORY;
}

static int add_replace(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *pattern = json_object_get(spec, "pattern"), *content = json_object_get(spec, "content");
    const json_t *plain = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
    const json_t *from = plain ? plain : regex;
    if (!json_is_string(from) || !json_is_string(content) || json_string_length(from) == 0)
        return error_set(err, ERROR_FORMAT, "a \"Replace\" normalizer lacks its pattern or content");
    struct change *change = change_new(json_string_value(content), json_string_length(content), err);
    if (change && plain && json_string_length(plain) == 1) {
        change->text[change->n] = json_string_value(plain)[0];
        return add_change(t, change, run_replace_byte, err);
    }
    int rc = change ? regex_new(&change->regex, json_string_value(from), json_string_length(from), plain != NULL, err)
                    : ERROR_MEMORY;
    if (rc) {
        free(change);
        return rc;
    }
    return add_change(t, change, run_replace, err);
}

static int add_prepend(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *text = json_object_get(spec, "prepend");
    if (!json_is_string(text))
        return error_set(err, ERROR_FORMAT, "a \"Prepend\" normalizer has no text");
    return add_change(t, change_new(json_string_value(text), json_string_length(text), err), run_prepend, err);
}

static int add_strip(struct tokenizer *t, const json_t *spec, struct error *err)
{
    struct change *change = change_new("", 0, err);
    if (change) {
        change->left = json_flag(spec, "strip_left", true);
        change->right = json_flag(spec, "strip_right", true);
    }
    return add_change(t, change, run_strip, err);
}

static int add_lowercase(struct tokenizer *t, const json_t *spec, struct error *err)
{
    (void)spec;
    return normalizer_add(t, (struct normalizer) { .run = run_lowercase }, err);
}

static int add_sequence(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *steps = json_object_get(spec, "normalizers");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        rc = strcmp(json_text(step, "type", ""), "Sequence") == 0
            ? error_set(err, ERROR_UNSUPPORTED, "a sequence of normalizers inside another is not supported")
            : normalizer_add_json(t, step, err);
    }
    return rc;
}

static const struct {
    const char *type;
    int (*add)(struct tokenizer *t, const json_t *spec, struct error *err);
} step_types[] = {
    { "Lowercase", add_lowercase },
    { "Prepend", add_prepend },
    { "Replace", add_replace },
    { "Sequence", add_sequence },
    { "Strip", add_strip },
};

int normalizer_add_json(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const char *type = json_text(spec, "type", "");
    if (!spec || json_is_null(spec))
        return 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(type, forms[i].type) == 0)
            return normalizer_add(t, (struct normalizer){.run = run_form, .state = (void *)(uintptr_t)&forms[i]}, err);
    for (size_t i = 0; i < sizeof step_types / sizeof step_types[0]; i++)
        if (strcmp(type, step_types[i].type) == 0)
            return step_types[i].add(t, spec, err);
    return error_set(err, ERROR_UNSUPPORTED, "normalizer \"%s\" is not supported", type);
}
