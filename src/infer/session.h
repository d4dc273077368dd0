/* SPDX-License-Identifier: Apache-2.0 */
/* One timeline of tokens with its KV cache. Asked to stand at a list of tokens, a session keeps what that list has in
 * common with what it holds and evaluates the rest. */
#ifndef WAZN_INFER_SESSION_H
#define WAZN_INFER_SESSION_H

#include "base/error.h"
#include "model/kv.h"
#include "model/model.h"
#include "model/pass.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session_options {
    const struct format *kv_format; /* NULL: f16 */
    int context;                    /* positions; at most the model's (session_open refuses more) */
    int chunk;                      /* tokens in one pass; 0: SESSION_CHUNK or the context where that is less */
    int logits;                     /* rows of logits kept by session_each; 0: 1 */
    int threads;                    /* at least 1 */
    int marks;                      /* places session_mark remembers at once */
    pass_trace *trace;              /* pass.h; NULL: not */
    void *trace_context;
};

#define SESSION_CHUNK 512

/* Looked at between passes; members may be NULL. */
struct session_watch {
    void (*progress)(void *context, int done, int total); /* tokens of this call */
    bool (*cancelled)(void *context);
    void *context;
};

struct session;

/* What session_open will ask of memory, from the same numbers: keys and values, and the pass's values and scratch. */
void session_measure(const struct model *m, const struct session_options *options, uint64_t *kv, uint64_t *scratch);

/* ERROR_USAGE or ERROR_UNSUPPORTED for options that cannot be, ERROR_MEMORY. After it nothing fails for lack of memory.
 * The model must outlive the session. */
int session_open(struct session **out, const struct model *m, const struct session_options *options, struct error *err);
void session_close(struct session *s);

/* Stand at ids (n > 0): reuse the common prefix, evaluate the rest in chunks, so that session_logits speaks of what
 * follows the last of them. ERROR_LIMIT, before anything changes, where n passes the context; ERROR_CANCELLED between
 * passes: what was evaluated stays reusable. watch may be NULL. */
int session_sync(struct session *s, const int32_t *ids, size_t n, const struct session_watch *watch, struct error *err);

/* Remember this place: a later session_sync whose ids part from those held only behind it comes back here, also where
 * layers with windows have forgotten by then. Without such layers every place can be come back to, and this does
 * nothing. The places remembered last are kept. */
void session_mark(struct session *s);

/* One more token. */
int session_push(struct session *s, int32_t id, struct error *err);

/* Start empty and evaluate ids, calling `row` with the (vocabulary) logits behind each, in order; a code other than 0
 * from it ends the call. */
typedef int session_row(void *context, size_t index, const float *logits, struct error *err);
int session_each(struct session *s, const int32_t *ids, size_t n, session_row *row, void *context,
    const struct session_watch *watch, struct error *err);

const float *session_logits(const struct session *s); /* (vocabulary); NULL before the first token */
int session_length(const struct session *s);          /* tokens held */
int session_reused(const struct session *s);          /* of the last session_sync: tokens not evaluated again */
int session_context(const struct session *s);

#endif
