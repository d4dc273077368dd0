/* SPDX-License-Identifier: Apache-2.0 */
/* A message's header as the model wrote it: ROLE, to=RECIPIENT, a channel's name behind <|channel|>, a content type,
 * in the orders that occur. The control tokens are not in the text; <|constrain|> is there by its name. */
#include "text/chat/harmony_impl.h"

#define WORDS_MAX 4 /* role, recipient, content type: one more is one too many */

struct word {
    const char *at;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void set(struct buffer *b, const char *text, size_t n)
{
    buffer_clear(b);
    buffer_add(b, text, n);
}

static void cut(struct buffer *b, size_t from, size_t to)
{
    if (!b->data)
        return;
    memmove(b->data + from, b->data + to, b->used - to);
    b->used -= to - from;
    b->data[b->used] = 0;
}

void harmony_header_clear(struct chat_header *h, bool implied)
{
    buffer_clear(&h->text);
    buffer_clear(&h->channel);
    buffer_clear(&h->recipient);
    buffer_clear(&h->content_type);
    h->has_channel = false;
    h->implied = implied;
}

bool harmony_header_is_empty(const struct chat_header *h)
{
    return h->text.used == 0 && !h->has_channel;
}

/* Move the channel's name out of the text. */
static void take_channel(struct chat_header *h)
{
    size_t from = h->channel_at, to = from;
    if (!h->has_channel)
        return;
    while (to < h->text.used && !is_blank(h->text.data[to]) && h->text.data[to] != '<')
        to++;
    set(&h->channel, h->text.data ? h->text.data + from : "", to - from);
    cut(&h->text, from, to);
}

bool harmony_header_channel(struct chat_header *h)
{
    bool first = !h->has_channel;
    take_channel(h);
    h->has_channel = true;
    h->channel_at = h->text.used;
    return first;
}

/* The words of a text, at most WORDS_MAX. */
static int split(const struct buffer *b, struct word words[WORDS_MAX])
{
    const char *at = b->used ? b->data : "", *end = at + b->used;
    int n = 0;
    while (n < WORDS_MAX) {
        while (at < end && is_blank(*at))
            at++;
        if (at == end)
            break;
        words[n].at = at;
        while (at < end && !is_blank(*at))
            at++;
        words[n].n = (size_t)(at - words[n].at);
        n++;
    }
    return n;
}

static bool is(struct word w, const char *text)
{
    return strlen(text) == w.n && memcmp(w.at, text, w.n) == 0;
}

static bool begins(struct word w, const char *text)
{
    return w.n >= strlen(text) && memcmp(w.at, text, strlen(text)) == 0;
}

static enum harmony_role role_of(struct chat_header *h, const struct word *words, int n, bool *spoken)
{
    static const char *const others[] = {"system", "developer", "user", "tool"};
    *spoken = n > 0 && is(words[0], "assistant");
    if (*spoken || h->implied)
        return HARMONY_ASSISTANT;
    for (size_t i = 0; n > 0 && i < sizeof others / sizeof *others; i++)
        if (is(words[0], others[i])) {
            *spoken = true;
            return HARMONY_FOREIGN;
        }
    for (int i = 1; i < n; i++)
        if (begins(words[i], "to=")) { /* a tool speaks: its name is its role */
            *spoken = true;
            return HARMONY_FOREIGN;
        }
    return HARMONY_UNKNOWN;
}

static void set_recipient(struct chat_header *h, struct word w)
{
    size_t skip = begins(w, "to=") ? 3 : 0;
    set(&h->recipient, w.at + skip, w.n - skip);
}

/* The last word is the content type and the one before it the recipient, unless the last is marked as a recipient. A
 * word alone is a recipient too, but for an answer, which has none, and behind <|constrain|>, which marks a type.
 * Returns how many words have no meaning. */
static int read_parts(struct chat_header *h, const struct word *words, int n)
{
    if (n == 0)
        return 0;
    struct word last = words[n - 1];
    if (begins(last, "to=")) {
        set_recipient(h, last);
        return n - 1;
    }
    bool final = h->channel.used == 5 && memcmp(h->channel.data, "final", 5) == 0;
    if (n == 1 && !begins(last, harmony_controls[HARMONY_CONSTRAIN]) && !final) {
        set_recipient(h, last);
        return 0;
    }
    set(&h->content_type, last.at, last.n);
    if (n > 1)
        set_recipient(h, words[n - 2]);
    return n > 2 ? n - 2 : 0;
}

void harmony_header_read(struct chat_header *h, enum harmony_role *role)
{
    struct word words[WORDS_MAX];
    bool spoken;
    take_channel(h);
    int n = split(&h->text, words), left = 0;
    *role = role_of(h, words, n, &spoken);
    int skip = spoken ? 1 : 0;
    if (n > skip)
        left = read_parts(h, words + skip, n - skip);
    if (left == 0)
        buffer_clear(&h->text);
}

void harmony_header_salvage(struct chat_header *h, enum harmony_role *role)
{
    struct word words[WORDS_MAX];
    bool spoken;
    take_channel(h);
    int n = split(&h->text, words), at = 0;
    *role = role_of(h, words, n, &spoken);
    if (spoken)
        at++;
    if (at < n && begins(words[at], "to="))
        set_recipient(h, words[at++]);
    if (at < n && begins(words[at], harmony_controls[HARMONY_CONSTRAIN])) {
        set(&h->content_type, words[at].at, words[at].n);
        at++;
    }
    if (at > 0)
        cut(&h->text, 0, (size_t)(words[at - 1].at - h->text.data) + words[at - 1].n);
}

bool harmony_header_is_cut(const struct chat_header *h)
{
    static const char *const beginnings[] = {"assistant", "to=", "json", "code"};
    struct word words[WORDS_MAX];
    int n = split(&h->text, words);
    for (size_t i = 0; n == 1 && i < sizeof beginnings / sizeof *beginnings; i++)
        if (words[0].n <= strlen(beginnings[i]) && memcmp(beginnings[i], words[0].at, words[0].n) == 0)
            return true;
    return n == 0;
}
