/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts for learning from rewards: the ids that a model answers to, and the record that tells what is right. */
#ifndef WAZN_TRAIN_PROMPTS_H
#define WAZN_TRAIN_PROMPTS_H

#include "train/render.h"

struct prompts {
    struct prompt {
        struct tokens ids; /* up to where the assistant begins */
        json_t *record;
    } *at; /* (n) */
    size_t n, capacity;
};

/* All that is left of the examples, of kind EXAMPLE_PROMPT. Too long ones are counted and left out, or an error with
 * RENDER_FAIL; a prompt is never cut. ERROR_USAGE where there are none. */
int prompts_read(struct prompts *out, struct render_counts *counts, struct examples *e, const struct tokenizer *t,
    const struct render_options *options, struct error *err);
void prompts_release(struct prompts *p);

#endif
