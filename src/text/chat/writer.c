/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat/chat_impl.h"

#include "base/utf8.h"

#include <assert.h>

static void flush(struct chat_writer *w)
{
    if (w->rc == 0)
        w->rc = buffer_check(&w->text, "a conversation", w->err);
    if (w->rc == 0 && w->text.used > 0)
        w->rc = tokenizer_encode(w->tokenizer, w->text.data, w->text.used, w->flags, w->out, w->err);
    buffer_clear(&w->text);
    w->flags = TOKENIZE_BEHIND;
}

void chat_bytes(struct chat_writer *w, const char *text, size_t n)
{
    buffer_add(&w->text, text, n);
}

void chat_text(struct chat_writer *w, const char *text)
{
    if (text)
        chat_bytes(w, text, strlen(text));
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t chat_space_front(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        int32_t point;
        int length = utf8_decode(text + at, n - at, &point);
        if (!is_space(point))
            break;
        at += (size_t)length;
    }
    return at;
}

size_t chat_space_back(const char *text, size_t n)
{
    size_t end = n;
    while (end > 0) {
        int32_t point;
        size_t start = end - 1;
        while (start > 0 && end - start < 4 && ((unsigned char)text[start] & 0xc0) == 0x80)
            start--;
        if ((size_t)utf8_decode(text + start, end - start, &point) != end - start || !is_space(point))
            break;
        end = start;
    }
    return n - end;
}

void chat_trimmed(struct chat_writer *w, const char *text)
{
    if (!text)
        return;
    size_t n = strlen(text), front = chat_space_front(text, n);
    chat_bytes(w, text + front, n - front - chat_space_back(text + front, n - front));
}

void chat_id(struct chat_writer *w, int32_t id)
{
    flush(w);
    if (w->rc == 0)
        tokens_add(w->out, id);
}

static bool is_control(const struct chat_format *f, const char *name)
{
    int i = 0;
    while (f->controls && f->controls[i] && strcmp(f->controls[i], name) != 0)
        i++;
    return f->controls && f->controls[i];
}

void chat_token(struct chat_writer *w, const char *name)
{
    assert(is_control(w->format, name)); /* else a user's words could spell it */
    int32_t id = tokenizer_find(w->tokenizer, name, strlen(name));
    if (id < 0 && w->rc == 0)
        w->rc = error_set(w->err, ERROR_USAGE, "chat format %s needs the token \"%s\", which the vocabulary lacks",
            w->format->name, name);
    chat_id(w, id);
}

void chat_bos(struct chat_writer *w)
{
    int32_t id = tokenizer_special(w->tokenizer, TOKEN_BOS);
    if (id >= 0)
        chat_id(w, id);
}

void chat_eos(struct chat_writer *w)
{
    int32_t id = tokenizer_special(w->tokenizer, TOKEN_EOS);
    if (id < 0 && w->rc == 0)
        w->rc = error_set(
            w->err, ERROR_USAGE, "chat format %s ends messages with EOS, which the vocabulary lacks", w->format->name);
    chat_id(w, id);
}

void chat_continue(struct chat_writer *w)
{
    w->flags = TOKENIZE_CONTINUE;
}

int chat_refuse(struct chat_writer *w, const char *reason)
{
    if (w->rc == 0)
        w->rc = error_set(w->err, ERROR_USAGE, "chat format %s: %s", w->format->name, reason);
    return w->rc;
}

int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat_request *r,
    struct tokens *out, struct error *err)
{
    struct chat_writer w = {.format = f, .tokenizer = t, .out = out, .err = err};
    int rc = f->render(&w, r, err);
    if (rc == 0) {
        flush(&w);
        rc = w.rc ? w.rc : tokens_check(out, err);
    }
    buffer_release(&w.text);
    return rc;
}

void chat_json(struct chat_writer *w, const json_t *value, int indent)
{
    json_write(&w->text, value, indent);
}

void chat_arguments(struct chat_writer *w, const json_t *arguments)
{
    if (json_is_string(arguments))
        chat_text(w, json_string_value(arguments));
    else
        chat_json(w, arguments, 0);
}
