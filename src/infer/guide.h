/* SPDX-License-Identifier: Apache-2.0 */
/* What steers a reply while it is sampled: headers stay in their format's grammar, thoughts end where their budget is
 * spent, the answer follows a schema. All of it is the one filter of generate(). */
#ifndef WAZN_INFER_GUIDE_H
#define WAZN_INFER_GUIDE_H

#include "infer/constraint.h"
#include "text/chat/chat.h"

struct guide_options {
    const struct chat_grammar *headers; /* NULL: headers are free */
    struct constraint *answer;          /* what the answer must be; NULL: free */
    int budget;                         /* tokens of thoughts, three more to end a character; negative: no limit */
    int64_t vocabulary;                 /* bits of a mask; the masks of headers and answer have as many */
};

struct guide;

/* What the options point to must outlive it. */
int guide_open(struct guide **out, const struct guide_options *options, struct error *err);
void guide_close(struct guide *g);

/* A new reply, which `p` reads from its first token on; NULL: a text without a format, all of it answer. */
void guide_begin(struct guide *g, const struct chat_parser *p);

/* For struct generate_filter, the guide as its context: which tokens may come next. */
int guide_allow(void *guide, const uint64_t **mask, struct error *err);
/* The token came; before the parser reads it. */
int guide_accept(struct guide *g, int32_t id, struct error *err);

bool guide_cut_thoughts(const struct guide *g); /* the budget ended the thoughts of this reply */
bool guide_complete(const struct guide *g);     /* the answer may end here, as far as its schema goes */

#endif
