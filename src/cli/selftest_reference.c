/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"
#include "cli/selftest.h"
#include "cli/terminal.h"
#include "infer/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no infinity. */
static json_t *number_new(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *step_new(const struct trace_step *s, const char *name)
{
    return json_pack("{s:s, s:b, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "step", name, "agrees", trace_agrees(s),
        "carried", number_new(s->carried), "own", number_new(s->own), "allowed", number_new(s->allowed), "token",
        s->token, "element", s->element, "value", number_new((double)s->have), "reference",
        number_new((double)s->want));
}

struct report {
    const struct trace_values *reference;
    const struct trace_step *steps;
    int layers, first; /* first: the step that differs; layers + 2: none */
    const char *path;
    struct buffer rounded; /* formats whose products take 8-bit activations; empty: none */
};

static bool is_told(const struct report *r, int i)
{
    return i > 0 || r->reference->embedding;
}

static int add_json(json_t *json, const struct report *r, struct error *err)
{
    char name[32];
    const char *made_by = r->reference->made_by ? r->reference->made_by : "", *rounded = r->rounded.data;
    json_t *steps = json_array();
    for (int i = 0; i < r->layers + 2; i++)
        if (is_told(r, i))
            json_array_append_new(steps, step_new(&r->steps[i], trace_step_name(name, i, r->layers)));
    json_t *first = r->first < r->layers + 2 ? json_string(trace_step_name(name, r->first, r->layers)) : json_null();
    json_t *object = json_pack("{s:o, s:o, s:i, s:s, s:s, s:o, s:o}", "file", json_string_new(r->path, strlen(r->path)),
        "made_by", json_string_new(made_by, strlen(made_by)), "tokens", r->reference->tokens, "activations",
        rounded ? "8 bits" : "float32", "rounded_for", rounded ? rounded : "", "first", first, "steps", steps);
    return json_object_set_new(json, "reference", object) ? error_memory(err, sizeof *object, "the comparison") : 0;
}

static void print_table(const struct report *r)
{
    char name[32];
    struct buffer made_by = { 0 };
    if (r->reference->made_by)
        terminal_clean(&made_by, r->reference->made_by, strlen(r->reference->made_by));
    printf("reference         %d tokens, made by %s\n", r->reference->tokens, made_by.used ? made_by.data : "(untold)");
    if (r->rounded.used)
        printf("activations       rounded to 8 bits before products with %s, which is allowed for\n", r->rounded.data);
    else
        printf("activations       float32, as the reference has them\n");
    printf("%-10s %11s %11s %11s   %s\n", "step", "carried", "own", "allowed", "worst");
    for (int i = 0; i < r->layers + 2; i++) {
        const struct trace_step *s = &r->steps[i];
        if (is_told(r, i))
            printf("%-10s %11.3g %11.3g %11.3g   token %d, element %d: %.9g, reference %.9g%s\n",
                trace_step_name(name, i, r->layers), s->carried, s->own, s->allowed, s->token, s->element,
                (double)s->have, (double)s->want, trace_agrees(s) ? "" : "   DIFFERS");
    }
    buffer_release(&made_by);
}

static void note(struct selftest *t, const struct report *r)
{
    char name[32];
    const struct trace_step *s = &r->steps[r->first];
    if (r->first == r->layers + 2) {
        selftest_note(t, true, "the reference's numbers", "%d layers and the logits agree", r->layers);
        return;
    }
    selftest_note(t, false, "the reference's numbers",
        "%s is the first to differ, most at token %d, element %d: %.9g, reference %.9g (off by %.3g, %.3g allowed)",
        trace_step_name(name, r->first, r->layers), s->token, s->element, (double)s->have, (double)s->want, s->own,
        s->allowed);
}

static void show_tokens(void *context, int done, int total)
{
    struct selftest *t = context;
    progress_update(&t->progress, (uint64_t)done, (uint64_t)total);
}

static bool is_interrupted(void *context)
{
    (void)context;
    return interrupt_seen();
}

static int compare(struct selftest *t, const struct model *m, struct report *r, json_t *json, struct error *err)
{
    struct session_watch watch = { .progress = show_tokens, .cancelled = is_interrupted, .context = t };
    struct trace_step *steps = calloc((size_t)r->layers + 2, sizeof *steps);
    if (!steps)
        return error_memory(err, ((size_t)r->layers + 2) * sizeof *steps, "a comparison");
    progress_begin(&t->progress, "comparing with the reference", "tokens", t->quiet);
    int rc = trace_compare(steps, m, r->reference, t->threads, &watch, err);
    progress_end(&t->progress);
    r->steps = steps;
    if (rc == 0) {
        while (r->first < r->layers + 2 && trace_agrees(&steps[r->first]))
            r->first++;
        trace_rounding(m, &r->rounded);
        if (json)
            rc = add_json(json, r, err);
        else if (!t->quiet || r->first < r->layers + 2)
            print_table(r);
        note(t, r);
    }
    buffer_release(&r->rounded);
    free(steps);
    return rc;
}

int selftest_reference(struct selftest *t, const struct model *m, const char *path, json_t *json, struct error *err)
{
    struct trace *trace;
    int rc = trace_open(&trace, path, model_spec(m), err);
    if (rc)
        return rc;
    struct report r = { .reference = trace_values(trace), .layers = model_spec(m)->layers, .path = path };
    rc = compare(t, m, &r, json, err);
    trace_close(trace);
    return rc;
}
