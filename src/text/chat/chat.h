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
    /* For formats whose messages have headers (harmony). NULL: as role and parts tell; "": none. */
    const char *channel, *recipient, *content_type;
    /* An assistant's turn as it was sampled behind the generation prompt, stop token included if there was one.
     * Formats that can replay render it from these ids; the parts above only tell others what was said. NULL: from
     * the parts. */
    const int32_t *ids;
    size_t n_ids;
};

enum chat_thinking { CHAT_THINKING_DEFAULT, CHAT_THINKING_ON, CHAT_THINKING_OFF };

/* How much a model shall think, for formats that can tell it. */
enum chat_effort {
    CHAT_EFFORT_DEFAULT,
    CHAT_EFFORT_NONE,
    CHAT_EFFORT_MINIMAL,
    CHAT_EFFORT_LOW,
    CHAT_EFFORT_MEDIUM,
    CHAT_EFFORT_HIGH,
    CHAT_EFFORT_COUNT
};

/* Tools that a model was trained with, described by its format. */
enum chat_builtin { CHAT_BROWSER = 1, CHAT_PYTHON = 2 };

struct chat_request {
    const struct chat_message *messages;
    size_t n_messages;
    const json_t *tools;         /* array, OpenAI form: {"type": "function", "function": {...}}; NULL: none */
    bool add_generation_prompt;  /* end where the assistant's next message begins */
    enum chat_thinking thinking; /* for models whose format can ask for it or forbid it */
    const char *date; /* for formats that tell it, as "26 Jul 2024" (llama3.1) or "2025-06-28" (harmony); NULL: the
                         format's own default: that date, none */
    enum chat_effort effort;      /* as chat_effort_of gives it */
    const char *identity, *cutoff; /* who the model is, until when it learnt; NULL: the format's own; "": untold */
    unsigned builtins;            /* enum chat_builtin, ORed */
    bool keep_reasoning;          /* write thoughts that the format would leave out of the history */
    const char *response_name, *response_description; /* of response_schema; NULL: none */
    const json_t *response_schema; /* what the answer must be, shown to the model; NULL: any text */
};

/* CHAT_PREAMBLE: what the model tells the user before it calls tools. */
enum chat_channel { CHAT_ANSWER, CHAT_REASONING, CHAT_TOOL_CALL, CHAT_PREAMBLE, CHAT_CHANNELS };

/* A part of a reply between two marks, which are tokens or plain text as the model's vocabulary has it. */
struct chat_span {
    const char *open, *close; /* close NULL: until the reply ends */
    enum chat_channel channel;
};

struct chat_writer;
struct chat_parser;

/* How replies are read, where they are more than spans. */
struct chat_reader {
    void (*begin)(struct chat_parser *p);
    int (*push)(struct chat_parser *p, int32_t id, struct error *err);
    int (*end)(struct chat_parser *p, struct error *err);
    bool (*answers)(const struct chat_parser *p);
    int (*to_answer)(const struct chat_parser *p, struct tokens *out, struct error *err);
};

struct chat_format {
    const char *name;    /* for --chat-format: "qwen3" */
    const char *summary; /* one line for people */
    /* Write the whole request; refuses (ERROR_USAGE) what the format cannot say. */
    int (*render)(struct chat_writer *w, const struct chat_request *r, struct error *err);
    const char *const *controls; /* names of the control tokens it writes, NULL behind the last; NULL: none. Whatever
                                    kind a file gives them, tokenizers take them as special: see chat_mark */
    const char *const *stops;  /* names of tokens that end the assistant's turn, NULL behind the last */
    const char *const *marks;  /* substrings that its templates all have, NULL behind the last; NULL: never detected */
    const char *const *unlike; /* substrings that none of its templates has, or NULL */
    const char *const *vocabulary; /* tokens whose presence tells this format where no template is, or NULL */
    const struct chat_span *spans; /* the parts of a reply, open NULL behind the last; NULL: all is answer */
    bool opens_reasoning;          /* the generation prompt ends inside the first span: the reply starts there */
    bool thinking_switch;          /* chat_request.thinking does something */
    bool dated;                    /* its models expect to be told today's date */
    bool samples_whole;            /* their authors advise temperature 1 and no filters */
    const struct chat_reader *reader; /* NULL: by spans */
    unsigned efforts;              /* bit 1 << enum chat_effort: what it can tell; 0: nothing */
};

