/* SPDX-License-Identifier: Apache-2.0 */
/* A program as judge: what it says of a completion is a number on its standard output. */
#include "base/process.h"
#include "base/utf8.h"
#include "train/reward_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64
#define SECONDS 10.0
#define SECONDS_MAX 3600.0
#define OUTPUT_MAX 4096 /* bytes; a number needs few */
#define SHOWN 200       /* bytes of what it wrote, in errors */

static int read_argv(struct reward_part *p, const json_t *words, struct error *err)
{
    size_t n = json_array_size(words), i;
    const json_t *word;
    if (n < 1 || n > WORDS_MAX)
        return error_set(err, ERROR_USAGE, "it needs an \"argv\" of 1 to %d words", WORDS_MAX);
    p->argv = calloc(n + 1, sizeof *p->argv);
    if (!p->argv)
        return error_memory(err, n * sizeof *p->argv, "a reward");
    json_array_foreach(words, i, word)
    {
        p->argv[i] = json_string_value(word);
        if (!p->argv[i] || strlen(p->argv[i]) != json_string_length(word) || (i == 0 && !*p->argv[i]))
            return error_set(err, ERROR_USAGE, "word %zu of its \"argv\" is no text that a program can be given", i);
    }
    return 0;
}

static int read_command(struct reward_part *p, const json_t *spec, struct error *err)
{
    int rc = read_argv(p, json_object_get(spec, "argv"), err);
    if (rc)
        return rc;
    const json_t *seconds = json_object_get(spec, "seconds");
    p->seconds = !seconds ? SECONDS : json_is_number(seconds) ? json_number_value(seconds) : NAN;
    if (!(p->seconds > 0 && p->seconds <= SECONDS_MAX))
        return error_set(err, ERROR_USAGE, "its \"seconds\" must be a number up to %g", SECONDS_MAX);
    return 0;
}

/* What is no UTF-8 becomes U+FFFD. */
static int add_member(json_t *object, const char *name, struct reward_text t, struct error *err)
{
    struct buffer text = { 0 };
    for (size_t at = 0; at < t.n;) {
        int32_t point;
        int taken = utf8_decode(t.data + at, t.n - at, &point);
        if (point < 0)
            buffer_add_text(&text, "\xef\xbf\xbd");
        else
            buffer_add(&text, t.data + at, (size_t)taken);
        at += (size_t)taken;
    }
    int rc = buffer_check(&text, "what a program judges", err);
    if (rc == 0 && json_object_set_new(object, name, json_stringn(text.data ? text.data : "", text.used)) != 0)
        rc = error_memory(err, t.n, "what a program judges");
    buffer_release(&text);
    return rc;
}

static int write_input(struct buffer *out, const struct reward_case *c, struct error *err)
{
    json_t *object = json_object();
    int rc = object ? 0 : error_memory(err, c->completion.n, "what a program judges");
    if (rc == 0)
        rc = add_member(object, "prompt", c->prompt, err);
    if (rc == 0)
        rc = add_member(object, "completion", c->completion, err);
    if (rc == 0)
        rc = add_member(object, "answer", c->answer, err);
    if (rc == 0) {
        json_write(out, object, JSON_WRITE_COMPACT);
        buffer_add_byte(out, '\n');
        rc = buffer_check(out, "what a program judges", err);
    }
    json_decref(object);
    return rc;
}

/* Its first word, for errors; bytes of it that are shown. */
static int shown(const struct buffer *b)
{
    size_t n = b->used < SHOWN ? b->used : SHOWN;
    while (n > 0 && (b->data[n - 1] == '\n' || b->data[n - 1] == '\r'))
        n--;
    return (int)n;
}

static int read_value(const struct reward_part *p, const struct process_result *r, double *value, struct error *err)
{
    char *end;
    const char *text = r->output.data ? r->output.data : "";
    if (r->end == PROCESS_TIMED_OUT)
        return error_set(err, ERROR_LIMIT, "\"%s\" was still judging after %g s", p->argv[0], p->seconds);
    if (r->end != PROCESS_EXITED || r->status != 0)
        return error_set(err, ERROR_IO, "\"%s\" ended with %s %d%s%.*s", p->argv[0],
            r->end == PROCESS_EXITED ? "status" : "signal", r->status, r->errors.used ? ": " : "", shown(&r->errors),
            r->errors.data ? r->errors.data : "");
    double x = strtod(text, &end);
    bool number = end != text;
    while (*end == ' ' || *end == '\n' || *end == '\t' || *end == '\r')
        end++;
    if (!number || *end || end != text + r->output.used || r->output_cut || !isfinite(x))
        return error_set(err, ERROR_FORMAT, "\"%s\" wrote \"%.*s\", which is no number", p->argv[0], shown(&r->output),
            text);
    *value = x;
    return 0;
}

static int judge_command(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err)
{
    struct buffer input = { 0 };
    struct process_result result;
    int rc = write_input(&input, c, err);
    if (rc == 0) {
        const struct process_options o = { .argv = p->argv, .input = input.data, .input_size = input.used,
            .output_max = OUTPUT_MAX, .seconds_max = p->seconds };
        rc = process_run(&result, &o, err);
        if (rc == 0) {
            rc = read_value(p, &result, value, err);
            process_result_release(&result);
        }
    }
    buffer_release(&input);
    return rc;
}

const struct reward_kind reward_command = { "command", read_command, judge_command };
