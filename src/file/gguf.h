/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF, versions 2 and 3, little-endian: one file read and checked; keys and strings are views of its bytes.
 * Opening walks the metadata once, without a memory request per string: a vocabulary of 200,000 tokens opens in
 * milliseconds. Everything returned lives as long as the struct gguf. Spec: ggml docs/gguf.md. */
#ifndef WAZN_FILE_GGUF_H
#define WAZN_FILE_GGUF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum gguf_type {
    GGUF_UINT8,
    GGUF_INT8,
    GGUF_UINT16,
    GGUF_INT16,
    GGUF_UINT32,
    GGUF_INT32,
    GGUF_FLOAT32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_UINT64,
    GGUF_INT64,
    GGUF_FLOAT64,
    GGUF_TYPE_COUNT
};

struct gguf;
struct table;

struct gguf_value {
    const char *key; /* not 0-terminated */
    size_t key_length;
    enum gguf_type type;
    enum gguf_type element;    /* of an array; else the same as type */
    uint64_t count;            /* elements of an array; else 1 */
    const unsigned char *data; /* the elements, one behind the other, unaligned; strings: u64 length and bytes each */
    uint64_t bytes;
};

/* Map and read a file. tensors: where its tensors are added, or NULL for the metadata alone (the tensor list is then
 * not looked at). ERROR_FORMAT tells key or tensor and numbers; big-endian files and version 1: ERROR_UNSUPPORTED. */
int gguf_open(struct gguf **out, const char *path, struct table *tensors, struct error *err);
/* The same from memory, which must outlive it; `path` names it in errors. */
int gguf_read(struct gguf **out, const void *data, size_t size, const char *path, struct table *tensors,
    struct error *err);
void gguf_close(struct gguf *g);

size_t gguf_count(const struct gguf *g);
const struct gguf_value *gguf_value(const struct gguf *g, size_t i); /* in the file's order */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* NULL: not there */

/* Typed members: `absent` where the key is missing or of another type. Any width of integer counts as whole; real takes
 * integers too; text is not 0-terminated. */
int64_t gguf_whole(const struct gguf *g, const char *key, int64_t absent);
double gguf_real(const struct gguf *g, const char *key, double absent);
bool gguf_flag(const struct gguf *g, const char *key, bool absent);
const char *gguf_text(const struct gguf *g, const char *key, size_t *length); /* NULL: absent */

/* An array of this element type, or NULL. */
const struct gguf_value *gguf_array(const struct gguf *g, const char *key, enum gguf_type element);

/* Element i of an array (0 of a scalar) converted, a float32 to the shortest decimal that is it; false where it is not
 * a number of that kind or does not fit. */
bool gguf_whole_at(const struct gguf_value *v, uint64_t i, int64_t *out);
bool gguf_real_at(const struct gguf_value *v, uint64_t i, double *out);

/* Elements of arrays known to be GGUF_INT32 (token types) and GGUF_FLOAT32 (scores). */
static inline int32_t gguf_int32_at(const struct gguf_value *v, uint64_t i)
{
    int32_t x;
    memcpy(&x, v->data + 4 * i, 4);
    return x;
}

static inline float gguf_float32_at(const struct gguf_value *v, uint64_t i)
{
    float x;
    memcpy(&x, v->data + 4 * i, 4);
    return x;
}

/* The strings of an array in order: begin, then next until it is false. Texts are not 0-terminated. */
struct gguf_strings {
    const unsigned char *at;
    uint64_t left;
};
void gguf_strings_begin(struct gguf_strings *it, const struct gguf_value *v); /* v: GGUF_STRING elements, or NULL */
bool gguf_strings_next(struct gguf_strings *it, const char **text, size_t *length);

/* "uint32", "string" ...: for errors and listings. */
const char *gguf_type_name(enum gguf_type type);

#endif
