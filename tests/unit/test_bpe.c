/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level BPE: merging against a plain version of itself, streams of any ids, special tokens in a user's text,
 * hostile files, patterns that would never end. */
#include "support.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"
#include "file/gguf.h"
#include "make_gguf.h"
#include "text/load.h"

#include <stdio.h>
#include <string.h>

/* Bytes 0 to 255 as vocabularies spell them: printable Latin-1 for itself, the rest from U+0100 up. */
static size_t spell_byte(char out[4], int byte)
{
    int32_t point = byte;
    if (byte <= 32)
        point = 256 + byte;
    else if (byte >= 127 && byte <= 160)
        point = 256 + 33 + byte - 127;
    else if (byte == 173)
        point = 256 + 67;
    return (size_t)utf8_encode(out, point);
}

/* -- merging -- */

#define LETTERS 4
#define TOKENS 300
#define MERGES 600

/* A made vocabulary: ids in any order, tokens that no merge makes, several merges for one token in any order. */
struct made {
    char piece[TOKENS][64];
    int tokens;
    int left[MERGES], right[MERGES], joined[MERGES], merges;
    int id[TOKENS]; /* of each piece in the files */
};

static int find_piece(const struct made *m, const char *piece)
{
    for (int i = 0; i < m->tokens; i++)
        if (strcmp(m->piece[i], piece) == 0)
            return i;
    return -1;
}

static void make_vocabulary(struct made *m, struct random *r)
{
    *m = (struct made) { .tokens = LETTERS };
    for (int i = 0; i < LETTERS; i++)
        m->piece[i][0] = (char)('a' + i);
    while (m->merges < MERGES && m->tokens < TOKENS) {
        int left = (int)random_below(r, (uint32_t)m->tokens), right = (int)random_below(r, (uint32_t)m->tokens);
        char joined[128];
        snprintf(joined, sizeof joined, "%s%s", m->piece[left], m->piece[right]);
        if (strlen(joined) > 12)
            continue;
        int at = find_piece(m, joined);
        if (at < 0) {
            at = m->tokens++;
            memcpy(m->piece[at], joined, strlen(joined) + 1);
        }
        if (random_below(r, 8) == 0)
            continue; /* a token, but no merge gives it this way */
        m->left[m->merges] = left;
        m->right[m->merges] = right;
        m->joined[m->merges++] = at;
    }
    for (int i = 0; i < m->tokens; i++) {
        uint32_t with = random_below(r, (uint32_t)i + 1);
        m->id[i] = m->id[with];
        m->id[with] = i;
    }
}

/* Merges in rising order of the joined id too, as converters of rank files write them. */
static void sort_merges(struct made *m)
{
    for (int i = 1; i < m->merges; i++)
        for (int k = i; k > 0 && m->id[m->joined[k]] < m->id[m->joined[k - 1]]; k--) {
            int *lists[] = { m->left, m->right, m->joined };
            for (int l = 0; l < 3; l++) {
                int held = lists[l][k];
                lists[l][k] = lists[l][k - 1];
                lists[l][k - 1] = held;
            }
        }
}

