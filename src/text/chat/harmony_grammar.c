/* SPDX-License-Identifier: Apache-2.0 */
/* The headers a harmony reply may have, as lists of tokens: a token may come if some header goes on with it behind what
 * the message has so far. In content only the right end token may come, of all control tokens. */
#include "text/chat/harmony_impl.h"

#include <stdlib.h>

struct chat_grammar {
    const struct tokenizer *tokenizer;
    int32_t controls[HARMONY_CONTROLS], vocabulary;
    struct tokens headers;             /* one behind the other, each with its length in front */
    struct tokens role;                /* <|start|>assistant, in front of all headers but the first */
    size_t words;                      /* of a set */
    uint64_t *sets[CHAT_CHANNELS + 1]; /* what may come in content, by channel; the last: in a header */
};

static void set_bit(uint64_t *set, int32_t id, bool on)
{
    uint64_t bit = (uint64_t)1 << (id & 63);
    set[id >> 6] = on ? set[id >> 6] | bit : set[id >> 6] & ~bit;
}

/* ---- the headers ---- */

static int add_text(const struct chat_grammar *g, struct tokens *out, const char *text, struct error *err)
{
    return tokenizer_encode(g->tokenizer, text, strlen(text), TOKENIZE_CONTINUE, out, err);
}

/* A header from its front (behind the role), its channel, and what follows the channel; `json`: the type that only a
 * control token can write. */
static int add_header(
    struct chat_grammar *g, const char *front, const char *channel, const char *behind, bool json, struct error *err)
{
    struct buffer text = {0};
    size_t at = g->headers.used;
    tokens_add(&g->headers, 0);
    int rc = add_text(g, &g->headers, front, err);
    tokens_add(&g->headers, g->controls[HARMONY_CHANNEL]);
    buffer_printf(&text, "%s%s%s", channel, behind, json ? " " : "");
    if (rc == 0)
        rc = buffer_check(&text, "a header", err);
    if (rc == 0)
        rc = add_text(g, &g->headers, text.data, err);
    buffer_release(&text);
    if (json)
        tokens_add(&g->headers, g->controls[HARMONY_CONSTRAIN]);
    if (json && rc == 0)
        rc = add_text(g, &g->headers, "json", err);
    tokens_add(&g->headers, g->controls[HARMONY_MESSAGE]);
    if (rc == 0)
        rc = tokens_check(&g->headers, err);
    if (rc == 0)
        g->headers.ids[at] = (int32_t)(g->headers.used - at - 1);
    return rc;
}

/* Calls of one tool: the recipient in front of the channel or behind it, the content's type or none. */
static int add_call(
    struct chat_grammar *g, const char *channel, const char *recipient, const char *type, struct error *err)
{
    struct buffer to = {0}, typed = {0}, bare = {0};
    buffer_printf(&to, " to=%s", recipient);
    buffer_printf(&typed, " to=%s %s", recipient, type);
    buffer_printf(&bare, " %s", type);
    int rc = buffer_check(&to, "a header", err);
    if (rc == 0)
        rc = buffer_check(&typed, "a header", err);
    if (rc == 0)
        rc = buffer_check(&bare, "a header", err);
    if (rc == 0)
        rc = add_header(g, to.data, channel, "", false, err);
    if (rc == 0)
        rc = add_header(g, to.data, channel, bare.data, false, err);
    if (rc == 0)
        rc = add_header(g, "", channel, to.data, false, err);
    if (rc == 0)
        rc = add_header(g, "", channel, typed.data, false, err);
    if (rc == 0 && strcmp(type, "json") == 0)
        rc = add_header(g, to.data, channel, "", true, err);
    if (rc == 0 && strcmp(type, "json") == 0)
        rc = add_header(g, "", channel, to.data, true, err);
    buffer_release(&to);
    buffer_release(&typed);
    buffer_release(&bare);
    return rc;
}

static int add_functions(struct chat_grammar *g, const json_t *tools, struct error *err)
{
    struct buffer name = {0};
    int rc = 0;
    for (size_t i = 0; i < json_array_size(tools) && rc == 0; i++) {
        const json_t *tool = json_array_get(tools, i), *function = json_object_get(tool, "function");
        buffer_clear(&name);
        buffer_printf(&name, "functions.%s", json_text(function ? function : tool, "name", ""));
        rc = buffer_check(&name, "a header", err);
        if (rc == 0)
            rc = add_call(g, "commentary", name.data, "json", err);
    }
    buffer_release(&name);
    return rc;
}

static int add_builtins(struct chat_grammar *g, unsigned builtins, struct error *err)
{
    static const char *const channels[] = {"analysis", "commentary"};
    static const char *const pages[] = {"browser.search", "browser.open", "browser.find"};
    int rc = 0;
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < 3 && rc == 0 && builtins & CHAT_BROWSER; i++) {
            rc = add_call(g, channels[c], pages[i], "json", err);
            if (rc == 0)
                rc = add_call(g, channels[c], pages[i], "code", err);
        }
        if (rc == 0 && builtins & CHAT_PYTHON)
            rc = add_call(g, channels[c], "python", "code", err);
    }
    return rc;
}

