/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pretoken_impl.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* -- building -- */

int pretoken_new(struct pretoken **out, struct error *err)
{
    struct pretoken *p = calloc(1, sizeof *p);
    *out = p;
    if (p)
        p->classes = malloc(CLASS_TABLE_SIZE);
    if (!p || !p->classes)
        return error_memory(err, CLASS_TABLE_SIZE, "a pre-tokenizer");
    unicode_table(p->classes, CLASS_TABLE_SIZE);
    return 0;
}

int pretoken_add(struct pretoken *p, struct pretoken_step step, struct error *err)
{
    if (p->count == PRETOKEN_STEPS_MAX) {
        regex_close(step.regex);
        free(step.prefix);
        return error_set(err, ERROR_LIMIT, "the pre-tokenizer has more than %d steps", PRETOKEN_STEPS_MAX);
    }
    p->steps[p->count++] = step;
    return 0;
}

int pretoken_add_pattern(struct pretoken *p, const char *pattern, size_t n, enum behavior behavior, bool invert,
    struct error *err)
{
    const struct known_pattern *known = known_pattern_spelled(pattern, n);
    /* Known patterns match all of the text, so isolating their matches and removing the rest are one. */
    if (known && (invert ? behavior == REMOVED : behavior == ISOLATED)) {
        p->name = known->name;
        return pretoken_add(p, (struct pretoken_step) { .kind = STEP_KNOWN, .next = known->next }, err);
    }
    struct pretoken_step step = { .kind = STEP_REGEX, .behavior = behavior, .invert = invert };
    int rc = regex_new(&step.regex, pattern, n, 0, err);
    return rc ? rc : pretoken_add(p, step, err);
}

int pretoken_new_pattern(struct pretoken **out, const char *pattern, size_t n, struct error *err)
{
    int rc = pretoken_new(out, err);
    return rc ? rc : pretoken_add_pattern(*out, pattern, n, ISOLATED, false, err);
}

int pretoken_new_named(struct pretoken **out, const char *name, struct error *err)
{
    const struct known_pattern *known = known_pattern_named(name);
    *out = NULL;
    if (!known)
        return error_set(err, ERROR_UNSUPPORTED, "no pattern is known as \"%s\"", name);
    return pretoken_new_pattern(out, known->text, strlen(known->text), err);
}

const char *pretoken_name(const struct pretoken *p)
{
    return !p ? "whole text" : p->name ? p->name : "own";
}

void pretoken_close(struct pretoken *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->count; i++) {
        regex_close(p->steps[i].regex);
        free(p->steps[i].prefix);
    }
    free(p->classes);
    free(p);
}

/* -- one step on one piece -- */

struct cut {
    const char *text; /* into the section, or into scratch->prefixed */
    size_t n;
};

static void put(struct buffer *cuts, const char *text, size_t n)
{
    struct cut cut = { text, n };
    if (n)
        buffer_add(cuts, &cut, sizeof cut);
}

/* What becomes of matches and of what lies between them, as segments arrive from left to right. */
struct splitter {
    enum behavior behavior;
    bool invert, any, matched; /* any: this piece has a segment; matched: the last one was a match */
    const char *held;          /* MERGED_WITH_NEXT: a match that waits for what follows */
    size_t held_bytes;
    struct buffer *cuts;
};

static void extend_last(struct buffer *cuts, size_t n)
{
    struct cut last;
    if (cuts->failed)
        return;
    memcpy(&last, cuts->data + cuts->used - sizeof last, sizeof last);
    last.n += n;
    memcpy(cuts->data + cuts->used - sizeof last, &last, sizeof last);
}

static void segment(struct splitter *s, const char *text, size_t n, bool match)
{
    match ^= s->invert;
    if (n == 0)
        return;
    if (s->behavior == MERGED_WITH_NEXT) {
        if (s->held && !match) {
            put(s->cuts, s->held, s->held_bytes + n);
        } else {
            put(s->cuts, s->held, s->held ? s->held_bytes : 0);
            if (!match)
                put(s->cuts, text, n);
        }
        s->held = match ? text : NULL;
        s->held_bytes = n;
        return;
    }
    bool joins = s->any && ((s->behavior == CONTIGUOUS && match == s->matched)
        || (s->behavior == MERGED_WITH_PREVIOUS && match && !s->matched));
    if (joins)
        extend_last(s->cuts, n);
    else if (s->behavior != REMOVED || !match)
        put(s->cuts, text, n);
    s->any = true;
    s->matched = match;
}

