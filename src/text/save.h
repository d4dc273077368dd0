/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer as other files have it. What a kind of file cannot say is refused; whoever saves one opens it again and
 * compares (tokenizer_same). */
#ifndef WAZN_TEXT_SAVE_H
#define WAZN_TEXT_SAVE_H

#include "base/json.h"
#include "file/gguf_write.h"
#include "text/tokenizer.h"

/* tokenizer.ggml.*. vocabulary: rows of the model's embedding; ids without a token are filled up with unused ones. eos:
 * ids that end an answer (an integer or a list), as generation_config.json has them; NULL: the tokenizer's. */
int tokenizer_save_gguf(const struct tokenizer *t, struct gguf_out *o, int64_t vocabulary, const json_t *eos,
    struct error *err);

/* tokenizer.json (BPE), tokenizer.model (SentencePiece), and tokenizer_config.json with the chat template (NULL: none),
 * in a folder. */
int tokenizer_save_folder(const struct tokenizer *t, const char *folder, const char *chat_template, struct error *err);

/* Do both give the same ids for a text that has something of everything? ERROR_UNSUPPORTED where not. */
int tokenizer_same(const struct tokenizer *a, const struct tokenizer *b, struct error *err);

#endif
