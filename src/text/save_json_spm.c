/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json of SentencePiece BPE, for programs that read no tokenizer.model: scores become a list of merges, best
 * first, of every way to make a piece of two others. */
#include "text/save_impl.h"
#include "text/save_json.h"
#include "text/spm_impl.h"

#include <stdlib.h>
#include <string.h>

struct made { /* a piece and how it is made */
    float score;
    int32_t id, left, right;
};

static int best_first(const void *a, const void *b)
{
    const struct made *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

/* Add the splits of a piece. */
static int add_splits(struct buffer *list, const struct tokenizer *t, int32_t id, float score, struct error *err)
{
    size_t n;
    const char *piece = vocab_piece(&t->vocab, id, &n);
    for (size_t at = spm_character(piece, n); at < n; at += spm_character(piece + at, n - at)) {
        struct made m = { score, id, vocab_find(&t->vocab, piece, at), vocab_find(&t->vocab, piece + at, n - at) };
        if (m.left >= 0 && m.right >= 0)
            buffer_add(list, &m, sizeof m);
    }
    return buffer_check(list, "a list of merges", err);
}

static json_t *piece_new(const struct tokenizer *t, int32_t id)
{
    size_t n;
    const char *piece = vocab_piece(&t->vocab, id, &n);
    return json_stringn(piece, n);
}

/* NULL: no memory. */
static json_t *merges_new(const struct tokenizer *t, struct error *err)
{
    struct buffer list = { 0 };
    float *scores;
    json_t *out = NULL;
    int rc = save_scores_new(&scores, t, err);
    for (int32_t id = 0; rc == 0 && id < t->vocab.size; id++) {
        size_t n;
        const char *piece = vocab_piece(&t->vocab, id, &n);
        if (n > 0 && vocab_find(&t->vocab, piece, n) == id)
            rc = add_splits(&list, t, id, scores[id], err);
    }
    if (rc == 0)
        out = json_array();
    size_t count = list.used / sizeof(struct made);
    if (count)
        qsort(list.data, count, sizeof(struct made), best_first);
    for (size_t i = 0; out && i < count; i++) {
        struct made m;
        memcpy(&m, list.data + i * sizeof m, sizeof m);
        if (json_array_append_new(out, json_pack("[o, o]", piece_new(t, m.left), piece_new(t, m.right))) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    free(scores);
    buffer_release(&list);
    return out;
}

static json_t *vocab_new(const struct tokenizer *t)
{
    json_t *vocab = json_object();
    for (int32_t id = 0; vocab && id < t->vocab.size; id++) {
        size_t n;
        const char *piece = vocab_piece(&t->vocab, id, &n);
        /* of two that are spelled the same, the one that is found */
        bool wanted = n > 0 && !json_object_getn(vocab, piece, n);
        if (wanted && json_object_setn_new(vocab, piece, n, json_integer(id)) != 0) {
            json_decref(vocab);
            vocab = NULL;
        }
    }
    return vocab;
}

static json_t *normalizer_new(bool prefix)
{
    json_t *spaces = json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content",
        SPM_SPACE);
    if (!prefix)
        return spaces;
    return json_pack("{s:s, s:[{s:s, s:s}, o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend",
        SPM_SPACE, spaces);
}

static json_t *decoder_new(bool prefix)
{
    json_t *steps = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String", SPM_SPACE,
        "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (prefix)
        json_array_append_new(steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1,
            "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
}

/* Control pieces match raw text, user-defined ones text whose spaces were replaced. */
static json_t *added_new(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t id = 0; list && id < t->vocab.size; id++) {
        enum token_kind kind = tokenizer_kind(t, id);
        bool user = kind == TOKEN_USER;
        if (!user && kind != TOKEN_CONTROL && kind != TOKEN_UNKNOWN)
            continue;
        json_t *entry = json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (int)id, "content", piece_new(t, id),
            "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", user, "special", !user);
        if (json_array_append_new(list, entry) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

int save_json_spm_new(json_t **out, const struct tokenizer *t, struct error *err)
{
    struct save_steps steps;
    int rc = save_find_steps(t, &steps, err);
    int32_t unknown = tokenizer_special(t, TOKEN_UNK);
    *out = NULL;
    if (rc)
        return rc;
    json_t *model = json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
        "unk_token", unknown >= 0 ? piece_new(t, unknown) : json_null(), "continuing_subword_prefix",
        "end_of_word_suffix", "fuse_unk", 1, "byte_fallback", 1, "ignore_merges", 0, "vocab", vocab_new(t), "merges",
        merges_new(t, err));
    *out = json_pack("{s:s, s:n, s:n, s:o, s:o, s:n, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added_new(t), "normalizer", normalizer_new(steps.prefix), "pre_tokenizer", "post_processor",
        save_around_new(t), "decoder", decoder_new(steps.prefix), "model", model);
    return *out ? 0 : error_memory(err, (unsigned long long)t->vocab.size * 64, "a tokenizer");
}
