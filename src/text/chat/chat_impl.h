/* SPDX-License-Identifier: Apache-2.0 */
/* What formats write with, private to src/text/chat. Errors are remembered by the writer: write on, chat_render asks
 * once. */
#ifndef WAZN_TEXT_CHAT_CHAT_IMPL_H
#define WAZN_TEXT_CHAT_CHAT_IMPL_H

#include "text/chat/chat.h"

#include <string.h>

struct chat_writer {
    const struct chat_format *format;
    const struct tokenizer *tokenizer;
    struct tokens *out;
    struct buffer text; /* since the last control token */
    unsigned flags;     /* for the next piece of text */
    int rc;             /* first failure */
    const struct chat_request *request;
    struct chat_said_list *said; /* NULL: nobody asks */
    size_t settled;              /* spans before this one have token numbers; later ones have places in the text */
    bool saying, settled_from;   /* inside a span; the last span's `from` is a token number */
    struct error *err;
};

/* Text, encoded without special tokens. NULL is empty. */
void chat_text(struct chat_writer *w, const char *text);
void chat_bytes(struct chat_writer *w, const char *text, size_t n);
/* The same without the white space (Python's str.strip) around it. */
void chat_trimmed(struct chat_writer *w, const char *text);
/* As JSON: see json_write. */
void chat_json(struct chat_writer *w, const json_t *value, int indent);
/* A call's arguments: an object as JSON, a string as it is. */
void chat_arguments(struct chat_writer *w, const json_t *arguments);

/* A control token by name; one the vocabulary lacks is an error. */
void chat_token(struct chat_writer *w, const char *name);
void chat_bos(struct chat_writer *w); /* nothing where the vocabulary has none */
void chat_eos(struct chat_writer *w);
void chat_id(struct chat_writer *w, int32_t id); /* any token as it is */
/* What comes next is said by the assistant, as part of m, until chat_silent or the next chat_says. Nothing where m is
 * not the assistant's. */
void chat_says(struct chat_writer *w, const struct chat_message *m, enum chat_channel channel);
void chat_silent(struct chat_writer *w); /* nothing where nothing is said */
void chat_says_last(struct chat_writer *w, const char *name); /* see chat_said.last; before chat_silent */
/* The text that comes next continues: no dummy space in front, whatever the tokenizer would do. */
void chat_continue(struct chat_writer *w);

/* Refuse the request; returns the code. */
int chat_refuse(struct chat_writer *w, const char *reason);

/* ---- messages ---- */

static inline bool chat_is(const struct chat_message *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}

static inline const char *chat_content(const struct chat_message *m)
{
    return m->content ? m->content : "";
}

/* The system message that opens the conversation, or NULL. */
const struct chat_message *chat_system(const struct chat_request *r);
bool chat_has_tools(const struct chat_request *r);
size_t chat_call_count(const struct chat_message *m);
/* Call i of a message: its "function" member, or the call itself where it has none. */
const json_t *chat_call(const struct chat_message *m, size_t i);
/* From message `from` on, user and assistant take turns and the user begins; else refused. Messages of tools and calls
 * do not count. */
int chat_check_turns(struct chat_writer *w, const struct chat_request *r, size_t from);
/* All messages have one of the roles of the list (NULL behind the last); else refused. */
int chat_check_roles(struct chat_writer *w, const struct chat_request *r, const char *const *roles);

/* Bytes of white space (as Python has it) at the front and at the end. */
size_t chat_space_front(const char *text, size_t n);
size_t chat_space_back(const char *text, size_t n);

/* ---- the formats ---- */
extern const struct chat_format chat_chatml, chat_qwen2, chat_qwen2_5, chat_qwen3, chat_smollm2, chat_llama2,
    chat_llama3, chat_llama3_1, chat_mistral_v0_1, chat_mixtral, chat_mistral_v1, chat_mistral_v3, chat_mistral_v7,
    chat_mistral_tekken, chat_mistral_v7_tekken, chat_gemma, chat_zephyr, chat_harmony, chat_qwen3_thinking,
    chat_qwen3_instruct, chat_deepseek_r1, chat_deepseek_r1_first, chat_plain;

#endif
