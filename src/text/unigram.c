/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram (Kudo, 2018): of all ways to cut a text into pieces, the one with the highest sum of scores, by the Viterbi
 * algorithm. A character that is no piece costs the lowest score less 10. Of equal sums the one found first stays: the
 * order of the loops, and sums in float, are those of the sentencepiece library, because ties and roundings decide. */
#include "text/spm_impl.h"

#include <string.h>

#define UNKNOWN_PENALTY 10.0f
#define USER_BONUS 0.1 /* of a user-defined piece, for each byte behind its first (sentencepiece 0.2.3) */

struct best {
    double score;  /* of the best way to get here */
    int32_t start; /* where its last piece begins; -1: no way yet */
    int32_t id;
};

struct lattice {
    const struct tokenizer *t;
    const struct spm *m;
    struct best *best; /* (n + 1), by position in the text */
    double unknown_score;
};

static double piece_score(const struct lattice *l, int32_t id, size_t length)
{
    if (l->m->exact)
        return l->m->exact[id];
    if (l->t->vocab.kind[id] == TOKEN_USER) /* above what its parts could score */
        return (double)(float)(USER_BONUS * (double)(length - 1));
    return (double)l->t->vocab.score[id];
}

static void reach(struct lattice *l, size_t start, size_t end, double score, int32_t id)
{
    struct best *b = &l->best[end];
    score += l->best[start].score;
    if (!l->m->exact)
        score = (double)(float)score;
    if (b->start < 0 || score > b->score)
        *b = (struct best){score, (int32_t)start, id};
}

/* Every piece that begins at `start`. */
static void extend(struct lattice *l, const char *text, size_t n, size_t start)
{
    const struct trie *trie = &l->m->pieces;
    size_t character = spm_character(text + start, n - start);
    int32_t node = TRIE_ROOT;
    bool whole_character = false;
    for (size_t at = start; at < n && trie->units;) {
        node = trie_step(trie, node, (unsigned char)text[at++]);
        if (node < 0)
            break;
        int32_t id = trie->units[node].value;
        if (id < 0 || (l->t->vocab.kind[id] != TOKEN_NORMAL && l->t->vocab.kind[id] != TOKEN_USER))
            continue;
        reach(l, start, at, piece_score(l, id, at - start), id);
        whole_character = whole_character || at - start == character;
    }
    if (!whole_character)
        reach(l, start, start + character, l->unknown_score, l->m->unknown);
}

static int encode_piece(
    const struct tokenizer *t, struct scratch *s, const char *piece, size_t n, struct tokens *out, struct error *err)
{
    struct lattice l = {.t = t, .m = t->state};
    struct spm_output o = {.t = t, .out = out};
    if (n > INT32_MAX / 4)
        return error_set(err, ERROR_LIMIT, "a text of %zu bytes is longer than %d", n, INT32_MAX / 4);
    buffer_clear(&s->memory[0]);
    l.best = (struct best *)buffer_room(&s->memory[0], (n + 1) * sizeof *l.best);
    if (!l.best)
        return error_memory(err, (n + 1) * sizeof *l.best, "cutting a text");
    l.unknown_score =
        l.m->exact ? l.m->lowest - (double)UNKNOWN_PENALTY : (double)((float)l.m->lowest - UNKNOWN_PENALTY);
    for (size_t i = 0; i <= n; i++)
        l.best[i].start = -1;
    l.best[0].score = 0;
    for (size_t at = 0; at < n; at += spm_character(piece + at, n - at))
        extend(&l, piece, n, at);
    /* Follow the best way back, leaving at each start where its piece ends. */
    for (int32_t end = (int32_t)n, start; end > 0; end = start) {
        start = l.best[end].start;
        l.best[start].score = end;
    }
    for (size_t at = 0; at < n;) {
        size_t end = (size_t)l.best[at].score;
        spm_put(&o, l.best[end].id, piece + at, end - at);
        at = end;
    }
    return tokens_check(out, err);
}

const struct tokenizer_model unigram_model = {"SentencePiece unigram", encode_piece, spm_close};
