/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files made by tests, good ones and wrong ones: nothing is checked here. */
#ifndef WAZN_TESTS_MAKE_GGUF_H
#define WAZN_TESTS_MAKE_GGUF_H

#include "base/buffer.h"
#include "file/gguf.h"

struct make_gguf { /* a zeroed one is ready */
    struct buffer keys, tensors, data;
    uint64_t key_count, tensor_count;
};

void make_number(struct buffer *b, uint64_t value, int bytes); /* little-endian */
void make_string(struct buffer *b, const char *text, size_t n); /* u64 length and the bytes */

void make_key(struct make_gguf *m, const char *key, enum gguf_type type); /* the value's bytes follow in m->keys */
void make_whole(struct make_gguf *m, const char *key, enum gguf_type type, int64_t value);
void make_real(struct make_gguf *m, const char *key, float value);
void make_text(struct make_gguf *m, const char *key, const char *text);
void make_array(struct make_gguf *m, const char *key, enum gguf_type element, uint64_t count); /* elements follow */

/* A tensor of ggml type 0 (F32) with these dimensions, fastest first, and ascending data behind the one before. */
void make_f32(struct make_gguf *m, const char *name, int dims, const uint64_t *dim);
/* An entry of the tensor list and nothing else. */
void make_info(struct make_gguf *m, const char *name, int dims, const uint64_t *dim, uint32_t type, uint64_t offset);

/* The file, alignment 32; releases m. */
void make_gguf_end(struct make_gguf *m, struct buffer *out);

#endif
