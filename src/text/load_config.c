/* SPDX-License-Identifier: Apache-2.0 */
#include "text/load.h"

#include <stdlib.h>
#include <string.h>

int add_special(struct tokenizer *t, int32_t id, const char *text, struct error *err)
{
    struct added_token token = { .id = id, .special = true, .text = (char *)(uintptr_t)text, .n = strlen(text) };
    return added_put(&t->added, &token, err);
}

/* A token the vocabulary file did not list as added: take over the rules given here. */
static int add_missing(struct tokenizer *t, const char *text, size_t n, json_int_t id, const json_t *rules,
    struct error *err)
{
    if (n == 0 || added_find(&t->added, text, n))
        return 0;
    if (id < 0 || id > (json_int_t)t->vocab.size * 2 + 65536)
        return error_set(err, ERROR_FORMAT, "added token \"%.*s\" has id %lld in a vocabulary of %d",
            (int)(n < 100 ? n : 100), text, (long long)id, t->vocab.size);
    struct added_token token = { .id = (int32_t)id, .special = json_flag(rules, "special", false),
        .normalized = json_flag(rules, "normalized", rules == NULL), .lstrip = json_flag(rules, "lstrip", false),
        .rstrip = json_flag(rules, "rstrip", false), .single_word = json_flag(rules, "single_word", false),
        .text = (char *)(uintptr_t)text, .n = n };
    return added_put(&t->added, &token, err);
}

/* tokenizer_config.json: "added_tokens_decoder": {"151643": {"content": ..., "special": true}}. */
static int add_decoder_tokens(struct tokenizer *t, const json_t *decoder, struct error *err)
{
    const char *key;
    json_t *rules;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)decoder, key, rules)
    {
        const json_t *content = json_object_get(rules, "content");
        char *end;
        long id = strtol(key, &end, 10);
        if (rc == 0 && (*key == '\0' || *end || !json_is_string(content)))
            rc = error_set(err, ERROR_FORMAT, "added_tokens_decoder: entry \"%s\" is not an id with its content", key);
        if (rc == 0)
            rc = add_missing(t, json_string_value(content), json_string_length(content), id, rules, err);
    }
    return rc;
}

static int add_listed(struct tokenizer *t, const json_t *added, struct error *err)
{
    const char *key;
    json_t *id;
    size_t n;
    int rc = 0;
    json_object_keylen_foreach((json_t *)(uintptr_t)added, key, n, id)
        rc = rc ? rc : add_missing(t, key, n, json_is_integer(id) ? json_integer_value(id) : -1, NULL, err);
    return rc;
}

static int32_t find_id(const struct tokenizer *t, const char *text, size_t n)
{
    const struct added_token *token = added_find(&t->added, text, n);
    return token ? token->id : vocab_search(&t->vocab, text, n);
}

/* "bos_token": "<s>" or {"content": "<s>", ...}. */
static int read_role(struct tokenizer *t, const json_t *from, const char *key, enum token_role role, struct error *err)
{
    const json_t *value = json_object_get(from, key);
    const json_t *text = json_is_object(value) ? json_object_get(value, "content") : value;
    if (!json_is_string(text))
        return 0;
    size_t n = json_string_length(text);
    int32_t id = find_id(t, json_string_value(text), n);
    if (id < 0)
        return 0;
    t->role[role] = id;
    if (added_find(&t->added, json_string_value(text), n))
        return 0;
    struct added_token token = {.id = id, .special = true, .text = (char *)(uintptr_t)json_string_value(text), .n = n};
    return added_put(&t->added, &token, err);
}

static int read_roles(struct tokenizer *t, const json_t *from, struct error *err)
{
    static const struct {
        const char *key;
        enum token_role role;
    } roles[] = { { "bos_token", TOKEN_BOS }, { "eos_token", TOKEN_EOS }, { "unk_token", TOKEN_UNK },
        { "pad_token", TOKEN_PAD } };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof roles / sizeof roles[0]; i++)
        rc = read_role(t, from, roles[i].key, roles[i].role, err);
    return rc;
}

int load_config(struct tokenizer *t, const json_t *config, const json_t *map, const json_t *added, struct error *err)
{
    int rc = add_decoder_tokens(t, json_object_get(config, "added_tokens_decoder"), err);
    if (rc == 0)
        rc = add_listed(t, added, err);
    if (rc == 0)
        rc = read_roles(t, map, err);
    if (rc == 0)
        rc = read_roles(t, config, err);
    if (rc)
        return rc;
    const json_t *adds = json_object_get(config, "add_bos_token");
    if (t->role[TOKEN_BOS] >= 0 && json_is_true(adds) && t->front.used == 0)
        tokens_add(&t->front, t->role[TOKEN_BOS]);
    if (json_is_false(adds) && t->front.used == 1 && t->front.ids[0] == t->role[TOKEN_BOS])
        t->front.used = 0;
    return tokens_check(&t->front, err);
}

void guess_roles(struct tokenizer *t)
{
    static const struct {
        enum token_role role;
        const char *text;
    } known[] = { { TOKEN_BOS, "<|begin_of_text|>" }, { TOKEN_BOS, "<bos>" }, { TOKEN_BOS, "<s>" },
        { TOKEN_EOS, "<|end_of_text|>" }, { TOKEN_EOS, "<eos>" }, { TOKEN_EOS, "</s>" }, { TOKEN_EOS, "<|endoftext|>" },
        { TOKEN_EOT, "<|eot_id|>" }, { TOKEN_EOT, "<|im_end|>" }, { TOKEN_EOT, "<end_of_turn>" } };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct added_token *token = added_find(&t->added, known[i].text, strlen(known[i].text));
        if (token && token->special && t->role[known[i].role] < 0)
            t->role[known[i].role] = token->id;
    }
}
