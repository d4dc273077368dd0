/* SPDX-License-Identifier: Apache-2.0 */
/* The calls in what a model wrote where it calls functions, in the forms of the chat formats:
 *
 *     harmony             recipient "functions.NAME", the text is the arguments
 *     Qwen2.5, Qwen3      {"name": NAME, "arguments": {...}}
 *     Mistral             [{"name": NAME, "arguments": {...}, "id": ID}, ...]
 *     Llama 3.1           the answer is {"name": NAME, "parameters": {...}}
 *
 * Each JSON form is taken wherever it comes, the function wrapped as {"function": {...}} too: models mix them up. */
#ifndef WAZN_CLI_CALLS_H
#define WAZN_CLI_CALLS_H

#include "text/chat/chat.h"

#define CALLS_MAX 64                          /* of one text */
#define CALLS_BYTES_MAX ((size_t)1 << 20)     /* of it */

struct call {
    char *name;
    char *arguments; /* as text: "{}" where none were written; an object or what the model wrote in its place */
    char *id;        /* which the model gave it; NULL: none */
};

/* Owned. Zeroed: none. */
struct calls {
    struct call *at;
    size_t n;
};

/* Append the calls of one text (the bytes of CHAT_TOOL_CALL up to its end). recipient: chat_parser_recipient. Errors
 * but ERROR_MEMORY are words for the model (ERROR_FORMAT, ERROR_LIMIT, ERROR_NOT_FOUND: it is for no function); then
 * nothing was appended. */
int calls_read(struct calls *c, const char *recipient, const char *text, size_t n, struct error *err);

/* An answer is a call, though perhaps a malformed one: the format has no mark for calls, and the text is an object that
 * begins with a function's name or has a name and arguments. Ask only where tools were offered. */
bool calls_are_answer(const struct chat_format *f, const char *text, size_t n);

void calls_release(struct calls *c);

#endif
