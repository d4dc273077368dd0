/* SPDX-License-Identifier: Apache-2.0 */
/* Tiny SentencePiece models against the sentencepiece package (data/sentencepiece.json, written by
 * tools/golden/sentencepiece_small.py), and models that must be refused. */
#include "make_gguf.h"
#include "small_spm.h"
#include "support.h"
#include "text/tokenizer_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_pieces(struct buffer *model, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        small_piece(model, json_string_value(json_array_get(p, 0)), (float)json_number_value(json_array_get(p, 1)),
            (enum small_spm_type)json_integer_value(json_array_get(p, 2)));
    }
}

static size_t from_hex(const char *hex, unsigned char *out, size_t room)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= room);
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return n;
}

static struct tokenizer *open_model(const json_t *golden, const json_t *m)
{
    static unsigned char charsmap[1 << 16];
    struct buffer model = {0};
    struct error err = {0};
    struct small_settings s = {.type = (enum small_spm_model)json_whole(m, "type", 0),
        .bos = 1,
        .eos = 2,
        .pad = -1,
        .byte_fallback = json_flag(m, "byte_fallback", false),
        .suffix = json_flag(m, "suffix", false),
        .dummy_prefix = json_flag(m, "dummy_prefix", true),
        .collapse = json_flag(m, "collapse", false),
        .escape = true};
    add_pieces(&model, json_object_get(golden, "special"));
    if (s.byte_fallback)
        small_byte_pieces(&model);
    add_pieces(&model, json_object_get(golden, "words"));
    add_pieces(&model, json_object_get(m, "more"));
    if (json_flag(m, "rules", false)) {
        s.charsmap = charsmap;
        s.charsmap_bytes = from_hex(json_text(golden, "charsmap", ""), charsmap, sizeof charsmap);
        assert_true(s.charsmap_bytes > 0);
    }
    small_settings(&model, &s);
    struct tokenizer *t = small_open(&model, &err);
    if (!t)
        print_message("%s\n", err.text);
    assert_non_null(t);
    return t;
}

struct entry {
    char text[32];
    float score;
    int type;
};

static int put_entries(struct entry *to, int n, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++, n++) {
        const json_t *p = json_array_get(list, i);
        snprintf(to[n].text, sizeof to[n].text, "%s", json_string_value(json_array_get(p, 0)));
        to[n].score = (float)json_number_value(json_array_get(p, 1));
        to[n].type = (int)json_integer_value(json_array_get(p, 2));
    }
    return n;
}

/* The pieces as arrays, ids as in open_model. */
static void put_gguf_pieces(struct make_gguf *g, const json_t *golden, const json_t *m)
{
    static struct entry all[1024];
    int n = put_entries(all, 0, json_object_get(golden, "special"));
    for (int i = 0; json_flag(m, "byte_fallback", false) && i < 256; i++, n++) {
        all[n] = (struct entry){.type = SPM_BYTE};
        snprintf(all[n].text, sizeof all[n].text, "<0x%02X>", (unsigned)i);
    }
    n = put_entries(all, n, json_object_get(golden, "words"));
    n = put_entries(all, n, json_object_get(m, "more"));
    assert_true(n < 1024);
    make_array(g, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)n);
    for (int i = 0; i < n; i++)
        make_string(&g->keys, all[i].text, strlen(all[i].text));
    make_array(g, "tokenizer.ggml.token_type", GGUF_INT32, (uint64_t)n);
    for (int i = 0; i < n; i++)
        make_number(&g->keys, (uint64_t)all[i].type, 4);
    make_array(g, "tokenizer.ggml.scores", GGUF_FLOAT32, (uint64_t)n);
    for (int i = 0; i < n; i++)
        buffer_add(&g->keys, &all[i].score, sizeof all[i].score);
}

