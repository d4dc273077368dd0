/* SPDX-License-Identifier: Apache-2.0 */
/* Timelines that grow together, each by one token a pass: weights are read once for all of them. */
#ifndef WAZN_INFER_BATCH_H
#define WAZN_INFER_BATCH_H

#include "base/error.h"
#include "model/model.h"

#include <stdint.h>

struct batch_options {
    const struct format *kv_format;
    int sequences, context; /* context: positions of each */
    int threads;
};

struct batch;

uint64_t batch_bytes(const struct model *m, const struct batch_options *options); /* what batch_open will take */

/* Errors of kv_check and pass_open; ERROR_MEMORY. After it nothing fails for lack of memory. The model must outlive the
 * batch. */
int batch_open(struct batch **out, const struct model *m, const struct batch_options *options, struct error *err);
void batch_close(struct batch *b);

/* Token ids[i] (sequences) behind what sequence i holds. ERROR_LIMIT, before anything changes, where the context is
 * full. */
int batch_push(struct batch *b, const int32_t *ids, struct error *err);
void batch_clear(struct batch *b); /* all sequences are empty again */

const float *batch_logits(const struct batch *b, int sequence); /* (vocabulary), of the last push */

#endif
