/* SPDX-License-Identifier: Apache-2.0 */
/* A harmony reply, token by token: expect a start, read a header, pass content on. It begins in a header whose role is
 * known, as the prompt ends in <|start|>assistant. What breaks the format is read as well as it can be, and counted:
 * never an error, no token lost. */
#include "text/chat/harmony_impl.h"

#define HEADER_BYTES_MAX 256 /* a text this long is no header */
#define HEADER_IDS_MAX 512

enum state { IN_HEADER, IN_CONTENT, BEFORE_START }; /* zero: where a reply begins */

static void recover(struct chat_parser *p, enum chat_recovery what)
{
    p->counts.recoveries[what]++;
}

static void begin(struct chat_parser *p)
{
    harmony_find_controls(p->tokenizer, p->controls);
    harmony_header_clear(&p->header, true);
    p->state = IN_HEADER;
}

static void pass_on(struct chat_parser *p, struct buffer *text)
{
    if (text->used)
        p->sink(p->context, p->channel, text->data, text->used);
    buffer_clear(text);
}

/* ---- where a message goes ---- */

/* The channel whose name a word is or begins with ("commentary?"), or -1. */
static int named_channel(const struct buffer *word, bool *exact)
{
    static const char *const names[] = {"analysis", "commentary", "final"};
    static const int channels[] = {CHAT_REASONING, CHAT_PREAMBLE, CHAT_ANSWER};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(names[i]);
        if (word->used >= n && memcmp(word->data, names[i], n) == 0) {
            *exact = word->used == n;
            return channels[i];
        }
    }
    *exact = false;
    return -1;
}

static bool has_recipient(const struct chat_header *h)
{
    const char *to = h->recipient.data;
    return h->recipient.used && strcmp(to, "all") != 0 && strcmp(to, "user") != 0 && strcmp(to, "assistant") != 0;
}

/* Without a channel a message is the answer; on an unknown one it is thought, until an answer was begun. What others
 * are made to say is thought too. */
static void direct(struct chat_parser *p, enum harmony_role role)
{
    const struct chat_header *h = &p->header;
    bool exact = true;
    int channel = h->has_channel ? named_channel(&h->channel, &exact) : CHAT_ANSWER;
    if (!exact)
        recover(p, CHAT_RECOVERY_CHANNEL);
    if (!h->has_channel && role == HARMONY_ASSISTANT)
        recover(p, CHAT_RECOVERY_NO_CHANNEL);
    if (role != HARMONY_ASSISTANT)
        recover(p, CHAT_RECOVERY_ROLE);
    if (channel < 0)
        channel = p->answered ? CHAT_ANSWER : CHAT_REASONING;
    if (role == HARMONY_FOREIGN)
        channel = CHAT_REASONING;
    else if (has_recipient(h))
        channel = CHAT_TOOL_CALL;
    p->channel = (enum chat_channel)channel;
    p->answered |= channel == CHAT_ANSWER;
}

static void open_content(struct chat_parser *p)
{
    enum harmony_role role;
    harmony_header_read(&p->header, &role);
    direct(p, role);
    if (p->header.text.used)
        recover(p, CHAT_RECOVERY_WORDS);
    p->state = IN_CONTENT;
}

static void close_content(struct chat_parser *p)
{
    detokenizer_end(&p->detokenizer, &p->text);
    pass_on(p, &p->text);
    if (p->channel == CHAT_TOOL_CALL)
        p->sink(p->context, CHAT_TOOL_CALL, "", 0);
    p->messages++;
    p->state = BEFORE_START;
    tokens_clear(&p->header.ids);
}

/* The header ends without a message: what is more than a header was meant as content. A reply that is over may have
 * been stopped in its header: that is no fault. */
static void close_header(struct chat_parser *p, bool over)
{
    enum harmony_role role;
    detokenizer_end(&p->detokenizer, &p->header.text);
    bool empty = harmony_header_is_empty(&p->header);
    if (!empty)
        harmony_header_salvage(&p->header, &role);
    if (empty || (over && harmony_header_is_cut(&p->header))) {
        p->state = BEFORE_START;
        tokens_clear(&p->header.ids);
        return;
    }
    recover(p, CHAT_RECOVERY_NO_MESSAGE);
    direct(p, role);
    pass_on(p, &p->header.text);
    close_content(p);
}

static void open_header(struct chat_parser *p, bool implied)
{
    harmony_header_clear(&p->header, implied);
    p->state = IN_HEADER;
}

/* ---- tokens ---- */