extern const struct chat_format *const chat_formats[]; /* NULL behind the last */

/* The i-th of all names of control and stop tokens of all formats (some come twice), or NULL behind the last. */
const char *chat_mark(int i);

/* The format of that name, or NULL. */
const struct chat_format *chat_format_find(const char *name);
/* "chatml, qwen2, ...": the names, for messages; appended. */
void chat_format_names(struct buffer *out);

/* The format of a model: by its template's text (borrowed, any bytes), or where the model has none (NULL) by control
 * tokens that only one format uses. ERROR_UNSUPPORTED names --chat-format and the list. How: see detect.c. */
int chat_detect(
    const struct chat_format **out, const char *template_text, const struct tokenizer *t, struct error *err);

/* What a format makes of a wish: the effort itself, or the nearest one it knows (more rather than less); where it knows
 * none, CHAT_EFFORT_DEFAULT. A caller says so where it differs. */
enum chat_effort chat_effort_of(const struct chat_format *f, enum chat_effort wanted);
/* "low"; NULL for CHAT_EFFORT_DEFAULT. */
const char *chat_effort_name(enum chat_effort effort);

/* Its replies can have thoughts before the answer. */
bool chat_reasons(const struct chat_format *f);

/* Append the tokens of a conversation. ERROR_USAGE where the format cannot express it or the vocabulary lacks a control
 * token of the format. */
int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat_request *r,
    struct tokens *out, struct error *err);

/* What the assistant says in a rendered conversation: tokens it would have to write behind the generation prompt,
 * the one that ends its turn included. A token made of its words and of the format's counts as said. Thoughts that a
 * format writes empty are not said. */
struct chat_said {
    size_t from, to; /* tokens [from, to) of the rendering */
    size_t message;  /* of the request */
    enum chat_channel channel;
    int32_t last; /* what to say in place of the last token; -1: that token. In the history harmony
                     ends a turn with another token than the model does */
};
struct chat_said_list {
    struct chat_said *at; /* (n), in order */
    size_t n, capacity;
    bool failed;
};
void chat_said_release(struct chat_said_list *list);

/* The same tokens as chat_render appends, and what of them the assistant says. Sampled turns (ids) are not marked. */
int chat_render_said(const struct chat_format *f, const struct tokenizer *t, const struct chat_request *r,
    struct tokens *out, struct chat_said_list *said, struct error *err);

/* Append the ids that end an assistant's turn: the format's stops that the vocabulary has, and its EOS. */
int chat_stops(const struct chat_format *f, const struct tokenizer *t, struct tokens *out, struct error *err);

/* Messages from an array in OpenAI form ({"role", "content", "tool_calls", "tool_call_id", "name",
 * "reasoning_content"}); content may be null, a string or an array of {"type": "text", "text"} with one element. What
 * they point to belongs to `array`; the caller frees *out. */
int chat_messages_new(struct chat_message **out, size_t *n, const json_t *array, struct error *err);

/* ---- a reply as it comes ---- */

/* Called with bytes (whole UTF-8 sequences) of the reply in order; n == 0: a tool call is complete. */
typedef void chat_sink(void *context, enum chat_channel channel, const char *bytes, size_t n);