static struct tokenizer *open_json_new(const json_t *root)
{
    struct error err = { 0 };
    struct tokenizer *t;
    assert_int_equal(tokenizer_new(&t, &err), 0);
    if (load_json(t, root, &err) != 0 || tokenizer_finish(t, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

static struct tokenizer *open_made_new(const struct made *m)
{
    json_t *vocab = json_object(), *merges = json_array();
    for (int i = 0; i < m->tokens; i++)
        json_object_set_new(vocab, m->piece[i], json_integer(m->id[i]));
    for (int i = 0; i < m->merges; i++)
        json_array_append_new(merges, json_pack("[s,s]", m->piece[m->left[i]], m->piece[m->right[i]]));
    json_t *root = json_pack("{s:{s:s,s:b,s:b},s:{s:s,s:o,s:o}}", "pre_tokenizer", "type", "ByteLevel", "use_regex", 0,
        "add_prefix_space", 0, "model", "type", "BPE", "vocab", vocab, "merges", merges);
    struct tokenizer *t = open_json_new(root);
    json_decref(root);
    return t;
}

/* The definition: as long as a pair is in the list, merge the leftmost of those that come first in it. A pair that is
 * listed twice has its later place. */
static int merge_plainly(const struct made *m, const char *text, int *symbols)
{
    int count = (int)strlen(text);
    for (int i = 0; i < count; i++)
        symbols[i] = text[i] - 'a';
    for (;;) {
        int best = m->merges, at = -1;
        for (int i = 0; i + 1 < count; i++)
            for (int k = m->merges - 1; k >= 0; k--)
                if (m->left[k] == symbols[i] && m->right[k] == symbols[i + 1]) {
                    at = k < best ? i : at;
                    best = k < best ? k : best;
                    break;
                }
        if (at < 0)
            return count;
        symbols[at] = m->joined[best];
        memmove(symbols + at + 1, symbols + at + 2, (size_t)(count - at - 2) * sizeof *symbols);
        count--;
    }
}

static void check_merging(const struct made *m, const struct tokenizer *t, const char *text)
{
    int symbols[512], count = merge_plainly(m, text, symbols);
    struct tokens ids = { 0 };
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &ids, NULL), 0);
    assert_int_equal(ids.used, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(ids.ids[i], m->id[symbols[i]]);
    tokens_release(&ids);
}

static void merges_like_the_definition(void **state)
{
    static struct made m;
    struct random r;
    (void)state;
    random_seed(&r, 3);
    for (int round = 0; round < 12; round++) {
        make_vocabulary(&m, &r);
        if (round % 2)
            sort_merges(&m);
        struct tokenizer *t = open_made_new(&m);
        for (int i = 0; i < 60; i++) {
            char text[300] = "";
            size_t n = 1 + random_below(&r, i % 6 ? 40 : 299); /* short pieces and long ones are merged in two ways */
            for (size_t k = 0; k < n; k++)
                text[k] = (char)('a' + random_below(&r, LETTERS));
            check_merging(&m, t, text);
        }
        tokenizer_close(t);
    }
}

/* -- all bytes, and special tokens -- */

/* Every byte, some joined ones, and special tokens, as a tokenizer.json. */
static json_t *byte_json_new(void)
{
    static const char *const joined[] = { "ab", "<|", "|>", "<|e", "nd" };
    static const char *const merges[] = { "a b", "< |", "| >", "<| e", "n d" };
    json_t *vocab = json_object(), *list = json_array();
    for (int byte = 0; byte < 256; byte++) {
        char piece[5] = "";
        spell_byte(piece, byte);
        json_object_set_new(vocab, piece, json_integer(byte));
    }
    for (int i = 0; i < 5; i++) {
        json_object_set_new(vocab, joined[i], json_integer(256 + i));
        json_array_append_new(list, json_string(merges[i]));
    }
    return json_pack("{s:{s:s,s:b},s:{s:s},s:{s:s,s:o,s:o},s:[{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b,s:b}]}",
        "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "decoder", "type", "ByteLevel", "model", "type",
        "BPE", "vocab", vocab, "merges", list, "added_tokens", "id", 261, "content", "<|end|>", "special", 1,
        "normalized", 0, "id", 262, "content", "<s>", "special", 1, "normalized", 1, "lstrip", 1);
}

static bool has_special(const struct tokens *ids)
{
    for (size_t i = 0; i < ids->used; i++)
        if (ids->ids[i] > 260)
            return true;
    return false;
}

static void special_text_is_matched_when_asked(void **state)
{
    static const char *const parts[] = { "<|end|>", "<s>", "<|end", "|>", "<", "s>", " ", "ab", "\xd8\xa7", "\xff" };
    json_t *root = byte_json_new();
    struct tokenizer *t = open_json_new(root);
    struct random r;
    int matched = 0;
    (void)state;
    random_seed(&r, 5);
    for (int round = 0; round < 3000; round++) {
        struct buffer text = { 0 }, back = { 0 };
        struct tokens ids = { 0 }, asked = { 0 };
        for (uint32_t i = 1 + random_below(&r, 6); i > 0; i--)
            buffer_add_text(&text, parts[random_below(&r, 10)]);
        const char *spelled = text.data;
        bool has = strstr(spelled, "<|end|>") || strstr(spelled, "<s>");
        assert_int_equal(tokenizer_encode(t, spelled, text.used, TOKENIZE_BOS | TOKENIZE_BEHIND, &ids, NULL), 0);
        assert_false(has_special(&ids));
        assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, false, &back, NULL), 0);
        assert_int_equal(back.used, text.used);
        assert_memory_equal(back.data, text.data, text.used);
        assert_int_equal(tokenizer_encode(t, spelled, text.used, TOKENIZE_SPECIAL, &asked, NULL), 0);
        assert_true(has_special(&asked) == has);
        matched += has;
        tokens_release(&ids);
        tokens_release(&asked);
        buffer_release(&text);
        buffer_release(&back);
    }
    assert_true(matched > 500);
    tokenizer_close(t);
    json_decref(root);
}

