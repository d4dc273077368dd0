/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 3: <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|>, content trimmed. 3.1 and later always have a
 * system message, which tells dates, and give the tools to the model inside the first user message. */
#include "text/chat/chat_impl.h"

#define DATE "26 Jul 2024"

static void open_message(struct chat_writer *w, const char *role)
{
    chat_token(w, "<|start_header_id|>");
    chat_text(w, role);
    chat_token(w, "<|end_header_id|>");
    chat_text(w, "\n\n");
}

static void message(struct chat_writer *w, const struct chat_message *m)
{
    open_message(w, m->role);
    chat_says(w, m, CHAT_ANSWER);
    chat_trimmed(w, m->content);
    chat_token(w, "<|eot_id|>");
    chat_silent(w);
}

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    if (r->n_messages > 0)
        chat_bos(w);
    for (size_t i = 0; i < r->n_messages; i++)
        message(w, &r->messages[i]);
    if (r->add_generation_prompt)
        open_message(w, "assistant");
    return 0;
}

static void user_with_tools(struct chat_writer *w, const struct chat_request *r, const struct chat_message *m)
{
    open_message(w, "user");
    chat_text(w, "Given the following functions, please respond with a JSON for a function call "
                 "with its proper arguments that best answers the given prompt.\n\n"
                 "Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its "
                 "value}.Do not use variables.\n\n");
    for (size_t i = 0; i < json_array_size(r->tools); i++) {
        chat_json(w, json_array_get(r->tools, i), 4);
        chat_text(w, "\n\n");
    }
    chat_trimmed(w, m->content);
    chat_token(w, "<|eot_id|>");
}

static int tool_call(struct chat_writer *w, const struct chat_message *m)
{
    if (chat_call_count(m) != 1)
        return chat_refuse(w, "a message makes one call at a time");
    open_message(w, "assistant");
    chat_says(w, m, CHAT_TOOL_CALL);
    chat_text(w, "{\"name\": \"");
    chat_text(w, json_text(chat_call(m, 0), "name", ""));
    chat_text(w, "\", \"parameters\": ");
    chat_arguments(w, json_object_get(chat_call(m, 0), "arguments"));
    chat_text(w, "}");
    chat_token(w, "<|eot_id|>");
    chat_silent(w);
    return 0;
}

static int tool_result(struct chat_writer *w, const struct chat_message *m, struct error *err)
{
    json_t *text = json_string(chat_content(m));
    if (!text)
        return error_set(err, ERROR_USAGE, "the result of a tool is not UTF-8");
    open_message(w, "ipython");
    chat_json(w, text, 0);
    chat_token(w, "<|eot_id|>");
    json_decref(text);
    return 0;
}

static int render_3_1(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    const struct chat_message *system = chat_system(r);
    size_t first = system ? 1 : 0;
    int rc = 0;
    chat_bos(w);
    open_message(w, "system");
    if (chat_has_tools(r))
        chat_text(w, "Environment: ipython\n");
    chat_text(w, "Cutting Knowledge Date: December 2023\nToday Date: ");
    chat_text(w, r->date ? r->date : DATE);
    chat_text(w, "\n\n");
    if (system)
        chat_trimmed(w, system->content);
    chat_token(w, "<|eot_id|>");
    if (chat_has_tools(r)) {
        if (first >= r->n_messages)
            return chat_refuse(w, "tools go into the first user message, and there is none");
        user_with_tools(w, r, &r->messages[first++]);
    }
    for (size_t i = first; i < r->n_messages && rc == 0; i++) {
        const struct chat_message *m = &r->messages[i];
        if (m->tool_calls)
            rc = tool_call(w, m);
        else if (chat_is(m, "tool") || chat_is(m, "ipython"))
            rc = tool_result(w, m, err);
        else
            message(w, m);
    }
    if (rc == 0 && r->add_generation_prompt)
        open_message(w, "assistant");
    return rc;
}

static const char *const controls[] = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", NULL};
static const char *const stops[] = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", NULL};

const struct chat_format chat_llama3 = {.name = "llama3",
    .summary = "Llama 3",
    .render = render,
    .controls = controls,
    .stops = stops,
    .marks = (const char *const[]){"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", NULL},
    .unlike = (const char *const[]){"Cutting Knowledge", "tools", "think", "Environment", NULL},
    .vocabulary = (const char *const[]){"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", NULL}};

const struct chat_format chat_llama3_1 = {.name = "llama3.1",
    .summary = "Llama 3.1, 3.2 and 3.3: dates and tools",
    .render = render_3_1,
    .controls = controls,
    .stops = stops,
    .marks = (const char *const[]){"<|start_header_id|>", "Cutting Knowledge Date", "date_string", NULL},
    .vocabulary = (const char *const[]){"<|start_header_id|>", "<|eom_id|>", "<|python_tag|>", NULL}};
