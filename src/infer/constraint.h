/* SPDX-License-Identifier: Apache-2.0 */
/* Which tokens may come next where the text must follow a grammar.
 *
 * The vocabulary is laid out once as a tree over the bytes of its tokens and walked together with the grammar; masks
 * are kept by configuration. Where a string may go on with any characters, tokens of plain text need no walk. */
#ifndef WAZN_INFER_CONSTRAINT_H
#define WAZN_INFER_CONSTRAINT_H

#include "infer/grammar.h"
#include "infer/matcher.h"
#include "text/tokenizer.h"

#define CONSTRAINT_TOKEN_MAX 256 /* bytes; longer tokens are never allowed */

struct constraint;

/* The grammar must outlive it, the tokenizer need not. stops: ids that end the text, allowed where it is complete.
 * Ids are below `vocabulary` (masks have that many bits); special tokens and those without text are never allowed. */
int constraint_open(struct constraint **out, const struct grammar *g, const struct tokenizer *t, int64_t vocabulary,
    const int32_t *stops, size_t n_stops, struct error *err);
void constraint_close(struct constraint *c);

/* Bit id % 64 of word id / 64: whether the token may come next. Valid until the next call. */
const uint64_t *constraint_mask(struct constraint *c);
/* The token came. ERROR_USAGE where it was not allowed. A stop token changes nothing. */
int constraint_accept(struct constraint *c, int32_t id, struct error *err);
/* The text it follows: for questions, to begin anew, to save and restore. */
struct matcher *constraint_matcher(struct constraint *c);

#endif
