/* SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer.h"

#include "text/chat/chat.h"
#include "text/regex.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tokenizer_new(struct tokenizer **out, struct error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return error_memory(err, sizeof *t, "a tokenizer");
    for (int i = 0; i < TOKEN_ROLE_COUNT; i++)
        t->role[i] = -1;
    for (int i = 0; i < 256; i++)
        t->vocab.byte_id[i] = -1;
    return 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->model && t->model->close)
        t->model->close(t);
    for (int i = 0; i < t->normalizer_count; i++)
        if (t->normalizers[i].close)
            t->normalizers[i].close(&t->normalizers[i]);
    pretoken_close(t->pretoken);
    added_release(&t->added);
    vocab_release(&t->vocab);
    tokens_release(&t->front);
    tokens_release(&t->back);
    free(t);
}

static int check_ids(const struct tokenizer *t, const int32_t *ids, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= t->vocab.size || ids[i] < -1)
            return error_set(err, ERROR_FORMAT, "the tokenizer names id %d, but has %d ids", ids[i], t->vocab.size);
    return 0;
}

static int make_special(struct tokenizer *t, int32_t id, const char *text, size_t n, struct error *err)
{
    const struct added_token *known = added_find(&t->added, text, n);
    struct added_token token = {.id = id, .text = (char *)(uintptr_t)text, .n = n};
    if (known)
        token = *known;
    token.special = true;
    return known && known->special ? 0 : added_put(&t->added, &token, err);
}

/* Is it spelled like a mark: <...> or [...]? Words and line ends may serve as EOS, but must remain text. */
static bool is_mark(const char *piece, size_t n)
{
    return n > 2 && ((piece[0] == '<' && piece[n - 1] == '>') || (piece[0] == '[' && piece[n - 1] == ']'));
}

/* Files give the marks of chat formats any kind (Gemma's turns are user-defined pieces, ChatML's often normal ones).
 * Marks, and what begins and ends a text or turn, are special whatever the file says: no user's words may become them.
 */
static int protect_marks(struct tokenizer *t, struct error *err)
{
    static const enum token_role roles[] = {TOKEN_BOS, TOKEN_EOS, TOKEN_EOT};
    const char *name;
    int rc = 0;
    for (int i = 0; rc == 0 && (name = chat_mark(i)); i++) {
        size_t n = strlen(name);
        int32_t id = vocab_find(&t->vocab, name, n);
        if (id >= 0 || added_find(&t->added, name, n))
            rc = make_special(t, id, name, n, err);
    }
    for (size_t i = 0; rc == 0 && i < sizeof roles / sizeof roles[0]; i++) {
        size_t n;
        int32_t id = t->role[roles[i]];
        char piece[PIECE_BYTES_MAX]; /* a copy: the vocabulary's may move */
        const char *spelled = tokenizer_piece(t, id, &n);
        memcpy(piece, spelled, n);
        if (is_mark(piece, n) && tokenizer_kind(t, id) != TOKEN_UNKNOWN)
            rc = make_special(t, id, piece, n, err);
    }
    return rc;
}

/* Special tokens leave the index that encoding looks pieces up in, with all that are spelled like them. */
static int hide_special(struct tokenizer *t, struct error *err)
{
    bool hidden = false;
    for (size_t i = 0; i < t->added.count; i++) {
        const struct added_token *token = &t->added.tokens[i];
        if (!token->special || vocab_find(&t->vocab, token->text, token->n) < 0)
            continue;
        hidden = true;
        for (int32_t id = 0; id < t->vocab.size; id++) {
            size_t n;
            const char *piece = vocab_piece(&t->vocab, id, &n);
            if (n == token->n && memcmp(piece, token->text, n) == 0 && t->vocab.kind[id] != TOKEN_UNKNOWN)
                t->vocab.kind[id] = TOKEN_CONTROL;
        }
    }
    return hidden ? vocab_index(&t->vocab, err) : 0;
}

int tokenizer_finish(struct tokenizer *t, struct error *err)
{
    if (!t->model)
        return error_set(err, ERROR_FORMAT, "the tokenizer has no vocabulary");
    int rc = t->vocab.slots ? 0 : vocab_index(&t->vocab, err);
    if (rc == 0)
        rc = protect_marks(t, err);
    if (rc == 0)
        rc = added_finish(t, err);
    if (rc == 0)
        rc = hide_special(t, err);
    if (rc == 0)
        rc = check_ids(t, t->role, TOKEN_ROLE_COUNT, err);
    if (rc == 0)
        rc = check_ids(t, t->front.ids, t->front.used, err);
    if (rc == 0)
        rc = check_ids(t, t->back.ids, t->back.used, err);
    if (t->describe[0] == '\0' && t->pretoken)
        snprintf(t->describe, sizeof t->describe, "%s (%s pattern)", t->model->name, pretoken_name(t->pretoken));
    else if (t->describe[0] == '\0')
        snprintf(t->describe, sizeof t->describe, "%s", t->model->name);
    return rc;
}