static void segments_end(struct splitter *s)
{
    if (s->held)
        put(s->cuts, s->held, s->held_bytes);
}

static int split_regex(const struct pretoken_step *step, struct scratch *s, struct splitter *to, const char *text,
    size_t n, struct error *err)
{
    size_t at = 0, from = 0, start, stop;
    int32_t point;
    int rc = regex_begin(&s->match, n, err);
    if (rc)
        return rc;
    while (from <= n && (rc = regex_find(step->regex, &s->match, text, n, from, &start, &stop, err)) == 1) {
        segment(to, text + at, start - at, false);
        segment(to, text + start, stop - start, true);
        at = stop;
        from = stop > start ? stop : stop < n ? stop + (size_t)utf8_decode(text + stop, n - stop, &point) : n + 1;
    }
    segment(to, text + at, n - at, false);
    return rc < 0 ? rc : 0;
}

static void split_characters(const struct pretoken_step *step, struct splitter *to, const char *text, size_t n)
{
    size_t from = 0;
    bool was = false;
    int32_t point;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        bytes = (size_t)utf8_decode(text + at, n - at, &point);
        bool is = step->test(point);
        if (at && (is != was || (is && !step->whole_runs))) {
            segment(to, text + from, at - from, was);
            from = at;
        }
        was = is;
    }
    segment(to, text + from, n - from, was);
}

/* Text with its prefix goes to `prefixed`, which has room: cuts point into it. */
static void add_prefix(const struct pretoken_step *step, struct buffer *prefixed, struct buffer *cuts, const char *text,
    size_t n, bool wanted)
{
    size_t begin = prefixed->used, length = strlen(step->prefix);
    bool spaced = step->replace_spaces && n && text[0] == ' ';
    if (wanted && !spaced && !(n >= length && memcmp(text, step->prefix, length) == 0))
        buffer_add(prefixed, step->prefix, length);
    for (size_t at = 0; at < n;) {
        const char *space = step->replace_spaces ? memchr(text + at, ' ', n - at) : NULL;
        size_t stretch = space ? (size_t)(space - text) - at : n - at;
        buffer_add(prefixed, text + at, stretch);
        if (space)
            buffer_add(prefixed, step->prefix, length);
        at += stretch + (space != NULL);
    }
    if (!prefixed->failed)
        put(cuts, prefixed->data + begin, prefixed->used - begin);
}

static int prefix_pieces(const struct pretoken_step *step, const struct cut *cuts, size_t count, enum place place,
    struct buffer *prefixed, struct buffer *out, struct error *err)
{
    size_t bytes = 0, length = strlen(step->prefix);
    for (size_t i = 0; i < count; i++) {
        bytes += cuts[i].n + length;
        for (size_t k = 0; step->replace_spaces && k < cuts[i].n; k++)
            bytes += cuts[i].text[k] == ' ' ? length : 0;
    }
    buffer_clear(prefixed);
    buffer_room(prefixed, bytes);
    for (size_t i = 0; i < count; i++)
        add_prefix(step, prefixed, out, cuts[i].text, cuts[i].n,
            (step->scheme == PREFIX_ALWAYS && (place != PLACE_CONTINUED || i > 0))
                || (step->scheme == PREFIX_FIRST && place == PLACE_FIRST && i == 0));
    return buffer_check(prefixed, "a pre-tokenized text", err);
}

static int step_piece(const struct pretoken *p, const struct pretoken_step *step, struct scratch *s, struct cut piece,
    struct buffer *out, struct error *err)
{
    struct splitter to = { .behavior = step->behavior, .invert = step->invert, .cuts = out };
    int rc = 0;
    if (step->kind == STEP_KNOWN) {
        for (size_t at = 0, end; at < piece.n; at = end) {
            end = step->next(p->classes, piece.text, at, piece.n);
            put(out, piece.text + at, end - at);
        }
    } else if (step->kind == STEP_REGEX) {
        rc = split_regex(step, s, &to, piece.text, piece.n, err);
    } else {
        split_characters(step, &to, piece.text, piece.n);
    }
    segments_end(&to);
    return rc;
}

/* -- all steps -- */

