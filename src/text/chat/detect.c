/* SPDX-License-Identifier: Apache-2.0 */
/* Which format a model's template is, without executing it. Runs of white space become one space; then a format is
 * taken whose marks all occur in the text and none of whose `unlike` texts does; of several, the first in chat_formats.
 * A template that does more than a simple format knows (tools, thoughts) has texts that the format lists under
 * `unlike`: it is refused rather than approximated. */
#include "text/chat/chat_impl.h"

#define TEMPLATE_MAX (1 << 20) /* bytes looked at; published ones have up to 30,000 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void squeeze(struct buffer *out, const char *text)
{
    size_t n = strnlen(text, TEMPLATE_MAX);
    bool blank = false;
    for (size_t i = 0; i < n; i++) {
        if (is_blank(text[i])) {
            blank = true;
            continue;
        }
        if (blank && out->used)
            buffer_add_byte(out, ' ');
        blank = false;
        buffer_add_byte(out, text[i]);
    }
}

static bool fits_text(const struct chat_format *f, const char *text)
{
    if (!f->marks)
        return false;
    for (int i = 0; f->marks[i]; i++)
        if (!strstr(text, f->marks[i]))
            return false;
    for (int i = 0; f->unlike && f->unlike[i]; i++)
        if (strstr(text, f->unlike[i]))
            return false;
    return true;
}

static bool fits_vocabulary(const struct chat_format *f, const struct tokenizer *t)
{
    if (!f->vocabulary || !t)
        return false;
    for (int i = 0; f->vocabulary[i]; i++)
        if (tokenizer_find(t, f->vocabulary[i], strlen(f->vocabulary[i])) < 0)
            return false;
    return true;
}

static int refuse(const char *reason, struct error *err)
{
    struct buffer names = {0};
    chat_format_names(&names);
    int rc = error_set(
        err, ERROR_UNSUPPORTED, "%s; choose one with --chat-format: %s", reason, names.data ? names.data : "plain");
    buffer_release(&names);
    return rc;
}

int chat_detect(const struct chat_format **out, const char *template_text, const struct tokenizer *t, struct error *err)
{
    struct buffer text = {0};
    *out = NULL;
    if (!template_text) {
        for (int i = 0; chat_formats[i] && !*out; i++)
            if (fits_vocabulary(chat_formats[i], t))
                *out = chat_formats[i];
        return *out ? 0
                    : refuse("the model has no chat template, and its vocabulary does not tell its chat format", err);
    }
    squeeze(&text, template_text);
    int rc = buffer_check(&text, "a chat template", err);
    for (int i = 0; rc == 0 && text.data && chat_formats[i] && !*out; i++)
        if (fits_text(chat_formats[i], text.data))
            *out = chat_formats[i];
    buffer_release(&text);
    if (rc)
        return rc;
    return *out ? 0 : refuse("the model's chat template is none of the known chat formats", err);
}