/* The same model as a GGUF vocabulary "llama" or "t5". */
static struct tokenizer *open_gguf(const json_t *golden, const json_t *m)
{
    static unsigned char charsmap[1 << 16];
    struct make_gguf g = {0};
    struct buffer file = {0};
    struct error err = {0};
    struct tokenizer *t;
    const char *path = test_join(test_folder(), "vocabulary.gguf");
    make_text(&g, "general.architecture", "llama");
    make_text(&g, "tokenizer.ggml.model", json_whole(m, "type", 0) == SPM_BPE ? "llama" : "t5");
    make_whole(&g, "tokenizer.ggml.add_space_prefix", GGUF_BOOL, json_flag(m, "dummy_prefix", true));
    make_whole(&g, "tokenizer.ggml.remove_extra_whitespaces", GGUF_BOOL, json_flag(m, "collapse", false));
    make_whole(&g, "tokenizer.ggml.bos_token_id", GGUF_UINT32, 1);
    make_whole(&g, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 2);
    if (json_flag(m, "rules", false)) {
        size_t n = from_hex(json_text(golden, "charsmap", ""), charsmap, sizeof charsmap);
        make_array(&g, "tokenizer.ggml.precompiled_charsmap", GGUF_UINT8, n);
        buffer_add(&g.keys, charsmap, n);
    }
    put_gguf_pieces(&g, golden, m);
    make_gguf_end(&g, &file);
    test_write(path, file.data, file.used);
    buffer_release(&file);
    if (tokenizer_open(&t, path, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

static void check_case(const struct tokenizer *t, const char *name, const json_t *c)
{
    const json_t *text = json_array_get(c, 0), *want = json_array_get(c, 1), *back = json_array_get(c, 2);
    struct tokens ids = {0};
    struct buffer decoded = {0};
    struct error err = {0};
    assert_int_equal(tokenizer_encode(t, json_string_value(text), json_string_length(text), 0, &ids, &err), 0);
    bool same = ids.used == json_array_size(want);
    for (size_t i = 0; same && i < ids.used; i++)
        same = ids.ids[i] == (int32_t)json_integer_value(json_array_get(want, i));
    if (!same)
        print_message("%s: \"%s\"\n", name, json_string_value(text));
    assert_true(same);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &decoded, &err), 0);
    assert_string_equal(decoded.data ? decoded.data : "", json_string_value(back));
    tokens_release(&ids);
    buffer_release(&decoded);
}

static void test_models(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *golden;
    assert_int_equal(json_read_file_new(&golden, test_repo("tests/golden/data/sentencepiece.json"), 1 << 20, &err), 0);
    const json_t *models = json_object_get(golden, "models");
    assert_true(json_array_size(models) >= 10);
    for (size_t i = 0; i < json_array_size(models); i++) {
        const json_t *m = json_array_get(models, i), *cases = json_object_get(m, "cases");
        struct tokenizer *t = open_model(golden, m);
        assert_true(json_array_size(cases) >= 20);
        for (size_t k = 0; k < json_array_size(cases); k++)
            check_case(t, json_text(m, "name", "?"), json_array_get(cases, k));
        tokenizer_close(t);
        if (json_flag(m, "suffix", false)) /* GGUF has no word for it */
            continue;
        t = open_gguf(golden, m);
        for (size_t k = 0; k < json_array_size(cases); k++)
            check_case(t, json_text(m, "name", "?"), json_array_get(cases, k));
        tokenizer_close(t);
    }
    json_decref(golden);
}

static void begin(struct buffer *model)
{
    small_piece(model, "<unk>", 0, SPM_UNKNOWN);
    small_piece(model, "<s>", 0, SPM_CONTROL);
    small_piece(model, "a", -1, SPM_NORMAL);
}

static const struct small_settings usual = {.type = SPM_BPE, .bos = 1, .eos = -1, .pad = -1, .escape = true};

static void expect_ids(const struct tokenizer *t, const char *text, unsigned flags, const int32_t *want, size_t n)
{
    struct tokens ids = {0};
    struct error err = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), flags, &ids, &err), 0);
    assert_int_equal(ids.used, n);
    assert_memory_equal(ids.ids, want, n * sizeof *want);
    tokens_release(&ids);
}

