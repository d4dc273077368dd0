/* SPDX-License-Identifier: Apache-2.0 */
/* A chat template's text to its format; what it is told to be then renders a conversation whose messages are the input,
 * and the input as a reply goes through the format's parser. No message may become a control token. */
#include "small_spm.h"
#include "text/chat/chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    size_t *total = context;
    assert(channel >= CHAT_ANSWER && channel <= CHAT_TOOL_CALL && bytes);
    *total += n;
}

/* One token per byte, and control tokens of every format behind them. */
static struct tokenizer *vocabulary(void)
{
    static const char *const controls[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>",
        "<|end_header_id|>", "<|eot_id|>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
        "<start_of_turn>", "<end_of_turn>"};
    static struct tokenizer *t;
    if (!t)
        t = small_byte_tokenizer(controls, sizeof controls / sizeof *controls, "<s>", "</s>");
    assert(t);
    return t;
}

/* The control tokens of a rendering do not depend on what the messages say. */
static size_t controls_of(const struct chat_format *f, const char *said)
{
    const struct chat_message messages[] = {{.role = "system", .content = said}, {.role = "user", .content = said},
        {.role = "assistant", .content = said}, {.role = "user", .content = said}};
    const struct chat_request r = {.messages = messages, .n_messages = 4, .add_generation_prompt = true};
    struct tokens ids = {0};
    size_t n = 0;
    int rc = chat_render(f, vocabulary(), &r, &ids, NULL);
    for (size_t i = 0; rc == 0 && i < ids.used; i++)
        n += ids.ids[i] >= 256;
    tokens_release(&ids);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct chat_format *f;
    struct error err = {0};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    int rc = chat_detect(&f, text, vocabulary(), &err);
    assert(rc == 0 ? f != NULL : strstr(err.text, "--chat-format") != NULL);
    if (!f)
        f = chat_formats[size % 5];
    assert(controls_of(f, text) == controls_of(f, "x"));
    struct chat_parser p;
    size_t total = 0;
    chat_parser_init(&p, f, vocabulary(), count, &total);
    for (size_t i = 0; i < size; i++)
        assert(chat_parser_push(&p, data[i], &err) == 0);
    assert(chat_parser_end(&p, &err) == 0 && total <= 3 * size);
    chat_parser_release(&p);
    free(text);
    return 0;
}
