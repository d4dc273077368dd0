/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a chat, owned; as a file: {"messages": [{"role": ..., "content": ...}, ...]}. */
#ifndef WAZN_CLI_CONVERSATION_H
#define WAZN_CLI_CONVERSATION_H

#include "text/chat/chat.h"

struct conversation {
    struct chat_message *messages; /* role, content and reasoning are owned copies */
    size_t n, capacity;
};

/* Add a copy. reasoning may be NULL. */
int conversation_add(struct conversation *c, const char *role, const char *content, const char *reasoning,
    struct error *err);
/* Put a system message in front, or in the place of the one there. */
int conversation_set_system(struct conversation *c, const char *content, struct error *err);
/* Keep the first n messages. */
void conversation_cut(struct conversation *c, size_t n);
void conversation_release(struct conversation *c);

int conversation_save(const struct conversation *c, const char *path, struct error *err);
/* Replaces what is held, but only where the whole file is good. The array alone is accepted too. */
int conversation_load(struct conversation *c, const char *path, struct error *err);

#endif
