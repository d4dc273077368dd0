/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece BPE: of all adjacent pairs whose joined text is a piece, the one with the highest score is merged, the
 * leftmost of equals, until none is left. A queue holds the pairs; a pair whose parts were merged meanwhile is
 * recognised by its length. Pieces marked unused are merged like others, then taken apart again.
 *
 * Where no piece reaches from one word into the next (all published vocabularies), each word is merged on its own,
 * which gives the same result from a queue that fits in the nearest cache. */
#include "base/map.h"
#include "text/spm_impl.h"

#include <string.h>

struct symbol {
    uint32_t start, length; /* in the run; length 0: merged away */
    int32_t previous, next; /* -1: none */
    int32_t id;             /* of a merged piece; -1: a single character, not looked up yet */
};

struct pair {
    float score;
    int32_t id; /* of the piece they make */
    int32_t left, right;
};

struct run {
    const struct tokenizer *t;
    const struct spm *m;
    const char *text;
    struct symbol *symbols;
    struct pair *heap; /* best first */
    size_t queued;
    struct map parts; /* unused piece -> bytes of the first of the two parts it was last made of */
    struct error *err;
    int rc;
};

static bool before(const struct pair *a, const struct pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void queue_put(struct run *r, struct pair p)
{
    size_t at = r->queued++;
    while (at > 0 && before(&p, &r->heap[(at - 1) / 2])) {
        r->heap[at] = r->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    r->heap[at] = p;
}

static struct pair queue_take(struct run *r)
{
    struct pair best = r->heap[0], last = r->heap[--r->queued];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < r->queued) {
        if (child + 1 < r->queued && before(&r->heap[child + 1], &r->heap[child]))
            child++;
        if (!before(&r->heap[child], &last))
            break;
        r->heap[at] = r->heap[child];
        at = child;
    }
    r->heap[at] = last;
    return best;
}

/* The piece of the model's own list spelled so, or -1: added tokens are nothing that merging makes. */
static int32_t find_piece(const struct run *r, const char *text, size_t n)
{
    int32_t id = vocab_find(&r->t->vocab, text, n);
    return id < r->m->size ? id : -1;
}

static void consider(struct run *r, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return;
    const struct symbol *a = &r->symbols[left], *b = &r->symbols[right];
    const char *text = r->text + a->start;
    uint32_t length = a->length + b->length;
    int32_t id = find_piece(r, text, length);
    if (id < 0)
        return;
    queue_put(r, (struct pair){r->t->vocab.score[id], id, left, right});
    if (r->m->has_unused && r->t->vocab.kind[id] == TOKEN_UNUSED && r->rc == 0)
        r->rc = map_put(&r->parts, text, length, a->length, r->err);
}

static void merge_all(struct run *r)
{
    while (r->queued > 0 && r->rc == 0) {
        struct pair p = queue_take(r);
        struct symbol *a = &r->symbols[p.left], *b = &r->symbols[p.right];
        uint32_t length = r->t->vocab.length[p.id];
        if (a->length == 0 || b->length == 0 || a->length + b->length != length)
            continue;
        a->length = length;
        a->id = p.id;
        a->next = b->next;
        b->length = 0;
        if (a->next >= 0)
            r->symbols[a->next].previous = p.left;
        consider(r, a->previous, p.left);
        consider(r, p.left, a->next);
    }
}

/* Put out a piece; an unused one as the parts it was made of. Parts are shorter than the whole, so the list of what is
 * still to be put out (right parts) never holds more than the piece has bytes. */
static void put_piece(struct run *r, struct spm_output *o, int32_t id, const char *text, size_t n)
{
    uint16_t lengths[PIECE_BYTES_MAX];
    int pending = 0;
    for (;;) {
        if (id < 0)
            id = find_piece(r, text, n);
        int64_t first = id >= 0 && r->t->vocab.kind[id] == TOKEN_UNUSED ? map_find(&r->parts, text, n, -1) : -1;
        if (first > 0 && (size_t)first < n && pending < PIECE_BYTES_MAX) {
            lengths[pending++] = (uint16_t)(n - (size_t)first);
            n = (size_t)first;
        } else {
            spm_put(o, id < 0 ? r->m->unknown : id, text, n);
            if (pending == 0)
                return;
            text += n;
            n = lengths[--pending];
        }
        id = -1;
    }
}

/* Merge one run of characters, without user-defined pieces. n > 0. */
static int encode_run(struct run *r, struct spm_output *o, const char *text, size_t n)
{
    int32_t count = 0;
    r->text = text;
    r->queued = 0;
    for (size_t at = 0; at < n; count++) {
        size_t length = spm_character(text + at, n - at);
        r->symbols[count] = (struct symbol){(uint32_t)at, (uint32_t)length, count - 1, count + 1, -1};
        at += length;
    }
    r->symbols[count - 1].next = -1;
    if (r->m->has_unused)
        r->rc = map_init(&r->parts, 16, r->err);
    for (int32_t i = 1; i < count && r->rc == 0; i++)
        consider(r, i - 1, i);
    merge_all(r);
    for (int32_t i = 0; i >= 0 && r->rc == 0; i = r->symbols[i].next)
        put_piece(r, o, r->symbols[i].id, text + r->symbols[i].start, r->symbols[i].length);
    map_release(&r->parts);
    return r->rc;
}

/* Bytes of the user-defined piece that text begins with, or 0. One that other files declare special is none of them. */
static size_t match_user(const struct tokenizer *t, const char *text, size_t n, int32_t *id)
{
    const struct spm *m = t->state;
    size_t length = trie_longest(&m->user, text, n, id);
    return length && t->vocab.kind[*id] == TOKEN_USER ? length : 0;
}

/* Bytes up to the end of the first word of text (or all of it); from there on merging starts afresh. */
static size_t run_length(const struct tokenizer *t, const char *text, size_t n)
{
    const struct spm *m = t->state;
    size_t at = 0;
    int32_t ignored;
    bool space_before = true;
    while (at < n) {
        if (at > 0 && match_user(t, text + at, n - at, &ignored))
            return at;
        bool space = n - at >= SPM_SPACE_BYTES && memcmp(text + at, SPM_SPACE, SPM_SPACE_BYTES) == 0;
        if (space && !space_before && m->words_apart)
            return at;
        space_before = space;
        at += spm_character(text + at, n - at);
    }
    return n;
}

/* Room for the symbols and the queue of a run of n bytes: at first n - 1 pairs, then two for each of n - 1 merges. */
static int make_room(struct run *r, struct scratch *s, size_t n, struct error *err)
{
    buffer_clear(&s->memory[0]);
    buffer_clear(&s->memory[1]);
    r->symbols = (struct symbol *)buffer_room(&s->memory[0], n * sizeof *r->symbols);
    r->heap = (struct pair *)buffer_room(&s->memory[1], 3 * n * sizeof *r->heap);
    return r->symbols && r->heap ? 0 : error_memory(err, 3 * n * sizeof *r->heap, "merging a text");
}

static int encode_piece(
    const struct tokenizer *t, struct scratch *s, const char *piece, size_t n, struct tokens *out, struct error *err)
{
    struct run r = {.t = t, .m = t->state, .err = err};
    struct spm_output o = {.t = t, .out = out};
    size_t room = 0;
    if (n > INT32_MAX / 4)
        return error_set(err, ERROR_LIMIT, "a text of %zu bytes is longer than %d", n, INT32_MAX / 4);
    while (n > 0 && r.rc == 0) {
        int32_t id;
        size_t taken = match_user(t, piece, n, &id);
        if (taken) {
            spm_put(&o, id, piece, taken);
        } else {
            taken = run_length(t, piece, n);
            if (taken > room) {
                room = taken < 64 ? 64 : taken;
                r.rc = make_room(&r, s, room, err);
            }
            if (r.rc == 0)
                r.rc = encode_run(&r, &o, piece, taken);
        }
        piece += taken;
        n -= taken;
    }
    return r.rc ? r.rc : tokens_check(out, err);
}

const struct tokenizer_model spm_bpe_model = {"SentencePiece BPE", encode_piece, spm_close};
