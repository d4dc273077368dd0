/* SPDX-License-Identifier: Apache-2.0 */
/* Learning byte-level BPE: where texts may be cut, any number of threads, limits and refusals, what is saved. The
 * merges themselves are held against the reference in tests/golden/test_bpe_train.c. */
#include "support.h"

#include "base/random.h"
#include "text/bpe.h"
#include "text/bpe_train.h"
#include "text/pretoken_impl.h"
#include "text/save.h"

#include <stdlib.h>
#include <string.h>

static void must(int rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

/* What cuts and joins words in the patterns: spaces of all kinds, line ends, marks, digits, cases, contractions. */
static const char *const bits[] = { " ", " ", "  ", "\n", "\n", "\r\n", "\t", "\xc2\xa0", "\xe3\x80\x80",
    "\xe2\x80\xa8", "a", "B", "word", "Word", "'s", "'ll", "'", "1", "23", "4567", ".", "...", "/", "-", "\xe3\x80\x82",
    "\xe4\xb8\xad\xe6\x96\x87", "\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85", "\xcc\x81", "\xe0\xa5\x8d", "\xc3\x89", "\xc5\xbf",
    "\xf0\x9f\x98\x80", "\xe2\x85\xa7" };

static void add_bits(struct buffer *text, struct random *r, int n)
{
    for (int i = 0; i < n; i++)
        buffer_add_text(text, bits[random_below(r, sizeof bits / sizeof bits[0])]);
}

static int add_piece(void *context, const char *piece, size_t n, struct error *err)
{
    struct buffer *out = context;
    (void)err;
    buffer_add(out, piece, n);
    buffer_add_byte(out, '|');
    return 0;
}

static const char *const specs[] = { "gpt2", "cl100k", "o200k", "llama3", "qwen2", "qwen35", "tekken" };

/* digits: also each digit apart; space: also a space in front. */
static struct pretoken *pretoken_new_spec(const char *pattern, bool digits, bool space)
{
    struct error err = { 0 };
    struct pretoken *p;
    json_t *steps = json_array();
    if (digits)
        json_array_append_new(steps, json_pack("{s:s,s:b}", "type", "Digits", "individual_digits", 1));
    if (strcmp(pattern, "gpt2") != 0)
        json_array_append_new(steps, json_pack("{s:s,s:{s:s}}", "type", "Split", "pattern", "Regex",
            known_pattern_named(pattern)->text));
    json_array_append_new(steps, json_pack("{s:s,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", space, "use_regex",
        strcmp(pattern, "gpt2") == 0));
    json_t *spec = json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", steps);
    must(pretoken_new_json(&p, spec, &err), &err);
    json_decref(spec);
    return p;
}

static int check_cuts(const struct pretoken *p, const struct buffer *text)
{
    struct error err = { 0 };
    struct scratch s = { 0 };
    struct buffer whole = { 0 }, halves = { 0 };
    int cuts = 0;
    must(pretoken_run(p, &s, text->data, text->used, PLACE_FIRST, add_piece, &whole, &err), &err);
    for (size_t from = 1, at; (at = pretoken_cut(p, text->data, text->used, from)) < text->used; from = at + 1) {
        buffer_clear(&halves);
        must(pretoken_run(p, &s, text->data, at, PLACE_FIRST, add_piece, &halves, &err), &err);
        must(pretoken_run(p, &s, text->data + at, text->used - at, PLACE_BEHIND, add_piece, &halves, &err), &err);
        assert_string_equal(halves.data, whole.data);
        cuts++;
    }
    buffer_release(&whole);
    buffer_release(&halves);
    scratch_release(&s);
    return cuts;
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 11);
    for (size_t i = 0; i < 4 * sizeof specs / sizeof specs[0]; i++) {
        struct pretoken *p = pretoken_new_spec(specs[i / 4], i & 1, i & 2);
        int cuts = 0;
        for (int k = 0; k < 400; k++) {
            struct buffer text = { 0 };
            add_bits(&text, &r, 12);
            cuts += check_cuts(p, &text);
            buffer_release(&text);
        }
        assert_true(cuts > 100);
        pretoken_close(p);
    }
}

/* -- training -- */

static const struct bpe_training_options plain = { .pattern = "gpt2", .vocabulary = 1000, .threads = 1 };

