/* SPDX-License-Identifier: Apache-2.0 */
#include "train/examples.h"

#include "train/examples_impl.h"
#include "train/records.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[EXAMPLE_KINDS] = {"auto", "chat", "completion", "text", "preference", "prompt"};

struct examples {
    struct records *records;
    struct examples_options options;
    json_t *record, *tools;
    struct example last;
};

const char *example_kind_name(enum example_kind kind)
{
    return names[kind];
}

int examples_open(struct examples **out, const char *const *paths, size_t n, const struct examples_options *options,
    struct error *err)
{
    const struct records_options records = {.progress = options->progress, .context = options->context};
    *out = NULL;
    struct examples *e = calloc(1, sizeof *e);
    if (!e)
        return error_memory(err, sizeof *e, "examples");
    e->options = *options;
    int rc = records_open(&e->records, paths, n, &records, err);
    if (rc) {
        examples_close(e);
        return rc;
    }
    *out = e;
    return 0;
}

static void forget(struct examples *e)
{
    json_decref(e->last.messages);
    json_decref(e->last.chosen);
    json_decref(e->last.rejected);
    json_decref(e->tools);
    json_decref(e->record);
    e->tools = e->record = NULL;
    memset(&e->last, 0, sizeof e->last);
}

void examples_close(struct examples *e)
{
    if (!e)
        return;
    forget(e);
    records_close(e->records);
    free(e);
}

void examples_rewind(struct examples *e)
{
    records_rewind(e->records);
}

static bool has(const json_t *record, const char *key)
{
    const json_t *v = json_object_get(record, key);
    return v && !json_is_null(v);
}

static enum example_kind kind_of(const json_t *r)
{
    if (has(r, "chosen") && has(r, "rejected"))
        return EXAMPLE_PREFERENCE;
    if (has(r, "messages") || has(r, "conversations") || (has(r, "instruction") && has(r, "output")))
        return EXAMPLE_CHAT;
    if (has(r, "prompt") && has(r, "completion"))
        return EXAMPLE_COMPLETION;
    if (has(r, "prompt") && has(r, "answer"))
        return EXAMPLE_PROMPT;
    return has(r, "text") ? EXAMPLE_TEXT : EXAMPLE_AUTO;
}

/* What comes before an answer, or the whole conversation: from whichever keys the record has. */
static int conversation(struct example *x, struct error *err)
{
    const json_t *r = x->record;
    x->messages = json_array();
    if (!x->messages)
        return error_memory(err, 1, "messages");
    if (has(r, "system") && examples_add(x->messages, "system", json_object_get(r, "system")))
        return error_set(err, ERROR_FORMAT, "\"system\" is no string");
    if (has(r, "messages"))
        return examples_add_list(x->messages, json_object_get(r, "messages"), "user", err);
    if (has(r, "conversations"))
        return examples_add_list(x->messages, json_object_get(r, "conversations"), "user", err);
    if (has(r, "prompt"))
        return examples_add_list(x->messages, json_object_get(r, "prompt"), "user", err);
    return has(r, "instruction") ? examples_add_alpaca(x->messages, r, err) : 0;
}

static int preference(struct example *x, struct error *err)
{
    const json_t *chosen = json_object_get(x->record, "chosen"), *rejected = json_object_get(x->record, "rejected");
    x->chosen = json_array();
    x->rejected = json_array();
    int rc = conversation(x, err);
    if (rc == 0)
        rc = examples_add_answer(x->chosen, chosen, err);
    if (rc == 0)
        rc = examples_add_answer(x->rejected, rejected, err);
    if (rc == 0)
        rc = examples_part(x->messages, x->chosen, x->rejected, err);
    x->first = json_array_size(x->messages);
    return rc;
}

static int make(struct example *x, struct error *err)
{
    const json_t *r = x->record;
    int rc;
    switch (x->kind) {
    case EXAMPLE_TEXT:
        x->text = json_text(r, "text", NULL);
        if (!x->text || strlen(x->text) != json_string_length(json_object_get(r, "text")))
            return error_set(err, ERROR_FORMAT, "its \"text\" is no string without NUL characters");
        return 0;
    case EXAMPLE_PREFERENCE:
        return preference(x, err);
    case EXAMPLE_COMPLETION:
        rc = conversation(x, err);
        x->first = json_array_size(x->messages);
        return rc ? rc : examples_add_list(x->messages, json_object_get(r, "completion"), "assistant", err);
    case EXAMPLE_PROMPT:
        rc = conversation(x, err);
        x->answer = json_text(r, "answer", NULL);
        x->first = json_array_size(x->messages);
        return rc;
    default:
        rc = conversation(x, err);
        if (rc == 0 && has(r, "instruction") && !has(r, "messages") && !has(r, "conversations"))
            rc = examples_add_list(x->messages, json_object_get(r, "output"), "assistant", err);
        return rc;
    }
}

static int check(const struct example *x, struct error *err)
{
    int rc = 0;
    if (x->kind == EXAMPLE_TEXT)
        return 0;
    if (json_array_size(x->messages) == 0)
        return error_set(err, ERROR_FORMAT, "it has no messages");
    rc = examples_check(x->messages, err);
    if (rc == 0 && x->chosen)
        rc = examples_check(x->chosen, err);
    if (rc == 0 && x->rejected)
        rc = examples_check(x->rejected, err);
    return rc;
}

int examples_next(struct examples *e, struct example *out, struct error *err)
{
    struct record record;
    forget(e);
    int rc = records_next(e->records, &record, err);
    if (rc <= 0)
        return rc;
    rc = record_parse_new(&e->record, &record, err);
    if (rc)
        return rc;
    struct example *x = &e->last;
    enum example_kind told = kind_of(e->record);
    *x = (struct example){.file = record.file, .line = record.line, .record = e->record,
        .kind = e->options.kind ? e->options.kind : told};
    if (told == EXAMPLE_AUTO && x->kind != EXAMPLE_PROMPT)
        rc = error_set(err, ERROR_FORMAT, "its keys tell no kind of example: messages, conversations, instruction and "
            "output, prompt and completion, chosen and rejected, prompt and answer, or text");
    else
        rc = make(x, err);
    if (rc == 0 && has(e->record, "tools"))
        rc = examples_tools_new(&e->tools, json_object_get(e->record, "tools"), err);
    x->tools = e->tools;
    if (rc == 0)
        rc = check(x, err);
    if (rc) {
        error_in(err, "%s:%llu", record.file, (unsigned long long)record.line);
        return rc;
    }
    *out = *x;
    return 1;
}
