/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/text. */
#ifndef WAZN_TEXT_SAVE_JSON_H
#define WAZN_TEXT_SAVE_JSON_H

#include "base/json.h"
#include "text/save_impl.h"
#include "text/tokenizer_impl.h"

/* A whole tokenizer.json. ERROR_UNSUPPORTED for what it cannot say. */
int save_json_new(json_t **out, const struct tokenizer *t, struct error *err);
/* The same for SentencePiece BPE (save_json_spm.c). */
int save_json_spm_new(json_t **out, const struct tokenizer *t, struct error *err);
/* "pre_tokenizer" of byte-level BPE with a known pattern. */
json_t *save_pretokenizer_new(const struct save_steps *steps);
/* "post_processor": the special tokens around a text. */
json_t *save_around_new(const struct tokenizer *t);
/* An entry of "added_tokens"; NULL: no memory. */
json_t *save_added_new(const struct tokenizer *t, size_t i);

#endif
