/* SPDX-License-Identifier: Apache-2.0 */
/* ChatML and the families built on it: <|im_start|>ROLE\nCONTENT<|im_end|>\n. Qwen2 and SmolLM2 add a default system
 * message; Qwen2.5 and Qwen3 describe tools in it and write calls and results as tagged JSON; Qwen3 keeps thoughts of
 * the last turn. Its models of July 2025 think always, inside thoughts that the prompt opens, or never. <tool_call>,
 * <think> and the like are plain text here: vocabularies that have them as (not special) added tokens match them in
 * text, as the reference does. */
#include "text/chat/chat_impl.h"

static void open_message(struct chat_writer *w, const char *role)
{
    chat_token(w, "<|im_start|>");
    chat_text(w, role);
}

static void close_message(struct chat_writer *w)
{
    chat_token(w, "<|im_end|>");
    chat_silent(w);
    chat_text(w, "\n");
}

static void message(struct chat_writer *w, const char *role, const char *content)
{
    open_message(w, role);
    chat_text(w, "\n");
    chat_text(w, content);
    close_message(w);
}

static void said_message(struct chat_writer *w, const struct chat_message *m)
{
    open_message(w, m->role);
    chat_text(w, "\n");
    chat_says(w, m, CHAT_ANSWER);
    chat_text(w, m->content);
    close_message(w);
}

static void open_answer(struct chat_writer *w)
{
    open_message(w, "assistant");
    chat_text(w, "\n");
}

static int render_simple(struct chat_writer *w, const struct chat_request *r, const char *system)
{
    if (chat_has_tools(r))
        return chat_refuse(w, "it has no way to offer tools");
    if (system && r->n_messages > 0 && !chat_system(r))
        message(w, "system", system);
    for (size_t i = 0; i < r->n_messages; i++)
        said_message(w, &r->messages[i]);
    if (r->add_generation_prompt)
        open_answer(w);
    return 0;
}

static int render_chatml(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_simple(w, r, NULL);
}

static int render_qwen2(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_simple(w, r, "You are a helpful assistant.");
}

static int render_smollm2(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_simple(w, r, "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
}

static void tools_section(struct chat_writer *w, const struct chat_request *r)
{
    chat_text(w, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                 "You are provided with function signatures within <tools></tools> XML tags:\n<tools>");
    for (size_t i = 0; i < json_array_size(r->tools); i++) {
        chat_text(w, "\n");
        chat_json(w, json_array_get(r->tools, i), 0);
    }
    chat_text(w, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
                 "<tool_call></tool_call> XML tags:\n<tool_call>\n"
                 "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>");
}

static void call(struct chat_writer *w, const json_t *function)
{
    chat_text(w, "<tool_call>\n{\"name\": \"");
    chat_text(w, json_text(function, "name", ""));
    chat_text(w, "\", \"arguments\": ");
    chat_arguments(w, json_object_get(function, "arguments"));
    chat_text(w, "}\n</tool_call>");
}

/* Results of tools that follow each other share one user message. */
static void tool_result(struct chat_writer *w, const struct chat_request *r, size_t i)
{
    if (i == 0 || !chat_is(&r->messages[i - 1], "tool"))
        open_message(w, "user");
    chat_text(w, "\n<tool_response>\n");
    chat_text(w, r->messages[i].content);
    chat_text(w, "\n</tool_response>");
    if (i + 1 == r->n_messages || !chat_is(&r->messages[i + 1], "tool"))
        close_message(w);
}

/* ---- Qwen2.5 ---- */

static void qwen2_5_answer(struct chat_writer *w, const struct chat_message *m)
{
    open_message(w, "assistant");
    if (*chat_content(m) || !chat_call_count(m)) {
        chat_text(w, "\n");
        chat_says(w, m, CHAT_ANSWER);
        chat_text(w, m->content);
    }
    for (size_t k = 0; k < chat_call_count(m); k++) {
        bool prompted = k == 0 && !*chat_content(m); /* the line end belongs to the generation prompt */
        if (!prompted)
            chat_says(w, m, CHAT_TOOL_CALL);
        chat_text(w, "\n");
        if (prompted)
            chat_says(w, m, CHAT_TOOL_CALL);
        call(w, chat_call(m, k));
    }
    close_message(w);
}

static int render_qwen2_5(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", NULL};
    const struct chat_message *system = chat_system(r);
    (void)err;
    int rc = chat_check_roles(w, r, roles);
    if (rc)
        return rc;
    open_message(w, "system\n");
    chat_text(
        w, system ? chat_content(system) : "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    if (chat_has_tools(r)) {
        chat_text(w, "\n\n");
        tools_section(w, r);
    }
    close_message(w);
    for (size_t i = system ? 1 : 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "tool"))
            tool_result(w, r, i);
        else if (chat_is(m, "assistant"))
            qwen2_5_answer(w, m);
        else
            message(w, m->role, m->content);
    }
    if (r->add_generation_prompt)
        open_answer(w);
    return 0;
}

