/* SPDX-License-Identifier: Apache-2.0 */
#include "train/prompts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct prompts *p, struct error *err)
{
    if (p->n < p->capacity)
        return 0;
    size_t capacity = p->capacity ? 2 * p->capacity : 64;
    struct prompt *at = realloc(p->at, capacity * sizeof *at);
    if (!at)
        return error_memory(err, capacity * sizeof *at, "prompts");
    p->at = at;
    p->capacity = capacity;
    return 0;
}

static int render(struct tokens *ids, const struct example *x, const struct tokenizer *t,
    const struct render_options *o, struct error *err)
{
    struct chat_request request = {.tools = x->tools, .date = o->date, .add_generation_prompt = true};
    struct chat_message *messages;
    int rc = chat_messages_new(&messages, &request.n_messages, x->messages, err);
    request.messages = messages;
    if (rc == 0)
        rc = chat_render(o->format ? o->format : chat_format_find("plain"), t, &request, ids, err);
    free(messages);
    return rc;
}

static int take(struct prompts *p, struct render_counts *counts, const struct example *x, const struct tokenizer *t,
    const struct render_options *o, struct error *err)
{
    struct tokens ids = {0};
    int rc = x->kind == EXAMPLE_PROMPT ? grow(p, err)
                                       : error_set(err, ERROR_USAGE, "it is a %s, not a prompt with an answer",
                                             example_kind_name(x->kind));
    if (rc == 0)
        rc = render(&ids, x, t, o, err);
    bool fits = ids.used <= (size_t)o->tokens_max;
    if (rc == 0 && !fits && o->too_long == RENDER_FAIL)
        rc = error_set(err, ERROR_LIMIT, "it has %zu tokens, the limit is %d", ids.used, o->tokens_max);
    if (rc == 0 && !fits)
        render_name(&counts->too_long, x);
    if (rc == 0 && fits)
        p->at[p->n++] = (struct prompt){ids, json_incref((json_t *)(uintptr_t)x->record)};
    else
        tokens_release(&ids);
    if (rc)
        error_in(err, "%s:%llu", x->file, (unsigned long long)x->line);
    return rc;
}

int prompts_read(struct prompts *out, struct render_counts *counts, struct examples *e, const struct tokenizer *t,
    const struct render_options *options, struct error *err)
{
    struct example x;
    int rc = 0;
    memset(out, 0, sizeof *out);
    memset(counts, 0, sizeof *counts);
    while (rc == 0 && (rc = examples_next(e, &x, err)) == 1) {
        counts->examples++;
        rc = take(out, counts, &x, t, options, err);
    }
    if (rc == 0 && out->n == 0)
        rc = error_set(err, ERROR_USAGE, "there are no prompts: of %llu records %llu are too long",
            (unsigned long long)counts->examples, (unsigned long long)counts->too_long.n);
    if (rc)
        prompts_release(out);
    return rc;
}

void prompts_release(struct prompts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        tokens_release(&p->at[i].ids);
        json_decref(p->at[i].record);
    }
    free(p->at);
    memset(p, 0, sizeof *p);
}
