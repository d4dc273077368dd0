/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations to learn from: records of files in the forms they are published in, all made one form. */
#ifndef WAZN_TRAIN_EXAMPLES_H
#define WAZN_TRAIN_EXAMPLES_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum example_kind {
    EXAMPLE_AUTO,       /* as an option: told by the keys of each record */
    EXAMPLE_CHAT,       /* messages; conversations (ShareGPT); instruction, input, output (Alpaca) */
    EXAMPLE_COMPLETION, /* prompt, completion: strings, or lists of messages */
    EXAMPLE_TEXT,       /* text */
    EXAMPLE_PREFERENCE, /* chosen, rejected: what follows a prompt in any of these forms, or whole dialogues */
    EXAMPLE_PROMPT,     /* prompt, answer: for learning from rewards */
    EXAMPLE_KINDS
};
const char *example_kind_name(enum example_kind kind); /* "auto", "chat", ... */

/* Owned by the reader, valid until the next one. */
struct example {
    enum example_kind kind;
    const char *file;
    uint64_t line;
    const json_t *record; /* as it was read */
    json_t *messages;     /* OpenAI form; none of a text. Of a preference or prompt: what comes before the answer */
    size_t first;         /* messages before this one are given, not learned */
    const json_t *tools;  /* OpenAI form; NULL: none */
    const char *text;     /* of EXAMPLE_TEXT */
    json_t *chosen, *rejected; /* messages, of EXAMPLE_PREFERENCE */
    const char *answer;   /* of EXAMPLE_PROMPT; NULL: the record has none, or no string */
};

struct examples_options {
    enum example_kind kind;
    bool (*progress)(void *context, uint64_t done, uint64_t total); /* see records_options */
    void *context;
};

struct examples;

int examples_open(struct examples **out, const char *const *paths, size_t n, const struct examples_options *options,
    struct error *err);
void examples_close(struct examples *e);
/* 1, 0 behind the last, or an error that names file and line. Every message has a role that is known, and content,
 * calls or thoughts. */
int examples_next(struct examples *e, struct example *out, struct error *err);
void examples_rewind(struct examples *e);

#endif
