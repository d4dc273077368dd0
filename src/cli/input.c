/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include "base/utf8.h"
#include "cli/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ids_read(struct tokens *out, const char *text, struct error *err)
{
    static const char blanks[] = " ,\t\r\n";
    for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
        char *end;
        errno = 0;
        long long id = strtoll(text, &end, 10);
        if (end == text || (*end && !strchr(blanks, *end)))
            return error_set(err, ERROR_USAGE, "\"%.40s\" is not a token id", text);
        if (errno == ERANGE || id < 0 || id > INT32_MAX)
            return error_set(err, ERROR_USAGE, "token id %.*s is out of range", (int)(end - text), text);
        tokens_add(out, (int32_t)id);
        text = end;
    }
    return tokens_check(out, err);
}

int stdin_read(struct buffer *out, struct error *err)
{
    enum { STEP = 65536 };
    for (size_t total = 0;;) {
        char *room = buffer_room(out, STEP);
        if (!room)
            return buffer_check(out, "standard input", err);
        ssize_t n = read(STDIN_FILENO, room, STEP);
        if (n < 0 && errno == EINTR && !interrupt_seen())
            continue;
        if (n < 0 && errno == EINTR)
            return error_set(err, ERROR_CANCELLED, "stopped while reading standard input");
        if (n < 0)
            return error_errno(err, errno, "could not read standard input");
        if (n == 0)
            return 0;
        out->used += (size_t)n;
        out->data[out->used] = '\0';
        total += (size_t)n;
        if (total > INPUT_BYTES_MAX)
            return error_set(err, ERROR_LIMIT, "standard input has more than %zu bytes", (size_t)INPUT_BYTES_MAX);
    }
}

int text_read(struct buffer *out, const char *word, struct error *err)
{
    if (strcmp(word, "-") == 0)
        return stdin_read(out, err);
    buffer_add_text(out, word);
    return buffer_check(out, "the text", err);
}

json_t *json_string_new(const char *bytes, size_t n)
{
    struct buffer clean = { 0 };
    for (size_t at = 0; at < n;) {
        int32_t point;
        int taken = utf8_decode(bytes + at, n - at, &point);
        if (point < 0)
            buffer_add_text(&clean, "\xef\xbf\xbd");
        else
            buffer_add(&clean, bytes + at, (size_t)taken);
        at += (size_t)taken;
    }
    json_t *text = clean.failed ? NULL : json_stringn(clean.data ? clean.data : "", clean.used);
    buffer_release(&clean);
    return text;
}

int json_print(json_t *value, struct error *err)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text)
        return error_memory(err, 0, "JSON output");
    puts(text);
    free(text);
    return 0;
}
