/* SPDX-License-Identifier: Apache-2.0 */
/* Harmony, the chat format of gpt-oss, in pieces; private to src/text/chat/harmony*.c. Source: the package
 * openai-harmony 0.0.8 and its documentation.
 *
 *     <|start|>ROLE[ to=RECIPIENT]<|channel|>CHANNEL[ TYPE]<|message|>CONTENT<|end|>
 *
 * The assistant thinks on the channel "analysis", calls functions and says what it is about to do on "commentary", and
 * answers on "final". */
#ifndef WAZN_TEXT_CHAT_HARMONY_IMPL_H
#define WAZN_TEXT_CHAT_HARMONY_IMPL_H

#include "text/chat/chat_impl.h"

/* Control tokens, by their place in chat_parser.controls. */
enum harmony_control {
    HARMONY_START,
    HARMONY_CHANNEL,
    HARMONY_CONSTRAIN,
    HARMONY_MESSAGE,
    HARMONY_END,
    HARMONY_RETURN,
    HARMONY_CALL,
    HARMONY_CONTROLS
};
extern const char *const harmony_controls[HARMONY_CONTROLS + 1]; /* "<|start|>", ..., NULL */
void harmony_find_controls(const struct tokenizer *t, int32_t controls[HARMONY_CONTROLS]);
/* Which of them an id is, or -1. */
int harmony_control_of(const int32_t controls[HARMONY_CONTROLS], int32_t id);

#define HARMONY_TOOLS_BYTES_MAX (1 << 20) /* of the text that tools and their schemas become */
#define HARMONY_SCHEMA_DEPTH_MAX 64

/* The tools as TypeScript: "# Tools\n\n## functions\n\nnamespace functions {\n ...". tools: array, OpenAI form.
 * ERROR_USAGE for what is no tool, ERROR_LIMIT beyond the limits above. */
int harmony_tools(struct buffer *out, const json_t *tools, struct error *err);

/* A message's header and content. Strings NULL or "": that part is not there. */
struct harmony_message {
    const char *role, *name, *recipient, *channel, *content_type, *content;
    bool call; /* a call ends it, not an end */
    const struct chat_message *said; /* what the assistant says it in; NULL: it is not said */
    bool goes_on; /* the assistant's turn has begun before: it says the header's start too */
};
void harmony_message(struct chat_writer *w, const struct harmony_message *m);

/* The conversation without its system message and the developer messages in front: messages from `first` on. */
int harmony_history(struct chat_writer *w, const struct chat_request *r, size_t first);

/* ---- replies ---- */

extern const struct chat_reader harmony_reader;
bool harmony_in_content(const struct chat_parser *p); /* else in a header or before one */

void harmony_header_clear(struct chat_header *h, bool implied);
bool harmony_header_is_empty(const struct chat_header *h);
/* A <|channel|> came: the channel's name follows. False where the header already had one; the later one counts. */
bool harmony_header_channel(struct chat_header *h);

enum harmony_role { HARMONY_ASSISTANT, HARMONY_FOREIGN, HARMONY_UNKNOWN };
/* The header is complete: sets channel, recipient, content_type and the role. What is left of the text then are words
 * without a meaning. */
void harmony_header_read(struct chat_header *h, enum harmony_role *role);
/* The header goes on without a message: the same for what is sure to belong to it; the text left is content. */
void harmony_header_salvage(struct chat_header *h, enum harmony_role *role);
/* What salvage left is nothing, or perhaps the beginning of a word that headers have. */
bool harmony_header_is_cut(const struct chat_header *h);

#endif
