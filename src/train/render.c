/* SPDX-License-Identifier: Apache-2.0 */
#include "train/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rendered_release(struct rendered *r)
{
    tokens_release(&r->ids);
    tokens_release(&r->targets);
    memset(r, 0, sizeof *r);
}

/* Tokens [from, to) are learned. */
static void learn(struct rendered *r, size_t from, size_t to, int32_t last)
{
    for (size_t i = from > 0 ? from : 1; i < to; i++) {
        int32_t *target = &r->targets.ids[i - 1];
        r->counted += *target == TRAIN_SKIP;
        *target = last >= 0 && i + 1 == to ? last : r->ids.ids[i];
    }
}

/* One target for each id, none of which counts yet. */
static int begin_targets(struct rendered *r, struct error *err)
{
    int32_t *to = tokens_room(&r->targets, r->ids.used);
    for (size_t i = 0; to && i < r->ids.used; i++)
        to[i] = TRAIN_SKIP;
    r->targets.used = to ? r->ids.used : 0;
    return tokens_check(&r->targets, err);
}

static void add_eos(struct rendered *r, const struct tokenizer *t)
{
    int32_t eos = tokenizer_special(t, TOKEN_EOS);
    if (eos >= 0 && (r->ids.used == 0 || r->ids.ids[r->ids.used - 1] != eos))
        tokens_add(&r->ids, eos);
}

static int render_text(struct rendered *r, const char *text, const struct tokenizer *t, struct error *err)
{
    int rc = tokenizer_encode(t, text, strlen(text), TOKENIZE_DEFAULT, &r->ids, err);
    add_eos(r, t);
    if (rc == 0)
        rc = tokens_check(&r->ids, err);
    if (rc == 0)
        rc = begin_targets(r, err);
    if (rc == 0)
        learn(r, 0, r->ids.used, -1);
    return rc;
}

/* Thoughts behind the last question are learned, also by formats that leave them out once there is an answer; earlier
 * ones are not shown to the model when it goes on, so they are not here either. */
static void keep_last_thoughts(struct chat_request *r, struct chat_message *messages)
{
    size_t last = r->n_messages;
    while (last > 0 && strcmp(messages[last - 1].role, "user") != 0)
        last--;
    for (size_t i = 0; i < last; i++)
        messages[i].reasoning = NULL;
    r->keep_reasoning = true;
}

static int render_messages(struct rendered *r, const json_t *list, const struct example *x, const struct tokenizer *t,
    const struct render_options *o, struct error *err)
{
    const struct chat_format *format = o->format ? o->format : chat_format_find("plain");
    struct chat_request request = {.tools = x->tools, .date = o->date};
    struct chat_said_list said = {0};
    struct chat_message *messages;
    size_t from = x->first;
    int rc = chat_messages_new(&messages, &request.n_messages, list, err);
    if (rc)
        return rc;
    request.messages = messages;
    for (size_t i = 0; i < request.n_messages; i++) {
        if (!o->format && messages[i].tool_calls)
            rc = error_set(
                err, ERROR_USAGE, "the model has no chat format, which message %zu needs for its calls", i + 1);
        if (o->last_turn && i > from && strcmp(messages[i].role, "user") == 0)
            from = i;
    }
    keep_last_thoughts(&request, messages);
    if (rc == 0)
        rc = chat_render_said(format, t, &request, &r->ids, &said, err);
    bool ends = request.n_messages > 0 && strcmp(messages[request.n_messages - 1].role, "assistant") == 0;
    if (rc == 0 && !o->format && ends && said.n > 0) {
        add_eos(r, t);
        said.at[said.n - 1].to = r->ids.used;
    }
    if (rc == 0)
        rc = tokens_check(&r->ids, err);
    if (rc == 0)
        rc = begin_targets(r, err);
    for (size_t i = 0; rc == 0 && i < said.n; i++)
        if (said.at[i].message >= from && !(o->skip_reasoning && said.at[i].channel == CHAT_REASONING))
            learn(r, said.at[i].from, said.at[i].to, said.at[i].last);
    chat_said_release(&said);
    free(messages);
    return rc;
}

int render_example(struct rendered *out, const struct example *x, const json_t *answer, const struct tokenizer *t,
    const struct render_options *options, struct error *err)
{
    tokens_clear(&out->ids);
    tokens_clear(&out->targets);
    out->counted = 0;
    if (x->kind == EXAMPLE_TEXT)
        return render_text(out, x->text, t, err);
    json_t *list = json_copy(x->messages);
    int rc = list && (!answer || json_array_extend(list, (json_t *)(uintptr_t)answer) == 0)
        ? 0 : error_memory(err, 1, "a conversation");
    if (rc == 0)
        rc = render_messages(out, list, x, t, options, err);
    json_decref(list);
    return rc;
}

