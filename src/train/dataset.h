/* SPDX-License-Identifier: Apache-2.0 */
/* What is learned from: samples, each a text of tokens with a target for every token that counts. In memory, read-only
 * once it is made; where they come from (files of text, conversations) is its maker's business. */
#ifndef WAZN_TRAIN_DATASET_H
#define WAZN_TRAIN_DATASET_H

#include "model/train_pass.h"

#include <stddef.h>
#include <stdint.h>

#define DATASET_DIGEST 32 /* bytes of SHA-256 */

struct dataset;

struct dataset_size {
    size_t samples;
    uint64_t tokens, counted; /* counted: those with a target */
    uint64_t counted_bytes;   /* of text that the targets stand for: bits per byte */
    int longest;              /* tokens of the longest sample */
};

void dataset_close(struct dataset *d);
const struct dataset_size *dataset_size(const struct dataset *d);
/* Sample i below size->samples; borrowed. */
void dataset_sample(const struct dataset *d, size_t i, struct train_text *out);
/* Of all ids and targets: a run that resumes checks that it goes on with what it began with. */
const unsigned char *dataset_digest(const struct dataset *d);

/* ---- made sample by sample ---- */

struct dataset_builder; /* samples are copied, and never moved again */

int dataset_builder_open(struct dataset_builder **out, struct error *err);
void dataset_builder_close(struct dataset_builder *b);
/* counted_bytes: of text that the targets stand for. ERROR_USAGE for a sample in which no token counts, and for ids and
 * targets that cannot be tokens. */
int dataset_builder_add(struct dataset_builder *b, const struct train_text *sample, uint64_t counted_bytes,
    struct error *err);
/* So far. */
const struct dataset_size *dataset_builder_size(const struct dataset_builder *b);
/* The samples become the data and the builder is empty again. ERROR_USAGE where there are none. */
int dataset_builder_finish(struct dataset **out, struct dataset_builder *b, struct error *err);

#endif
