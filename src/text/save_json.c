/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json of byte-level BPE. Spec: Hugging Face tokenizers. */
#include "text/save_json.h"

#include "text/bpe.h"
#include "text/pretoken_impl.h"
#include "text/save_impl.h"

#include <stdlib.h>
#include <string.h>

json_t *save_added_new(const struct tokenizer *t, size_t i)
{
    const struct added_token *a = &t->added.tokens[i];
    return json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)a->id, "content", a->text, a->n, "single_word",
        a->single_word, "lstrip", a->lstrip, "rstrip", a->rstrip, "normalized", a->normalized, "special", a->special);
}

static int by_id(const void *a, const void *b)
{
    json_int_t x = json_whole(*(json_t *const *)a, "id", 0), y = json_whole(*(json_t *const *)b, "id", 0);
    return (x > y) - (x < y);
}

/* In the order of ids, as readers that count them want it. NULL: no memory. */
static json_t *added_list_new(const struct tokenizer *t)
{
    size_t n = t->added.count;
    json_t **entries = calloc(n + 1, sizeof *entries), *list = json_array();
    bool failed = !entries || !list;
    for (size_t i = 0; !failed && i < n; i++) {
        entries[i] = save_added_new(t, i);
        failed = !entries[i];
    }
    if (!failed)
        qsort(entries, n, sizeof *entries, by_id);
    for (size_t i = 0; i < n && entries; i++)
        failed |= json_array_append_new(list, entries[i]) != 0;
    free(entries);
    if (failed)
        json_decref(list);
    return failed ? NULL : list;
}

static json_t *byte_level_new(bool space, bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", space, "trim_offsets", 1,
        "use_regex", use_regex);
}

json_t *save_pretokenizer_new(const struct save_steps *steps)
{
    bool gpt2 = strcmp(steps->pattern, "gpt2") == 0;
    json_t *list = json_array();
    int rc = 0;
    if (gpt2 && !steps->digits_apart) {
        json_decref(list);
        return byte_level_new(steps->space, true);
    }
    if (steps->digits_apart)
        rc |= json_array_append_new(list, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1));
    if (!gpt2)
        rc |= json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
            known_pattern_named(steps->pattern)->text, "behavior", "Isolated", "invert", 0));
    rc |= json_array_append_new(list, byte_level_new(steps->space, gpt2));
    json_t *out = json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
    if (rc)
        json_decref(out);
    return rc ? NULL : out;
}

/* Special tokens around a text, and around two. */
static void add_around(json_t *list, json_t *specials, const struct tokenizer *t, const struct tokens *ids, int type)
{
    for (size_t i = 0; i < ids->used; i++) {
        size_t n;
        const char *text = tokenizer_piece(t, ids->ids[i], &n);
        char name[PIECE_BYTES_MAX + 1];
        memcpy(name, text, n);
        name[n] = '\0';
        json_array_append_new(list, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", name, "type_id", type));
        json_object_set_new(specials, name,
            json_pack("{s:s, s:[i], s:[s]}", "id", name, "ids", (int)ids->ids[i], "tokens", name));
    }
}

json_t *save_around_new(const struct tokenizer *t)
{
    if (t->front.used + t->back.used == 0)
        return json_null();
    json_t *single = json_array(), *pair = json_array(), *specials = json_object();
    add_around(single, specials, t, &t->front, 0);
    json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
    add_around(single, specials, t, &t->back, 0);
    json_array_extend(pair, single);
    add_around(pair, specials, t, &t->front, 1);
    json_array_append_new(pair, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1));
    add_around(pair, specials, t, &t->back, 1);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
        "special_tokens", specials);
}

static bool is_added(enum token_kind kind)
{
    return kind == TOKEN_CONTROL || kind == TOKEN_USER || kind == TOKEN_UNKNOWN;
}

/* Added tokens are spelled as they are. Those behind all others have their place in "added_tokens" alone; to one before
 * them, tokenizers would give another id if it were not here too. */
static json_t *vocab_new(const struct tokenizer *t)
{
    json_t *vocab = json_object();
    bool failed = !vocab;
    int32_t end = t->vocab.size;
    while (end > 0 && is_added(tokenizer_kind(t, end - 1)))
        end--;
    for (int32_t id = 0; id < end && !failed; id++) {
        char spelled[2 * PIECE_BYTES_MAX];
        size_t n;
        const char *piece = vocab_piece(&t->vocab, id, &n);
        enum token_kind kind = tokenizer_kind(t, id);
        if (n == 0)
            continue;
        if (!is_added(kind) && (vocab_find(&t->vocab, piece, n) == id || kind != TOKEN_UNUSED))
            n = byte_level_encode(spelled, piece, n);
        else
            memcpy(spelled, piece, n);
        failed = json_object_setn_new_nocheck(vocab, spelled, n, json_integer(id)) != 0;
    }
    if (failed)
        json_decref(vocab);
    return failed ? NULL : vocab;
}

static json_t *merges_new(const struct tokenizer *t, bool *whole_first, struct error *err)
{
    struct bpe_merge *merges;
    size_t count = 0;
    json_t *list = bpe_merges_new(&merges, &count, whole_first, t, err) ? NULL : json_array();
    for (size_t i = 0; list && i < count; i++) {
        char left[2 * PIECE_BYTES_MAX], right[2 * PIECE_BYTES_MAX];
        size_t l, r;
        const char *a = vocab_piece(&t->vocab, merges[i].left, &l);
        l = byte_level_encode(left, a, l);
        const char *b = vocab_piece(&t->vocab, merges[i].right, &r);
        r = byte_level_encode(right, b, r);
        if (json_array_append_new(list, json_pack("[s%, s%]", left, l, right, r)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    free(merges);
    return list;
}

int save_json_new(json_t **out, const struct tokenizer *t, struct error *err)
{
    struct save_steps steps;
    bool whole_first = false;
    *out = NULL;
    int rc = save_find_steps(t, &steps, err);
    if (rc == 0 && !steps.pattern)
        rc = error_set(err, ERROR_UNSUPPORTED, "a pre-tokenizer like this cannot be written (%s)",
            tokenizer_describe(t));
    if (rc)
        return rc;
    json_t *merges = merges_new(t, &whole_first, err);
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
        "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", whole_first, "vocab", vocab_new(t), "merges", merges);
    json_t *nfc = steps.nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    *out = json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added_list_new(t), "normalizer", nfc, "pre_tokenizer", save_pretokenizer_new(&steps),
        "post_processor", save_around_new(t), "decoder", byte_level_new(false, true), "model", model);
    return *out ? 0 : error_memory(err, (unsigned long long)t->vocab.size * 64, "a tokenizer");
}
