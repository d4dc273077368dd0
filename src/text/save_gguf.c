/* SPDX-License-Identifier: Apache-2.0 */
/* A vocabulary inside GGUF: tokenizer.ggml.model "gpt2", "llama" or "t5". Spec: ggml docs/gguf.md. */
#include "text/bpe.h"
#include "text/gguf_pre.h"
#include "text/save_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED 5
#define NORMAL 1

/* The name of a pre-tokenizer; of several the one that agrees on more. Looking for a whole piece first changes nothing
 * where merging can make every piece, so a name that says otherwise there will do: whoever saves compares. */
static const struct gguf_pre *find_pre(const struct save_steps *steps, bool whole_first, bool adds_bos)
{
    const struct gguf_pre *found = NULL;
    int best = -1;
    for (size_t i = 1; i < gguf_pre_count; i++) {
        const struct gguf_pre *p = &gguf_pres[i];
        bool same = steps->pattern && strcmp(p->pattern, steps->pattern) == 0 && p->digits_apart == steps->digits_apart
            && p->nfc == steps->nfc && !steps->space;
        int agrees = 2 * (p->whole_first == whole_first) + (p->adds_bos == adds_bos);
        if (same && agrees > best) {
            found = p;
            best = agrees;
        }
    }
    return found;
}

/* A piece as GGUF spells it: byte-level pieces in printable characters, all others as they are. */
static void add_piece(struct gguf_out *o, const struct tokenizer *t, int32_t id)
{
    char spelled[2 * PIECE_BYTES_MAX];
    size_t n;
    const char *piece = tokenizer_piece(t, id, &n);
    enum token_kind kind = tokenizer_kind(t, id);
    bool bytes = save_is_byte_level(t) && (kind == TOKEN_NORMAL || kind == TOKEN_BYTE || kind == TOKEN_UNUSED);
    if (bytes) {
        n = byte_level_encode(spelled, piece, n);
        piece = spelled;
    }
    gguf_add_text(o, piece ? piece : "", n);
}

static bool is_hole(const struct tokenizer *t, int64_t id)
{
    size_t n = 0;
    if (id < tokenizer_size(t))
        tokenizer_piece(t, (int32_t)id, &n);
    return n == 0;
}

static void put_pieces(struct gguf_out *o, const struct tokenizer *t, int64_t vocabulary)
{
    gguf_put_array(o, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)vocabulary);
    for (int64_t id = 0; id < vocabulary; id++) {
        char pad[32];
        if (is_hole(t, id))
            gguf_add_text(o, pad, (size_t)snprintf(pad, sizeof pad, "[PAD%lld]", (long long)id));
        else
            add_piece(o, t, (int32_t)id);
    }
    gguf_put_array(o, "tokenizer.ggml.token_type", GGUF_INT32, (uint64_t)vocabulary);
    for (int64_t id = 0; id < vocabulary; id++) {
        int kind = is_hole(t, id) ? UNUSED : save_kind(t, (int32_t)id);
        gguf_add_number(o, GGUF_INT32, save_is_byte_level(t) && kind == 6 ? NORMAL : kind);
    }
}

static int put_merges(struct gguf_out *o, const struct tokenizer *t, struct error *err)
{
    struct bpe_merge *merges;
    struct save_steps steps;
    size_t count = 0;
    bool whole_first = false;
    int rc = bpe_merges_new(&merges, &count, &whole_first, t, err);
    if (rc == 0)
        rc = save_find_steps(t, &steps, err);
    const struct gguf_pre *pre = rc ? NULL : find_pre(&steps, whole_first, tokenizer_adds_bos(t));
    if (rc == 0 && !pre)
        rc = error_set(err, ERROR_UNSUPPORTED, "GGUF has no name for a pre-tokenizer like this (%s)",
            tokenizer_describe(t));
    if (rc == 0) {
        gguf_put_text(o, "tokenizer.ggml.pre", pre->name, strlen(pre->name));
        gguf_put_array(o, "tokenizer.ggml.merges", GGUF_STRING, count);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char line[4 * PIECE_BYTES_MAX + 1];
        size_t left_n, right_n;
        const char *left = vocab_piece(&t->vocab, merges[i].left, &left_n);
        size_t used = byte_level_encode(line, left, left_n);
        line[used++] = ' ';
        const char *right = vocab_piece(&t->vocab, merges[i].right, &right_n);
        used += byte_level_encode(line + used, right, right_n);
        gguf_add_text(o, line, used);
    }
    free(merges);
    return rc;
}