/* Bytes that are no UTF-8 come back where there are byte pieces; control tokens are only met when asked for. */
static void test_bytes_and_controls(void **state)
{
    (void)state;
    static const char odd[] = "a\xff\xe2\x96 \xc3";
    struct buffer model = {0}, back = {0};
    struct tokens ids = {0};
    struct error err = {0};
    struct small_settings s = usual;
    s.byte_fallback = true;
    small_byte_pieces(&model);
    begin(&model); /* <unk> 256, <s> 257, a 258 */
    small_piece(&model, "\xe2\x96\x81", -2, SPM_NORMAL);
    s.bos = 257;
    small_settings(&model, &s);
    struct tokenizer *t = small_open(&model, &err);
    assert_non_null(t);
    assert_int_equal(tokenizer_encode(t, odd, sizeof odd - 1, 0, &ids, &err), 0);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &back, &err), 0);
    assert_int_equal(back.used, sizeof odd - 1);
    assert_memory_equal(back.data, odd, sizeof odd - 1);
    expect_ids(t, "<s>a", 0, (const int32_t[]){'<', 's', '>', 258}, 4);
    expect_ids(t, "<s>a", TOKENIZE_SPECIAL, (const int32_t[]){257, 258}, 2);
    expect_ids(t, "a", TOKENIZE_DEFAULT, (const int32_t[]){257, 258}, 2);
    tokens_release(&ids);
    buffer_release(&back);
    tokenizer_close(t);
}

static void test_places(void **state)
{
    (void)state;
    struct buffer model = {0};
    struct error err = {0};
    struct small_settings s = usual;
    s.dummy_prefix = true;
    begin(&model);
    small_piece(&model, "\xe2\x96\x81", -2, SPM_NORMAL); /* id 3 */
    small_settings(&model, &s);
    struct tokenizer *t = small_open(&model, &err);
    assert_non_null(t);
    expect_ids(t, "a", 0, (const int32_t[]){3, 2}, 2);
    expect_ids(t, "a", TOKENIZE_BEHIND, (const int32_t[]){3, 2}, 2);
    expect_ids(t, "a", TOKENIZE_CONTINUE, (const int32_t[]){2}, 1);
    expect_ids(t, "<s>a", TOKENIZE_SPECIAL, (const int32_t[]){1, 3, 2}, 3);
    tokenizer_close(t);
}

static void expect_refused(struct buffer *model, const char *reason)
{
    struct error err = {0};
    assert_null(small_open(model, &err));
    if (!strstr(err.text, reason))
        print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, reason));
    memset(model, 0, sizeof *model);
}

static void test_refused(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct small_settings s = usual;
    buffer_add_text(&b, "\x0a\x7f");
    expect_refused(&b, "only 0 are left");
    buffer_add_text(&b, "\x0b");
    expect_refused(&b, "wire type 3");
    buffer_add_text(&b, "\x0a\x02\x15\x01");
    expect_refused(&b, "piece 0: the protobuf message ends inside a number");
    buffer_add_text(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    expect_refused(&b, "more than 10 bytes");
    small_piece(&b, "a", 0, SPM_NORMAL);
    small_settings(&b, &s);
    expect_refused(&b, "none of the 1 pieces is the unknown one");
    begin(&b);
    small_piece(&b, "", 0, SPM_NORMAL);
    expect_refused(&b, "piece 3 is empty");
    begin(&b);
    small_piece(&b, "b", 0, (enum small_spm_type)9);
    expect_refused(&b, "piece 3 has type 9");
    begin(&b);
    small_piece(&b, "<unk2>", 0, SPM_UNKNOWN);
    expect_refused(&b, "pieces 0 and 3 are both the unknown one");
    begin(&b);
    small_piece(&b, "b", NAN, SPM_NORMAL);
    small_settings(&b, &s);
    expect_refused(&b, "score of piece 3");
    s.type = (enum small_spm_model)4;
    begin(&b);
    small_settings(&b, &s);
    expect_refused(&b, "model type 4");
    s = usual;
    s.charsmap = "\x40\x00\x00\x00xxxx";
    s.charsmap_bytes = 8;
    begin(&b);
    small_settings(&b, &s);
    expect_refused(&b, "precompiled_charsmap of 8 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_bytes_and_controls),
        cmocka_unit_test(test_places), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
