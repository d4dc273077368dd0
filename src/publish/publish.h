/* SPDX-License-Identifier: Apache-2.0 */
/* A model written anew: as GGUF or as a Hugging Face folder, in the formats it has or in smaller ones. Everything is
 * written beside its place, opened again and compared before it is renamed: what the other kind of file cannot say is
 * refused, and nothing half-done is left. Memory does not depend on the model's size. */
#ifndef WAZN_PUBLISH_PUBLISH_H
#define WAZN_PUBLISH_PUBLISH_H

#include "base/log.h"
#include "file/source.h"
#include "model/model.h"
#include "publish/loss.h"
#include "publish/recipe.h"
#include "publish/watch.h"
#include "text/tokenizer.h"

struct publish_options {
    const char *path;             /* ends in .gguf: a GGUF; else a folder */
    const struct recipe *recipe;  /* NULL: formats stay as they are */
    const struct keep_rule *rules;
    size_t n_rules;
    const int32_t *ids;           /* a text's tokens: importance and loss; NULL: neither */
    size_t n_ids;
    double loss_max;              /* > 0: the smallest mix whose mean KL is not above; needs ids, no recipe */
    int threads;
    struct publish_watch watch;
    const struct log *log;
};

struct publish_report {
    uint64_t source_bytes, bytes; /* of the weight files */
    bool measured;
    struct loss loss;
    double error_worst;           /* of all tensors: relative squared error of the weights */
    char worst[256];              /* that tensor; empty: nothing was rounded */
};

/* tokenizer: NULL where the source has none. ERROR_USAGE: the output is the source, or a folder that is there;
 * ERROR_UNSUPPORTED: what cannot be said in this kind of file; ERROR_LIMIT: no mix is within loss_max; ERROR_IO,
 * ERROR_CANCELLED. */
int publish(struct publish_report *report, const struct source *source, const struct model *model,
    const struct tokenizer *tokenizer, const struct publish_options *options, struct error *err);

#endif
