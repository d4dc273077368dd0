/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of publishing share. */
#ifndef WAZN_PUBLISH_PUBLISH_IMPL_H
#define WAZN_PUBLISH_PUBLISH_IMPL_H

#include "base/fileout.h"
#include "publish/encode.h"
#include "publish/importance.h"
#include "publish/publish.h"

struct publication {
    const struct source *source;
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct publish_options *options;
    enum source_kind kind;
    struct save *save;
    struct importance *importance;
    size_t count;                   /* tensors */
    const struct format **formats;  /* (count) */
    float *errors;                  /* (count) relative squared error of each, as written */
    uint64_t *places, *scale_places; /* (count) where their data, and MXFP4's scales, lie in the file */
    uint64_t bytes;                 /* of the file */
    struct file_out folder, file;
    uint64_t loss_places[LOSS_NUMBERS], errors_place; /* GGUF: where the numbers go that are known last */
    struct loss loss;
    bool measured;
};

/* gguf_output.c and folder_output.c: make everything but the weights, and set places. */
int gguf_output_begin(struct publication *p, struct error *err);
int folder_output_begin(struct publication *p, struct error *err);
/* Put in what was measured. */
int gguf_output_end(struct publication *p, struct error *err);
int folder_output_end(struct publication *p, struct error *err);

/* Write all tensors in p->formats, check what was written, measure where there is a text. The file stays open beside
 * its place; publication_commit or publication_abort follows. */
int publication_write(struct publication *p, struct error *err);
int publication_commit(struct publication *p, struct error *err);
void publication_abort(struct publication *p);

/* search.c: choose p->formats for options->loss_max; leaves that file written. */
int publication_search(struct publication *p, struct error *err);

#endif
