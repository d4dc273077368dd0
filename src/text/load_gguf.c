/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabularies in GGUF (ggml docs/gguf.md; names of pre-tokenizers as llama.cpp gives them). */
#include "file/gguf.h"

#include "text/bpe.h"
#include "text/gguf_pre.h"
#include "text/load.h"

#include <string.h>

static int find_pre(const struct gguf *g, size_t *out, struct error *err)
{
    size_t n;
    const char *name = gguf_text(g, "tokenizer.ggml.pre", &n);
    *out = 0;
    for (size_t i = 0; name && i < gguf_pre_count; i++)
        if (strlen(gguf_pres[i].name) == n && memcmp(gguf_pres[i].name, name, n) == 0) {
            *out = i;
            return 0;
        }
    return name ? error_set(err, ERROR_UNSUPPORTED, "pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not known",
                      (int)(n < 100 ? n : 100), name)
                : 0;
}

/* llama.cpp's token types, 1 to 6. */
static enum token_kind kind_of(int32_t type)
{
    static const enum token_kind kinds[] = { TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER,
        TOKEN_UNUSED, TOKEN_BYTE };
    return type >= 0 && type <= 6 ? kinds[type] : TOKEN_NORMAL;
}

static int put_token(
    struct tokenizer *t, int32_t id, const char *text, size_t n, enum token_kind kind, struct error *err)
{
    char piece[PIECE_BYTES_MAX];
    if (kind == TOKEN_CONTROL || kind == TOKEN_USER) {
        struct added_token token = {
            .id = id, .special = kind == TOKEN_CONTROL, .text = (char *)(uintptr_t)text, .n = n};
        int rc = n ? added_put(&t->added, &token, err) : 0;
        /* Not for the index: the added token's matcher finds it. */
        return rc ? rc : vocab_put(&t->vocab, id, text, n, TOKEN_CONTROL, err);
    }
    ptrdiff_t bytes = n <= sizeof piece ? byte_level_decode(piece, text, n) : -1;
    return bytes < 0 ? vocab_put(&t->vocab, id, text, n, TOKEN_UNUSED, err)
                     : vocab_put(&t->vocab, id, piece, (size_t)bytes, kind, err);
}

static int put_tokens(struct tokenizer *t, const struct gguf *g, struct error *err)
{
    const struct gguf_value *tokens = gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING);
    const struct gguf_value *types = gguf_array(g, "tokenizer.ggml.token_type", GGUF_INT32);
    struct gguf_strings it;
    const char *text;
    size_t n;
    if (!tokens || (types && types->count != tokens->count))
        return error_set(err, ERROR_FORMAT, "tokenizer.ggml.tokens is missing, or token_type has another length");
    int rc = vocab_reserve(&t->vocab, (int64_t)(tokens->count < INT32_MAX ? tokens->count : INT32_MAX), err);
    gguf_strings_begin(&it, tokens);
    for (int32_t id = 0; rc == 0 && gguf_strings_next(&it, &text, &n); id++)
        rc = put_token(t, id, text, n, types ? kind_of(gguf_int32_at(types, (uint64_t)id)) : TOKEN_NORMAL, err);
    return rc ? rc : vocab_index(&t->vocab, err);
}

static int add_merges(struct tokenizer *t, const struct gguf *g, bool whole_first, struct error *err)
{
    const struct gguf_value *merges = gguf_array(g, "tokenizer.ggml.merges", GGUF_STRING);
    struct bpe_options options = { .whole_first = whole_first, .unknown = -1 };
    struct gguf_strings it;
    const char *text;
    size_t n;
    if (!merges)
        return error_set(err, ERROR_FORMAT, "tokenizer.ggml.merges is missing");
    int rc = bpe_new(t, &options, (size_t)merges->count, err);
    gguf_strings_begin(&it, merges);
    while (rc == 0 && gguf_strings_next(&it, &text, &n))
        rc = bpe_add_merge_line(t, text, n, err);
    return rc ? rc : bpe_end_merges(t, err);
}

static int read_roles(struct tokenizer *t, const struct gguf *g, bool adds_bos, struct error *err)
{
    static const char *const keys[TOKEN_ROLE_COUNT] = { [TOKEN_BOS] = "tokenizer.ggml.bos_token_id",
        [TOKEN_EOS] = "tokenizer.ggml.eos_token_id", [TOKEN_UNK] = "tokenizer.ggml.unknown_token_id",
        [TOKEN_PAD] = "tokenizer.ggml.padding_token_id", [TOKEN_EOT] = "tokenizer.ggml.eot_token_id" };
    for (int role = 0; role < TOKEN_ROLE_COUNT; role++) {
        int64_t id = gguf_whole(g, keys[role], -1);
        if (id < -1 || id >= t->vocab.size)
            return error_set(err, ERROR_FORMAT, "%s is %lld, but the vocabulary has %d tokens", keys[role],
                (long long)id, t->vocab.size);
        t->role[role] = (int32_t)id;
    }
    if (t->role[TOKEN_BOS] >= 0 && gguf_flag(g, "tokenizer.ggml.add_bos_token", adds_bos))
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    if (t->role[TOKEN_EOS] >= 0 && gguf_flag(g, "tokenizer.ggml.add_eos_token", false))
        tokens_add(&t->back, t->role[TOKEN_EOS]);
    int rc = tokens_check(&t->front, err);
    return rc ? rc : tokens_check(&t->back, err);
}

/* {"type": "NFC"} and the digits of a few families, as tokenizer.json would say it. */
static int add_steps(struct tokenizer *t, size_t pre, struct error *err)
{
    const char *digits = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
                         "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}";
    json_t *nfc = NULL, *steps = NULL;
    int rc = 0;
    if (gguf_pres[pre].nfc)
        rc = json_read_new(&nfc, "{\"type\":\"NFC\"}", 14, "a normalizer", err);
    if (rc == 0)
        rc = normalizer_add_json(t, nfc, err);
    if (rc == 0 && gguf_pres[pre].digits_apart)
        rc = json_read_new(&steps, digits, strlen(digits), "a pre-tokenizer", err);
    if (rc == 0)
        rc = steps ? pretoken_new_json(&t->pretoken, steps, err)
                   : pretoken_new_named(&t->pretoken, gguf_pres[pre].pattern, err);
    json_decref(nfc);
    json_decref(steps);
    return rc;
}

static int load_gguf_bpe(struct tokenizer *t, const struct gguf *g, struct error *err)
{
    size_t pre;
    int rc = find_pre(g, &pre, err);
    if (rc == 0)
        rc = add_steps(t, pre, err);
    if (rc == 0)
        rc = put_tokens(t, g, err);
    if (rc == 0)
        rc = add_merges(t, g, gguf_pres[pre].whole_first, err);
    return rc ? rc : read_roles(t, g, gguf_pres[pre].adds_bos, err);
}

int load_gguf(struct tokenizer *t, const struct gguf *g, struct error *err)
{
    size_t n;
    const char *model = gguf_text(g, "tokenizer.ggml.model", &n);
    if (!model)
        return error_set(err, ERROR_NOT_FOUND, "the file has no tokenizer (tokenizer.ggml.model)");
    if (n == 4 && memcmp(model, "gpt2", 4) == 0)
        return load_gguf_bpe(t, g, err);
    if ((n == 5 && memcmp(model, "llama", 5) == 0) || (n == 2 && memcmp(model, "t5", 2) == 0))
        return load_gguf_sentencepiece(t, g, err);
    return error_set(err, ERROR_UNSUPPORTED, "tokenizer.ggml.model \"%.*s\" is not supported", (int)(n < 100 ? n : 100),
        model);
}
