/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a chat, owned; as a file: {"messages": [{"role": ..., "content": ...}, ...]}, in OpenAI's form. */
#ifndef WAZN_CLI_CONVERSATION_H
#define WAZN_CLI_CONVERSATION_H

#include "text/chat/chat.h"

struct conversation {
    struct chat_message *messages; /* all they point to is theirs */
    size_t n, capacity;
};

/* Add a copy of all of it (tool_calls: a reference). */
int conversation_add(struct conversation *c, const struct chat_message *m, struct error *err);
/* Put a system message in front, or in the place of the one there. */
int conversation_set_system(struct conversation *c, const char *content, struct error *err);
/* Keep the first n messages. */
void conversation_cut(struct conversation *c, size_t n);
void conversation_release(struct conversation *c);

/* Sampled ids are not saved: a file may be read by another model. */
int conversation_save(const struct conversation *c, const char *path, struct error *err);
/* Replaces what is held, but only where the whole file is good. The array alone is accepted too. */
int conversation_load(struct conversation *c, const char *path, struct error *err);

#endif
