/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece vocabularies inside GGUF: tokenizer.ggml.model "llama" (BPE by score) and "t5" (unigram). */
#include "file/gguf.h"
#include "text/spm_impl.h"

static int read_pieces(struct tokenizer *t, const struct gguf *g, struct error *err)
{
    static const enum token_kind kinds[] = {
        TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE};
    const struct gguf_value *tokens = gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING);
    const struct gguf_value *scores = gguf_array(g, "tokenizer.ggml.scores", GGUF_FLOAT32);
    const struct gguf_value *types = gguf_array(g, "tokenizer.ggml.token_type", GGUF_INT32);
    struct spm *m = t->state;
    struct gguf_strings it;
    const char *text;
    size_t n;
    if (!tokens || !scores || tokens->count != scores->count || (types && types->count != tokens->count))
        return error_set(err, ERROR_FORMAT, "the vocabulary has %llu tokens, %llu scores and %llu types",
            tokens ? (unsigned long long)tokens->count : 0, scores ? (unsigned long long)scores->count : 0,
            types ? (unsigned long long)types->count : 0);
    gguf_strings_begin(&it, tokens);
    int rc = vocab_reserve(&t->vocab, (int64_t)tokens->count, err);
    for (int32_t id = 0; rc == 0 && gguf_strings_next(&it, &text, &n); id++) {
        int32_t type = types ? gguf_int32_at(types, (uint64_t)id) : 1;
        if (type < 0 || type > 6)
            return error_set(err, ERROR_FORMAT, "token %d has type %d, known are 0 to 6", (int)id, (int)type);
        if (type == 2 && m->unknown < 0)
            m->unknown = id;
        rc = vocab_put(&t->vocab, id, text, n, kinds[type], err);
        if (rc == 0)
            rc = vocab_put_score(&t->vocab, id, gguf_float32_at(scores, (uint64_t)id), err);
    }
    return rc;
}

static int32_t id_of(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t absent)
{
    int64_t id = gguf_whole(g, key, absent);
    return id >= 0 && id < t->vocab.size ? (int32_t)id : -1;
}

static void read_roles(struct tokenizer *t, const struct gguf *g, bool bpe)
{
    struct spm *m = t->state;
    t->role[TOKEN_UNK] = id_of(t, g, "tokenizer.ggml.unknown_token_id", m->unknown);
    t->role[TOKEN_BOS] = id_of(t, g, "tokenizer.ggml.bos_token_id", bpe ? 1 : -1);
    t->role[TOKEN_EOS] = id_of(t, g, "tokenizer.ggml.eos_token_id", bpe ? 2 : 1);
    t->role[TOKEN_PAD] = id_of(t, g, "tokenizer.ggml.padding_token_id", -1);
    t->role[TOKEN_EOT] = id_of(t, g, "tokenizer.ggml.eot_token_id", -1);
    if (m->unknown < 0)
        m->unknown = t->role[TOKEN_UNK];
    if (gguf_flag(g, "tokenizer.ggml.add_bos_token", bpe) && t->role[TOKEN_BOS] >= 0)
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    if (gguf_flag(g, "tokenizer.ggml.add_eos_token", !bpe) && t->role[TOKEN_EOS] >= 0)
        tokens_add(&t->back, t->role[TOKEN_EOS]);
}

int load_gguf_sentencepiece(struct tokenizer *t, const struct gguf *g, struct error *err)
{
    size_t n = 0;
    const char *model = gguf_text(g, "tokenizer.ggml.model", &n);
    bool bpe = model && n == 5 && memcmp(model, "llama", 5) == 0;
    const struct gguf_value *rules = gguf_array(g, "tokenizer.ggml.precompiled_charsmap", GGUF_UINT8);
    if (!rules)
        rules = gguf_array(g, "tokenizer.ggml.precompiled_charsmap", GGUF_INT8);
    int rc = spm_new(t, bpe ? &spm_bpe_model : &unigram_model, err);
    if (rc)
        return rc;
    struct spm *m = t->state;
    m->dummy_prefix = gguf_flag(g, "tokenizer.ggml.add_space_prefix", true);
    m->collapse_whitespace = gguf_flag(g, "tokenizer.ggml.remove_extra_whitespaces", !bpe);
    m->escape_whitespace = true;
    t->decode = (struct decode_rules){.spaces = true,
        .drop_first = m->dummy_prefix || m->collapse_whitespace,
        .drop_every = m->collapse_whitespace,
        .unknown = " \xe2\x81\x87 "};
    rc = rules ? charsmap_init(&m->rules, rules->data, (size_t)rules->bytes, err) : 0;
    if (rc == 0)
        rc = read_pieces(t, g, err);
    if (rc == 0)
        read_roles(t, g, bpe);
    if (rc == 0)
        rc = tokens_check(&t->front, err);
    if (rc == 0)
        rc = tokens_check(&t->back, err);
    if (rc == 0)
        rc = spm_finish(t, err);
    return rc ? rc : spm_add_normalizer(t, err);
}
