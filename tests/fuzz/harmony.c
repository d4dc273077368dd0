/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a harmony reply: below 0xe0 a token of text each, above a control token. Whatever comes is read without an
 * error and every token counted once; what the grammar allows all the way breaks no rule; the same ids replayed as an
 * earlier turn keep the frame of messages. */
#include "base/utf8.h"
#include "small_spm.h"
#include "text/chat/chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { START, CHANNEL, CONSTRAIN, MESSAGE, END, RETURN, CALL, TEXT_END, CONTROLS };
static const char *const controls[CONTROLS] = {
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"};

static const struct tokenizer *vocabulary(void)
{
    static struct tokenizer *t;
    if (!t)
        t = small_byte_tokenizer(controls, CONTROLS, NULL, "<|return|>");
    assert(t);
    return t;
}

static const struct chat_grammar *grammar(void)
{
    static struct chat_grammar *g;
    if (!g) {
        json_t *tools = json_loads("[{\"name\": \"f\"}, {\"name\": \"get_weather\"}]", 0, NULL);
        const struct chat_request r = {.tools = tools, .builtins = CHAT_BROWSER | CHAT_PYTHON};
        int rc = chat_grammar_open(&g, chat_format_find("harmony"), vocabulary(), 256 + CONTROLS, &r, NULL);
        assert(rc == 0);
        json_decref(tools);
    }
    return g;
}

static void hear(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    size_t *total = context;
    assert(channel < CHAT_CHANNELS && (n > 0 || channel == CHAT_TOOL_CALL));
    assert(utf8_valid_prefix(bytes, n) == n);
    *total += n;
}

static void check_reply(const int32_t *ids, size_t n)
{
    struct chat_parser p;
    size_t said = 0, counted = 0;
    bool kept = true;
    int rc = 0;
    chat_parser_init(&p, chat_format_find("harmony"), vocabulary(), hear, &said);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const uint64_t *allowed = chat_grammar_next(grammar(), &p);
        kept = kept && allowed && allowed[ids[i] >> 6] >> (ids[i] & 63) & 1;
        rc = chat_parser_push(&p, ids[i], NULL);
    }
    if (rc == 0)
        rc = chat_parser_end(&p, NULL);
    assert(rc == 0);
    for (int i = 0; i < CHAT_CHANNELS; i++)
        counted += p.counts.tokens[i];
    assert(counted + p.counts.marks == n && said <= 16 * n + 3);
    assert(!kept || chat_parser_recoveries(&p) == 0);
    chat_parser_release(&p);
}

/* Behind the user's message: whole messages only, none that ends in <|return|>, then the prompt. */
static void check_replay(const int32_t *ids, size_t n)
{
    const struct chat_message messages[] = {{.role = "user", .content = "u"},
        {.role = "assistant", .ids = ids, .n_ids = n}, {.role = "user", .content = "v"}};
    const struct chat_request r = {.messages = messages, .n_messages = 3, .add_generation_prompt = true};
    struct tokens out = {0};
    int rc = chat_render(chat_format_find("harmony"), vocabulary(), &r, &out, NULL);
    bool ended = true;
    assert(rc == 0);
    for (size_t i = 0; i < out.used; i++) {
        assert(out.ids[i] != 256 + RETURN);
        assert(ended == (out.ids[i] == 256 + START));
        ended = out.ids[i] == 256 + END || out.ids[i] == 256 + CALL;
    }
    tokens_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t *ids = calloc(size + 1, sizeof *ids);
    if (!ids)
        return 0;
    for (size_t i = 0; i < size; i++)
        ids[i] = data[i] < 0xe0 ? data[i] : 256 + data[i] % CONTROLS;
    check_reply(ids, size);
    if (size > 0)
        check_replay(ids, size);
    free(ids);
    return 0;
}