/* ---- datasets ---- */

void render_name(struct render_named *named, const struct example *x)
{
    if (named->n < RENDER_NAMES)
        snprintf(named->at[named->n], sizeof named->at[0], "%s:%llu", x->file, (unsigned long long)x->line);
    named->n++;
}

/* *fits: it becomes a sample, perhaps cut; else it was counted. */
static int fit(struct rendered *r, const struct example *x, const struct render_options *o,
    struct render_counts *counts, bool *fits, struct error *err)
{
    size_t limit = (size_t)o->tokens_max;
    *fits = true;
    if (r->ids.used > limit) {
        if (o->too_long == RENDER_FAIL)
            return error_set(err, ERROR_LIMIT, "it has %zu tokens, the limit is %d", r->ids.used, o->tokens_max);
        render_name(&counts->too_long, x);
        *fits = o->too_long == RENDER_CUT;
        r->ids.used = r->targets.used = limit;
        r->counted = 0;
        for (size_t i = 0; i < limit; i++)
            r->counted += r->targets.ids[i] != TRAIN_SKIP;
    }
    if (*fits && r->counted == 0) {
        render_name(&counts->empty, x);
        *fits = false;
    }
    return 0;
}

static int add_sample(struct dataset_builder *b, const struct rendered *r, const struct tokenizer *t, struct error *err)
{
    struct buffer bytes = {0};
    int rc = 0;
    for (size_t i = 0; i < r->targets.used && rc == 0; i++)
        if (r->targets.ids[i] != TRAIN_SKIP)
            rc = tokenizer_add_bytes(t, r->targets.ids[i], &bytes, err);
    const struct train_text text = {r->ids.ids, r->targets.ids, (int)r->ids.used};
    if (rc == 0)
        rc = buffer_check(&bytes, "a sample", err);
    if (rc == 0)
        rc = dataset_builder_add(b, &text, bytes.used, err);
    buffer_release(&bytes);
    return rc;
}

static int take(struct dataset_builder *b, struct render_counts *counts, const struct example *x,
    const struct tokenizer *t, const struct render_options *o, struct error *err)
{
    bool pair = x->kind == EXAMPLE_PREFERENCE, fits = false;
    struct rendered r[2] = {0};
    int rc = x->kind == EXAMPLE_PROMPT ? error_set(err, ERROR_USAGE, "a prompt alone has nothing to learn") : 0;
    for (int i = 0; i <= pair && rc == 0 && (i == 0 || fits); i++) {
        rc = render_example(&r[i], x, !pair ? NULL : i ? x->rejected : x->chosen, t, o, err);
        if (rc == 0)
            rc = fit(&r[i], x, o, counts, &fits, err);
    }
    for (int i = 0; i <= pair && rc == 0 && fits; i++)
        rc = add_sample(b, &r[i], t, err);
    rendered_release(&r[0]);
    rendered_release(&r[1]);
    if (rc)
        error_in(err, "%s:%llu", x->file, (unsigned long long)x->line);
    return rc;
}

int render_dataset(struct dataset **out, struct render_counts *counts, struct examples *e, const struct tokenizer *t,
    const struct render_options *options, struct error *err)
{
    struct dataset_builder *b;
    struct example x;
    bool pairs = false;
    memset(counts, 0, sizeof *counts);
    *out = NULL;
    if (options->tokens_max < 1)
        return error_set(err, ERROR_USAGE, "samples of %d tokens cannot be", options->tokens_max);
    int rc = dataset_builder_open(&b, err);
    while (rc == 0 && (rc = examples_next(e, &x, err)) == 1) {
        bool pair = x.kind == EXAMPLE_PREFERENCE;
        rc = 0;
        if (counts->examples++ == 0)
            pairs = pair;
        if (pair != pairs)
            rc = error_set(err, ERROR_USAGE, "%s:%llu: it is %s preference, unlike those before", x.file,
                (unsigned long long)x.line, pair ? "a" : "no");
        if (rc == 0)
            rc = take(b, counts, &x, t, options, err);
        if (rc)
            break;
    }
    if (rc == 0) {
        rc = dataset_builder_finish(out, b, err);
        if (rc)
            error_in(err, "of %llu examples %llu are too long and %llu teach nothing",
                (unsigned long long)counts->examples, (unsigned long long)counts->too_long.n,
                (unsigned long long)counts->empty.n);
    }
    dataset_builder_close(b);
    return rc;
}
