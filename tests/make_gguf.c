/* SPDX-License-Identifier: Apache-2.0 */
#include "make_gguf.h"

#include <string.h>

#define ALIGNMENT 32

void make_number(struct buffer *b, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buffer_add_byte(b, (char)(value >> (8 * i)));
}

void make_string(struct buffer *b, const char *text, size_t n)
{
    make_number(b, n, 8);
    buffer_add(b, text, n);
}

void make_key(struct make_gguf *m, const char *key, enum gguf_type type)
{
    make_string(&m->keys, key, strlen(key));
    make_number(&m->keys, type, 4);
    m->key_count++;
}

void make_whole(struct make_gguf *m, const char *key, enum gguf_type type, int64_t value)
{
    static const int width[] = { [GGUF_UINT8] = 1, [GGUF_INT8] = 1, [GGUF_UINT16] = 2, [GGUF_INT16] = 2,
        [GGUF_UINT32] = 4, [GGUF_INT32] = 4, [GGUF_BOOL] = 1, [GGUF_UINT64] = 8, [GGUF_INT64] = 8 };
    make_key(m, key, type);
    make_number(&m->keys, (uint64_t)value, width[type]);
}

void make_real(struct make_gguf *m, const char *key, float value)
{
    make_key(m, key, GGUF_FLOAT32);
    buffer_add(&m->keys, &value, sizeof value);
}

void make_text(struct make_gguf *m, const char *key, const char *text)
{
    make_key(m, key, GGUF_STRING);
    make_string(&m->keys, text, strlen(text));
}

void make_array(struct make_gguf *m, const char *key, enum gguf_type element, uint64_t count)
{
    make_key(m, key, GGUF_ARRAY);
    make_number(&m->keys, element, 4);
    make_number(&m->keys, count, 8);
}

void make_info(struct make_gguf *m, const char *name, int dims, const uint64_t *dim, uint32_t type, uint64_t offset)
{
    make_string(&m->tensors, name, strlen(name));
    make_number(&m->tensors, (uint64_t)dims, 4);
    for (int i = 0; i < dims; i++)
        make_number(&m->tensors, dim[i], 8);
    make_number(&m->tensors, type, 4);
    make_number(&m->tensors, offset, 8);
    m->tensor_count++;
}

static void pad(struct buffer *b)
{
    while (b->used % ALIGNMENT)
        buffer_add_byte(b, 0);
}

void make_f32(struct make_gguf *m, const char *name, int dims, const uint64_t *dim)
{
    uint64_t count = 1;
    pad(&m->data);
    make_info(m, name, dims, dim, 0, m->data.used);
    for (int i = 0; i < dims; i++)
        count *= dim[i];
    for (uint64_t i = 0; i < count; i++) {
        float x = (float)i;
        buffer_add(&m->data, &x, sizeof x);
    }
}

void make_gguf_end(struct make_gguf *m, struct buffer *out)
{
    buffer_add_text(out, "GGUF");
    make_number(out, 3, 4);
    make_number(out, m->tensor_count, 8);
    make_number(out, m->key_count, 8);
    buffer_add(out, m->keys.data, m->keys.used);
    buffer_add(out, m->tensors.data, m->tensors.used);
    if (m->tensor_count)
        pad(out);
    buffer_add(out, m->data.data, m->data.used);
    buffer_release(&m->keys);
    buffer_release(&m->tensors);
    buffer_release(&m->data);
    memset(m, 0, sizeof *m);
}
