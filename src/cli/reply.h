/* SPDX-License-Identifier: Apache-2.0 */
/* One reply of a loaded model, shown as it comes and counted. The answer goes to standard output, everything else that
 * the model says to standard error. */
#ifndef WAZN_CLI_REPLY_H
#define WAZN_CLI_REPLY_H

#include "base/buffer.h"
#include "cli/load.h"
#include "infer/generate.h"

/* A call of a tool as the model wrote it. */
struct reply_call {
    struct buffer recipient; /* "functions.get_weather"; empty: the text names the function */
    struct buffer text;
};

enum reply_thoughts { THOUGHTS_HIDDEN, THOUGHTS_PLAIN, THOUGHTS_DIM };

struct reply {
    bool keep;      /* set by the caller: nothing on standard output (--json prints it later) */
    bool clean;     /* set by the caller: control characters are shown escaped even off a terminal */
    bool mark;      /* set by the caller: the session remembers the end of the prompt */
    struct buffer answer, reasoning, preamble;
    struct reply_call *calls; /* complete ones; (n_calls) */
    size_t n_calls;
    struct tokens ids; /* sampled, without the stop token */
    int prompt_tokens, reused;
    double prompt_seconds;
    struct generation generation;
    bool cancelled; /* Ctrl-C, while reading the prompt or writing the answer */
    struct loaded *loaded; /* private from here */
    struct chat_parser parser;
    struct detokenizer detokenizer;
    struct buffer piece;
    struct reply_call call; /* the one that comes */
    bool terminal, failed;
    enum reply_thoughts thoughts;
    enum chat_channel channel; /* last written to */
    bool opened;               /* something of that channel is on standard error, and its line is not ended */
};

/* Evaluate the prompt and write the answer. ERROR_CANCELLED after Ctrl-C; what was made is in *r all the same. */
int reply_make(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err);

const char *reply_end_name(const struct reply *r); /* "stop", "length", "context", "cancelled" */
double reply_rate(int tokens, double seconds);    /* 0 where nothing was measured */

/* On standard error: what the person should know of how the answer ended or was mended; one line of statistics, unless
 * --quiet. */
void reply_warn(const struct loaded *l, const struct reply *r);
void reply_tell(const struct loaded *l, const struct reply *r);
/* On standard error: calls of what was not offered. A model may know tools from its training. */
void reply_show_calls(const struct reply *r);
/* Members for --json: what was said beside the answer, and tokens by what they say. */
void reply_json(const struct reply *r, json_t *object);

void reply_release(struct reply *r);

#endif