/* -- encoding -- */

struct encoding {
    const struct tokenizer *t;
    struct scratch scratch;
    struct tokens *out;
    bool special;
};

typedef int section_fn(struct encoding *e, const char *text, size_t n, enum place place, struct error *err);

static int encode_piece(void *context, const char *piece, size_t n, struct error *err)
{
    struct encoding *e = context;
    return e->t->model->encode_piece(e->t, &e->scratch, piece, n, e->out, err);
}

/* Cut text at the tokens of a trie; what lies between goes to `rest`. */
static int cut_added(struct encoding *e, const struct added_trie *trie, const char *text, size_t n, enum place place,
    section_fn *rest, struct error *err)
{
    size_t done = 0, from = 0, start, stop;
    const struct added_token *token;
    int rc = 0;
    if (!trie)
        return n ? rest(e, text, n, place, err) : 0;
    while (rc == 0 && (token = added_next(&e->t->added, trie, text, n, e->special, done, &from, &start, &stop))) {
        if (start > done)
            rc = rest(e, text + done, start - done, place, err);
        tokens_add(e->out, token->id);
        done = stop;
        place = PLACE_BEHIND;
    }
    return rc == 0 && done < n ? rest(e, text + done, n - done, place, err) : rc;
}

static int encode_plain(struct encoding *e, const char *text, size_t n, enum place place, struct error *err)
{
    return pretoken_run(e->t->pretoken, &e->scratch, text, n, place, encode_piece, e, err);
}

static int encode_raw(struct encoding *e, const char *text, size_t n, enum place place, struct error *err)
{
    const struct tokenizer *t = e->t;
    struct buffer *half = e->scratch.text;
    for (int i = 0; i < t->normalizer_count && n; i++) {
        struct buffer *out = &half[i % 2];
        buffer_clear(out);
        int rc = t->normalizers[i].run(&t->normalizers[i], text, n, place, out, err);
        if (rc == 0)
            rc = buffer_check(out, "normalized text", err);
        if (rc)
            return rc;
        text = out->data ? out->data : "";
        n = out->used;
    }
    return cut_added(e, t->added.normalized, text, n, place, encode_plain, err);
}

void scratch_release(struct scratch *s)
{
    for (int i = 0; i < 2; i++) {
        buffer_release(&s->text[i]);
        buffer_release(&s->pieces[i]);
        buffer_release(&s->prefixed[i]);
    }
    for (int i = 0; i < 4; i++)
        buffer_release(&s->memory[i]);
    regex_match_close(s->match);
}

static void add_all(struct tokens *out, const struct tokens *ids)
{
    for (size_t i = 0; i < ids->used; i++)
        tokens_add(out, ids->ids[i]);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct tokens *out,
    struct error *err)
{
    struct encoding e = { .t = t, .out = out, .special = flags & TOKENIZE_SPECIAL };
    size_t before = out->used;
    if (flags & TOKENIZE_DEFAULT)
        add_all(out, &t->front);
    bool has_bos = out->used > before && out->ids[before] == t->role[TOKEN_BOS];
    if ((flags & TOKENIZE_BOS) && t->role[TOKEN_BOS] >= 0 && !has_bos)
        tokens_add(out, t->role[TOKEN_BOS]);
    enum place place = flags & TOKENIZE_CONTINUE ? PLACE_CONTINUED
                       : flags & TOKENIZE_BEHIND ? PLACE_BEHIND
                                                 : PLACE_FIRST;
    int rc = cut_added(&e, t->added.raw, text, n, place, encode_raw, err);
    if (flags & TOKENIZE_DEFAULT)
        add_all(out, &t->back);
    scratch_release(&e.scratch);
    return rc ? rc : tokens_check(out, err);
}

/* -- asking -- */

int32_t tokenizer_size(const struct tokenizer *t)
{
    return t->vocab.size;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t n)
{
    const struct added_token *token = added_find(&t->added, text, n);
    int32_t id = token ? token->id : vocab_find(&t->vocab, text, n);
    return id >= 0 ? id : vocab_search(&t->vocab, text, n);
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t id, size_t *n)
{
    *n = 0;
    return id < 0 || id >= t->vocab.size ? "" : vocab_piece(&t->vocab, id, n);
}

enum token_kind tokenizer_kind(const struct tokenizer *t, int32_t id)
{
    return id < 0 || id >= t->vocab.size ? TOKEN_UNUSED : (enum token_kind)t->vocab.kind[id];
}

int32_t tokenizer_special(const struct tokenizer *t, enum token_role role)
{
    return t->role[role];
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    for (size_t i = 0; i < t->front.used; i++)
        if (t->front.ids[i] == t->role[TOKEN_BOS])
            return true;
    return false;
}

const char *tokenizer_describe(const struct tokenizer *t)
{
    return t->describe;
}
