/* SPDX-License-Identifier: Apache-2.0 */
/* The history of a harmony conversation. Thoughts of a finished turn are left out: whatever lies on the channel
 * "analysis" before the last answer. The open turn keeps its own: between calls and results the model needs them.
 * (The reference library drops only what lies before the first answer; its documentation says what is done here.) */
#include "text/chat/harmony_impl.h"

/* ---- one message ---- */

static void say(struct chat_writer *w, const struct harmony_message *m)
{
    bool thought = m->channel && strcmp(m->channel, "analysis") == 0;
    if (m->said)
        chat_says(w, m->said, m->call ? CHAT_TOOL_CALL : thought ? CHAT_REASONING : CHAT_ANSWER);
}

static void header(struct chat_writer *w, const struct harmony_message *m)
{
    const char *constrain = harmony_controls[HARMONY_CONSTRAIN], *type = m->content_type ? m->content_type : "";
    if (m->goes_on)
        say(w, m);
    chat_token(w, harmony_controls[HARMONY_START]);
    chat_text(w, m->role);
    if (!m->goes_on)
        say(w, m);
    if (m->name && *m->name) {
        chat_text(w, ":");
        chat_text(w, m->name);
    }
    if (m->recipient && *m->recipient && strcmp(m->recipient, "all") != 0) {
        chat_text(w, " to=");
        chat_text(w, m->recipient);
    }
    if (m->channel && *m->channel) {
        chat_token(w, harmony_controls[HARMONY_CHANNEL]);
        chat_text(w, m->channel);
    }
    if (*type)
        chat_text(w, " ");
    if (strncmp(type, constrain, strlen(constrain)) == 0) {
        chat_token(w, constrain);
        type += strlen(constrain);
    }
    chat_text(w, type);
}

void harmony_message(struct chat_writer *w, const struct harmony_message *m)
{
    header(w, m);
    chat_token(w, harmony_controls[HARMONY_MESSAGE]);
    chat_text(w, m->content);
    chat_token(w, harmony_controls[m->call ? HARMONY_CALL : HARMONY_END]);
    /* The end of an answer is what history has: the model itself returns. */
    if (m->channel && strcmp(m->channel, "final") == 0)
        chat_says_last(w, harmony_controls[HARMONY_RETURN]);
    chat_silent(w);
}

/* ---- sampled turns ---- */

/* A message in the ids of a turn: [from, to), with its end token where it has one. */
struct piece {
    size_t from, to;
    bool analysis, final;
};

/* Whether the text of the ids from `at` on begins with a word. */
static bool says(const struct tokenizer *t, const struct chat_message *m, size_t at, const char *word)
{
    struct buffer text = {0};
    size_t n = strlen(word);
    for (; at < m->n_ids && text.used < n && tokenizer_kind(t, m->ids[at]) != TOKEN_CONTROL && !text.failed; at++)
        if (tokenizer_decode(t, &m->ids[at], 1, false, &text, NULL))
            break;
    bool same = text.used >= n && memcmp(text.data, word, n) == 0;
    buffer_release(&text);
    return same;
}

static bool next_piece(
    const struct tokenizer *t, const int32_t *controls, const struct chat_message *m, struct piece *p)
{
    size_t at = p->to;
    bool in_header = true;
    *p = (struct piece){.from = at, .to = at};
    for (; at < m->n_ids; at++) {
        int control = harmony_control_of(controls, m->ids[at]);
        if (control == HARMONY_START && at > p->from)
            break; /* a message that was never ended */
        if (control == HARMONY_MESSAGE)
            in_header = false;
        if (control == HARMONY_CHANNEL && in_header) {
            p->analysis = says(t, m, at + 1, "analysis");
            p->final = says(t, m, at + 1, "final");
        }
        if (control == HARMONY_END || control == HARMONY_RETURN || control == HARMONY_CALL) {
            at++;
            break;
        }
    }
    p->to = at;
    return p->to > p->from;
}

/* The turn as it was sampled, without its thoughts where it is finished. A turn's last token is always an end: never
 * <|return|>, which only tells that sampling stopped. */
