/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"
#include "text/load.h"

#include <string.h>

static bool is_type(const json_t *spec, const char *type)
{
    return strcmp(json_text(spec, "type", ""), type) == 0;
}

/* Does the pre-tokenizer hand bytes in printable spelling to the model? It must then be its last step. */
static int find_byte_level(const json_t *spec, bool *found, struct error *err)
{
    const json_t *steps = json_object_get(spec, "pretokenizers");
    size_t count = is_type(spec, "Sequence") ? json_array_size(steps) : 0;
    *found = is_type(spec, "ByteLevel");
    for (size_t i = 0; i < count; i++) {
        if (*found)
            return error_set(err, ERROR_UNSUPPORTED, "pre-tokenizer \"%s\" behind \"ByteLevel\" is not supported",
                json_text(json_array_get(steps, i), "type", ""));
        *found = is_type(json_array_get(steps, i), "ByteLevel");
    }
    return 0;
}

static int add_merge(struct tokenizer *t, const json_t *merge, bool byte_level, struct error *err)
{
    char text[2 * PIECE_BYTES_MAX];
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_is_string(merge))
        return bpe_add_merge_line(t, json_string_value(merge), json_string_length(merge), err);
    size_t l = json_string_length(left), r = json_string_length(right);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right) || l + r > sizeof text)
        return error_set(err, ERROR_FORMAT, "a merge is neither a string nor two");
    if (!byte_level)
        return bpe_add_merge(t, json_string_value(left), l, json_string_value(right), r, err);
    ptrdiff_t ln = byte_level_decode(text, json_string_value(left), l);
    ptrdiff_t rn = byte_level_decode(text + l, json_string_value(right), r);
    if (ln < 0 || rn < 0)
        return error_set(err, ERROR_FORMAT, "merge \"%s\" \"%s\" is not in byte-level spelling",
            json_string_value(left), json_string_value(right));
    return bpe_add_merge(t, text, (size_t)ln, text + l, (size_t)rn, err);
}

/* Byte tokens and the unknown one are told by their spelling. */
static void mark_kinds(struct tokenizer *t, const char *unknown, bool byte_fallback)
{
    for (int32_t id = 0; id < t->vocab.size; id++) {
        size_t n;
        const char *piece = vocab_piece(&t->vocab, id, &n);
        if (byte_fallback && vocab_byte_value(piece, n) >= 0)
            t->vocab.kind[id] = TOKEN_BYTE;
        if (unknown && strlen(unknown) == n && memcmp(piece, unknown, n) == 0) {
            t->vocab.kind[id] = TOKEN_UNKNOWN;
            t->role[TOKEN_UNK] = id;
        }
    }
}

static int load_bpe(struct tokenizer *t, const json_t *model, bool byte_level, struct error *err)
{
    const json_t *merges = json_object_get(model, "merges");
    const char *unknown = json_text(model, "unk_token", NULL);
    struct bpe_options options = { .characters = !byte_level, .whole_first = json_flag(model, "ignore_merges", false),
        .byte_fallback = json_flag(model, "byte_fallback", false), .fuse_unknown = json_flag(model, "fuse_unk", false),
        .prefix = json_text(model, "continuing_subword_prefix", NULL),
        .suffix = json_text(model, "end_of_word_suffix", NULL), .unknown = -1 };
    int rc = load_vocab_object(t, json_object_get(model, "vocab"), byte_level, err);
    if (rc)
        return rc;
    mark_kinds(t, unknown, options.byte_fallback);
    options.unknown = t->role[TOKEN_UNK];
    if (byte_level && ((options.prefix && *options.prefix) || (options.suffix && *options.suffix)))
        return error_set(err, ERROR_UNSUPPORTED, "byte-level BPE with a word prefix or suffix is not supported");
    rc = vocab_index(&t->vocab, err);
    if (rc == 0)
        rc = bpe_new(t, &options, json_array_size(merges), err);
    for (size_t i = 0; rc == 0 && i < json_array_size(merges); i++)
        rc = add_merge(t, json_array_get(merges, i), byte_level, err);
    return rc ? rc : bpe_end_merges(t, err);
}

static int load_model(struct tokenizer *t, const json_t *model, bool byte_level, struct error *err)
{
    const char *type = json_text(model, "type", json_object_get(model, "merges") ? "BPE" : "Unigram");
    if (strcmp(type, "BPE") == 0)
        return load_bpe(t, model, byte_level, err);
    if (strcmp(type, "Unigram") == 0)
        return load_json_unigram(t, model, err);
    return error_set(err, ERROR_UNSUPPORTED, "a tokenizer of type \"%s\" is not supported", type);
}

/* The model's id of an added token's spelling, which goes before the id given with it; -1: none. */
static int32_t model_id(const struct tokenizer *t, const char *text, size_t n, bool byte_level)
{
    char piece[PIECE_BYTES_MAX];
    ptrdiff_t bytes = byte_level && n <= sizeof piece ? byte_level_decode(piece, text, n) : -1;
    if (byte_level)
        return bytes < 0 ? -1 : vocab_find(&t->vocab, piece, (size_t)bytes);
    return vocab_find(&t->vocab, text, n);
}

static int add_token(struct tokenizer *t, const json_t *entry, bool byte_level, struct error *err)
{
    const json_t *content = json_object_get(entry, "content");
    json_int_t id = json_whole(entry, "id", -1);
    if (!json_is_string(content) || id < 0 || id > (json_int_t)t->vocab.size * 2 + 65536)
        return error_set(err, ERROR_FORMAT, "an added token has id %lld and %s text, in a vocabulary of %d",
            (long long)id, json_is_string(content) ? "a" : "no", t->vocab.size);
    int32_t known = model_id(t, json_string_value(content), json_string_length(content), byte_level);
    struct added_token token = { .id = known >= 0 ? known : (int32_t)id, .special = json_flag(entry, "special", false),
        .normalized = json_flag(entry, "normalized", true), .lstrip = json_flag(entry, "lstrip", false),
        .rstrip = json_flag(entry, "rstrip", false), .single_word = json_flag(entry, "single_word", false),
        .text = (char *)(uintptr_t)json_string_value(content), .n = json_string_length(content) };
    return added_put(&t->added, &token, err);
}

int load_json(struct tokenizer *t, const json_t *root, struct error *err)
{
    const json_t *added = json_object_get(root, "added_tokens"), *model = json_object_get(root, "model");
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    bool byte_level;
    int rc = find_byte_level(pre, &byte_level, err);
    if (rc == 0)
        rc = pretoken_new_json(&t->pretoken, pre, err);
    if (rc == 0)
        rc = normalizer_add_json(t, json_object_get(root, "normalizer"), err);
    if (rc == 0)
        rc = load_json_decoder(t, json_object_get(root, "decoder"), err);
    if (rc == 0)
        rc = load_model(t, model, byte_level, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(added); i++)
        rc = add_token(t, json_array_get(added, i), byte_level, err);
    if (rc == 0)
        rc = load_json_post_processor(t, json_object_get(root, "post_processor"), err);
    return rc;
}
