/* SPDX-License-Identifier: Apache-2.0 */
/* The rules. */
#include "base/utf8.h"
#include "text/regex.h"
#include "train/number.h"
#include "train/reward_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OPEN "<think>"
#define CLOSE "</think>"

/* ---- texts ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static struct reward_text trimmed(struct reward_text t)
{
    while (t.n > 0 && is_space(t.data[0])) {
        t.data++;
        t.n--;
    }
    while (t.n > 0 && is_space(t.data[t.n - 1]))
        t.n--;
    return t;
}

static const char *find_word(struct reward_text t, const char *word)
{
    return t.n > 0 ? memmem(t.data, t.n, word, strlen(word)) : NULL;
}

/* What stands from `at` on. */
static struct reward_text rest_of(struct reward_text t, const char *at)
{
    return (struct reward_text) { at, t.n - (size_t)(at - t.data) };
}

struct reward_text reward_answer(struct reward_text completion)
{
    for (const char *at; (at = find_word(completion, CLOSE));)
        completion = rest_of(completion, at + strlen(CLOSE));
    return completion;
}

/* ---- exact, numeric ---- */

static int judge_exact(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct reward_text got = trimmed(reward_answer(c->completion)), want = trimmed(c->answer);
    (void)p;
    (void)err;
    *value = got.n == want.n && (got.n == 0 || memcmp(got.data, want.data, got.n) == 0);
    return 0;
}

static int judge_numeric(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct reward_text answer = reward_answer(c->completion);
    double got, want;
    (void)p;
    if (!number_of_answer(c->answer.data, c->answer.n, &want))
        return error_set(err, ERROR_FORMAT, "the expected answer of %zu bytes holds no number", c->answer.n);
    *value = number_of_answer(answer.data, answer.n, &got) && number_equal(got, want);
    return 0;
}

/* ---- regex ---- */

static int read_regex(struct reward_part *p, const json_t *spec, struct error *err)
{
    const json_t *pattern = json_object_get(spec, "pattern");
    if (!json_is_string(pattern))
        return error_set(err, ERROR_USAGE, "it needs a \"pattern\"");
    return regex_new(&p->regex, json_string_value(pattern), json_string_length(pattern), 0, err);
}

static int judge_regex(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct regex_match *match = NULL;
    size_t start, stop, n = c->completion.n;
    if (n > 0 && utf8_valid_prefix(c->completion.data, n) != n)
        return 0; /* patterns look at text */
    int rc = regex_find(p->regex, &match, n > 0 ? c->completion.data : "", n, 0, &start, &stop, err);
    regex_match_close(match);
    *value = rc > 0;
    return rc < 0 ? rc : 0;
}

/* ---- length, overlong ---- */

static int read_number(double *out, const json_t *spec, const char *name, double absent, double least,
    struct error *err)
{
    const json_t *v = json_object_get(spec, name);
    *out = absent;
    if (v)
        *out = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(*out >= least))
        return error_set(err, ERROR_USAGE, "its \"%s\" must be a number of at least %g", name, least);
    return 0;
}

static int read_length(struct reward_part *p, const json_t *spec, struct error *err)
{
    int rc = read_number(&p->least, spec, "least", 0, 0, err);
    if (rc == 0)
        rc = read_number(&p->most, spec, "most", INFINITY, p->least, err);
    return rc;
}

static int judge_length(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    (void)err;
    *value = c->tokens >= p->least && c->tokens <= p->most;
    return 0;
}

static int read_overlong(struct reward_part *p, const json_t *spec, struct error *err)
{
    int rc = read_number(&p->most, spec, "most", NAN, 1, err);
    if (rc == 0)
        rc = read_number(&p->margin, spec, "margin", NAN, 0, err);
    if (rc == 0 && p->margin > p->most)
        rc = error_set(err, ERROR_USAGE, "its \"margin\" is above its \"most\"");
    return rc;
}

/* Soft overlong punishment (Yu et al. 2025, equation 13). */
static int judge_overlong(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    double free = p->most - p->margin;
    (void)err;
    *value = c->tokens <= free ? 0 : c->tokens <= p->most ? (free - c->tokens) / p->margin : -1;
    return 0;
}

/* ---- format, json ---- */

static int read_mark(char **out, const json_t *spec, const char *name, const char *absent, struct error *err)
{
    const json_t *v = json_object_get(spec, name);
    const char *text = v ? json_string_value(v) : absent;
    if (!text || !*text || (v && strlen(text) != json_string_length(v)))
        return error_set(err, ERROR_USAGE, "its \"%s\" must be a text", name);
    *out = strdup(text);
    return *out ? 0 : error_memory(err, strlen(text), "a reward");
}

static int read_format(struct reward_part *p, const json_t *spec, struct error *err)
{
    int rc = read_mark(&p->open, spec, "open", OPEN, err);
    return rc ? rc : read_mark(&p->close, spec, "close", CLOSE, err);
}

/* The part of an answer between the marks is the model's own business, what is behind must be something. */
static int judge_format(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct reward_text t = trimmed(c->completion);
    size_t open = strlen(p->open), close = strlen(p->close);
    (void)err;
    *value = 0;
    if (t.n < open || memcmp(t.data, p->open, open) != 0)
        return 0;
    struct reward_text inside = rest_of(t, t.data + open);
    const char *end = find_word(inside, p->close);
    if (!end || find_word(inside, p->open))
        return 0;
    struct reward_text answer = trimmed(rest_of(inside, end + close));
    *value = answer.n > 0 && !find_word(answer, p->close);
    return 0;
}

static int judge_json(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct reward_text answer = trimmed(reward_answer(c->completion));
    struct error why = { 0 };
    json_t *document = NULL;
    (void)p;
    int rc = answer.n > 0 ? json_read_new(&document, answer.data, answer.n, "an answer", &why) : ERROR_FORMAT;
    json_decref(document);
    *value = rc == 0;
    return rc == ERROR_MEMORY ? error_set(err, rc, "%s", why.text) : 0;
}

const struct reward_kind reward_exact = { "exact", NULL, judge_exact };
const struct reward_kind reward_numeric = { "numeric", NULL, judge_numeric };
const struct reward_kind reward_regex = { "regex", read_regex, judge_regex };
const struct reward_kind reward_length = { "length", read_length, judge_length };
const struct reward_kind reward_overlong = { "overlong", read_overlong, judge_overlong };
const struct reward_kind reward_format = { "format", read_format, judge_format };
const struct reward_kind reward_json = { "json", NULL, judge_json };
