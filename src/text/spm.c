/* SPDX-License-Identifier: Apache-2.0 */
#include "text/spm_impl.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int spm_new(struct tokenizer *t, const struct tokenizer_model *model, struct error *err)
{
    struct spm *m = calloc(1, sizeof *m);
    if (!m)
        return error_memory(err, sizeof *m, "a SentencePiece model");
    m->unknown = -1;
    t->state = m;
    t->model = model;
    return 0;
}

void spm_close(struct tokenizer *t)
{
    struct spm *m = t->state;
    if (!m)
        return;
    charsmap_release(&m->rules);
    trie_release(&m->user);
    trie_release(&m->pieces);
    free(m->exact);
    free(m);
    t->state = NULL;
}

/* A trie of all pieces of these kinds. */
static int build_trie(struct trie *trie, const struct vocab *v, bool normal, struct error *err)
{
    size_t count = 0;
    struct trie_key *keys = malloc(((size_t)v->size + 1) * sizeof *keys);
    if (!keys)
        return error_memory(err, ((size_t)v->size + 1) * sizeof *keys, "a trie");
    for (int32_t id = 0; id < v->size; id++)
        if (v->length[id] && (v->kind[id] == TOKEN_USER || (normal && v->kind[id] == TOKEN_NORMAL)))
            keys[count++] = (struct trie_key){v->bytes.data + v->start[id], v->length[id], id};
    int rc = trie_build(trie, keys, count, err);
    free(keys);
    return rc;
}

/* Does a space come behind something else inside this piece? */
static bool reaches_next_word(const char *piece, size_t n)
{
    bool space_before = true;
    for (size_t at = 0; at < n;) {
        bool space = n - at >= SPM_SPACE_BYTES && memcmp(piece + at, SPM_SPACE, SPM_SPACE_BYTES) == 0;
        if (space && !space_before)
            return true;
        space_before = space;
        at += space ? SPM_SPACE_BYTES : 1;
    }
    return false;
}

/* Control pieces are what text can only spell with TOKENIZE_SPECIAL. */
static int add_controls(struct tokenizer *t, struct error *err)
{
    const struct vocab *v = &t->vocab;
    int rc = 0;
    for (int32_t id = 0; id < v->size && rc == 0; id++) {
        if (v->kind[id] != TOKEN_CONTROL || v->length[id] == 0)
            continue;
        struct added_token token = {
            .id = id, .special = true, .text = v->bytes.data + v->start[id], .n = v->length[id]};
        rc = added_put(&t->added, &token, err);
    }
    return rc;
}

int spm_finish(struct tokenizer *t, struct error *err)
{
    struct spm *m = t->state;
    const struct vocab *v = &t->vocab;
    m->size = v->size;
    m->lowest = DBL_MAX;
    m->words_apart = true;
    if (!v->score)
        return error_set(err, ERROR_FORMAT, "the vocabulary of %d pieces has no scores", (int)v->size);
    if (m->unknown < 0)
        return error_set(err, ERROR_FORMAT, "none of the %d pieces is the unknown one", (int)v->size);
    for (int32_t id = 0; id < v->size; id++) {
        if (!isfinite(v->score[id]))
            return error_set(err, ERROR_FORMAT, "the score of piece %d is not a number", (int)id);
        m->has_unused |= v->kind[id] == TOKEN_UNUSED && v->length[id];
        m->byte_fallback |= v->kind[id] == TOKEN_BYTE;
        if (v->kind[id] == TOKEN_NORMAL || m->exact)
            m->lowest = fmin(m->lowest, m->exact ? m->exact[id] : (double)v->score[id]);
        if (v->kind[id] == TOKEN_NORMAL || v->kind[id] == TOKEN_UNUSED)
            m->words_apart = m->words_apart && !reaches_next_word(v->bytes.data + v->start[id], v->length[id]);
    }
    int rc = build_trie(&m->user, v, false, err);
    if (rc == 0 && t->model == &unigram_model)
        rc = build_trie(&m->pieces, v, true, err);
    return rc ? rc : add_controls(t, err);
}

void spm_put(struct spm_output *o, int32_t id, const char *piece, size_t n)
{
    const struct spm *m = o->t->state;
    bool unknown = id == m->unknown;
    if (unknown && m->byte_fallback) {
        for (size_t i = 0; i < n; i++) {
            int32_t byte = o->t->vocab.byte_id[(unsigned char)piece[i]];
            tokens_add(o->out, byte >= 0 ? byte : id);
        }
        return;
    }
    if (!unknown || !o->unknown_before)
        tokens_add(o->out, id);
    o->unknown_before = unknown;
}
