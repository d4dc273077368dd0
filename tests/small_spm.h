/* SPDX-License-Identifier: Apache-2.0 */
/* Small SentencePiece models made by a test, byte by byte in protobuf's wire format. */
#ifndef WAZN_TESTS_SMALL_SPM_H
#define WAZN_TESTS_SMALL_SPM_H

#include "base/buffer.h"
#include "text/tokenizer.h"

enum small_spm_type { SPM_NORMAL = 1, SPM_UNKNOWN, SPM_CONTROL, SPM_USER, SPM_UNUSED, SPM_BYTE };
enum small_spm_model { SPM_UNIGRAM = 1, SPM_BPE };

/* Fields of a message. */
void small_varint(struct buffer *b, unsigned field, uint64_t value);
void small_bytes(struct buffer *b, unsigned field, const void *bytes, size_t n);
void small_float(struct buffer *b, unsigned field, float value);

/* Pieces go in by id, from 0. */
void small_piece(struct buffer *model, const char *text, float score, enum small_spm_type type);
void small_byte_pieces(struct buffer *model); /* <0x00> ... <0xFF>: 256 ids */

struct small_settings {
    enum small_spm_model type;
    int bos, eos, pad;
    bool byte_fallback, suffix, dummy_prefix, collapse, escape;
    const void *charsmap;
    size_t charsmap_bytes;
};
void small_settings(struct buffer *model, const struct small_settings *s);

/* Open the model; releases the buffer. NULL, with err, where it is refused. */
struct tokenizer *small_open(struct buffer *model, struct error *err);

/* One token per byte (id = byte), then the controls (id 256 + i), then <unk>; no dummy prefix. Names of bos and eos may
 * be NULL. For chat formats: control tokens and plain text are told apart by id. */
struct tokenizer *small_byte_tokenizer(const char *const *controls, int n, const char *bos, const char *eos);

#endif