/* Whatever ids a model gives: what has come out is whole UTF-8 at every step, and in the end all there was. */
static void streams_are_whole_utf8(void **state)
{
    json_t *root = byte_json_new();
    struct tokenizer *t = open_json_new(root);
    struct random r;
    (void)state;
    random_seed(&r, 7);
    for (int round = 0; round < 2000; round++) {
        struct detokenizer d = { .tokenizer = t, .special = round % 2 };
        struct buffer out = { 0 }, all = { 0 };
        int32_t ids[40];
        size_t n = 1 + random_below(&r, 40);
        for (size_t i = 0; i < n; i++) {
            /* mostly bytes of long sequences, whose first ones have ids from 0xc2, further ones from 0x80 */
            uint32_t kind = random_below(&r, 4);
            ids[i] = (int32_t)(kind == 0 ? 1 + random_below(&r, 262)
                    : kind == 1          ? 0xc2 + random_below(&r, 0x33)
                                         : 0x80 + random_below(&r, 0x40));
            assert_int_equal(detokenizer_push(&d, ids[i], &out, NULL), 0);
            assert_int_equal(utf8_valid_prefix(out.data ? out.data : "", out.used), out.used);
        }
        detokenizer_end(&d, &out);
        assert_int_equal(utf8_valid_prefix(out.data ? out.data : "", out.used), out.used);
        assert_int_equal(tokenizer_decode(t, ids, n, round % 2, &all, NULL), 0);
        if (utf8_valid_prefix(all.data ? all.data : "", all.used) == all.used) {
            assert_int_equal(out.used, all.used);
            assert_memory_equal(out.data ? out.data : "", all.data ? all.data : "", all.used);
        } else {
            assert_non_null(strstr(out.data, "\xef\xbf\xbd"));
        }
        buffer_release(&out);
        buffer_release(&all);
    }
    tokenizer_close(t);
    json_decref(root);
}

/* NFC composes what it composed in the Unicode of the reference: U+11935 U+11930 became one character later. */
static void nfc_of_its_time(void **state)
{
    static const char *const texts[][2] = { { "e\xcc\x81", "\xc3\xa9" },
        { "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0", "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0" },
        { "\xf0\x91\xa4\xb8" "e\xcc\x81", "\xf0\x91\xa4\xb8\xc3\xa9" } };
    json_t *root = byte_json_new();
    (void)state;
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    struct tokenizer *t = open_json_new(root);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tokens ids = { 0 };
        struct buffer back = { 0 };
        assert_int_equal(tokenizer_encode(t, texts[i][0], strlen(texts[i][0]), 0, &ids, NULL), 0);
        assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &back, NULL), 0);
        assert_string_equal(back.data, texts[i][1]);
        tokens_release(&ids);
        buffer_release(&back);
    }
    tokenizer_close(t);
    json_decref(root);
}

