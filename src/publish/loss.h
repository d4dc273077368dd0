/* SPDX-License-Identifier: Apache-2.0 */
/* What a quantized model lost against its source, on a text: both run side by side, window by window, and what they
 * say of each next token is compared. */
#ifndef WAZN_PUBLISH_LOSS_H
#define WAZN_PUBLISH_LOSS_H

#include "base/json.h"
#include "file/source.h"
#include "model/model.h"
#include "publish/watch.h"

#include <stddef.h>

struct loss {
    uint64_t tokens;  /* compared */
    double kl_mean, kl_median, kl_p99, kl_max; /* sum of p (log p - log q), in nats; p: of the source */
    double top1_agreement; /* share of tokens for which both find the same next one likeliest */
    double perplexity, perplexity_source, perplexity_ratio; /* of the text under the quantized model, its source */
};

/* Its numbers but `tokens`, in order, for loops. */
#define LOSS_NUMBERS 8
const char *loss_name(size_t i); /* "kl_mean" */
double loss_number(const struct loss *l, size_t i);

/* ids: at least 2. ERROR_CANCELLED; ERROR_USAGE for ids outside the vocabulary. */
int loss_measure(struct loss *out, const struct model *source, const struct model *quantized, const int32_t *ids,
    size_t n, int threads, const struct publish_watch *watch, struct error *err);

/* As a JSON object {"tokens": ..., "kl_mean": ...}. NULL: no memory. */
json_t *loss_json_new(const struct loss *l);

/* What a file made by wazn says of itself: its recipe, the loss measured while it was made, the worst tensors. NULL:
 * nothing, or no memory. */
json_t *loss_read_new(const struct source *s);

/* The name of the file in a folder that keeps it (a GGUF keeps it in its metadata, under "wazn."). */
#define LOSS_FILE "wazn.json"

#endif