/* Replies break their format now and then. They are read all the same, and each time it is counted. */
#define CHAT_RECOVERIES(X) \
    X(CHANNEL, "unknown channel") \
    X(NO_CHANNEL, "message without a channel") \
    X(CHANNELS, "second channel in a header") \
    X(ROLE, "message of another role") \
    X(WORDS, "words in a header that mean nothing") \
    X(NO_MESSAGE, "header without a message") \
    X(LONG_HEADER, "header without an end") \
    X(NO_START, "message without a start") \
    X(TOKEN, "control token out of place")
enum chat_recovery {
#define X(id, text) CHAT_RECOVERY_##id,
    CHAT_RECOVERIES(X)
#undef X
    CHAT_RECOVERY_COUNT
};
const char *chat_recovery_text(enum chat_recovery recovery);

/* What was pushed: every token is counted once, by the channel it says something on or as a mark. */
struct chat_counts {
    size_t tokens[CHAT_CHANNELS], marks;
    size_t recoveries[CHAT_RECOVERY_COUNT];
};

/* The header of a message as it was read, where the format has headers. Texts may be NULL: empty. */
struct chat_header {
    struct buffer text;   /* what came so far, control tokens left out */
    size_t channel_at;    /* where in the text the channel's name begins */
    bool has_channel, implied; /* implied: the role is the assistant's without being said */
    struct buffer channel, recipient, content_type;
    struct tokens ids;    /* since the last message ended */
};

struct chat_parser {
    const struct chat_format *format;
    const struct tokenizer *tokenizer;
    chat_sink *sink;
    void *context;
    struct detokenizer detokenizer;
    struct buffer text;           /* decoded, not yet passed on: may be the start of a mark */
    const struct chat_span *span; /* inside which, or NULL */
    bool trim;                    /* white space that comes now belongs to a mark, not to the text */
    struct chat_counts counts;
    size_t messages;              /* complete, where the format has headers; from here on for its reader alone */
    struct chat_header header;    /* of the message that comes, or came last */
    int state;
    enum chat_channel channel;    /* of that message */
    bool answered;                /* an answer was begun */
    int32_t controls[8];          /* ids of the format's control tokens, -1: the vocabulary lacks it */
};

void chat_parser_init(
    struct chat_parser *p, const struct chat_format *f, const struct tokenizer *t, chat_sink *sink, void *context);
/* The next token of the reply (stop tokens are not pushed). */
int chat_parser_push(struct chat_parser *p, int32_t id, struct error *err);
/* The reply is over: what was held back is passed on. */
int chat_parser_end(struct chat_parser *p, struct error *err);
void chat_parser_release(struct chat_parser *p);
/* While a tool call comes: whom it is for ("functions.get_weather"); "" where the call's text names the function. */
const char *chat_parser_recipient(const struct chat_parser *p);
/* What comes next is said on the answer's channel, as far as the tokens so far tell. */
bool chat_parser_answers(const struct chat_parser *p);
/* Append the ids that end the thoughts the reply stands in, or would begin with, and open the answer. None where it
 * stands elsewhere. */
int chat_parser_to_answer(const struct chat_parser *p, struct tokens *out, struct error *err);
bool chat_parser_in_character(const struct chat_parser *p); /* its last token was not the end of a character */
size_t chat_parser_recoveries(const struct chat_parser *p); /* all of them */

/* ---- which tokens may come next ---- */

/* Keeps a reply in its format's headers (known channels, known recipients, the right end tokens); content is free. */
struct chat_grammar;

/* For replies to the request (its tools are needed, not its messages), with a model whose logits are (vocabulary).
 * *out is NULL where the format has no headers. The tokenizer must outlive it. */
int chat_grammar_open(struct chat_grammar **out, const struct chat_format *f, const struct tokenizer *t,
    int32_t vocabulary, const struct chat_request *r, struct error *err);
void chat_grammar_close(struct chat_grammar *g);
/* The tokens that may follow what the parser has read: bit id & 63 of word id / 64; valid until the next call. NULL:
 * all, as nothing the grammar knows begins so. */
const uint64_t *chat_grammar_next(const struct chat_grammar *g, const struct chat_parser *p);

#endif
