/* SPDX-License-Identifier: Apache-2.0 */
/* One reply of a loaded model, shown as it comes and counted. */
#ifndef WAZN_CLI_REPLY_H
#define WAZN_CLI_REPLY_H

#include "base/buffer.h"
#include "cli/load.h"
#include "infer/generate.h"

struct reply {
    bool keep;      /* set by the caller: nothing on standard output (--json prints it later) */
    bool clean;     /* set by the caller: control characters are shown escaped even off a terminal */
    struct buffer answer, reasoning;
    struct tokens ids;
    int prompt_tokens, reused;
    double prompt_seconds;
    struct generation generation;
    bool cancelled; /* Ctrl-C, while reading the prompt or writing the answer */
    struct loaded *loaded; /* private from here */
    struct chat_parser parser;
    struct detokenizer detokenizer;
    struct buffer piece;
    bool terminal, failed;
    bool constrained; /* the token that comes belongs to an answer that must follow --json-schema */
    enum chat_channel channel; /* last written to */
};

/* A conversation of the system message (may be NULL) and one user's message, ready for the answer. */
int reply_render_first(struct loaded *l, const char *system, const struct buffer *user, struct tokens *out,
    struct error *err);

/* Evaluate the prompt and write the answer. ERROR_CANCELLED after Ctrl-C; what was made is in *r all the same. */
int reply_make(struct loaded *l, const struct tokens *prompt, struct reply *r, struct error *err);

const char *reply_end_name(const struct reply *r); /* "stop", "length", "context", "cancelled" */
double reply_rate(int tokens, double seconds);    /* 0 where nothing was measured */

/* On standard error: that the context ended the answer, where it did; one line of statistics, unless --quiet. */
void reply_warn(const struct loaded *l, const struct reply *r);
void reply_tell(const struct loaded *l, const struct reply *r);

void reply_release(struct reply *r);

#endif
