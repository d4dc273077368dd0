/* SPDX-License-Identifier: Apache-2.0 */
/* One reply: choose a token, hand it out, evaluate it, until something ends it. */
#ifndef WAZN_INFER_GENERATE_H
#define WAZN_INFER_GENERATE_H

#include "infer/sampler.h"
#include "infer/session.h"

enum generate_end {
    GENERATE_STOP,      /* the model ended it with a stop token */
    GENERATE_LENGTH,    /* max_tokens were made */
    GENERATE_CONTEXT,   /* the session is full */
    GENERATE_CANCELLED, /* the watch said so */
    GENERATE_SINK       /* the sink said so */
};

/* "stop", "length", "context", "cancelled", "sink" */
const char *generate_end_name(enum generate_end end);

/* Gets each token before it is evaluated. 0: go on; 1: enough, the token counts but is not evaluated; negative: an
 * error code, which ends the call. */
typedef int generate_sink(void *context, int32_t id, struct error *err);

/* What the next token is chosen from: *mask as for sampler_allow, NULL: any token. Asked before each choice, so a
 * constraint can set in in the middle of a reply. */
struct generate_filter {
    int (*allow)(void *context, const uint64_t **mask, struct error *err);
    void *context;
};

struct generate_options {
    int max_tokens; /* 0: no limit but the context */
    const int32_t *stops;
    size_t n_stops;
    const struct generate_filter *filter; /* NULL: every token may come */
    const struct session_watch *watch; /* cancelled() is asked before each token; may be NULL */
};

struct generation {
    enum generate_end end;
    int32_t stop_id; /* the stop token, or -1 */
    int tokens;      /* given to the sink */
    double seconds;
};

/* The session must have logits (session_sync). A stop token is neither given to the sink nor evaluated. The last token
 * given to the sink may not have been evaluated: the session_sync of the next turn does it. */
int generate(struct session *s, struct sampler *sampler, const struct generate_options *options, generate_sink *sink,
    void *context, struct generation *out, struct error *err);

#endif
