/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/generate.h"

#include "base/clock.h"

#include <assert.h>

const char *generate_end_name(enum generate_end end)
{
    static const char *const names[] = { "stop", "length", "context", "cancelled", "sink" };
    return names[end];
}

static bool is_stop(const struct generate_options *o, int32_t id)
{
    for (size_t i = 0; i < o->n_stops; i++)
        if (o->stops[i] == id)
            return true;
    return false;
}

/* Choose one token, hand it out and evaluate it. *over: the reply ends with it. */
static int step(struct session *s, struct sampler *sampler, const struct generate_options *o, generate_sink *sink,
    void *context, struct generation *g, bool *over, struct error *err)
{
    int32_t id;
    const uint64_t *mask = NULL;
    int rc = o->filter ? o->filter->allow(o->filter->context, &mask, err) : 0;
    if (rc)
        return rc;
    if (o->filter)
        sampler_allow(sampler, mask);
    rc = sampler_choose(sampler, session_logits(s), &id, err);
    if (rc)
        return rc;
    *over = true;
    if (is_stop(o, id)) {
        g->end = GENERATE_STOP;
        g->stop_id = id;
        return 0;
    }
    sampler_accept(sampler, id);
    rc = sink(context, id, err);
    if (rc < 0)
        return rc;
    g->tokens++;
    if (rc > 0) {
        g->end = GENERATE_SINK;
        return 0;
    }
    if (o->max_tokens > 0 && g->tokens >= o->max_tokens) {
        g->end = GENERATE_LENGTH; /* evaluating it would be for nothing */
        return 0;
    }
    if (session_length(s) >= session_context(s)) {
        g->end = GENERATE_CONTEXT;
        return 0;
    }
    *over = false;
    return session_push(s, id, err);
}

int generate(struct session *s, struct sampler *sampler, const struct generate_options *options, generate_sink *sink,
    void *context, struct generation *out, struct error *err)
{
    const struct session_watch *watch = options->watch;
    double start = clock_seconds();
    bool over = false;
    int rc = 0;
    assert(session_logits(s));
    *out = (struct generation) { .end = GENERATE_CANCELLED, .stop_id = -1 };
    while (rc == 0 && !over && !(watch && watch->cancelled && watch->cancelled(watch->context)))
        rc = step(s, sampler, options, sink, context, out, &over, err);
    if (options->filter)
        sampler_allow(sampler, NULL);
    out->seconds = clock_seconds() - start;
    return rc;
}
