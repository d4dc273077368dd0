/* SPDX-License-Identifier: Apache-2.0 */
#include "file/gguf_write.h"

#include "base/size.h"

#include <string.h>

#define HEADER_BYTES 24u
#define NAME_BYTES_MAX 63u
#define DIMS_MAX 4

static void add_bytes(struct buffer *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buffer_add_byte(b, (char)(value >> (8 * i)));
}

static void add_string(struct buffer *b, const char *text, size_t n)
{
    add_bytes(b, n, 8);
    buffer_add(b, text, n);
}

static size_t type_bytes(enum gguf_type type)
{
    static const unsigned char bytes[GGUF_TYPE_COUNT] = { [GGUF_UINT8] = 1, [GGUF_INT8] = 1, [GGUF_UINT16] = 2,
        [GGUF_INT16] = 2, [GGUF_UINT32] = 4, [GGUF_INT32] = 4, [GGUF_FLOAT32] = 4, [GGUF_BOOL] = 1, [GGUF_UINT64] = 8,
        [GGUF_INT64] = 8, [GGUF_FLOAT64] = 8 };
    return bytes[type];
}

static void put_key(struct gguf_out *o, const char *key, size_t n, enum gguf_type type)
{
    add_string(&o->keys, key, n);
    add_bytes(&o->keys, type, 4);
    o->key_count++;
}

void gguf_add_number(struct gguf_out *o, enum gguf_type type, int64_t value)
{
    add_bytes(&o->keys, (uint64_t)value, type_bytes(type));
}

void gguf_add_real(struct gguf_out *o, double value)
{
    float x = (float)value;
    buffer_add(&o->keys, &x, sizeof x);
}

void gguf_add_text(struct gguf_out *o, const char *text, size_t n)
{
    add_string(&o->keys, text, n);
}

void gguf_put_whole(struct gguf_out *o, const char *key, enum gguf_type type, int64_t value)
{
    put_key(o, key, strlen(key), type);
    gguf_add_number(o, type, value);
}

void gguf_put_real(struct gguf_out *o, const char *key, double value)
{
    put_key(o, key, strlen(key), GGUF_FLOAT32);
    gguf_add_real(o, value);
}

void gguf_put_flag(struct gguf_out *o, const char *key, bool value)
{
    gguf_put_whole(o, key, GGUF_BOOL, value);
}

void gguf_put_text(struct gguf_out *o, const char *key, const char *text, size_t n)
{
    put_key(o, key, strlen(key), GGUF_STRING);
    gguf_add_text(o, text, n);
}

void gguf_put_copy(struct gguf_out *o, const struct gguf_value *v)
{
    put_key(o, v->key, v->key_length, v->type);
    if (v->type == GGUF_ARRAY) {
        add_bytes(&o->keys, v->element, 4);
        add_bytes(&o->keys, v->count, 8);
    }
    buffer_add(&o->keys, v->data, (size_t)v->bytes);
}

void gguf_put_array(struct gguf_out *o, const char *key, enum gguf_type element, uint64_t count)
{
    put_key(o, key, strlen(key), GGUF_ARRAY);
    add_bytes(&o->keys, element, 4);
    add_bytes(&o->keys, count, 8);
}

uint64_t gguf_out_place(const struct gguf_out *o)
{
    return HEADER_BYTES + o->keys.used;
}

int gguf_put_tensor(struct gguf_out *o, const char *name, int dims, const int64_t *shape, const struct format *format,
    uint64_t *place, struct error *err)
{
    int number = gguf_format_number(format);
    size_t n = strlen(name);
    uint64_t count = 1;
    bool fits = dims >= 1 && dims <= DIMS_MAX && n >= 1 && n <= NAME_BYTES_MAX;
    for (int i = 0; i < dims && fits; i++)
        fits = shape[i] >= 1 && size_mul(&count, count, (uint64_t)shape[i]);
    if (number < 0)
        return error_set(err, ERROR_USAGE, "tensor \"%s\": GGUF has no format %s", name, format->name);
    if (!fits || shape[dims - 1] % format->block != 0 || count > INT64_MAX / 8)
        return error_set(err, ERROR_USAGE, "tensor \"%s\" cannot be in a GGUF: %d dimensions, rows of %lld, %s", name,
            dims, dims > 0 ? (long long)shape[dims - 1] : 0, format->name);
    *place = o->data_bytes;
    add_string(&o->tensors, name, n);
    add_bytes(&o->tensors, (uint64_t)dims, 4);
    for (int i = dims; i-- > 0;)
        add_bytes(&o->tensors, (uint64_t)shape[i], 8);
    add_bytes(&o->tensors, (uint64_t)number, 4);
    add_bytes(&o->tensors, o->data_bytes, 8);
    o->tensor_count++;
    o->data_bytes = size_align(o->data_bytes + format_row_bytes(format, (int64_t)count), GGUF_OUT_ALIGNMENT);
    return 0;
}

int gguf_out_header(const struct gguf_out *o, struct buffer *header, struct error *err)
{
    buffer_add(header, "GGUF", 4);
    add_bytes(header, 3, 4);
    add_bytes(header, o->tensor_count, 8);
    add_bytes(header, o->key_count, 8);
    if (o->keys.used)
        buffer_add(header, o->keys.data, o->keys.used);
    if (o->tensors.used)
        buffer_add(header, o->tensors.data, o->tensors.used);
    while (!header->failed && header->used % GGUF_OUT_ALIGNMENT)
        buffer_add_byte(header, 0);
    header->failed |= o->keys.failed || o->tensors.failed;
    return buffer_check(header, "a GGUF header", err);
}

void gguf_out_release(struct gguf_out *o)
{
    buffer_release(&o->keys);
    buffer_release(&o->tensors);
}
