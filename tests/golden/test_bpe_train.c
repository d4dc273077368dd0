/* SPDX-License-Identifier: Apache-2.0 */
/* Learning byte-level BPE against Hugging Face tokenizers (tools/golden/bpe_train.py): the same tokens under the same
 * ids, the same merges in the same order. */
#include "support.h"

#include "base/json.h"
#include "file/digest.h"
#include "text/bpe.h"
#include "text/bpe_train.h"
#include "train/corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_BYTES_MAX (16u << 20)
#define SPECIALS_MAX 16

static void must(int rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

static json_t *cases_new(void)
{
    struct error err = { 0 };
    json_t *root;
    must(json_read_file_new(&root, test_repo("tests/golden/data/bpe_train.json"), JSON_BYTES_MAX, &err), &err);
    assert_true(json_array_size(root) > 10);
    return root;
}

static struct bpe_training *open_new(const json_t *c, const char *specials[SPECIALS_MAX], int threads)
{
    struct error err = { 0 };
    struct bpe_training *b;
    const json_t *given = json_object_get(c, "specials");
    size_t n = json_array_size(given);
    assert_true(n <= SPECIALS_MAX);
    for (size_t i = 0; i < n; i++)
        specials[i] = json_string_value(json_array_get(given, i));
    const struct bpe_training_options options = { .pattern = json_text(c, "pattern", ""),
        .digits_apart = json_flag(c, "digits", false), .space = json_flag(c, "space", false),
        .vocabulary = (int32_t)json_whole(c, "vocabulary", 0), .frequency_min = (uint64_t)json_whole(c, "frequency", 0),
        .length_limit = (size_t)json_whole(c, "length", 0), .specials = specials, .n_specials = n,
        .threads = threads };
    must(bpe_training_open(&b, &options, &err), &err);
    return b;
}

static void add_texts(struct bpe_training *b, const json_t *texts)
{
    struct error err = { 0 };
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        must(bpe_training_add(b, json_string_value(text), json_string_length(text), &err), &err);
    }
}

static void add_file(struct bpe_training *b, const char *path)
{
    struct error err = { 0 };
    struct corpus *corpus;
    struct document d;
    const char *paths[] = { path };
    int rc;
    must(corpus_open(&corpus, paths, 1, &(struct corpus_options) { 0 }, &err), &err);
    while ((rc = corpus_next(corpus, &d, &err)) == 1)
        must(bpe_training_add(b, d.text, d.n, &err), &err);
    must(rc, &err);
    corpus_close(corpus);
}

static struct tokenizer *finish_new(struct bpe_training *b, struct bpe_training_report *report)
{
    struct error err = { 0 };
    struct tokenizer *t;
    must(bpe_training_finish(&t, report, b, &err), &err);
    bpe_training_close(b);
    return t;
}

/* "left right" a line, as in merges.txt. */
static void spell_merges(const struct tokenizer *t, struct buffer *out, size_t *count)
{
    struct error err = { 0 };
    struct bpe_merge *merges;
    bool whole_first;
    must(bpe_merges_new(&merges, count, &whole_first, t, &err), &err);
    for (size_t i = 0; i < *count; i++) {
        const int32_t ids[] = { merges[i].left, merges[i].right };
        for (int k = 0; k < 2; k++) {
            size_t n;
            const char *piece = tokenizer_piece(t, ids[k], &n);
            out->used += byte_level_encode(buffer_room(out, 2 * n), piece, n);
            buffer_add_byte(out, k ? '\n' : ' ');
        }
    }
    free(merges);
}

static void check_tokens(const struct tokenizer *t, const json_t *c)
{
    const json_t *tokens = json_object_get(c, "tokens");
    size_t specials = json_array_size(json_object_get(c, "specials"));
    assert_int_equal(tokenizer_size(t), json_array_size(tokens));
    for (size_t id = 0; id < json_array_size(tokens); id++) {
        char spelled[256] = "";
        size_t n;
        const char *piece = tokenizer_piece(t, (int32_t)id, &n);
        assert_true(n < sizeof spelled / 2);
        if (id < specials)
            memcpy(spelled, piece, n);
        else
            byte_level_encode(spelled, piece, n);
        assert_string_equal(spelled, json_string_value(json_array_get(tokens, id)));
        assert_int_equal(tokenizer_kind(t, (int32_t)id), id < specials ? TOKEN_CONTROL : TOKEN_NORMAL);
    }
}

static void check_merges(const struct tokenizer *t, const json_t *c)
{
    const json_t *wanted = json_object_get(c, "merges");
    struct buffer have = { 0 }, want = { 0 };
    size_t count;
    for (size_t i = 0; i < json_array_size(wanted); i++)
        buffer_printf(&want, "%s %s\n", json_string_value(json_array_get(json_array_get(wanted, i), 0)),
            json_string_value(json_array_get(json_array_get(wanted, i), 1)));
    spell_merges(t, &have, &count);
    assert_int_equal(count, json_array_size(wanted));
    assert_string_equal(have.data ? have.data : "", want.data ? want.data : "");
    buffer_release(&have);
    buffer_release(&want);
}

static void small_texts(void **state)
{
    (void)state;
    json_t *cases = cases_new();
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *specials[SPECIALS_MAX];
        struct bpe_training_report report;
        for (int threads = 1; json_object_get(c, "texts") && threads <= 4; threads *= 2) {
            print_message("%s, %d threads\n", json_text(c, "name", ""), threads);
            struct bpe_training *b = open_new(c, specials, threads);
            add_texts(b, json_object_get(c, "texts"));
            struct tokenizer *t = finish_new(b, &report);
            assert_int_equal(report.merges, json_array_size(json_object_get(c, "merges")));
            check_tokens(t, c);
            check_merges(t, c);
            tokenizer_close(t);
        }
    }
    json_decref(cases);
}

static void real_texts(void **state)
{
    (void)state;
    json_t *cases = cases_new();
    if (!test_data("text")) {
        json_decref(cases);
        skip();
    }
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *specials[SPECIALS_MAX];
        struct bpe_training_report report;
        struct buffer merges = { 0 };
        struct error err = { 0 };
        char digest[DIGEST_TEXT_SIZE];
        size_t count;
        if (!json_object_get(c, "file"))
            continue;
        print_message("%s, %s\n", json_text(c, "file", ""), json_text(c, "pattern", ""));
        struct bpe_training *b = open_new(c, specials, 2);
        add_file(b, test_data(json_text(c, "file", "")));
        struct tokenizer *t = finish_new(b, &report);
        spell_merges(t, &merges, &count);
        assert_int_equal(count, json_whole(c, "count", -1));
        const char *path = test_join(test_folder(), "merges.txt");
        test_write(path, merges.data, merges.used);
        must(digest_file(digest, path, NULL, NULL, &err), &err);
        assert_string_equal(digest, json_text(c, "sha256", ""));
        buffer_release(&merges);
        tokenizer_close(t);
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(small_texts), cmocka_unit_test(real_texts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