static int run_steps(const struct pretoken *p, struct scratch *s, const char *text, size_t n, enum place place,
    piece_fn *each, void *context, struct error *err)
{
    int from = 0;
    buffer_clear(&s->pieces[0]);
    put(&s->pieces[0], text, n);
    int rc = buffer_check(&s->pieces[0], "pieces of text", err);
    for (int i = 0, prefixed = 0; rc == 0 && i < p->count; i++, from = !from) {
        const struct cut *cuts = (const struct cut *)(const void *)s->pieces[from].data;
        size_t count = s->pieces[from].used / sizeof *cuts;
        struct buffer *out = &s->pieces[!from];
        buffer_clear(out);
        if (p->steps[i].kind == STEP_PREFIX) {
            rc = prefix_pieces(&p->steps[i], cuts, count, place, &s->prefixed[prefixed], out, err);
            prefixed = !prefixed;
        }
        for (size_t k = 0; rc == 0 && p->steps[i].kind != STEP_PREFIX && k < count; k++)
            rc = step_piece(p, &p->steps[i], s, cuts[k], out, err);
        if (rc == 0)
            rc = buffer_check(out, "pieces of text", err);
    }
    const struct cut *cuts = (const struct cut *)(const void *)s->pieces[from].data;
    for (size_t k = 0; rc == 0 && k < s->pieces[from].used / sizeof *cuts; k++)
        rc = each(context, cuts[k].text, cuts[k].n, err);
    return rc;
}

static int run_valid(const struct pretoken *p, struct scratch *s, const char *text, size_t n, enum place place,
    piece_fn *each, void *context, struct error *err)
{
    if (p->count != 1 || p->steps[0].kind != STEP_KNOWN)
        return run_steps(p, s, text, n, place, each, context, err);
    for (size_t at = 0; at < n;) {
        size_t end = p->steps[0].next(p->classes, text, at, n);
        int rc = each(context, text + at, end - at, err);
        if (rc)
            return rc;
        at = end;
    }
    return 0;
}

/* Bytes at the front that are malformed. */
static size_t malformed_prefix(const char *text, size_t n)
{
    size_t at = 0;
    int32_t point = -1;
    while (at < n) {
        int bytes = utf8_decode(text + at, n - at, &point);
        if (point >= 0)
            break;
        at += (size_t)bytes;
    }
    return at;
}

int pretoken_run(const struct pretoken *p, struct scratch *s, const char *text, size_t n, enum place place,
    piece_fn *each, void *context, struct error *err)
{
    if (!p)
        return n ? each(context, text, n, err) : 0;
    for (size_t at = 0; at < n;) {
        size_t bad, good = utf8_valid_prefix(text + at, n - at);
        int rc = good ? run_valid(p, s, text + at, good, place, each, context, err) : 0;
        at += good;
        bad = malformed_prefix(text + at, n - at);
        if (rc == 0 && bad)
            rc = each(context, text + at, bad, err);
        if (rc)
            return rc;
        at += bad;
        place = PLACE_BEHIND;
    }
    return 0;
}

/* -- where text may be cut -- */

/* The character that ends before `at` > 0; -1: malformed. */
static int32_t point_before(const char *text, size_t at)
{
    int32_t point;
    size_t bytes = 1;
    while (bytes < 4 && bytes < at && ((unsigned char)text[at - bytes] & 0xc0) == 0x80)
        bytes++;
    return (size_t)utf8_decode(text + at - bytes, bytes, &point) == bytes ? point : -1;
}

/* No known pattern has a space behind another character but white space in one piece, nor a line end before a letter;
 * and a single line end between a visible character and a letter is taken the same way at the end of a text. A text
 * that begins with a letter may get a space in front where there was none, though. */
static bool may_cut(bool prefixed, const char *text, size_t n, size_t at)
{
    int32_t behind;
    bool space = text[at] == ' ', line = !space && !prefixed && text[at - 1] == '\n' && at > 1;
    if (!space && !line)
        return false;
    int32_t before = point_before(text, line ? at - 1 : at);
    if (before < 0 || unicode_class(before) & UNICODE_SPACE)
        return false;
    utf8_decode(text + at, n - at, &behind);
    return space || (behind >= 0 && unicode_class(behind) & UNICODE_LETTER);
}

size_t pretoken_cut(const struct pretoken *p, const char *text, size_t n, size_t from)
{
    bool prefixed = false;
    for (int i = 0; i < p->count; i++) {
        if (p->steps[i].kind == STEP_REGEX)
            return n;
        prefixed = prefixed || p->steps[i].kind == STEP_PREFIX;
    }
    for (size_t at = from; at < n; at++)
        if (may_cut(prefixed, text, n, at))
            return at;
    return n;
}
