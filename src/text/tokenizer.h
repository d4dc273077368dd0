/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to tokens and back, one interface over every kind of vocabulary: byte-level BPE (tokenizer.json, vocab.json
 * with merges.txt, tiktoken ranks, tekken.json, GGUF "gpt2") and SentencePiece BPE and unigram (tokenizer.model,
 * tokenizer.json, GGUF "llama", "t5"). A tokenizer is read-only after opening and may be shared by threads. */
#ifndef WAZN_TEXT_TOKENIZER_H
#define WAZN_TEXT_TOKENIZER_H

#include "base/buffer.h"
#include "base/error.h"
#include "text/tokens.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;
struct source;
struct gguf;

/* From a file or folder: tokenizer.json, tokenizer.model (SentencePiece, or tiktoken ranks as Llama 3 ships them),
 * tekken.json, vocab.json (merges.txt beside it), *.tiktoken, *.gguf, a llama2.c tokenizer.bin is refused by name. In a
 * folder the best of these is taken, with tokenizer_config.json, special_tokens_map.json and added_tokens.json.
 * preset: for rank files, which pattern and special tokens go with them ("gpt2", "cl100k", "o200k", "o200k_harmony",
 * "llama3"); NULL: told by the file's name and size. */
int tokenizer_open(struct tokenizer **out, const char *path, const char *preset, struct error *err);
/* The tokenizer that belongs to an opened model: inside its GGUF, or beside its weights. */
int tokenizer_open_source(struct tokenizer **out, const struct source *s, struct error *err);
void tokenizer_close(struct tokenizer *t);

enum tokenize_flag {
    TOKENIZE_SPECIAL = 1, /* text that spells a special token becomes that token; never set for a user's words */
    TOKENIZE_BOS = 2,     /* put BOS in front where the vocabulary has one */
    TOKENIZE_DEFAULT = 4, /* add BOS and EOS as the model's own files say (add_bos_token, post_processor) */
    TOKENIZE_CONTINUE = 8, /* text goes on after other text: no dummy prefix space in front (SentencePiece) */
    TOKENIZE_BEHIND = 16,  /* text stands behind a special token: a dummy prefix where the model's files put one */
};
/* Append the tokens of text (any bytes: malformed UTF-8 is encoded by bytes where the vocabulary has them, else as
 * unknown, as the reference does with U+FFFD). */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct tokens *out,
    struct error *err);

/* Append the bytes of ids; special tokens are left out unless `special`. Ids outside the vocabulary: ERROR_USAGE. */
int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buffer *out,
    struct error *err);

/* Append the bytes that a token adds behind other text: none for special tokens, any part of a UTF-8 sequence. */
int tokenizer_add_bytes(const struct tokenizer *t, int32_t id, struct buffer *out, struct error *err);

/* Decoding as tokens come: whole UTF-8 sequences only; the rest is held back until it completes. */
struct detokenizer {
    const struct tokenizer *tokenizer;
    bool special;      /* show special tokens */
    bool begun;        /* something was decoded: SentencePiece's leading space is only dropped before */
    char held[8];
    size_t held_bytes;
};
int detokenizer_push(struct detokenizer *d, int32_t id, struct buffer *out, struct error *err);
void detokenizer_end(struct detokenizer *d, struct buffer *out); /* an incomplete rest becomes U+FFFD */

int32_t tokenizer_size(const struct tokenizer *t); /* ids are 0 .. size - 1 */
/* The id spelled so, special and added tokens first; -1: none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t n);
/* The token's own bytes (without prefix rules); borrowed. */
const char *tokenizer_piece(const struct tokenizer *t, int32_t id, size_t *n);

enum token_kind { TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };
/* TOKEN_CONTROL: special. So are, whatever kind the file gives them, the marks of chat formats (chat_mark) and BOS, EOS
 * and EOT where they are spelled like marks, <...> or [...]. */
enum token_kind tokenizer_kind(const struct tokenizer *t, int32_t id);

enum token_role { TOKEN_BOS, TOKEN_EOS, TOKEN_UNK, TOKEN_PAD, TOKEN_EOT, TOKEN_ROLE_COUNT };
int32_t tokenizer_special(const struct tokenizer *t, enum token_role role); /* -1: the model has none */
bool tokenizer_adds_bos(const struct tokenizer *t); /* what TOKENIZE_DEFAULT does */
const char *tokenizer_describe(const struct tokenizer *t); /* "byte-level BPE (o200k pattern)" */

#endif
