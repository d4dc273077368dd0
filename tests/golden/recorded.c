/* SPDX-License-Identifier: Apache-2.0 */
#include "recorded.h"

#include "support.h"

#include "infer/session.h"
#include "infer/trace.h"

#include <stdlib.h>
#include <string.h>

static void record(void *context, int layer, float *x, int tokens, int width)
{
    struct recorded *to = context;
    assert_true(layer < RECORDED_LAYERS_MAX);
    if (layer >= 0)
        memcpy(to->layers[layer], x, (size_t)tokens * (size_t)width * sizeof *x);
}

static int record_row(void *context, size_t index, const float *logits, struct error *err)
{
    struct recorded *to = context;
    (void)err;
    memcpy(to->logits + (int64_t)index * to->vocabulary, logits, (size_t)to->vocabulary * sizeof *logits);
    return 0;
}

void recorded_make(struct recorded *to, const struct runner *r, const struct golden_case *c)
{
    struct session_options o = { .kv_format = &format_f32, .context = c->n_ids, .logits = c->n_ids, .threads = 2,
        .trace = record, .trace_context = to };
    struct session *s;
    *to = (struct recorded) { .c = c, .vocabulary = r->spec->vocabulary };
    assert_true(r->spec->layers <= RECORDED_LAYERS_MAX);
    to->logits = calloc((size_t)c->n_ids * (size_t)to->vocabulary, sizeof(float));
    assert_non_null(to->logits);
    for (int i = 0; i < r->spec->layers; i++)
        assert_non_null(to->layers[i] = calloc((size_t)c->n_ids * (size_t)r->spec->dim, sizeof(float)));
    assert_int_equal(session_open(&s, r->model, &o, NULL), 0);
    assert_int_equal(session_each(s, c->ids, (size_t)c->n_ids, record_row, to, NULL, NULL), 0);
    session_close(s);
}

void recorded_release(struct recorded *to)
{
    for (int i = 0; i < RECORDED_LAYERS_MAX; i++)
        free(to->layers[i]);
    free(to->logits);
}

/* All steps agree but `differs` (-1: all agree). */
static void expect_steps(const struct recorded *run, const struct runner *r, int differs)
{
    struct trace_values values = { .tokens = run->c->n_ids, .ids = run->c->ids,
        .layers = (const float **)(void *)run->layers, .logits = run->logits };
    struct trace_step steps[RECORDED_LAYERS_MAX + 2];
    struct error err = { 0 };
    if (trace_compare(steps, r->model, &values, 2, NULL, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 1; i < r->spec->layers + 2; i++) {
        if (trace_agrees(&steps[i]) != (i != differs))
            fail_msg("step %d: own %.3g, allowed %.3g", i, steps[i].own, steps[i].allowed);
        if (i <= r->spec->layers)
            assert_true(steps[i].own > 1e-4); /* the rounding was there */
    }
}

void recorded_compare(struct recorded *run, const struct runner *r, float stretch)
{
    int last = r->spec->layers - 1;
    expect_steps(run, r, -1);
    for (int i = 0; i < run->c->n_ids * r->spec->dim; i++)
        run->layers[last][i] *= stretch;
    expect_steps(run, r, last + 1); /* the logits agree still, as the final norm takes the length away */
}