static int put_scores(struct gguf_out *o, const struct tokenizer *t, int64_t vocabulary, struct error *err)
{
    float *scores;
    struct save_steps steps;
    struct buffer rules = { 0 };
    int rc = save_scores_new(&scores, t, err);
    if (rc == 0)
        rc = save_find_steps(t, &steps, err);
    if (rc == 0) {
        gguf_put_array(o, "tokenizer.ggml.scores", GGUF_FLOAT32, (uint64_t)vocabulary);
        for (int64_t id = 0; id < vocabulary; id++)
            gguf_add_real(o, is_hole(t, id) || id >= t->vocab.size ? -10000 : (double)scores[id]);
        gguf_put_flag(o, "tokenizer.ggml.add_space_prefix", steps.prefix);
        gguf_put_flag(o, "tokenizer.ggml.remove_extra_whitespaces", steps.collapses);
        save_charsmap(t, &rules);
        rc = buffer_check(&rules, "a tokenizer", err);
    }
    if (rc == 0 && rules.used) {
        gguf_put_array(o, "tokenizer.ggml.precompiled_charsmap", GGUF_UINT8, rules.used);
        for (size_t i = 0; i < rules.used; i++)
            gguf_add_number(o, GGUF_UINT8, (unsigned char)rules.data[i]);
    }
    free(scores);
    buffer_release(&rules);
    return rc;
}

static void put_roles(struct gguf_out *o, const struct tokenizer *t, const json_t *eos)
{
    static const struct {
        enum token_role role;
        const char *key;
    } roles[] = { { TOKEN_BOS, "tokenizer.ggml.bos_token_id" }, { TOKEN_UNK, "tokenizer.ggml.unknown_token_id" },
        { TOKEN_PAD, "tokenizer.ggml.padding_token_id" } };
    static const char *const ends[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id" };
    int64_t stops[3];
    size_t n = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (tokenizer_special(t, roles[i].role) >= 0)
            gguf_put_whole(o, roles[i].key, GGUF_UINT32, tokenizer_special(t, roles[i].role));
    if (tokenizer_special(t, TOKEN_EOS) >= 0)
        stops[n++] = tokenizer_special(t, TOKEN_EOS);
    for (size_t i = 0; i < (json_is_array(eos) ? json_array_size(eos) : 1) && n < 3; i++) {
        const json_t *one = json_is_array(eos) ? json_array_get(eos, i) : eos;
        int64_t id = json_is_integer(one) ? json_integer_value(one) : -1;
        bool known = id < 0 || id >= tokenizer_size(t);
        for (size_t k = 0; k < n; k++)
            known = known || stops[k] == id;
        if (!known)
            stops[n++] = id;
    }
    for (size_t i = 0; i < n; i++)
        gguf_put_whole(o, ends[i], GGUF_UINT32, stops[i]);
    gguf_put_flag(o, "tokenizer.ggml.add_bos_token", tokenizer_adds_bos(t));
    gguf_put_flag(o, "tokenizer.ggml.add_eos_token", t->back.used > 0);
}

int tokenizer_save_gguf(const struct tokenizer *t, struct gguf_out *o, int64_t vocabulary, const json_t *eos,
    struct error *err)
{
    const char *model = save_is_byte_level(t) ? "gpt2" : save_is_unigram(t) ? "t5" : "llama";
    if (tokenizer_size(t) > vocabulary)
        return error_set(err, ERROR_UNSUPPORTED, "the tokenizer has %d tokens, the model's embedding %lld rows: GGUF "
            "wants a row for each", (int)tokenizer_size(t), (long long)vocabulary);
    gguf_put_text(o, "tokenizer.ggml.model", model, strlen(model));
    put_pieces(o, t, vocabulary);
    put_roles(o, t, eos);
    if (save_is_byte_level(t))
        return put_merges(o, t, err);
    if (strcmp(model, "llama") == 0)
        gguf_put_text(o, "tokenizer.ggml.pre", "default", 7);
    return put_scores(o, t, vocabulary, err);
}