static int push_header(struct chat_parser *p, int control, int32_t id, struct error *err)
{
    struct chat_header *h = &p->header;
    p->counts.marks++;
    if (control >= 0)
        detokenizer_end(&p->detokenizer, &h->text);
    switch (control) {
    case HARMONY_START:
        recover(p, CHAT_RECOVERY_TOKEN);
        close_header(p, false);
        open_header(p, false);
        tokens_clear(&h->ids);
        tokens_add(&h->ids, id);
        return 0;
    case HARMONY_CHANNEL:
        if (!harmony_header_channel(h))
            recover(p, CHAT_RECOVERY_CHANNELS);
        return 0;
    case HARMONY_CONSTRAIN:
        buffer_add_byte(&h->text, ' ');
        buffer_add_text(&h->text, harmony_controls[HARMONY_CONSTRAIN]);
        return 0;
    case HARMONY_MESSAGE:
        open_content(p);
        return 0;
    case HARMONY_END:
    case HARMONY_RETURN:
    case HARMONY_CALL:
        if (harmony_header_is_empty(h))
            recover(p, CHAT_RECOVERY_TOKEN);
        close_header(p, false);
        return 0;
    default:
        break;
    }
    int rc = detokenizer_push(&p->detokenizer, id, &h->text, err);
    if (rc == 0 && h->text.used > HEADER_BYTES_MAX) {
        enum harmony_role role;
        recover(p, CHAT_RECOVERY_LONG_HEADER);
        harmony_header_salvage(h, &role);
        direct(p, role);
        pass_on(p, &h->text);
        p->state = IN_CONTENT;
    }
    return rc;
}

static int push_content(struct chat_parser *p, int control, int32_t id, struct error *err)
{
    switch (control) {
    case HARMONY_END:
    case HARMONY_RETURN:
    case HARMONY_CALL:
        p->counts.marks++;
        close_content(p);
        return 0;
    case HARMONY_START:
    case HARMONY_CHANNEL: /* the next message, and this one was not ended */
        recover(p, CHAT_RECOVERY_TOKEN);
        close_content(p);
        open_header(p, control == HARMONY_CHANNEL);
        tokens_add(&p->header.ids, id);
        if (control == HARMONY_CHANNEL)
            harmony_header_channel(&p->header);
        p->counts.marks++;
        return 0;
    case HARMONY_MESSAGE:
    case HARMONY_CONSTRAIN:
        recover(p, CHAT_RECOVERY_TOKEN);
        p->counts.marks++;
        return 0;
    default:
        break;
    }
    p->counts.tokens[p->channel]++;
    int rc = detokenizer_push(&p->detokenizer, id, &p->text, err);
    if (rc == 0)
        rc = buffer_check(&p->text, "a reply", err);
    if (rc == 0)
        pass_on(p, &p->text);
    return rc;
}

static int push_start(struct chat_parser *p, int control, int32_t id, struct error *err)
{
    switch (control) {
    case HARMONY_START:
        open_header(p, false);
        p->counts.marks++;
        return 0;
    case HARMONY_END:
    case HARMONY_RETURN:
    case HARMONY_CALL:
        recover(p, CHAT_RECOVERY_TOKEN);
        p->counts.marks++;
        tokens_clear(&p->header.ids);
        return 0;
    default:
        recover(p, CHAT_RECOVERY_NO_START);
        open_header(p, true);
        return push_header(p, control, id, err);
    }
}

static int push(struct chat_parser *p, int32_t id, struct error *err)
{
    int control = harmony_control_of(p->controls, id);
    bool known = id >= 0 && id < tokenizer_size(p->tokenizer);
    int rc;
    if (control < 0 && (!known || tokenizer_kind(p->tokenizer, id) == TOKEN_CONTROL)) {
        recover(p, CHAT_RECOVERY_TOKEN);
        p->counts.marks++;
        return 0;
    }
    if (p->state != IN_CONTENT && p->header.ids.used < HEADER_IDS_MAX)
        tokens_add(&p->header.ids, id);
    if (p->state == IN_HEADER)
        rc = push_header(p, control, id, err);
    else if (p->state == IN_CONTENT)
        rc = push_content(p, control, id, err);
    else
        rc = push_start(p, control, id, err);
    if (rc == 0)
        rc = buffer_check(&p->header.text, "a reply's header", err);
    return rc ? rc : tokens_check(&p->header.ids, err);
}

static int end(struct chat_parser *p, struct error *err)
{
    if (p->state == IN_CONTENT)
        close_content(p);
    else if (p->state == IN_HEADER)
        close_header(p, true);
    return buffer_check(&p->text, "a reply", err);
}

bool harmony_in_content(const struct chat_parser *p)
{
    return p->state == IN_CONTENT;
}

static bool answers(const struct chat_parser *p)
{
    return p->state == IN_CONTENT && p->channel == CHAT_ANSWER;
}

/* Thoughts under way are ended; a reply that has not begun opens with its answer. */
static int to_answer(const struct chat_parser *p, struct tokens *out, struct error *err)
{
    bool thinks = p->state == IN_CONTENT && p->channel == CHAT_REASONING;
    bool begins = p->state == IN_HEADER && p->messages == 0 && p->header.ids.used == 0;
    int rc = 0;
    if (!thinks && !begins)
        return 0;
    if (thinks) {
        tokens_add(out, p->controls[HARMONY_END]);
        tokens_add(out, p->controls[HARMONY_START]);
        rc = tokenizer_encode(p->tokenizer, "assistant", strlen("assistant"), TOKENIZE_CONTINUE, out, err);
    }
    tokens_add(out, p->controls[HARMONY_CHANNEL]);
    if (rc == 0)
        rc = tokenizer_encode(p->tokenizer, "final", strlen("final"), TOKENIZE_CONTINUE, out, err);
    tokens_add(out, p->controls[HARMONY_MESSAGE]);
    return rc ? rc : tokens_check(out, err);
}

const struct chat_reader harmony_reader = {begin, push, end, answers, to_answer};