static void replay(struct chat_writer *w, const struct chat_message *m, bool drop_analysis)
{
    int32_t controls[HARMONY_CONTROLS];
    struct piece p = {0};
    harmony_find_controls(w->tokenizer, controls);
    while (next_piece(w->tokenizer, controls, m, &p)) {
        int last = harmony_control_of(controls, m->ids[p.to - 1]);
        if (p.analysis && drop_analysis)
            continue;
        if (harmony_control_of(controls, m->ids[p.from]) != HARMONY_START) {
            chat_token(w, harmony_controls[HARMONY_START]);
            chat_text(w, "assistant");
        }
        bool ended = last == HARMONY_END || last == HARMONY_CALL;
        for (size_t i = p.from; i < p.to - (last == HARMONY_RETURN); i++)
            chat_id(w, m->ids[i]);
        if (!ended)
            chat_token(w, harmony_controls[HARMONY_END]);
    }
}

static bool replay_is_final(const struct chat_writer *w, const struct chat_message *m)
{
    int32_t controls[HARMONY_CONTROLS];
    struct piece p = {0};
    bool final = false;
    harmony_find_controls(w->tokenizer, controls);
    while (next_piece(w->tokenizer, controls, m, &p))
        final |= p.final;
    return final;
}

static int check_ids(struct chat_writer *w, const struct chat_message *m)
{
    int32_t size = tokenizer_size(w->tokenizer);
    for (size_t i = 0; i < m->n_ids; i++)
        if (m->ids[i] < 0 || m->ids[i] >= size)
            return error_set(w->err, ERROR_USAGE, "token %d of a sampled turn is not in the vocabulary of %d tokens",
                m->ids[i], size);
    return 0;
}

/* ---- turns told by their parts ---- */

static const char *channel_of(const struct chat_message *m)
{
    if (m->channel)
        return m->channel;
    return chat_call_count(m) ? "commentary" : "final";
}

static int call(struct chat_writer *w, const struct chat_message *m, size_t i, bool goes_on)
{
    const json_t *function = chat_call(m, i);
    const char *name = json_text(function, "name", "");
    const json_t *arguments = json_object_get(function, "arguments");
    if (goes_on)
        chat_says(w, m, CHAT_TOOL_CALL);
    chat_token(w, harmony_controls[HARMONY_START]);
    chat_text(w, "assistant");
    if (!goes_on)
        chat_says(w, m, CHAT_TOOL_CALL);
    chat_text(w, " to=functions.");
    chat_text(w, name);
    chat_token(w, harmony_controls[HARMONY_CHANNEL]);
    chat_text(w, "commentary ");
    chat_token(w, harmony_controls[HARMONY_CONSTRAIN]);
    chat_text(w, "json");
    chat_token(w, harmony_controls[HARMONY_MESSAGE]);
    if (json_is_string(arguments))
        chat_text(w, json_string_value(arguments));
    else if (arguments)
        chat_json(w, arguments, JSON_WRITE_COMPACT);
    else
        chat_text(w, "{}");
    chat_token(w, harmony_controls[HARMONY_CALL]);
    chat_silent(w);
    return w->rc;
}

/* The message before is the assistant's and did not end its turn, as calls and answers do. */
static bool goes_on(const struct chat_request *r, size_t i)
{
    const struct chat_message *before = i > 0 ? &r->messages[i - 1] : NULL;
    return before && chat_is(before, "assistant") && !chat_call_count(before) && !before->recipient &&
           strcmp(channel_of(before), "final") != 0;
}

static int assistant(struct chat_writer *w, const struct chat_request *r, size_t i, bool drop_analysis)
{
    const struct chat_message *m = &r->messages[i];
    struct harmony_message said = {.role = "assistant",
        .name = m->name,
        .recipient = m->recipient,
        .channel = channel_of(m),
        .content_type = m->content_type,
        .content = m->content,
        .call = m->recipient && *m->recipient,
        .said = m,
        .goes_on = goes_on(r, i)};
    bool hidden = drop_analysis && strcmp(said.channel, "analysis") == 0;
    int rc = 0;
    if (m->reasoning && *m->reasoning && !drop_analysis) {
        harmony_message(w, &(struct harmony_message){.role = "assistant", .channel = "analysis",
                               .content = m->reasoning, .said = m, .goes_on = said.goes_on});
        said.goes_on = true;
    }
    if (m->content && !hidden && (*m->content || chat_call_count(m) == 0)) {
        harmony_message(w, &said);
        said.goes_on = true;
    }
    for (size_t k = 0; k < chat_call_count(m) && rc == 0; k++)
        rc = call(w, m, k, k == 0 && said.goes_on);
    return rc;
}