/* -- hostile files -- */

static void refuse(struct tokenizer *t, int rc, const struct error *err, int wanted, const char *says)
{
    if (rc != wanted || err->code != wanted || !strstr(err->text, says))
        fail_msg("code %d, \"%s\", wanted %d and \"%s\"", rc, err->text, wanted, says);
    tokenizer_close(t);
}

static void refuse_json(const char *text, int wanted, const char *says)
{
    struct error err = { 0 };
    struct tokenizer *t;
    json_t *root;
    assert_int_equal(json_read_new(&root, text, strlen(text), "test", &err), 0);
    assert_int_equal(tokenizer_new(&t, &err), 0);
    int rc = load_json(t, root, &err);
    refuse(t, rc ? rc : tokenizer_finish(t, &err), &err, wanted, says);
    json_decref(root);
}

#define BPE_JSON(vocab, merges) \
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\"," \
    "\"vocab\":{" vocab "},\"merges\":[" merges "]}}"

static void hostile_json(void **state)
{
    struct buffer long_piece = { 0 };
    (void)state;
    refuse_json(BPE_JSON("\"a\":4294967296", ""), ERROR_FORMAT, "has id 4294967296");
    refuse_json(BPE_JSON("\"a\":16777217", ""), ERROR_FORMAT, "has id 16777217");
    refuse_json(BPE_JSON("\"a\":-1", ""), ERROR_FORMAT, "has id -1");
    refuse_json(BPE_JSON("\"a\":\"0\"", ""), ERROR_FORMAT, "has id -1");
    refuse_json(BPE_JSON("\"a\":0,\"b\":1", "\"a b\""), ERROR_FORMAT, "merge 0");
    refuse_json(BPE_JSON("\"a\":0,\"b\":1,\"ab\":2", "\"a b\",\"a c\""), ERROR_FORMAT, "merge 1");
    refuse_json(BPE_JSON("\"a\":0,\"b\":0,\"ab\":2", "\"a b\""), ERROR_FORMAT, "not in the vocabulary");
    refuse_json(BPE_JSON("\"a\":0", "\"aa\""), ERROR_FORMAT, "not two pieces");
    refuse_json(BPE_JSON("\"a\":0", "[\"a\"]"), ERROR_FORMAT, "merge");
    refuse_json(BPE_JSON("\"a\":0", "[\"a\",\"\"]"), ERROR_FORMAT, "merge 0");
    refuse_json(BPE_JSON("\"a\":0", "\"\\u4e2d a\""), ERROR_FORMAT, "byte-level spelling");
    refuse_json(BPE_JSON("", ""), ERROR_FORMAT, "not an object with entries");
    buffer_add_text(&long_piece,
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"");
    for (int i = 0; i <= PIECE_BYTES_MAX; i++)
        buffer_add_byte(&long_piece, 'a');
    buffer_add_text(&long_piece, "\":0},\"merges\":[]}}");
    refuse_json(long_piece.data, ERROR_FORMAT, "has id 0");
    buffer_release(&long_piece);
}

static void refuse_ranks(const char *text, size_t n, const char *says)
{
    struct error err = { 0 };
    struct tokenizer *t;
    assert_int_equal(tokenizer_new(&t, &err), 0);
    refuse(t, load_ranks(t, text, n, "gpt2", "test", &err), &err, ERROR_FORMAT, says);
}

