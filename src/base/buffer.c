/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buffer_room(struct buffer *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n >= SIZE_MAX / 2 - b->used) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->used + n + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity * 2 > need ? b->capacity * 2 : need < 64 ? 64 : need;
        char *data = realloc(b->data, capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->used;
}

void buffer_add(struct buffer *b, const void *bytes, size_t n)
{
    char *to = buffer_room(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, bytes, n);
    b->used += n;
    b->data[b->used] = '\0';
}

void buffer_add_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

void buffer_add_byte(struct buffer *b, char byte)
{
    buffer_add(b, &byte, 1);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = n < 0 ? NULL : buffer_room(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, format, again);
        b->used += (size_t)n;
    }
    va_end(again);
}

void buffer_clear(struct buffer *b)
{
    b->used = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

int buffer_check(const struct buffer *b, const char *what, struct error *err)
{
    return b->failed ? error_memory(err, b->used, what) : 0;
}

char *buffer_new_text(struct buffer *b)
{
    buffer_add(b, "", 0);
    char *text = b->failed ? NULL : b->data;
    if (!text)
        free(b->data);
    memset(b, 0, sizeof *b);
    return text;
}

void buffer_release(struct buffer *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}
