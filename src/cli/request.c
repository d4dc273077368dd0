/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/request.h"

#include <string.h>
#include <time.h>

static bool is_quiet(const struct loaded *l)
{
    return l->args->at[OPT_quiet].set;
}

static enum chat_effort effort_wanted(const struct loaded *l)
{
    const struct option_value *v = &l->args->at[OPT_reasoning];
    enum chat_effort e = v->set ? CHAT_EFFORT_NONE : CHAT_EFFORT_DEFAULT;
    while (v->set && strcmp(chat_effort_name(e), v->text) != 0)
        e++;
    return e;
}

/* What becomes of a wish: told as it is, told as something near it, or not at all. */
static void choose_effort(struct loaded *l)
{
    const struct chat_format *f = l->format;
    enum chat_effort wanted = effort_wanted(l);
    const char *name = chat_effort_name(wanted);
    l->request.effort = chat_effort_of(f, wanted);
    if (f->thinking_switch && (wanted == CHAT_EFFORT_NONE || l->budget == 0))
        l->request.thinking = CHAT_THINKING_OFF;
    else if (f->thinking_switch && wanted)
        l->request.thinking = CHAT_THINKING_ON;
    if (!wanted || is_quiet(l) || (f->efforts && l->request.effort == wanted))
        return;
    if (f->efforts)
        fprintf(stderr, "wazn: --reasoning %s: %s has no such level, it is told %s%s\n", name, f->name,
            chat_effort_name(l->request.effort),
            wanted == CHAT_EFFORT_NONE ? " (--reasoning-budget 0 goes straight to the answer)" : "");
    else if (f->thinking_switch && wanted != CHAT_EFFORT_NONE)
        fprintf(stderr, "wazn: --reasoning %s: %s only knows to think or not; it thinks\n", name, f->name);
    else if (!f->thinking_switch && chat_reasons(f))
        fprintf(stderr, "wazn: --reasoning %s: %s always thinks and cannot be told how much (--reasoning-budget N ends "
            "its thoughts)\n", name, f->name);
    else if (!chat_reasons(f))
        fprintf(stderr, "wazn: --reasoning %s: the chat format %s has no thoughts\n", name, f->name);
}

/* Harmony's models were trained with the day's date in front; where a format has a date of its own, that stays. */
static void choose_date(struct loaded *l)
{
    const struct option_value *v = &l->args->at[OPT_date];
    time_t now = time(NULL);
    struct tm day;
    if (v->set) {
        l->request.date = strcmp(v->text, "none") == 0 ? "" : v->text;
    } else if (l->format->dated && localtime_r(&now, &day)) {
        strftime(l->date, sizeof l->date, "%Y-%m-%d", &day);
        l->request.date = l->date;
    }
}

static void show_request(const struct loaded *l)
{
    const struct chat_request *r = &l->request;
    const char *effort = chat_effort_name(r->effort);
    if (is_quiet(l) || !l->format->efforts)
        return;
    fprintf(stderr, "wazn: the model is told: reasoning %s, date %s\n", effort ? effort : "medium",
        r->date && *r->date ? r->date : "none");
}

int request_prepare(struct loaded *l, struct error *err)
{
    static const enum option_id need_format[] = { OPT_reasoning, OPT_reasoning_budget, OPT_date };
    const struct option_value *at = l->args->at;
    l->request = (struct chat_request) { .add_generation_prompt = true };
    l->budget = at[OPT_reasoning_budget].set ? (int)at[OPT_reasoning_budget].whole : -1;
    for (size_t i = 0; !l->format && i < sizeof need_format / sizeof *need_format; i++)
        if (at[need_format[i]].set)
            return error_set(err, ERROR_USAGE, "--%s needs a chat format, and here the model only continues a text",
                options[need_format[i]].name);
    if (!l->format)
        return 0;
    choose_effort(l);
    if (l->budget >= 0 && !chat_reasons(l->format) && !is_quiet(l))
        fprintf(stderr, "wazn: --reasoning-budget %d: the chat format %s has no thoughts\n", l->budget,
            l->format->name);
    choose_date(l);
    l->request.response_schema = l->schema;
    show_request(l);
    return 0;
}

int request_render(const struct loaded *l, const struct chat_message *messages, size_t n, struct tokens *out,
    struct error *err)
{
    struct chat_request request = l->request;
    request.messages = messages;
    request.n_messages = n;
    return chat_render(l->format, l->tokenizer, &request, out, err);
}
