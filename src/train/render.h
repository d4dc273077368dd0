/* SPDX-License-Identifier: Apache-2.0 */
/* Examples to samples: the tokens of the model's own chat format, learned where the assistant says them. */
#ifndef WAZN_TRAIN_RENDER_H
#define WAZN_TRAIN_RENDER_H

#include "base/error.h"
#include "text/chat/chat.h"
#include "train/dataset.h"
#include "train/examples.h"

enum render_too_long { RENDER_SKIP, RENDER_CUT, RENDER_FAIL };

struct render_options {
    /* NULL: the model has none. Then what is said follows each other as it is, and EOS ends what the assistant says
     * last; tools and calls are refused. */
    const struct chat_format *format;
    const char *date;       /* see chat_request */
    int tokens_max;         /* of a sample */
    bool last_turn;         /* only what the assistant says behind the last user's message is learned, else all */
    bool skip_reasoning;    /* thoughts are read, not learned */
    enum render_too_long too_long; /* left out, learned without their end, or an error */
};

#define RENDER_NAMES 8 /* examples that are named */

struct render_counts {
    uint64_t examples;
    struct render_named {
        uint64_t n;
        char at[RENDER_NAMES][256]; /* file:line of the first ones */
    } too_long, empty; /* empty: nothing in it is learned; left out */
};

void render_name(struct render_named *named, const struct example *x); /* one more */

/* A sample of one conversation; ids and targets as long as each other. */
struct rendered {
    struct tokens ids, targets;
    uint64_t counted;
};
void rendered_release(struct rendered *r);

/* Append nothing, replace all: the sample of messages [first: learned from there on] with an answer behind them (NULL:
 * none). ERROR_USAGE where the format cannot say it. */
int render_example(struct rendered *out, const struct example *x, const json_t *answer, const struct tokenizer *t,
    const struct render_options *options, struct error *err);

/* All that is left of the examples, which are of any kind but EXAMPLE_PROMPT. Of a preference, chosen and rejected are
 * samples 2i and 2i + 1, both there or neither, and no other kinds are among them. */
int render_dataset(struct dataset **out, struct render_counts *counts, struct examples *e, const struct tokenizer *t,
    const struct render_options *options, struct error *err);

#endif