/* ---- Qwen3 ---- */

#define THINK "<think>"
#define THINK_END "</think>"

struct span {
    const char *at;
    size_t n;
};

static struct span strip_lines(struct span s, bool front, bool back)
{
    while (front && s.n > 0 && *s.at == '\n')
        s.at++, s.n--;
    while (back && s.n > 0 && s.at[s.n - 1] == '\n')
        s.n--;
    return s;
}

static const char *last_of(const char *text, const char *mark)
{
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, mark)); at++)
        last = at;
    return last;
}

/* Thoughts that a message carries apart, or inside its content between the tags. */
static void split_thoughts(const struct chat_message *m, struct span *thoughts, struct span *content)
{
    const char *text = chat_content(m), *end = strstr(text, THINK_END);
    *thoughts = (struct span){"", 0};
    *content = (struct span){text, strlen(text)};
    if (m->reasoning) {
        *thoughts = (struct span){m->reasoning, strlen(m->reasoning)};
    } else if (end) {
        const char *rest = last_of(text, THINK_END) + strlen(THINK_END);
        *content = strip_lines((struct span){rest, strlen(rest)}, true, false);
        *thoughts = strip_lines((struct span){text, (size_t)(end - text)}, false, true);
        for (size_t i = thoughts->n; i-- > 0;)
            if (thoughts->n - i >= strlen(THINK) && memcmp(thoughts->at + i, THINK, strlen(THINK)) == 0) {
                *thoughts = (struct span){thoughts->at + i + strlen(THINK), thoughts->n - i - strlen(THINK)};
                break;
            }
        *thoughts = strip_lines(*thoughts, true, false);
    }
}

/* Index of the last message in which the user asks something (a tool's result sent as the user's does not count). */
static size_t last_query(const struct chat_request *r)
{
    static const char open[] = "<tool_response>", end[] = "</tool_response>";
    for (size_t i = r->n_messages; i-- > 0;) {
        const char *text = r->messages[i].content;
        size_t n = text ? strlen(text) : 0;
        bool result =
            n >= strlen(end) && strncmp(text, open, strlen(open)) == 0 && strcmp(text + n - strlen(end), end) == 0;
        if (chat_is(&r->messages[i], "user") && text && !result)
            return i;
    }
    return r->n_messages ? r->n_messages - 1 : 0;
}

/* What the templates of the family differ in. */
struct qwen3 {
    bool empty_thoughts; /* the last answer is written with thoughts even where it has none */
    bool opens_thoughts; /* the generation prompt does */
    const char *prompt;  /* behind the generation prompt */
};

static void qwen3_answer(struct chat_writer *w, const struct chat_message *m, bool behind_query, bool last,
    const struct qwen3 *variant)
{
    struct span thoughts, content;
    split_thoughts(m, &thoughts, &content);
    open_message(w, "assistant\n");
    bool any_content = content.n > 0;
    if (behind_query && ((variant->empty_thoughts && last) || thoughts.n > 0)) {
        thoughts = strip_lines(thoughts, true, true);
        content = strip_lines(content, true, false);
        bool said = thoughts.n > 0;
        if (said && !variant->opens_thoughts)
            chat_says(w, m, CHAT_REASONING);
        chat_text(w, THINK "\n");
        if (said && variant->opens_thoughts)
            chat_says(w, m, CHAT_REASONING);
        chat_bytes(w, thoughts.at, thoughts.n);
        chat_text(w, "\n" THINK_END "\n\n");
    }
    chat_says(w, m, CHAT_ANSWER);
    chat_bytes(w, content.at, content.n);
    for (size_t k = 0; k < chat_call_count(m); k++) {
        chat_says(w, m, CHAT_TOOL_CALL);
        if (k > 0 || any_content)
            chat_text(w, "\n");
        call(w, chat_call(m, k));
    }
    close_message(w);
}

static int render_qwen3_like(struct chat_writer *w, const struct chat_request *r, const struct qwen3 *variant)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", NULL};
    const struct chat_message *system = chat_system(r);
    size_t query = last_query(r);
    int rc = chat_check_roles(w, r, roles);
    if (rc)
        return rc;
    if (chat_has_tools(r)) {
        open_message(w, "system\n");
        if (system) {
            chat_text(w, system->content);
            chat_text(w, "\n\n");
        }
        tools_section(w, r);
        close_message(w);
    } else if (system) {
        message(w, "system", system->content);
    }
    for (size_t i = system ? 1 : 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (chat_is(m, "tool"))
            tool_result(w, r, i);
        else if (chat_is(m, "assistant"))
            qwen3_answer(w, m, i > query, i + 1 == r->n_messages, variant);
        else
            message(w, m->role, m->content);
    }
    if (r->add_generation_prompt) {
        open_answer(w);
        chat_text(w, variant->prompt);
    }
    return 0;
}

