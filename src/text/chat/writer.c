/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat/chat_impl.h"

#include "base/utf8.h"

#include <assert.h>
#include <stdlib.h>

/* ---- what is said ---- */

/* Bytes that ids add; *end (may be NULL): (n) where each ends. */
static size_t measure(struct chat_writer *w, const int32_t *ids, size_t n, size_t *end)
{
    struct buffer bytes = {0};
    size_t sum = 0;
    for (size_t i = 0; i < n && w->rc == 0; i++) {
        buffer_clear(&bytes);
        w->rc = tokenizer_add_bytes(w->tokenizer, ids[i], &bytes, w->err);
        sum += bytes.used;
        if (end)
            end[i] = sum;
    }
    buffer_release(&bytes);
    return sum;
}

/* A place in the text as a place in the bytes of its tokens. They are the same unless the tokenizer puts a space in
 * front or normalizes: then what stands before the place is tokenized alone to see how many bytes it becomes. */
static size_t place(struct chat_writer *w, size_t at, size_t sum)
{
    struct tokens before = {0};
    if (at == 0 || sum == w->text.used)
        return at;
    if (at == w->text.used)
        return sum;
    if (w->rc == 0)
        w->rc = tokenizer_encode(w->tokenizer, w->text.data, at, w->flags, &before, w->err);
    size_t bytes = measure(w, before.ids, before.used, NULL);
    tokens_release(&before);
    return bytes;
}

/* Places of spans in the text become numbers of its tokens, which are [first, w->out->used). */
static void settle(struct chat_writer *w, size_t first)
{
    size_t n = w->out->used - first;
    size_t *end = calloc(n + 1, sizeof *end);
    if (!end) {
        w->rc = error_memory(w->err, n * sizeof *end, "what is said");
        return;
    }
    size_t sum = measure(w, w->out->ids + first, n, end);
    for (size_t i = w->settled; i < w->said->n && w->rc == 0; i++) {
        struct chat_said *s = &w->said->at[i];
        bool open = w->saying && i + 1 == w->said->n;
        size_t k = 0;
        if (i > w->settled || !w->settled_from) {
            for (size_t at = place(w, s->from, sum); k < n && end[k] <= at;)
                k++;
            s->from = first + k;
        }
        if (open)
            break;
        k = 0;
        for (size_t at = place(w, s->to, sum); k < n && at > 0 && (k ? end[k - 1] : 0) < at;)
            k++;
        s->to = first + k;
    }
    free(end);
    w->settled = w->said->n - w->saying;
    w->settled_from = w->saying;
}

void chat_says(struct chat_writer *w, const struct chat_message *m, enum chat_channel channel)
{
    struct chat_said_list *l = w->said;
    chat_silent(w);
    if (!l || !chat_is(m, "assistant"))
        return;
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 8;
        struct chat_said *at = realloc(l->at, capacity * sizeof *at);
        l->failed = l->failed || !at;
        if (!at)
            return;
        l->at = at;
        l->capacity = capacity;
    }
    l->at[l->n++] = (struct chat_said){
        .from = w->text.used, .message = (size_t)(m - w->request->messages), .channel = channel, .last = -1};
    w->saying = true;
}

void chat_silent(struct chat_writer *w)
{
    if (w->saying)
        w->said->at[w->said->n - 1].to = w->text.used;
    w->saying = false;
}

void chat_says_last(struct chat_writer *w, const char *name)
{
    if (w->saying)
        w->said->at[w->said->n - 1].last = tokenizer_find(w->tokenizer, name, strlen(name));
}

static void drop_empty(struct chat_said_list *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i].from < l->at[i].to)
            l->at[kept++] = l->at[i];
    l->n = kept;
}

void chat_said_release(struct chat_said_list *list)
{
    free(list->at);
    memset(list, 0, sizeof *list);
}

/* ---- text and tokens ---- */

static void flush(struct chat_writer *w)
{
    size_t first = w->out->used;
    if (w->rc == 0)
        w->rc = buffer_check(&w->text, "a conversation", w->err);
    if (w->rc == 0 && w->text.used > 0)
        w->rc = tokenizer_encode(w->tokenizer, w->text.data, w->text.used, w->flags, w->out, w->err);
    if (w->rc == 0 && w->said && w->settled < w->said->n)
        settle(w, first);
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
    return chat_render_said(f, t, r, out, NULL, err);
}

int chat_render_said(const struct chat_format *f, const struct tokenizer *t, const struct chat_request *r,
    struct tokens *out, struct chat_said_list *said, struct error *err)
{
    struct chat_writer w = {.format = f, .tokenizer = t, .out = out, .err = err, .request = r, .said = said};
    int rc = f->render(&w, r, err);
    if (rc == 0) {
        chat_silent(&w);
        flush(&w);
        rc = w.rc ? w.rc : tokens_check(out, err);
    }
    if (rc == 0 && said && said->failed)
        rc = error_memory(err, said->n * sizeof *said->at, "what is said");
    if (rc == 0 && said)
        drop_empty(said);
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
