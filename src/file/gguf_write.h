/* SPDX-License-Identifier: Apache-2.0 */
/* Writing GGUF version 3: metadata and the list of tensors are gathered, then the header is made; the data follow it in
 * the file in any order, each tensor at its place. Nothing of a tensor's data is held here. Spec: ggml docs/gguf.md. */
#ifndef WAZN_FILE_GGUF_WRITE_H
#define WAZN_FILE_GGUF_WRITE_H

#include "base/buffer.h"
#include "base/json.h"
#include "file/gguf.h"
#include "tensor/format.h"

struct gguf_out { /* a zeroed one is empty and ready; gguf_out_release */
    struct buffer keys, tensors;
    uint64_t key_count, tensor_count;
    uint64_t data_bytes; /* of the tensors so far, each padded to the alignment */
};

#define GGUF_OUT_ALIGNMENT 32

/* Metadata. A key must not be put twice. Running out of memory is remembered until gguf_out_header. */
void gguf_put_whole(struct gguf_out *o, const char *key, enum gguf_type type, int64_t value); /* any integer type */
void gguf_put_real(struct gguf_out *o, const char *key, double value); /* a float32 */
void gguf_put_flag(struct gguf_out *o, const char *key, bool value);
void gguf_put_text(struct gguf_out *o, const char *key, const char *text, size_t n);
/* An entry of another file as it is. */
void gguf_put_copy(struct gguf_out *o, const struct gguf_value *v);
/* The head of an array; then `count` of the gguf_add calls for its type. */
void gguf_put_array(struct gguf_out *o, const char *key, enum gguf_type element, uint64_t count);
void gguf_add_text(struct gguf_out *o, const char *text, size_t n);
void gguf_add_number(struct gguf_out *o, enum gguf_type type, int64_t value);
void gguf_add_real(struct gguf_out *o, double value);

/* Where in the file the next byte of metadata will lie, for numbers that are known only after the header: put zeros,
 * overwrite them later. */
uint64_t gguf_out_place(const struct gguf_out *o);

/* GGUF's name and number of a format; NULL and -1: GGUF has none. */
const char *gguf_format_name(const struct format *f);
int gguf_format_number(const struct format *f);

/* The next tensor: its name (at most 63 bytes), shape (slowest first, rows whole blocks). Returns the place of its data
 * relative to the end of the header. ERROR_USAGE where it cannot be in a GGUF. */
int gguf_put_tensor(struct gguf_out *o, const char *name, int dims, const int64_t *shape, const struct format *format,
    uint64_t *place, struct error *err);

/* The header with its padding; the data begin behind it. */
int gguf_out_header(const struct gguf_out *o, struct buffer *header, struct error *err);

/* The numbers of a model, given under the keys of config.json, all written out (as model/save_config.h does it):
 * general.architecture and what stands behind it. ERROR_UNSUPPORTED where GGUF has no such family. */
int gguf_put_config(struct gguf_out *o, const json_t *config, struct error *err);
/* generation_config.json's settings of sampling (general.sampling.*). */
void gguf_put_generation(struct gguf_out *o, const json_t *generation);

void gguf_out_release(struct gguf_out *o);

#endif