static void hostile_ranks(void **state)
{
    struct buffer long_piece = { 0 };
    (void)state;
    refuse_ranks("YQ== 0\nYg== 999999999\n", 22, "line 2");
    refuse_ranks("YQ== 0\nYg== 0\n", 14, "rank 0 occurs twice");
    refuse_ranks("YQ== -1\n", 8, "line 1");
    refuse_ranks("YQ== 99999999999999999999\n", 26, "line 1");
    refuse_ranks("YQ==\n", 5, "line 1");
    for (int i = 0; i < PIECE_BYTES_MAX + 4; i++)
        buffer_add_byte(&long_piece, 'A');
    buffer_add_text(&long_piece, " 0\n");
    refuse_ranks(long_piece.data, long_piece.used, "line 1");
    buffer_release(&long_piece);
}

static void refuse_tekken(const char *text, const char *says)
{
    struct error err = { 0 };
    struct tokenizer *t;
    json_t *root;
    assert_int_equal(json_read_new(&root, text, strlen(text), "test", &err), 0);
    assert_int_equal(tokenizer_new(&t, &err), 0);
    refuse(t, load_tekken(t, root, &err), &err, ERROR_FORMAT, says);
    json_decref(root);
}

#define TEKKEN(size, specials, entries) \
    "{\"config\":{\"pattern\":\"a\",\"default_vocab_size\":" size ",\"default_num_special_tokens\":" specials "}," \
    "\"vocab\":[" entries "]}"

static void hostile_tekken(void **state)
{
    (void)state;
    refuse_tekken(TEKKEN("4294967296", "1", "{\"rank\":0,\"token_bytes\":\"YQ==\"}"), "default_vocab_size 4294967296");
    refuse_tekken(TEKKEN("2", "4294967295", "{\"rank\":0,\"token_bytes\":\"YQ==\"}"), "4294967295");
    refuse_tekken(TEKKEN("2", "1", "{\"rank\":-5,\"token_bytes\":\"YQ==\"}"), "rank -5");
    refuse_tekken(TEKKEN("2", "1", "{\"rank\":9,\"token_bytes\":\"YQ==\"}"), "no rank 0");
    refuse_tekken(TEKKEN("3", "1", "{\"rank\":0,\"token_bytes\":\"YQ==\"},{\"rank\":0,\"token_bytes\":\"Yg==\"}"),
        "no rank 1");
    refuse_tekken(TEKKEN("2", "1", "{\"rank\":0,\"token_bytes\":\"?\"}"), "base64");
}

/* What a GGUF may get wrong; the rest is a vocabulary of "a", "b" and "ab". */
struct wrong {
    uint64_t tokens, types, merges; /* counts as the file states them; types 0: no such key */
    const char *merge, *pre;
    int64_t bos;
    int code;
    const char *says;
};

static void refuse_gguf(const struct wrong *w)
{
    static const char *const pieces[] = { "a", "b", "ab" };
    struct make_gguf m = { 0 };
    struct buffer file = { 0 };
    struct error err = { 0 };
    struct tokenizer *t;
    struct gguf *g;
    make_text(&m, "tokenizer.ggml.model", "gpt2");
    make_text(&m, "tokenizer.ggml.pre", w->pre);
    make_whole(&m, "tokenizer.ggml.bos_token_id", GGUF_INT64, w->bos);
    if (w->types) {
        make_array(&m, "tokenizer.ggml.token_type", GGUF_INT32, w->types);
        for (uint64_t i = 0; i < w->types && i < 9; i++)
            make_number(&m.keys, 1, 4);
    }
    make_array(&m, "tokenizer.ggml.merges", GGUF_STRING, w->merges);
    make_string(&m.keys, w->merge, strlen(w->merge));
    make_array(&m, "tokenizer.ggml.tokens", GGUF_STRING, w->tokens);
    for (int i = 0; i < 3; i++)
        make_string(&m.keys, pieces[i], strlen(pieces[i]));
    make_gguf_end(&m, &file);
    int rc = gguf_read(&g, file.data, file.used, "test", NULL, &err);
    assert_int_equal(tokenizer_new(&t, NULL), 0);
    if (rc == 0)
        rc = load_gguf(t, g, &err);
    if (w->code)
        refuse(t, rc, &err, w->code, w->says);
    else
        tokenizer_close(t);
    assert_int_equal(rc, w->code);
    gguf_close(g);
    buffer_release(&file);
}