static struct tokenizer *train_new(const struct bpe_training_options *o, const struct buffer *text, int texts,
    struct bpe_training_report *report)
{
    struct error err = { 0 };
    struct bpe_training *b;
    struct tokenizer *t;
    must(bpe_training_open(&b, o, &err), &err);
    for (int i = 0; i < texts; i++)
        must(bpe_training_add(b, text->data, text->used, &err), &err);
    must(bpe_training_finish(&t, report, b, &err), &err);
    bpe_training_close(b);
    return t;
}

/* One text of many items, more than a batch of them, on threads that take what they get. */
static void same_report(const struct bpe_training_report *a, const struct bpe_training_report *b)
{
    assert_int_equal(a->texts, b->texts);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->words, b->words);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->merges, b->merges);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    struct buffer text = { 0 };
    struct bpe_training_report first, report;
    struct random r;
    random_seed(&r, 12);
    add_bits(&text, &r, 700000);
    struct bpe_training_options o = plain;
    struct tokenizer *one = train_new(&o, &text, 12, &first), *t;
    assert_int_equal(first.texts, 12);
    assert_int_equal(first.bytes, 12 * text.used);
    assert_true(first.bytes > (16u << 20));
    assert_int_equal(tokenizer_size(one), 1000);
    for (o.threads = 2; o.threads <= 4; o.threads++) {
        t = train_new(&o, &text, 12, &report);
        same_report(&report, &first);
        for (int32_t id = 0; id < 1000; id++) {
            size_t n, m;
            const char *piece = tokenizer_piece(t, id, &n), *wanted = tokenizer_piece(one, id, &m);
            assert_int_equal(n, m);
            assert_memory_equal(piece, wanted, n);
        }
        tokenizer_close(t);
    }
    /* what was counted is what encoding gives */
    struct tokens ids = { 0 };
    struct error err = { 0 };
    must(tokenizer_encode(one, text.data, text.used, 0, &ids, &err), &err);
    assert_int_equal(12 * ids.used, first.tokens);
    tokens_release(&ids);
    tokenizer_close(one);
    buffer_release(&text);
}

/* A text longer than a batch is cut, not copied: the pieces are those of the whole. */
static void one_long_text(void **state)
{
    (void)state;
    struct buffer part = { 0 }, text = { 0 };
    struct bpe_training_report report;
    struct tokens ids = { 0 };
    struct error err = { 0 };
    struct random r;
    random_seed(&r, 13);
    add_bits(&part, &r, 900000);
    while (text.used < (18u << 20))
        buffer_add(&text, part.data, part.used);
    struct bpe_training_options o = plain;
    o.threads = 2;
    struct tokenizer *t = train_new(&o, &text, 1, &report);
    must(tokenizer_encode(t, text.data, text.used, 0, &ids, &err), &err);
    assert_int_equal(ids.used, report.tokens);
    tokens_release(&ids);
    tokenizer_close(t);
    buffer_release(&part);
    buffer_release(&text);
}

static void any_bytes(void **state)
{
    (void)state;
    struct buffer text = { 0 };
    struct bpe_training_report report;
    struct error err = { 0 };
    struct tokens ids = { 0 };
    for (int i = 0; i < 256; i++)
        buffer_add(&text, "\xff\xfe \x80 ok", 7);
    struct tokenizer *t = train_new(&plain, &text, 1, &report);
    must(tokenizer_encode(t, text.data, text.used, 0, &ids, &err), &err);
    assert_int_equal(ids.used, report.tokens);
    assert_true(tokenizer_find(t, "\xff\xfe", 2) > 0);
    tokens_release(&ids);
    tokenizer_close(t);
    buffer_release(&text);
}

/* A run that doubles ends at the longest piece there may be. */
static void longest_tokens(void **state)
{
    (void)state;
    struct buffer text = { 0 };
    struct bpe_training_report report;
    memset(buffer_room(&text, 100000), 'a', 100000);
    text.used = 100000;
    struct tokenizer *t = train_new(&plain, &text, 1, &report);
    size_t longest = 0, n;
    for (int32_t id = 0; id < tokenizer_size(t); id++) {
        tokenizer_piece(t, id, &n);
        longest = n > longest ? n : longest;
    }
    assert_int_equal(longest, 4096);
    tokenizer_close(t);
    buffer_release(&text);
}