static int render_qwen3(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_qwen3_like(w, r, &(struct qwen3){true, false,
        r->thinking == CHAT_THINKING_OFF ? THINK "\n\n" THINK_END "\n\n" : NULL});
}

static int render_qwen3_thinking(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_qwen3_like(w, r, &(struct qwen3){true, true, THINK "\n"});
}

static int render_qwen3_instruct(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    (void)err;
    return render_qwen3_like(w, r, &(struct qwen3){false, false, NULL});
}

/* ---- descriptors ---- */

#define LIST(...)                                                                                                      \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static const char *const controls[] = {"<|im_start|>", "<|im_end|>", NULL};
static const char *const stops[] = {"<|im_end|>", "<|endoftext|>", NULL};
static const struct chat_span call_span[] = {{"<tool_call>", "</tool_call>", CHAT_TOOL_CALL}, {0}};
static const struct chat_span qwen3_spans[] = {
    {THINK, THINK_END, CHAT_REASONING}, {"<tool_call>", "</tool_call>", CHAT_TOOL_CALL}, {0}};

const struct chat_format chat_chatml = {.name = "chatml",
    .summary = "ChatML, no default system message",
    .render = render_chatml,
    .controls = controls,
    .stops = stops,
    .marks = LIST("<|im_start|>", "<|im_end|>"),
    .unlike = LIST("You are", "tools", "think", "<|im_sep|>", "bos_token"),
    .vocabulary = LIST("<|im_start|>", "<|im_end|>")};

const struct chat_format chat_qwen2 = {.name = "qwen2",
    .summary = "Qwen1.5 and Qwen2: ChatML with a default system message",
    .render = render_qwen2,
    .controls = controls,
    .stops = stops,
    .marks = LIST("<|im_start|>", "You are a helpful assistant."),
    .unlike = LIST("tools", "think", "Alibaba", "<|im_sep|>", "bos_token")};

const struct chat_format chat_smollm2 = {.name = "smollm2",
    .summary = "SmolLM2: ChatML with its own system message",
    .render = render_smollm2,
    .controls = controls,
    .stops = stops,
    .marks = LIST("<|im_start|>", "named SmolLM, trained by Hugging Face"),
    .unlike = LIST("tools", "think")};

const struct chat_format chat_qwen2_5 = {.name = "qwen2.5",
    .summary = "Qwen2.5: ChatML with tools",
    .render = render_qwen2_5,
    .controls = controls,
    .stops = stops,
    .marks = LIST("<|im_start|>", "You are Qwen, created by Alibaba Cloud.", "<tool_response>"),
    .unlike = LIST("think"),
    .spans = call_span};

#define QWEN3_MARKS "<|im_start|>", "reasoning_content", "'<tool_call>\\n{\"name\": \"'", "<tool_response>"
#define QWEN3_UNLIKE "<function=", "<parameter=", "<|im_sep|>"

const struct chat_format chat_qwen3 = {.name = "qwen3",
    .summary = "Qwen3: ChatML with tools and thinking",
    .render = render_qwen3,
    .controls = controls,
    .stops = stops,
    .marks = LIST(QWEN3_MARKS, "enable_thinking"),
    .unlike = LIST(QWEN3_UNLIKE),
    .vocabulary = LIST("<|im_start|>", "<think>", "<tool_response>"),
    .spans = qwen3_spans,
    .thinking_switch = true};

const struct chat_format chat_qwen3_thinking = {.name = "qwen3-thinking",
    .summary = "Qwen3 Thinking 2507: the prompt opens the thoughts",
    .render = render_qwen3_thinking,
    .controls = controls,
    .stops = stops,
    .marks = LIST(QWEN3_MARKS, "<|im_start|>assistant\\n" THINK "\\n'"),
    .unlike = LIST(QWEN3_UNLIKE, "enable_thinking", "<|vision_start|>"),
    .spans = qwen3_spans,
    .opens_reasoning = true};

const struct chat_format chat_qwen3_instruct = {.name = "qwen3-instruct",
    .summary = "Qwen3 Instruct 2507: ChatML with tools, no thoughts",
    .render = render_qwen3_instruct,
    .controls = controls,
    .stops = stops,
    .marks = LIST(QWEN3_MARKS, "{{- '<|im_start|>assistant\\n' }}"),
    .unlike = LIST(QWEN3_UNLIKE, "enable_thinking", "<|vision_start|>", "assistant\\n" THINK),
    .spans = call_span};