static int add_headers(struct chat_grammar *g, const struct chat_request *r, struct error *err)
{
    int rc = add_header(g, "", "analysis", "", false, err);
    if (rc == 0)
        rc = add_header(g, "", "final", "", false, err);
    if (rc == 0 && r->response_schema)
        rc = add_header(g, "", "final", "", true, err);
    if (rc == 0 && (chat_has_tools(r) || r->builtins))
        rc = add_header(g, "", "commentary", "", false, err);
    if (rc == 0)
        rc = add_functions(g, r->tools, err);
    return rc ? rc : add_builtins(g, r->builtins, err);
}

/* ---- content ---- */

static int make_sets(struct chat_grammar *g, struct error *err)
{
    static const int ends[CHAT_CHANNELS] = {[CHAT_ANSWER] = HARMONY_RETURN,
        [CHAT_REASONING] = HARMONY_END,
        [CHAT_TOOL_CALL] = HARMONY_CALL,
        [CHAT_PREAMBLE] = HARMONY_END};
    g->words = ((size_t)g->vocabulary + 63) / 64;
    for (int c = 0; c <= CHAT_CHANNELS; c++) {
        g->sets[c] = calloc(g->words, sizeof *g->sets[c]);
        if (!g->sets[c])
            return error_memory(err, g->words * sizeof *g->sets[c], "a set of tokens");
    }
    for (int32_t id = 0; id < tokenizer_size(g->tokenizer) && id < g->vocabulary; id++) {
        enum token_kind kind = tokenizer_kind(g->tokenizer, id);
        for (int c = 0; c < CHAT_CHANNELS; c++)
            set_bit(g->sets[c], id, kind != TOKEN_CONTROL && kind != TOKEN_UNUSED && kind != TOKEN_UNKNOWN);
    }
    for (int c = 0; c < CHAT_CHANNELS; c++)
        set_bit(g->sets[c], g->controls[ends[c]], true);
    return 0;
}

static int open_grammar(struct chat_grammar *g, const struct chat_request *r, struct error *err)
{
    for (int i = 0; i < HARMONY_CONTROLS; i++)
        if (g->controls[i] < 0 || g->controls[i] >= g->vocabulary)
            return error_set(err, ERROR_USAGE, "chat format harmony needs the token \"%s\", which the vocabulary lacks",
                harmony_controls[i]);
    tokens_add(&g->role, g->controls[HARMONY_START]);
    int rc = add_text(g, &g->role, "assistant", err);
    if (rc == 0)
        rc = tokens_check(&g->role, err);
    if (rc == 0)
        rc = add_headers(g, r, err);
    return rc ? rc : make_sets(g, err);
}

int chat_grammar_open(struct chat_grammar **out, const struct chat_format *f, const struct tokenizer *t,
    int32_t vocabulary, const struct chat_request *r, struct error *err)
{
    *out = NULL;
    if (f != &chat_harmony)
        return 0;
    struct chat_grammar *g = calloc(1, sizeof *g);
    if (!g)
        return error_memory(err, sizeof *g, "a grammar of headers");
    g->tokenizer = t;
    g->vocabulary = vocabulary;
    harmony_find_controls(t, g->controls);
    int rc = open_grammar(g, r, err);
    if (rc) {
        chat_grammar_close(g);
        return rc;
    }
    *out = g;
    return 0;
}

void chat_grammar_close(struct chat_grammar *g)
{
    if (!g)
        return;
    tokens_release(&g->headers);
    tokens_release(&g->role);
    for (int c = 0; c <= CHAT_CHANNELS; c++)
        free(g->sets[c]);
    free(g);
}

/* ---- the next token ---- */

/* How a list goes on behind `n` ids, if it begins with them: its next id, or -1. */
static int32_t next_of(const int32_t *list, size_t length, const int32_t *ids, size_t n)
{
    return n < length && (n == 0 || memcmp(list, ids, n * sizeof *ids) == 0) ? list[n] : -1;
}

static const uint64_t *one(const struct chat_grammar *g, int32_t id)
{
    set_bit(g->sets[CHAT_CHANNELS], id, true);
    return g->sets[CHAT_CHANNELS];
}

const uint64_t *chat_grammar_next(const struct chat_grammar *g, const struct chat_parser *p)
{
    const struct tokens *said = &p->header.ids;
    const int32_t *behind = said->ids; /* the role */
    size_t skip = 0, found = 0;
    if (harmony_in_content(p))
        return g->sets[p->channel];
    memset(g->sets[CHAT_CHANNELS], 0, g->words * sizeof(uint64_t));
    if (said->used == 0 && p->messages > 0)
        return one(g, g->controls[HARMONY_START]);
    if (said->used > 0 && said->ids[0] == g->controls[HARMONY_START]) {
        int32_t id = next_of(g->role.ids, g->role.used, said->ids, said->used);
        if (id >= 0)
            return one(g, id);
        skip = g->role.used;
        if (said->used < skip || memcmp(said->ids, g->role.ids, skip * sizeof *said->ids) != 0)
            return NULL;
        behind += skip;
    }
    for (size_t at = 0; at < g->headers.used; at += (size_t)g->headers.ids[at] + 1) {
        int32_t id = next_of(g->headers.ids + at + 1, (size_t)g->headers.ids[at], behind, said->used - skip);
        if (id >= 0)
            set_bit(g->sets[CHAT_CHANNELS], id, true);
        found += id >= 0;
    }
    return found ? g->sets[CHAT_CHANNELS] : NULL;
}