static void hostile_gguf(void **state)
{
    static const struct wrong cases[] = {
        { 3, 3, 1, "a b", "gpt-2", 0, 0, "" }, /* nothing wrong: the others differ from it in one thing */
        { (uint64_t)1 << 60, 3, 1, "a b", "gpt-2", 0, ERROR_FORMAT, "" },
        { 3, 0, (uint64_t)1 << 60, "a b", "gpt-2", 0, ERROR_FORMAT, "" },
        { 3, 2, 1, "a b", "gpt-2", 0, ERROR_FORMAT, "another length" },
        { 3, 3, 1, "a c", "gpt-2", 0, ERROR_FORMAT, "merge 0" },
        { 3, 3, 1, "b a", "gpt-2", 0, ERROR_FORMAT, "merge 0" },
        { 3, 3, 1, "ab", "gpt-2", 0, ERROR_FORMAT, "not two pieces" },
        { 3, 3, 1, "", "gpt-2", 0, ERROR_FORMAT, "not two pieces" },
        { 3, 3, 1, "a b", "no-such", 0, ERROR_UNSUPPORTED, "no-such" },
        { 3, 3, 1, "a b", "gpt-2", 3, ERROR_FORMAT, "is 3, but" },
        { 3, 3, 1, "a b", "gpt-2", INT64_MAX, ERROR_FORMAT, "but the vocabulary has 3" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse_gguf(&cases[i]);
}

/* -- slow patterns -- */

static void check_slow(const char *pattern, size_t n)
{
    struct error err = { 0 };
    struct tokens ids = { 0 };
    struct buffer text = { 0 };
    json_t *root = byte_json_new();
    json_object_set_new(root, "pre_tokenizer",
        json_pack("{s:s,s:[{s:s,s:{s:s},s:s},{s:s,s:b,s:b}]}", "type", "Sequence", "pretokenizers", "type", "Split",
            "pattern", "Regex", pattern, "behavior", "Isolated", "type", "ByteLevel", "use_regex", 0,
            "add_prefix_space", 0));
    struct tokenizer *t = open_json_new(root);
    for (size_t i = 0; i < n; i++)
        buffer_add_byte(&text, 'a');
    buffer_add_byte(&text, '!');
    double begun = clock_seconds();
    int rc = tokenizer_encode(t, text.data, text.used, 0, &ids, &err);
    double took = clock_seconds() - begun;
    if (rc != ERROR_LIMIT || took > 60)
        fail_msg("%s on %zu bytes: code %d, \"%s\", %.1f s", pattern, n, rc, err.text, took);
    tokens_release(&ids);
    buffer_release(&text);
    tokenizer_close(t);
    json_decref(root);
}

/* Each search is bounded in steps, all searches over a text together in time. */
static void slow_patterns_are_stopped(void **state)
{
    (void)state;
    check_slow("(a+)+$", 60);
    check_slow("(a|aa)+$", 100);
    check_slow("(.*)*[xy]", 200);
    check_slow("(?:a?){40}a{40}$", 39);
    check_slow("a(?=a*b)|a", 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_like_the_definition),
        cmocka_unit_test(special_text_is_matched_when_asked),
        cmocka_unit_test(streams_are_whole_utf8),
        cmocka_unit_test(nfc_of_its_time),
        cmocka_unit_test(hostile_json),
        cmocka_unit_test(hostile_ranks),
        cmocka_unit_test(hostile_tekken),
        cmocka_unit_test(hostile_gguf),
        cmocka_unit_test(slow_patterns_are_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