static void saved_as_learned(void **state)
{
    (void)state;
    const char *specials[] = { "<|endoftext|>", "<|im_start|>", "\xe2\x96\x81special" };
    struct bpe_training_options o = plain;
    struct bpe_training_report report;
    struct buffer text = { 0 };
    struct error err = { 0 };
    struct tokenizer *t, *again;
    struct random r;
    random_seed(&r, 14);
    add_bits(&text, &r, 3000);
    for (int i = 0; i < 4; i++) {
        o.digits_apart = i & 1;
        o.space = i & 2;
        o.specials = specials;
        o.n_specials = 3;
        t = train_new(&o, &text, 1, &report);
        const char *folder = test_folder();
        must(tokenizer_save_folder(t, folder, NULL, &err), &err);
        must(tokenizer_open(&again, folder, NULL, &err), &err);
        must(tokenizer_same(t, again, &err), &err);
        assert_int_equal(tokenizer_size(again), tokenizer_size(t));
        for (int32_t id = 0; id < 3; id++) {
            assert_int_equal(tokenizer_kind(again, id), TOKEN_CONTROL);
            assert_int_equal(tokenizer_find(again, specials[id], strlen(specials[id])), id);
        }
        assert_int_equal(tokenizer_special(again, TOKEN_EOS), 0);
        tokenizer_close(t);
        tokenizer_close(again);
    }
    buffer_release(&text);
}

/* -- refusals -- */

static void refused(const struct bpe_training_options *o, int code, const char *words)
{
    struct error err = { 0 };
    struct bpe_training *b;
    assert_int_equal(bpe_training_open(&b, o, &err), code);
    assert_null(b);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void refuses_senseless_options(void **state)
{
    (void)state;
    const char *twice[] = { "<s>", "</s>", "<s>" }, *empty[] = { "" }, *broken[] = { "\xff" };
    struct bpe_training_options o = plain;
    o.vocabulary = 255;
    refused(&o, ERROR_USAGE, "are 256");
    o.vocabulary = -1;
    refused(&o, ERROR_USAGE, "too small");
    o.vocabulary = 257;
    o.specials = twice;
    o.n_specials = 2;
    refused(&o, ERROR_USAGE, "are 258");
    o.vocabulary = 1000;
    o.n_specials = 3;
    refused(&o, ERROR_USAGE, "\"<s>\" is given twice");
    o.specials = empty;
    o.n_specials = 1;
    refused(&o, ERROR_USAGE, "empty");
    o.specials = broken;
    refused(&o, ERROR_USAGE, "not UTF-8");
    o = plain;
    o.pattern = "gpt9";
    refused(&o, ERROR_USAGE, "gpt9");
    o.pattern = "llama3";
    o.space = true;
    refused(&o, ERROR_USAGE, "llama3");
}

static bool stop(void *context, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return ++*(int *)context < 3;
}

static void ends_early(void **state)
{
    (void)state;
    struct bpe_training_options o = plain;
    struct bpe_training_report report;
    struct bpe_training *b;
    struct tokenizer *t;
    struct buffer text = { 0 };
    struct error err = { 0 };
    struct random r;
    int calls = 0;
    random_seed(&r, 15);
    add_bits(&text, &r, 100000);
    must(bpe_training_open(&b, &o, &err), &err);
    assert_int_equal(bpe_training_finish(&t, &report, b, &err), ERROR_USAGE);
    assert_null(t);
    bpe_training_close(b);
    o.progress = stop;
    o.context = &calls;
    must(bpe_training_open(&b, &o, &err), &err);
    must(bpe_training_add(b, text.data, text.used, &err), &err);
    assert_int_equal(bpe_training_finish(&t, &report, b, &err), ERROR_CANCELLED);
    assert_int_equal(calls, 3);
    assert_null(t);
    bpe_training_close(b);
    o = plain;
    int limits = 0;
    for (o.memory_max = 1 << 16; o.memory_max < (64 << 20); o.memory_max *= 4) {
        must(bpe_training_open(&b, &o, &err), &err);
        must(bpe_training_add(b, text.data, text.used, &err), &err);
        int rc = bpe_training_finish(&t, &report, b, &err);
        assert_true(rc == 0 || rc == ERROR_LIMIT);
        limits += rc != 0;
        tokenizer_close(t);
        bpe_training_close(b);
    }
    assert_in_range(limits, 2, 4);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cuts_change_nothing), cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(one_long_text), cmocka_unit_test(any_bytes), cmocka_unit_test(longest_tokens),
        cmocka_unit_test(saved_as_learned), cmocka_unit_test(refuses_senseless_options),
        cmocka_unit_test(ends_early) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
