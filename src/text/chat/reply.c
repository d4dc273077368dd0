/* SPDX-License-Identifier: Apache-2.0 */
/* A reply, token by token, to answer, thoughts and calls. Marks are looked for in the decoded text; a mark that the
 * vocabulary has as a control token (which decoding leaves out) is put in by its name. Text that may be the beginning
 * of a mark is held back until the next token tells. */
#include "text/chat/chat_impl.h"

void chat_parser_init(
    struct chat_parser *p, const struct chat_format *f, const struct tokenizer *t, chat_sink *sink, void *context)
{
    *p = (struct chat_parser){
        .format = f, .tokenizer = t, .sink = sink, .context = context, .detokenizer = {.tokenizer = t}};
    if (f->opens_reasoning)
        p->span = f->spans;
    p->trim = p->span != NULL;
    if (f->reader)
        f->reader->begin(p);
}

void chat_parser_release(struct chat_parser *p)
{
    buffer_release(&p->text);
    buffer_release(&p->header.text);
    buffer_release(&p->header.channel);
    buffer_release(&p->header.recipient);
    buffer_release(&p->header.content_type);
    tokens_release(&p->header.ids);
}

const char *chat_parser_recipient(const struct chat_parser *p)
{
    return p->header.recipient.data ? p->header.recipient.data : "";
}

bool chat_parser_answers(const struct chat_parser *p)
{
    return p->format->reader ? p->format->reader->answers(p) : !p->span;
}

/* The mark that ends the thoughts, on lines of its own as the models write it; by its id where it is one token. */
static int close_thoughts(const struct chat_parser *p, struct tokens *out, struct error *err)
{
    const char *close = p->span->close;
    int32_t id = tokenizer_find(p->tokenizer, close, strlen(close));
    int rc = tokenizer_encode(p->tokenizer, "\n", 1, TOKENIZE_CONTINUE, out, err);
    if (rc == 0 && id >= 0)
        tokens_add(out, id);
    else if (rc == 0)
        rc = tokenizer_encode(p->tokenizer, close, strlen(close), TOKENIZE_CONTINUE, out, err);
    if (rc == 0)
        rc = tokenizer_encode(p->tokenizer, "\n\n", 2, TOKENIZE_CONTINUE, out, err);
    return rc ? rc : tokens_check(out, err);
}

int chat_parser_to_answer(const struct chat_parser *p, struct tokens *out, struct error *err)
{
    bool thinks = p->span && p->span->channel == CHAT_REASONING && p->span->close;
    if (p->format->reader)
        return p->format->reader->to_answer(p, out, err);
    return thinks ? close_thoughts(p, out, err) : 0;
}

bool chat_parser_in_character(const struct chat_parser *p)
{
    return p->detokenizer.held_bytes > 0;
}

size_t chat_parser_recoveries(const struct chat_parser *p)
{
    size_t sum = 0;
    for (int i = 0; i < CHAT_RECOVERY_COUNT; i++)
        sum += p->counts.recoveries[i];
    return sum;
}

const char *chat_recovery_text(enum chat_recovery recovery)
{
    static const char *const texts[] = {
#define X(id, text) text,
        CHAT_RECOVERIES(X)
#undef X
    };
    return texts[recovery];
}

static void drop(struct buffer *b, size_t n)
{
    memmove(b->data, b->data + n, b->used - n);
    b->used -= n;
    b->data[b->used] = 0;
}

static void emit(struct chat_parser *p, size_t n)
{
    enum chat_channel channel = p->span ? p->span->channel : CHAT_ANSWER;
    size_t skip = 0;
    while (p->trim && skip < n && p->text.data[skip] == '\n')
        skip++;
    p->trim = p->trim && skip == n;
    if (n > skip)
        p->sink(p->context, channel, p->text.data + skip, n - skip);
    drop(&p->text, n);
}

/* Where a mark begins in the text held, whole (*whole) or perhaps (its first bytes are the last of the text); the end
 * of the text where there is none. */
