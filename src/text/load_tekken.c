/* SPDX-License-Identifier: Apache-2.0 */
/* tekken.json: ranks as tiktoken has them, behind a block of special ids. Spec: mistralai/mistral-common,
 * tokens/tokenizers/tekken.py. */
#include "base/base64.h"
#include "text/bpe.h"
#include "text/load.h"

#include <stdio.h>
#include <string.h>

/* The special tokens of files that do not list them, by id. */
static const char *const first_specials[] = { "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]" };

#define FIRST_SPECIALS ((json_int_t)(sizeof first_specials / sizeof first_specials[0]))

static int add_specials(struct tokenizer *t, const json_t *listed, json_int_t count, struct error *err)
{
    char text[64];
    json_int_t given = listed ? (json_int_t)json_array_size(listed) : FIRST_SPECIALS;
    int rc = 0;
    for (json_int_t i = 0; rc == 0 && i < count; i++) {
        const json_t *entry = json_array_get(listed, (size_t)i);
        json_int_t id = json_whole(entry, "rank", i);
        const char *spelled = entry ? json_text(entry, "token_str", NULL) : NULL;
        if (!spelled && i < given && !listed)
            spelled = first_specials[i];
        if (id < 0 || id >= count || (entry && !spelled))
            return error_set(err, ERROR_FORMAT, "special token %lld has id %lld of %lld, or no text", (long long)i,
                (long long)id, (long long)count);
        snprintf(text, sizeof text, "<SPECIAL_%lld>", (long long)i);
        rc = add_special(t, (int32_t)id, spelled ? spelled : text, err);
    }
    return rc;
}

static int add_rank(struct tokenizer *t, const json_t *entry, json_int_t specials, json_int_t ranks, struct error *err)
{
    char piece[BASE64_BYTES(PIECE_BYTES_MAX)];
    const json_t *text = json_object_get(entry, "token_bytes");
    json_int_t rank = json_whole(entry, "rank", -1);
    size_t n = json_string_length(text);
    if (rank < 0 || !json_is_string(text) || n > PIECE_BYTES_MAX)
        return error_set(err, ERROR_FORMAT, "an entry of \"vocab\" has rank %lld and %zu characters of token_bytes",
            (long long)rank, n);
    ptrdiff_t bytes = base64_decode(piece, json_string_value(text), n);
    if (bytes <= 0)
        return error_set(err, ERROR_FORMAT, "token_bytes of rank %lld are not base64", (long long)rank);
    return rank < ranks ? vocab_put(&t->vocab, specials + rank, piece, (size_t)bytes, TOKEN_NORMAL, err) : 0;
}

static void set_roles(struct tokenizer *t)
{
    static const struct {
        enum token_role role;
        const char *text;
    } roles[] = { { TOKEN_UNK, "<unk>" }, { TOKEN_BOS, "<s>" }, { TOKEN_EOS, "</s>" }, { TOKEN_PAD, "<pad>" } };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        const struct added_token *token = added_find(&t->added, roles[i].text, strlen(roles[i].text));
        t->role[roles[i].role] = token ? token->id : -1;
    }
}

int load_tekken(struct tokenizer *t, const json_t *root, struct error *err)
{
    const json_t *config = json_object_get(root, "config"), *vocab = json_object_get(root, "vocab");
    const json_t *pattern = json_object_get(config, "pattern"), *listed = json_object_get(root, "special_tokens");
    json_int_t size = json_whole(config, "default_vocab_size", -1);
    json_int_t specials = json_whole(config, "default_num_special_tokens", -1);
    json_int_t entries = (json_int_t)json_array_size(vocab);
    struct bpe_options options = { .by_rank = true, .whole_first = true, .unknown = -1 };
    if (!json_is_string(pattern) || specials < 0 || size <= specials || specials > 65536 || size - specials > entries)
        return error_set(err, ERROR_FORMAT,
            "tekken config: default_vocab_size %lld, default_num_special_tokens %lld, %lld "
            "entries, pattern %s",
            (long long)size, (long long)specials, (long long)entries, json_is_string(pattern) ? "given" : "missing");
    if (json_is_array(listed) && (json_int_t)json_array_size(listed) > specials)
        return error_set(err, ERROR_FORMAT, "tekken.json lists %zu special tokens, but counts %lld",
            json_array_size(listed), (long long)specials);
    int rc = vocab_reserve(&t->vocab, size, err);
    for (json_int_t i = 0; rc == 0 && i < entries; i++)
        rc = add_rank(t, json_array_get(vocab, (size_t)i), specials, size - specials, err);
    for (int32_t id = (int32_t)specials; rc == 0 && id < size; id++)
        if (id >= t->vocab.size || t->vocab.length[id] == 0)
            rc = error_set(err, ERROR_FORMAT, "tekken.json has no rank %lld", (long long)(id - specials));
    if (rc == 0)
        rc = vocab_index(&t->vocab, err);
    if (rc == 0)
        rc = pretoken_new_pattern(&t->pretoken, json_string_value(pattern), json_string_length(pattern), err);
    if (rc == 0)
        rc = bpe_new(t, &options, 0, err);
    if (rc == 0)
        rc = add_specials(t, json_is_array(listed) ? listed : NULL, specials, err);
    if (rc)
        return rc;
    set_roles(t);
    if (t->role[TOKEN_BOS] >= 0)
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    return tokens_check(&t->front, err);
}
