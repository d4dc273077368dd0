/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations to tokens, and a model's reply back to what it says, thinks and calls.
 *
 * A chat format is a constant descriptor that writes a conversation token by token; no template is ever executed.
 * Control tokens are looked up by name and go in by id; everything else (the words of users, tools and of the format
 * itself) is encoded as plain text, so no message can spell a control token. Text between two control tokens is encoded
 * in one piece, which gives the ids that the reference gets from the rendered string, for every conversation that does
 * not itself spell a special token. */
#ifndef WAZN_TEXT_CHAT_CHAT_H
#define WAZN_TEXT_CHAT_CHAT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokens.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All pointers are borrowed; strings end in 0; NULL means the message has no such part. */
struct chat_message {
    const char *role;         /* "system", "user", "assistant", "tool" */
    const char *content;      /* what is said; NULL for an assistant's message that only calls tools */
    const char *name;         /* of the tool that answers, where the format writes it */
    const char *reasoning;    /* an assistant's thoughts before its content */
    const char *tool_call_id; /* which call a tool's message answers */
    const json_t *tool_calls; /* array, OpenAI form: {"id", "type": "function", "function": {"name", "arguments"}};
                                 arguments are an object, or a string holding one */
};

enum chat_thinking { CHAT_THINKING_DEFAULT, CHAT_THINKING_ON, CHAT_THINKING_OFF };

struct chat_request {
    const struct chat_message *messages;
    size_t n_messages;
    const json_t *tools;         /* array, OpenAI form: {"type": "function", "function": {...}}; NULL: none */
    bool add_generation_prompt;  /* end where the assistant's next message begins */
    enum chat_thinking thinking; /* for models whose format can ask for it or forbid it */
    const char *date; /* for formats that tell it, as "26 Jul 2024"; NULL: that date, the formats' own default */
};

enum chat_channel { CHAT_ANSWER, CHAT_REASONING, CHAT_TOOL_CALL };

/* A part of a reply between two marks, which are tokens or plain text as the model's vocabulary has it. */
struct chat_span {
    const char *open, *close; /* close NULL: until the reply ends */
    enum chat_channel channel;
};

struct chat_writer;

struct chat_format {
    const char *name;    /* for --chat-format: "qwen3" */
    const char *summary; /* one line for people */
    /* Write the whole request; refuses (ERROR_USAGE) what the format cannot say. */
    int (*render)(struct chat_writer *w, const struct chat_request *r, struct error *err);
    const char *const *stops;  /* names of tokens that end the assistant's turn, NULL behind the last */
    const char *const *marks;  /* substrings that its templates all have, NULL behind the last; NULL: never detected */
    const char *const *unlike; /* substrings that none of its templates has, or NULL */
    const char *const *vocabulary; /* tokens whose presence tells this format where no template is, or NULL */
    const struct chat_span *spans; /* the parts of a reply, open NULL behind the last; NULL: all is answer */
    bool opens_reasoning;          /* the generation prompt ends inside the first span: the reply starts there */
};

extern const struct chat_format *const chat_formats[]; /* NULL behind the last */

/* The format of that name, or NULL. */
const struct chat_format *chat_format_find(const char *name);
/* "chatml, qwen2, ...": the names, for messages; appended. */
void chat_format_names(struct buffer *out);

/* The format of a model: by its template's text (borrowed, any bytes), or where the model has none (NULL) by control
 * tokens that only one format uses. ERROR_UNSUPPORTED names --chat-format and the list. How: see detect.c. */
int chat_detect(
    const struct chat_format **out, const char *template_text, const struct tokenizer *t, struct error *err);

/* Append the tokens of a conversation. ERROR_USAGE where the format cannot express it or the vocabulary lacks a control
 * token of the format. */
int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat_request *r,
    struct tokens *out, struct error *err);

/* Append the ids that end an assistant's turn: the format's stops that the vocabulary has, and its EOS. */
int chat_stops(const struct chat_format *f, const struct tokenizer *t, struct tokens *out, struct error *err);

/* Messages from an array in OpenAI form ({"role", "content", "tool_calls", "tool_call_id", "name",
 * "reasoning_content"}); content may be null, a string or an array of {"type": "text", "text"} with one element. What
 * they point to belongs to `array`; the caller frees *out. */
int chat_messages_new(struct chat_message **out, size_t *n, const json_t *array, struct error *err);

/* ---- a reply as it comes ---- */

/* Called with bytes (whole UTF-8 sequences) of the reply in order; n == 0: a tool call is complete. */
typedef void chat_sink(void *context, enum chat_channel channel, const char *bytes, size_t n);

struct chat_parser {
    const struct chat_format *format;
    const struct tokenizer *tokenizer;
    chat_sink *sink;
    void *context;
    struct detokenizer detokenizer;
    struct buffer text;           /* decoded, not yet passed on: may be the start of a mark */
    const struct chat_span *span; /* inside which, or NULL */
    bool trim;                    /* white space that comes now belongs to a mark, not to the text */
};

void chat_parser_init(
    struct chat_parser *p, const struct chat_format *f, const struct tokenizer *t, chat_sink *sink, void *context);
/* The next token of the reply (stop tokens are not pushed). */
int chat_parser_push(struct chat_parser *p, int32_t id, struct error *err);
/* The reply is over: what was held back is passed on. */
int chat_parser_end(struct chat_parser *p, struct error *err);
void chat_parser_release(struct chat_parser *p);

#endif
