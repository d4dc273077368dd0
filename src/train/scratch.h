/* SPDX-License-Identifier: Apache-2.0 */
/* A model that has learned nothing yet, as a Hugging Face folder: training from scratch starts from a model like any
 * other. */
#ifndef WAZN_TRAIN_SCRATCH_H
#define WAZN_TRAIN_SCRATCH_H

#include "base/json.h"
#include "text/tokenizer.h"

/* config: config.json's keys. What it leaves out and the tokenizer knows is filled in: vocab_size, bos_token_id and
 * eos_token_id. Weights as model_create makes them, in f32. The folder appears when it is whole; ERROR_USAGE where it
 * is there, or where the tokenizer has more tokens than vocab_size. */
int scratch_write(const char *folder, const json_t *config, const struct tokenizer *t, uint64_t seed,
    struct error *err);

#endif