static size_t find_mark(const struct buffer *b, const char *mark, bool *whole)
{
    size_t n = strlen(mark);
    for (size_t at = 0; at < b->used; at++) {
        size_t left = b->used - at;
        *whole = left >= n;
        if (memcmp(b->data + at, mark, left < n ? left : n) == 0)
            return at;
    }
    *whole = false;
    return b->used;
}

static void enter(struct chat_parser *p, const struct chat_span *span, size_t at)
{
    emit(p, at);
    drop(&p->text, strlen(span->open));
    p->span = span;
    p->trim = true;
}

static void leave(struct chat_parser *p, size_t at)
{
    const struct chat_span *span = p->span;
    size_t mark = at;
    while (at > 0 && p->text.data[at - 1] == '\n')
        at--;
    emit(p, at);
    drop(&p->text, mark - at + strlen(span->close));
    if (span->channel == CHAT_TOOL_CALL)
        p->sink(p->context, CHAT_TOOL_CALL, "", 0);
    p->span = NULL;
    p->trim = true;
}

/* Pass on what can be told; true where a mark was met and the rest wants another look. */
static bool step(struct chat_parser *p)
{
    bool whole = false, best_whole = false;
    size_t best = p->text.used;
    const struct chat_span *found = NULL;
    if (p->text.used == 0)
        return false;
    if (p->span && !p->span->close) {
        emit(p, p->text.used);
        return false;
    }
    if (p->span) {
        best = find_mark(&p->text, p->span->close, &whole);
        if (whole) {
            leave(p, best);
            return true;
        }
        while (best > 0 && p->text.data[best - 1] == '\n') /* may belong to the mark that comes */
            best--;
        emit(p, best);
        return false;
    }
    for (const struct chat_span *s = p->format->spans; s && s->open; s++) {
        size_t at = find_mark(&p->text, s->open, &whole);
        if (at < best) {
            best = at;
            best_whole = whole;
            found = s;
        }
    }
    if (best_whole)
        enter(p, found, best);
    else
        emit(p, best);
    return best_whole;
}

static int pass_on(struct chat_parser *p, struct error *err)
{
    int rc = buffer_check(&p->text, "a reply", err);
    while (rc == 0 && step(p))
        ;
    return rc;
}

static bool is_mark(const struct chat_parser *p, const char *piece, size_t n)
{
    for (const struct chat_span *s = p->format->spans; s && s->open; s++)
        if ((strlen(s->open) == n && memcmp(piece, s->open, n) == 0) ||
            (s->close && strlen(s->close) == n && memcmp(piece, s->close, n) == 0))
            return true;
    return false;
}

int chat_parser_push(struct chat_parser *p, int32_t id, struct error *err)
{
    size_t n;
    if (p->format->reader)
        return p->format->reader->push(p, id, err);
    const char *piece = tokenizer_piece(p->tokenizer, id, &n);
    if (tokenizer_kind(p->tokenizer, id) == TOKEN_CONTROL && is_mark(p, piece, n)) {
        if (p->detokenizer.held_bytes)
            detokenizer_end(&p->detokenizer, &p->text);
        buffer_add(&p->text, piece, n);
        p->detokenizer.begun = true;
        p->counts.marks++;
    } else {
        p->counts.tokens[p->span ? p->span->channel : CHAT_ANSWER]++;
        int rc = detokenizer_push(&p->detokenizer, id, &p->text, err);
        if (rc)
            return rc;
    }
    return pass_on(p, err);
}

int chat_parser_end(struct chat_parser *p, struct error *err)
{
    if (p->format->reader)
        return p->format->reader->end(p, err);
    detokenizer_end(&p->detokenizer, &p->text);
    int rc = pass_on(p, err);
    if (rc)
        return rc;
    if (p->text.used)
        emit(p, p->text.used);
    if (p->span && p->span->channel == CHAT_TOOL_CALL)
        p->sink(p->context, CHAT_TOOL_CALL, "", 0);
    return 0;
}
