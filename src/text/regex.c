/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include "base/clock.h"

#include <pcre2.h>
#include <stdlib.h>

#define PATTERN_BYTES_MAX 65536
#define STEPS_MAX 20000000          /* of one search */
#define JIT_STACK_MAX (8u << 20)
#define SECONDS_BASE 5.0            /* all searches over one text together: this, */
#define BYTES_PER_SECOND 1000000.0  /* and time at a pace far below any sane pattern's */
#define SEARCHES_PER_CLOCK 64

struct regex {
    pcre2_code *code;
};

struct regex_match {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    double until;
    unsigned searches;
};

static int compile_error(int code, size_t offset, const char *pattern, size_t n, struct error *err)
{
    char text[256] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    return error_set(err, ERROR_FORMAT, "could not compile pattern \"%.*s\": at byte %zu: %s", (int)(n < 200 ? n : 200),
        pattern, offset, text);
}

int regex_new(struct regex **out, const char *pattern, size_t n, int literal, struct error *err)
{
    int code = 0;
    size_t offset = 0;
    *out = NULL;
    if (n > PATTERN_BYTES_MAX)
        return error_set(err, ERROR_FORMAT, "a pattern of %zu bytes is above the limit of %d", n, PATTERN_BYTES_MAX);
    struct regex *r = calloc(1, sizeof *r);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!r || !context) {
        pcre2_compile_context_free(context);
        free(r);
        return error_memory(err, n, "a pattern");
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    uint32_t options = literal ? PCRE2_UTF | PCRE2_LITERAL
                               : PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!r->code) {
        free(r);
        return compile_error(code, offset, pattern, n, err);
    }
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* without JIT the interpreter runs it */
    *out = r;
    return 0;
}

void regex_close(struct regex *r)
{
    if (r)
        pcre2_code_free(r->code);
    free(r);
}

static int match_new(struct regex_match **out, struct error *err)
{
    struct regex_match *m = calloc(1, sizeof *m);
    *out = m;
    if (m) {
        m->data = pcre2_match_data_create(1, NULL);
        m->context = pcre2_match_context_create(NULL);
        m->stack = pcre2_jit_stack_create(32768, JIT_STACK_MAX, NULL);
    }
    if (!m || !m->data || !m->context || !m->stack)
        return error_memory(err, JIT_STACK_MAX, "matching a pattern");
    pcre2_set_match_limit(m->context, STEPS_MAX);
    pcre2_set_heap_limit(m->context, JIT_STACK_MAX / 1024);
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return 0;
}

int regex_begin(struct regex_match **match, size_t n, struct error *err)
{
    int rc = *match ? 0 : match_new(match, err);
    if (rc == 0)
        (*match)->until = clock_seconds() + SECONDS_BASE + (double)n / BYTES_PER_SECOND;
    return rc;
}

int regex_find(const struct regex *r, struct regex_match **match, const char *text, size_t n, size_t from,
    size_t *start, size_t *stop, struct error *err)
{
    int rc = *match ? 0 : regex_begin(match, n, err);
    if (rc)
        return rc;
    struct regex_match *m = *match;
    if (++m->searches % SEARCHES_PER_CLOCK == 0 && clock_seconds() > m->until)
        return error_set(err, ERROR_LIMIT, "the pattern is too slow: stopped at byte %zu of %zu", from, n);
    rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0) {
        char reason[256] = "";
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)reason, sizeof reason);
        return error_set(err, ERROR_LIMIT, "matching the pattern at byte %zu of %zu stopped: %s", from, n, reason);
    }
    const size_t *ends = pcre2_get_ovector_pointer(m->data);
    *start = ends[0] < from ? from : ends[0]; /* \K may move the start; never backwards */
    *stop = ends[1] < *start ? *start : ends[1];
    return 1;
}

void regex_match_close(struct regex_match *m)
{
    if (m) {
        pcre2_match_data_free(m->data);
        pcre2_match_context_free(m->context);
        pcre2_jit_stack_free(m->stack);
    }
    free(m);
}