/* ---- results of tools ---- */

static const char *called_name(const struct chat_request *r, size_t before, const char *id)
{
    for (size_t i = before; i-- > 0;) {
        const struct chat_message *m = &r->messages[i];
        for (size_t k = 0; k < chat_call_count(m); k++)
            if (strcmp(json_text(json_array_get(m->tool_calls, k), "id", ""), id) == 0)
                return json_text(chat_call(m, k), "name", NULL);
    }
    return NULL;
}

/* "functions.NAME", unless the name has its namespace or is python, the one tool without. */
static int tool(struct chat_writer *w, const struct chat_request *r, size_t i)
{
    const struct chat_message *m = &r->messages[i];
    const char *name = m->name;
    struct buffer role = {0};
    if (!name && m->tool_call_id)
        name = called_name(r, i, m->tool_call_id);
    if (!name)
        return chat_refuse(w, "a tool's message needs its name, or the id of an earlier call");
    bool whole = strchr(name, '.') || (r->builtins & CHAT_PYTHON && strcmp(name, "python") == 0);
    buffer_printf(&role, "%s%s", whole ? "" : "functions.", name);
    int rc = buffer_check(&role, "the name of a tool", w->err);
    if (rc == 0)
        harmony_message(w, &(struct harmony_message){.role = role.data,
                               .recipient = m->recipient ? m->recipient : "assistant",
                               .channel = m->channel ? m->channel : "commentary",
                               .content_type = m->content_type,
                               .content = m->content});
    buffer_release(&role);
    return rc;
}

/* ---- all of it ---- */

static bool is_final(const struct chat_writer *w, const struct chat_message *m)
{
    if (!chat_is(m, "assistant"))
        return m->channel && strcmp(m->channel, "final") == 0;
    if (m->ids)
        return replay_is_final(w, m);
    return m->content && strcmp(channel_of(m), "final") == 0;
}

static int one(struct chat_writer *w, const struct chat_request *r, size_t i, bool drop_analysis)
{
    const struct chat_message *m = &r->messages[i];
    struct harmony_message said = {.role = m->role,
        .name = m->name,
        .recipient = m->recipient,
        .channel = m->channel,
        .content_type = m->content_type,
        .content = m->content};
    bool developer = chat_is(m, "system") || chat_is(m, "developer");
    if (chat_is(m, "assistant") && m->ids) {
        replay(w, m, drop_analysis);
        return w->rc;
    }
    if (chat_is(m, "assistant"))
        return assistant(w, r, i, drop_analysis);
    if (drop_analysis && m->channel && strcmp(m->channel, "analysis") == 0)
        return 0;
    if (chat_is(m, "tool"))
        return tool(w, r, i);
    if (!developer) {
        harmony_message(w, &said);
        return 0;
    }
    struct buffer text = {0};
    buffer_printf(&text, "# Instructions\n\n%s", chat_content(m));
    int rc = buffer_check(&text, "a developer message", w->err);
    said.role = "developer";
    said.content = text.data;
    if (rc == 0)
        harmony_message(w, &said);
    buffer_release(&text);
    return rc;
}

int harmony_history(struct chat_writer *w, const struct chat_request *r, size_t first)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    size_t finished = 0; /* messages before this one belong to finished turns */
    int rc = chat_check_roles(w, r, roles);
    for (size_t i = first; i < r->n_messages && rc == 0; i++) {
        rc = check_ids(w, &r->messages[i]);
        if (rc == 0 && is_final(w, &r->messages[i]))
            finished = i + 1;
    }
    for (size_t i = first; i < r->n_messages && rc == 0; i++)
        rc = one(w, r, i, i < finished && !r->keep_reasoning);
    return rc ? rc : w->rc;
}
