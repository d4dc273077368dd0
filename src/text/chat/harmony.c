/* SPDX-License-Identifier: Apache-2.0 */
/* The front of a harmony conversation: what the model is told about itself (system), and by whom it is used
 * (developer: instructions, functions, response format). */
#include "text/chat/harmony_impl.h"

#define IDENTITY "You are ChatGPT, a large language model trained by OpenAI."
#define CUTOFF "2024-06"

const char *const harmony_controls[HARMONY_CONTROLS + 1] = {[HARMONY_START] = "<|start|>",
    [HARMONY_CHANNEL] = "<|channel|>",
    [HARMONY_CONSTRAIN] = "<|constrain|>",
    [HARMONY_MESSAGE] = "<|message|>",
    [HARMONY_END] = "<|end|>",
    [HARMONY_RETURN] = "<|return|>",
    [HARMONY_CALL] = "<|call|>",
    [HARMONY_CONTROLS] = NULL};

void harmony_find_controls(const struct tokenizer *t, int32_t controls[HARMONY_CONTROLS])
{
    for (int i = 0; i < HARMONY_CONTROLS; i++)
        controls[i] = tokenizer_find(t, harmony_controls[i], strlen(harmony_controls[i]));
}

int harmony_control_of(const int32_t controls[HARMONY_CONTROLS], int32_t id)
{
    for (int i = 0; id >= 0 && i < HARMONY_CONTROLS; i++)
        if (controls[i] == id)
            return i;
    return -1;
}

/* The built-in tools in the words the model was trained with. */
static const char browser[] =
    "## browser\n"
    "\n"
    "// Tool for browsing.\n"
    "// The `cursor` appears in brackets before each browsing display: `[{cursor}]`.\n"
    "// Cite information from the tool using the following format:\n"
    "// `【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.\n"
    "// Do not quote more than 10 words directly from the tool output.\n"
    "// sources=web (default: web)\n"
    "namespace browser {\n"
    "\n"
    "// Searches for information related to `query` and displays `topn` results.\n"
    "type search = (_: {\n"
    "query: string,\n"
    "topn?: number, // default: 10\n"
    "source?: string,\n"
    "}) => any;\n"
    "\n"
    "// Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, "
    "showing `num_lines` lines.\n"
    "// Valid link ids are displayed with the formatting: `【{id}†.*】`.\n"
    "// If `cursor` is not provided, the most recent page is implied.\n"
    "// If `id` is a string, it is treated as a fully qualified URL associated with `source`.\n"
    "// If `loc` is not provided, the viewport will be positioned at the beginning of the "
    "document or centered on the most relevant passage, if available.\n"
    "// Use this function without `id` to scroll to a new location of an opened page.\n"
    "type open = (_: {\n"
    "id?: number | string, // default: -1\n"
    "cursor?: number, // default: -1\n"
    "loc?: number, // default: -1\n"
    "num_lines?: number, // default: -1\n"
    "view_source?: boolean, // default: false\n"
    "source?: string,\n"
    "}) => any;\n"
    "\n"
    "// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.\n"
    "type find = (_: {\n"
    "pattern: string,\n"
    "cursor?: number, // default: -1\n"
    "}) => any;\n"
    "\n"
    "} // namespace browser";

static const char python[] =
    "## python\n"
    "\n"
    "Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool "
    "should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when "
    "creating plots, tables, or files).\n"
    "\n"
    "When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook "
    "environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at "
    "'/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on "
    "the cluster.";

/* Sections are parted by an empty line. */
static void section(struct buffer *b, const char *text)
{
    if (b->used)
        buffer_add_text(b, "\n\n");
    buffer_add_text(b, text);
}

static void fact(struct buffer *b, const char *label, const char *value)
{
    if (!*value)
        return;
    if (b->used)
        buffer_add_byte(b, '\n');
    buffer_printf(b, "%s%s", label, value);
}

static void system_text(struct buffer *b, const struct chat_request *r)
{
    enum chat_effort effort = chat_effort_of(&chat_harmony, r->effort);
    fact(b, "", r->identity ? r->identity : IDENTITY);
    fact(b, "Knowledge cutoff: ", r->cutoff ? r->cutoff : CUTOFF);
    fact(b, "Current date: ", r->date ? r->date : "");
    section(b, "Reasoning: ");
    buffer_add_text(b, chat_effort_name(effort ? effort : CHAT_EFFORT_MEDIUM));
    if (r->builtins)
        section(b, "# Tools");
    if (r->builtins & CHAT_BROWSER)
        section(b, browser);
    if (r->builtins & CHAT_PYTHON)
        section(b, python);
    section(b, "# Valid channels: analysis, commentary, final. Channel must be included for every message.");
    if (chat_has_tools(r))
        buffer_add_text(b, "\nCalls to these tools must go to the commentary channel: 'functions'.");
}

static void response_format(struct buffer *b, const struct chat_request *r)
{
    section(b, "# Response Formats\n\n## ");
    buffer_add_text(b, r->response_name ? r->response_name : "response");
    buffer_add_text(b, "\n\n");
    if (r->response_description && *r->response_description)
        buffer_printf(b, "// %s\n", r->response_description);
    json_write(b, r->response_schema, JSON_WRITE_COMPACT);
}

static bool instructs(const struct chat_message *m)
{
    return chat_is(m, "system") || chat_is(m, "developer");
}

/* The messages in front that instruct, joined, with functions and response format; *first: the one behind them. */
static int developer_text(struct buffer *b, const struct chat_request *r, size_t *first, struct error *err)
{
    int rc = 0;
    *first = 0;
    while (*first < r->n_messages && instructs(&r->messages[*first])) {
        const char *said = chat_content(&r->messages[(*first)++]);
        if (*said && !b->used)
            section(b, "# Instructions");
        if (*said)
            section(b, said);
    }
    if (chat_has_tools(r)) {
        section(b, "");
        rc = harmony_tools(b, r->tools, err);
    }
    if (r->response_schema)
        response_format(b, r);
    return rc ? rc : buffer_check(b, "a developer message", err);
}

static int render(struct chat_writer *w, const struct chat_request *r, struct error *err)
{
    struct buffer system = {0}, developer = {0};
    size_t first;
    system_text(&system, r);
    int rc = buffer_check(&system, "a system message", err);
    if (rc == 0)
        rc = developer_text(&developer, r, &first, err);
    if (rc == 0) {
        harmony_message(w, &(struct harmony_message){.role = "system", .content = system.data});
        if (developer.used)
            harmony_message(w, &(struct harmony_message){.role = "developer", .content = developer.data});
        rc = harmony_history(w, r, first);
    }
    buffer_release(&system);
    buffer_release(&developer);
    if (rc == 0 && r->add_generation_prompt) {
        chat_token(w, harmony_controls[HARMONY_START]);
        chat_text(w, "assistant");
    }
    return rc;
}

const struct chat_format chat_harmony = {.name = "harmony",
    .summary = "gpt-oss: channels, reasoning effort, tools",
    .render = render,
    .controls = harmony_controls,
    .stops = (const char *const[]){"<|return|>", "<|call|>", "<|endoftext|>", NULL},
    .marks = (const char *const[]){"<|start|>", "<|channel|>", "<|message|>", "analysis", NULL},
    .vocabulary = (const char *const[]){"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|return|>", NULL},
    .reader = &harmony_reader,
    .dated = true,
    .samples_whole = true,
    .efforts = 1u << CHAT_EFFORT_LOW | 1u << CHAT_EFFORT_MEDIUM | 1u << CHAT_EFFORT_HIGH};
