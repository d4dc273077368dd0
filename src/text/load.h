/* SPDX-License-Identifier: Apache-2.0 */
/* The loaders of tokenizer files, private to src/text: each fills an empty tokenizer from foreign bytes (those of
 * SentencePiece are in tokenizer_impl.h). tokenizer_finish follows. */
#ifndef WAZN_TEXT_LOAD_H
#define WAZN_TEXT_LOAD_H

#include "base/json.h"
#include "text/tokenizer_impl.h"

struct gguf;

/* load_json.c: tokenizer.json. Spec: Hugging Face tokenizers. */
int load_json(struct tokenizer *t, const json_t *root, struct error *err);

/* load_json_around.c: what goes around the text (post_processor), and how ids become text again (decoder). */
int load_json_post_processor(struct tokenizer *t, const json_t *spec, struct error *err);
int load_json_decoder(struct tokenizer *t, const json_t *spec, struct error *err);

/* load_vocab.c: vocab.json with merges.txt. pattern: name of a known one. */
int load_vocab(struct tokenizer *t, const json_t *vocab, const char *merges, size_t merges_n, const char *pattern,
    struct error *err);
/* The entries {"token": id} of a vocabulary, undone from byte-level spelling where byte_level. */
int load_vocab_object(struct tokenizer *t, const json_t *vocab, bool byte_level, struct error *err);

/* load_ranks.c: tiktoken's "base64 rank" lines. preset as in tokenizer_open; name: of the file, may tell the preset. */
bool ranks_recognize(const char *data, size_t n);
int load_ranks(struct tokenizer *t, const char *data, size_t n, const char *preset, const char *name,
    struct error *err);

/* load_tekken.c: Mistral's tekken.json. */
int load_tekken(struct tokenizer *t, const json_t *root, struct error *err);

/* load_gguf.c: tokenizer.ggml.*, byte-level BPE and, through the loaders of SentencePiece, the others. */
int load_gguf(struct tokenizer *t, const struct gguf *g, struct error *err);

/* load_config.c: roles, flags and added tokens from tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json; each may be NULL. Call before tokenizer_finish. */
int load_config(struct tokenizer *t, const json_t *config, const json_t *map, const json_t *added, struct error *err);
/* Roles that no file tells, by the spelling of special tokens. After tokenizer_finish. */
void guess_roles(struct tokenizer *t);

/* One special token, as added token: {id, text}. */
int add_special(struct tokenizer *t, int32_t id, const char *text, struct error *err);

#endif
