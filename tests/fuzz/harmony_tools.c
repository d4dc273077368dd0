/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as everything that people hand to harmony as JSON: a function's parameters, a list of tools, an answer's schema,
 * messages. It is rendered or refused, within its bounds. */
#include "small_spm.h"
#include "text/chat/chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX ((size_t)1 << 20) /* of the tools' text */

static const struct tokenizer *vocabulary(void)
{
    static const char *const controls[] = {
        "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"};
    static struct tokenizer *t;
    if (!t)
        t = small_byte_tokenizer(controls, sizeof controls / sizeof *controls, NULL, "<|return|>");
    assert(t);
    return t;
}

static void check(const struct chat_request *r, size_t tokens_max)
{
    struct error err = {0};
    struct tokens ids = {0};
    struct chat_grammar *g = NULL;
    int rc = chat_render(chat_format_find("harmony"), vocabulary(), r, &ids, &err);
    assert(rc == 0 || rc == ERROR_USAGE || rc == ERROR_LIMIT);
    assert(rc == 0 ? ids.used <= tokens_max : err.text[0] != 0);
    if (rc == 0) {
        rc = chat_grammar_open(&g, chat_format_find("harmony"), vocabulary(), 264, r, &err);
        assert(rc == 0);
    }
    chat_grammar_close(g);
    tokens_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value;
    struct chat_message *messages;
    struct chat_request r = {0};
    if (json_read_new(&value, (const char *)data, size, "input", NULL) != 0)
        return 0;
    json_t *tools = json_pack("[{s:{s:s, s:O}}]", "function", "name", "f", "parameters", value);
    r.tools = tools;
    check(&r, BYTES_MAX + 4 * size + 4096);
    r.tools = value;
    check(&r, BYTES_MAX + 4 * size + 4096);
    r.tools = NULL;
    r.response_schema = value;
    check(&r, 8 * size + 4096);
    r.response_schema = NULL;
    if (chat_messages_new(&messages, &r.n_messages, value, NULL) == 0) {
        r.messages = messages;
        check(&r, 64 * size + 4096);
        free(messages);
    }
    json_decref(tools);
    json_decref(value);
    return 0;
}
