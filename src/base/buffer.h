/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes. Out of memory is remembered, not reported at each step: add freely, ask buffer_check
 * once. */
#ifndef WAZN_BASE_BUFFER_H
#define WAZN_BASE_BUFFER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* always followed by a 0 byte once anything was added; NULL before */
    size_t used, capacity;
    bool failed; /* memory ran out: everything added since is missing */
};

/* A zeroed buffer is empty and ready. */
void buffer_add(struct buffer *b, const void *bytes, size_t n);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_add_byte(struct buffer *b, char byte);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes; returns where they go (NULL when failed). The caller adds what it wrote to b->used. */
char *buffer_room(struct buffer *b, size_t n);

/* Forget the content, keep the memory. */
void buffer_clear(struct buffer *b);

/* 0, or ERROR_MEMORY where memory ran out since the last clear. */
int buffer_check(const struct buffer *b, const char *what, struct error *err);

/* The content as a new 0-terminated string, which the caller frees; the buffer is empty after. NULL when failed. */
char *buffer_new_text(struct buffer *b);

void buffer_release(struct buffer *b);

#endif
