/* SPDX-License-Identifier: Apache-2.0 */
/* DeepSeek-R1's distillations: SYSTEM<｜User｜>CONTENT<｜Assistant｜>CONTENT<｜end▁of▁sentence｜>, where answers lose their
 * thoughts in the history and the newer templates put "<think>\n" behind the generation prompt. Marks of tools are
 * plain text: the distillations' vocabularies have no tokens for them. The templates write the end of a list of calls
 * behind its second and later calls alone, and open one list in a whole conversation; so does this. */
#include "text/chat/chat_impl.h"

#define USER "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"
#define CALLS "<｜tool▁calls▁begin｜>"
#define CALLS_END "<｜tool▁calls▁end｜>"
#define OUTPUTS_END "<｜tool▁outputs▁end｜>"
#define THINK "<think>"
#define THINK_END "</think>"

/* What the templates remember from message to message. */
struct memory {
    bool called;   /* a list of calls was opened */
    bool answered; /* a list of results was opened */
    bool results;  /* the last message was a result */
};

static void write_call(struct chat_writer *w, struct memory *m, const struct chat_message *said, size_t i)
{
    const json_t *call = json_array_get(said->tool_calls, i), *function = chat_call(said, i);
    bool more = m->called;
    if (!more)
        chat_token(w, ASSISTANT);
    chat_says(w, said, CHAT_TOOL_CALL);
    chat_text(w, more ? "\n" : CALLS);
    chat_text(w, "<｜tool▁call▁begin｜>");
    chat_text(w, json_text(call, "type", "function"));
    chat_text(w, "<｜tool▁sep｜>");
    chat_text(w, json_text(function, "name", ""));
    chat_text(w, "\n```json\n");
    chat_arguments(w, json_object_get(function, "arguments"));
    chat_text(w, "\n```<｜tool▁call▁end｜>");
    m->called = true;
    if (more) {
        chat_text(w, CALLS_END);
        chat_eos(w);
    }
    chat_silent(w);
}

static int answer(struct chat_writer *w, struct memory *m, const struct chat_message *said)
{
    const char *content = chat_content(said), *rest = content;
    size_t calls = chat_call_count(said);
    if (calls > 0 && *content)
        return chat_refuse(w, "its template drops the calls of a message that has words beside them");
    if (calls > 0) {
        m->results = false;
        for (size_t i = 0; i < calls; i++)
            write_call(w, m, said, i);
        return 0;
    }
    if (!said->content)
        return 0;
    for (const char *end = content; !m->results && (end = strstr(end, THINK_END));)
        rest = end += strlen(THINK_END);
    if (m->results)
        chat_text(w, OUTPUTS_END);
    else
        chat_token(w, ASSISTANT);
    chat_says(w, said, CHAT_ANSWER);
    chat_text(w, rest);
    chat_eos(w);
    chat_silent(w);
    m->results = false;
    return 0;
}

static void result(struct chat_writer *w, struct memory *m, const struct chat_message *said)
{
    chat_text(w, m->answered ? "\n" : "<｜tool▁outputs▁begin｜>");
    chat_text(w, "<｜tool▁output▁begin｜>");
    chat_text(w, said->content);
    chat_text(w, "<｜tool▁output▁end｜>");
    m->answered = m->results = true;
}

static int render_with(struct chat_writer *w, const struct chat_request *r, const char *behind_prompt)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", NULL};
    const char *system = NULL;
    struct memory memory = {0};
    int rc = chat_check_roles(w, r, roles);
    if (rc == 0 && chat_has_tools(r))
        rc = chat_refuse(w, "it has no way to offer tools");
    for (size_t i = 0; i < r->n_messages; i++)
        if (chat_is(&r->messages[i], "system")) /* the last one speaks for all */
            system = r->messages[i].content;
    chat_bos(w);
    chat_text(w, system);
    for (size_t i = 0; rc == 0 && i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "user")) {
            memory.results = false;
            chat_token(w, USER);
            chat_text(w, m->content);
        } else if (chat_is(m, "assistant")) {
            rc = answer(w, &memory, m);
        } else if (chat_is(m, "tool")) {
            result(w, &memory, m);
        }
    }
    if (rc == 0 && memory.results && r->add_generation_prompt)
        return chat_refuse(w, "its template opens no answer behind a tool's result");
    if (memory.results)
        chat_text(w, OUTPUTS_END);
    if (r->add_generation_prompt) {
        chat_token(w, ASSISTANT);
        chat_text(w, behind_prompt);
    }
    return rc;
}

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_with(w, r, THINK "\n");
}

static int render_first(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_with(w, r, NULL);
}

static const char *const controls[] = {USER, ASSISTANT, NULL};
static const char *const stops[] = {"<｜end▁of▁sentence｜>", NULL};
static const struct chat_span spans[] = {
    {THINK, THINK_END, CHAT_REASONING}, {CALLS, CALLS_END, CHAT_TOOL_CALL}, {0}};

#define MARKS USER, ASSISTANT, "split('" THINK_END "')[-1]", "message['content'] is none", "<｜tool▁sep｜>"

const struct chat_format chat_deepseek_r1 = {.name = "deepseek-r1",
    .summary = "DeepSeek-R1 distillations: the prompt opens the thoughts",
    .render = render,
    .controls = controls,
    .stops = stops,
    .marks = (const char *const[]){MARKS, ASSISTANT THINK "\\n'", NULL},
    .unlike = (const char *const[]){"enable_thinking", "<|im_start|>", NULL},
    .vocabulary = (const char *const[]){USER, ASSISTANT, THINK, NULL},
    .spans = spans,
    .opens_reasoning = true};

const struct chat_format chat_deepseek_r1_first = {.name = "deepseek-r1-first",
    .summary = "DeepSeek-R1 distillations as first published: the model opens its thoughts",
    .render = render_first,
    .controls = controls,
    .stops = stops,
    .marks = (const char *const[]){MARKS, ASSISTANT "'", NULL},
    .unlike = (const char *const[]){"enable_thinking", "<|im_start|>", THINK, NULL},
    .spans = spans};
