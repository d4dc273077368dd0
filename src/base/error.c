/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_status;
} codes[] = {
    [0] = { "none", 0 },
    [-ERROR_USAGE] = { "usage", 2 },
    [-ERROR_NOT_FOUND] = { "not_found", 3 },
    [-ERROR_IO] = { "io", 4 },
    [-ERROR_FORMAT] = { "format", 5 },
    [-ERROR_UNSUPPORTED] = { "unsupported", 6 },
    [-ERROR_MEMORY] = { "memory", 7 },
    [-ERROR_LIMIT] = { "limit", 8 },
    [-ERROR_CANCELLED] = { "cancelled", 130 },
};

/* Texts quote names from hostile files, and are cut where they are too long: control characters must not reach a
 * terminal, and what is left must be UTF-8. */
static void escape(char *out, size_t size, const char *in)
{
    size_t used = 0;
    for (size_t n = strlen(in); n > 0 && used + 4 * 4 < size;) {
        int32_t point;
        int taken = utf8_decode(in, n, &point);
        for (int i = 0; i < taken; i++) {
            if (point < 0x20 || (point >= 0x7f && point < 0xa0))
                used += (size_t)snprintf(out + used, size - used, "\\x%02x", (unsigned char)in[i]);
            else
                out[used++] = in[i];
        }
        in += taken;
        n -= (size_t)taken;
    }
    out[used] = '\0';
}

static void record(struct error *err, int code, const char *format, va_list args, const char *tail)
{
    char raw[ERROR_TEXT_SIZE];
    vsnprintf(raw, sizeof raw, format, args);
    if (tail) {
        size_t used = strlen(raw);
        snprintf(raw + used, sizeof raw - used, ": %s", tail);
    }
    err->code = code;
    escape(err->text, sizeof err->text, raw);
}

int error_set(struct error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        record(err, code, format, args, NULL);
        va_end(args);
    }
    return code;
}

int error_errno(struct error *err, int saved_errno, const char *format, ...)
{
    int code = ERROR_IO;
    if (saved_errno == ENOENT || saved_errno == ENOTDIR)
        code = ERROR_NOT_FOUND;
    else if (saved_errno == ENOMEM)
        code = ERROR_MEMORY;
    if (err) {
        va_list args;
        va_start(args, format);
        record(err, code, format, args, strerror(saved_errno));
        va_end(args);
    }
    return code;
}

int error_memory(struct error *err, unsigned long long bytes, const char *what)
{
    return error_set(err, ERROR_MEMORY, "could not get %llu bytes of memory for %s", bytes, what);
}

void error_in(struct error *err, const char *format, ...)
{
    if (!err || !err->code)
        return;
    char context[ERROR_TEXT_SIZE], clean[ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    escape(clean, sizeof clean - 2, context);
    size_t front = strlen(clean);
    clean[front++] = ':';
    clean[front++] = ' ';
    size_t room = ERROR_TEXT_SIZE - 1 - front;
    size_t back = strnlen(err->text, room);
    back -= utf8_incomplete_tail(err->text, back);
    memmove(err->text + front, err->text, back);
    memcpy(err->text, clean, front);
    err->text[front + back] = '\0';
}

int error_exit_status(int code)
{
    if (code > 0 || code < ERROR_CODE_LAST)
        return 1;
    return codes[-code].exit_status;
}

const char *error_name(int code)
{
    if (code > 0 || code < ERROR_CODE_LAST)
        return "unknown";
    return codes[-code].name;
}
