/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/filemap.h"
#include "file/safetensors.h"
#include "file/source.h"
#include "make_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const float numbers[64];

static void put(const char *folder, const char *name, const char *text)
{
    test_write(test_join(folder, name), text, strlen(text));
}

/* A safetensors file of up to three float32 tensors of four values. */
static void put_weights(const char *folder, const char *name, const char *a, const char *b, const char *c)
{
    struct error e = { 0 };
    const char *names[] = { a, b, c };
    struct file_tensor t[3];
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        if (names[i])
            t[n++] = (struct file_tensor) { names[i], "F32", NULL, 1, { 4 }, numbers, 16 };
    }
    if (safetensors_write(test_join(folder, name), t, n, NULL, &e) != 0)
        fail_msg("%s", e.text);
}

static struct source *open_good(const char *name, const char *cache)
{
    struct source *s;
    struct error e = { 0 };
    if (source_open(&s, name, cache, NULL, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(e.code, 0);
    return s;
}

static void open_bad(const char *name, const char *cache, int code, const char *one, const char *two)
{
    struct source *s;
    struct error e = { 0 };
    int rc = source_open(&s, name, cache, NULL, &e);
    if (rc != code)
        fail_msg("\"%s\": code %d (%s), expected %d", name, rc, e.text, code);
    assert_null(s);
    if (!strstr(e.text, one) || !strstr(e.text, two))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", e.text, one, two);
}

static void shards_are_joined(void **state)
{
    (void)state;
    const char *f = test_folder();
    put(f, "config.json", "{\"model_type\":\"llama\"}");
    put_weights(f, "model-00001-of-00002.safetensors", "a", "b", NULL);
    put_weights(f, "model-00002-of-00002.safetensors", "c", NULL, NULL);
    put(f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\","
        "\"b\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}");
    struct source *s = open_good(f, NULL);
    assert_int_equal(source_tensor_count(s), 3);
    assert_int_equal(source_find(s, "c")->bytes, 16);
    assert_null(source_find(s, "d"));
    assert_string_equal(source_folder(s), f);
    assert_int_equal(source_kind(s), SOURCE_SAFETENSORS);
    assert_null(source_gguf(s));
    assert_null(source_generation(s));
    assert_null(source_chat_template(s));
    source_close(s);
    s = open_good(test_join(f, "model.safetensors.index.json"), NULL);
    assert_int_equal(source_tensor_count(s), 3);
    source_close(s);
}

static void wrong_indexes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        int code;
        const char *one, *two;
    } wrong[] = {
        { "[]", ERROR_FORMAT, "weight_map", "index" },
        { "{\"weight_map\":{}}", ERROR_FORMAT, "weight_map", "index" },
        { "{\"weight_map\":{\"a\":1}}", ERROR_FORMAT, "\"a\"", "not a string" },
        { "{\"weight_map\":{\"a\":\"../x.safetensors\"}}", ERROR_FORMAT, "\"a\"", "\"../x.safetensors\"" },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", ERROR_FORMAT, "plain file name", "/etc/passwd" },
        { "{\"weight_map\":{\"a\":\"..\"}}", ERROR_FORMAT, "plain file name", "\"..\"" },
        { "{\"weight_map\":{\"a\":\"x.safetensors\\u0000/..\"}}", ERROR_FORMAT, "plain file name", "\"a\"" },
        { "{\"weight_map\":{\"a\":\"none.safetensors\"}}", ERROR_NOT_FOUND, "none.safetensors", "index" },
        { "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"z\":\"x.safetensors\"}}", ERROR_FORMAT,
            "\"z\"", "not in \"x.safetensors\"" },
        { "{\"weight_map\":{\"a\":\"x.safetensors\"}}", ERROR_FORMAT, "\"b\"", "not in the index" },
        { "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}", ERROR_FORMAT, "\"b\"",
            "says \"y.safetensors\"" },
        { "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"c\":\"y.safetensors\"}}", ERROR_FORMAT,
            "\"a\"", "twice" },
    };
    const char *f = test_folder();
    put(f, "config.json", "{}");
    put_weights(f, "x.safetensors", "a", "b", NULL);
    put_weights(f, "y.safetensors", "c", "a", NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put(f, "model.safetensors.index.json", wrong[i].index);
        open_bad(f, NULL, wrong[i].code, wrong[i].one, wrong[i].two);
    }
}

static void put_gguf(const char *folder, const char *name, int number, int count, int said, const char *tensor)
{
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    if (number == 0)
        make_text(&m, "general.architecture", "llama");
    if (count) {
        make_whole(&m, "split.no", GGUF_UINT16, number);
        make_whole(&m, "split.count", GGUF_UINT16, count);
        make_whole(&m, "split.tensors.count", GGUF_INT32, said);
    }
    if (tensor)
        make_f32(&m, tensor, 1, (uint64_t[]) { 8 });
    make_gguf_end(&m, &b);
    test_write(test_join(folder, name), b.data, b.used);
    buffer_release(&b);
}

static void folders_are_searched(void **state)
{
    (void)state;
    const char *f = test_folder();
    open_bad(f, NULL, ERROR_NOT_FOUND, "model.safetensors.index.json", f);
    put(f, "pytorch_model.bin", "x");
    open_bad(f, NULL, ERROR_USAGE, "pytorch_model.bin", "name one of them");
    put_gguf(f, "model-00001-of-00002.gguf", 0, 2, 2, "a");
    put_gguf(f, "model-00002-of-00002.gguf", 1, 2, 2, "b");
    struct source *s = open_good(f, NULL);
    assert_int_equal(source_kind(s), SOURCE_GGUF);
    assert_int_equal(source_tensor_count(s), 2);
    assert_non_null(source_gguf(s));
    source_close(s);
    put_gguf(f, "other.gguf", 0, 0, 0, "a");
    open_bad(f, NULL, ERROR_USAGE, "other.gguf", "model-00001-of-00002.gguf");
    put_weights(f, "x.safetensors", "a", NULL, NULL);
    open_bad(f, NULL, ERROR_NOT_FOUND, "config.json", f);
    put(f, "config.json", "{\"model_type\":\"llama\"}");
    s = open_good(f, NULL);
    assert_string_equal(source_path(s), test_join(f, "x.safetensors"));
    source_close(s);
    put_weights(f, "y.safetensors", "a", NULL, NULL);
    open_bad(f, NULL, ERROR_USAGE, "x.safetensors", "y.safetensors");
    put_weights(f, "model.safetensors", "a", "b", NULL);
    s = open_good(f, NULL);
    assert_int_equal(source_tensor_count(s), 2);
    source_close(s);
}

static void files_are_told_by_name(void **state)
{
    (void)state;
    const char *f = test_folder();
    put(f, "model.pt", "x");
    open_bad(test_join(f, "model.pt"), NULL, ERROR_USAGE, "model.pt", ".gguf");
    open_bad(test_join(f, "none.gguf"), NULL, ERROR_NOT_FOUND, "none.gguf", "no file or folder");
    put(f, "zip.bin", "PK\3\4 and more than twenty-eight bytes");
    open_bad(test_join(f, "zip.bin"), NULL, ERROR_UNSUPPORTED, "PyTorch", "zip.bin");
    put(f, "empty.safetensors", "");
    open_bad(test_join(f, "empty.safetensors"), NULL, ERROR_FORMAT, "empty.safetensors", "0 bytes");
    put_weights(f, "alone.safetensors", "a", NULL, NULL);
    struct source *s = open_good(test_join(f, "alone.safetensors"), NULL);
    assert_int_equal(json_object_size(source_config(s)), 0);
    assert_string_equal(source_folder(s), f);
    source_close(s);
    assert_int_equal(mkfifo(test_join(f, "pipe.gguf"), 0600), 0);
    open_bad(test_join(f, "pipe.gguf"), NULL, ERROR_FORMAT, "not a regular file", "pipe.gguf");
    put(f, "config.json", "[1]");
    open_bad(test_join(f, "alone.safetensors"), NULL, ERROR_FORMAT, "config.json", "not a JSON object");
    put(f, "config.json", "{\"a\":1,}");
    open_bad(test_join(f, "alone.safetensors"), NULL, ERROR_FORMAT, "config.json", "line 1");
}

static void split_files_are_checked(void **state)
{
    (void)state;
    const char *f = test_folder();
    put_gguf(f, "m-00001-of-00002.gguf", 0, 2, 2, "a");
    open_bad(test_join(f, "m-00001-of-00002.gguf"), NULL, ERROR_NOT_FOUND, "m-00002-of-00002.gguf", "No such");
    put_gguf(f, "m-00002-of-00002.gguf", 1, 3, 2, "b");
    open_bad(test_join(f, "m-00001-of-00002.gguf"), NULL, ERROR_FORMAT, "split.count 3", "1 of 2");
    put_gguf(f, "m-00002-of-00002.gguf", 1, 2, 2, "a");
    open_bad(test_join(f, "m-00001-of-00002.gguf"), NULL, ERROR_FORMAT, "\"a\"", "twice");
    put_gguf(f, "m-00002-of-00002.gguf", 1, 2, 2, "b");
    open_bad(test_join(f, "m-00002-of-00002.gguf"), NULL, ERROR_USAGE, "part 2 of 2", "first");
    struct source *s = open_good(test_join(f, "m-00001-of-00002.gguf"), NULL);
    assert_int_equal(source_tensor_count(s), 2);
    assert_int_equal(source_find(s, "b")->bytes, 32);
    source_close(s);
    put_gguf(f, "m-00001-of-00002.gguf", 0, 2, 5, "a");
    open_bad(test_join(f, "m-00001-of-00002.gguf"), NULL, ERROR_FORMAT, "2 tensors", "split.tensors.count is 5");
    put_gguf(f, "other.gguf", 0, 2, 2, "a");
    open_bad(test_join(f, "other.gguf"), NULL, ERROR_FORMAT, "-00001-of-00002.gguf", "2 parts");
}

static void make_folder(const char *folder, const char *name)
{
    if (mkdir(test_join(folder, name), 0755) != 0)
        fail_msg("could not make %s/%s", folder, name);
}

static void cache_is_searched(void **state)
{
    (void)state;
    const char *f = test_folder();
    struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
    open_bad("org/name", NULL, ERROR_NOT_FOUND, "org/name", "no Hugging Face cache");
    open_bad("org/name", f, ERROR_NOT_FOUND, "models--org--name", "no file or folder");
    open_bad("../org/name", f, ERROR_NOT_FOUND, "../org/name", "no file or folder");
    open_bad("org/..", f, ERROR_NOT_FOUND, "org/..", "no file or folder");
    make_folder(f, "models--org--name");
    open_bad("org/name", f, ERROR_NOT_FOUND, "org/name", "snapshots");
    make_folder(f, "models--org--name/snapshots");
    open_bad("org/name", f, ERROR_NOT_FOUND, "org/name", "holds no revision");
    make_folder(f, "models--org--name/snapshots/aaa");
    make_folder(f, "models--org--name/snapshots/bbb");
    put(f, "models--org--name/snapshots/aaa/config.json", "{\"rev\":1}");
    put(f, "models--org--name/snapshots/bbb/config.json", "{\"rev\":2}");
    put_weights(f, "models--org--name/snapshots/aaa/model.safetensors", "a", NULL, NULL);
    put_weights(f, "models--org--name/snapshots/bbb/model.safetensors", "b", NULL, NULL);
    assert_int_equal(utimensat(-1, test_join(f, "models--org--name/snapshots/aaa"), old, 0), 0);
    struct source *s = open_good("org/name", f);
    assert_int_equal(json_whole(source_config(s), "rev", 0), 2);
    source_close(s);
    make_folder(f, "models--org--name/refs");
    put(f, "models--org--name/refs/main", "aaa\n");
    s = open_good("org/name", f);
    assert_int_equal(json_whole(source_config(s), "rev", 0), 1);
    assert_string_equal(source_folder(s), test_join(f, "models--org--name/snapshots/aaa"));
    source_close(s);
    put(f, "models--org--name/refs/main", "ccc");
    open_bad("org/name", f, ERROR_NOT_FOUND, "revision ccc", "org/name");
    put(f, "models--org--name/refs/main", "../../../..");
    open_bad("org/name", f, ERROR_FORMAT, "does not hold a revision", "refs/main");
    put(f, "models--org--name/refs/main", "");
    open_bad("org/name", f, ERROR_FORMAT, "does not hold a revision", "refs/main");
}

static void expect_template(const char *folder, const char *text)
{
    struct source *s = open_good(folder, NULL);
    if (text)
        assert_string_equal(source_chat_template(s), text);
    else
        assert_null(source_chat_template(s));
    source_close(s);
}

static void templates_have_an_order(void **state)
{
    (void)state;
    const char *f = test_folder();
    put(f, "config.json", "{}");
    put(f, "generation_config.json", "{\"eos_token_id\":[1,2],\"top_k\":20}");
    put_weights(f, "model.safetensors", "a", NULL, NULL);
    put(f, "tokenizer_config.json", "{\"chat_template\":7}");
    expect_template(f, NULL);
    put(f, "tokenizer_config.json", "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},"
        "{\"name\":\"default\",\"template\":\"D\"}]}");
    expect_template(f, "D");
    put(f, "tokenizer_config.json", "{\"chat_template\":[{\"name\":\"only\",\"template\":\"O\"}]}");
    expect_template(f, "O");
    put(f, "tokenizer_config.json", "{\"chat_template\":\"C\"}");
    expect_template(f, "C");
    put(f, "chat_template.json", "{\"chat_template\":\"J\"}");
    expect_template(f, "J");
    put(f, "chat_template.jinja", "X");
    expect_template(f, "X");
    struct source *s = open_good(f, NULL);
    assert_int_equal(json_whole(source_generation(s), "top_k", 0), 20);
    source_close(s);
    test_write(test_join(f, "chat_template.jinja"), "a\0b", 3);
    open_bad(f, NULL, ERROR_FORMAT, "chat_template.jinja", "0 byte");
    char *big = malloc((1 << 20) + 1);
    assert_non_null(big);
    memset(big, 'x', (1 << 20) + 1);
    test_write(test_join(f, "chat_template.jinja"), big, (1 << 20) + 1);
    open_bad(f, NULL, ERROR_LIMIT, "chat_template.jinja", "1048577 bytes, the limit is 1048576");
    free(big);
}

/* The checkpoint of a model of width 8 with 2 heads, 1 kv head, 3 positions; the values count up. */
static size_t make_llama2c(float *out, int32_t vocab, int32_t layers)
{
    int32_t header[7] = { 8, 4, layers, 2, 1, vocab, 3 };
    size_t n = (size_t)abs(vocab) * 8 * (vocab < 0 ? 2 : 1) + 8 + 3 * 2 * 2 +
        (size_t)layers * (8 + 64 + 32 + 32 + 64 + 8 + 32 * 3);
    memcpy(out, header, sizeof header);
    for (size_t i = 0; i < n; i++)
        out[7 + i] = (float)i;
    return 28 + 4 * n;
}

static void expect_first(const struct source *s, const char *name, int64_t rows, int64_t cols, float first)
{
    const struct file_tensor *t = source_find(s, name);
    assert_non_null(t);
    assert_int_equal(t->dims, rows ? 2 : 1);
    assert_int_equal(t->shape[0], rows ? rows : cols);
    assert_int_equal(t->shape[t->dims - 1], cols);
    assert_int_equal(t->bytes, 4 * (rows ? rows : 1) * cols);
    assert_true(*(const float *)t->data == first);
}

static void llama2c_is_read(void **state)
{
    (void)state;
    static float file[4096];
    const char *path = test_join(test_folder(), "model.bin");
    size_t size = make_llama2c(file, -5, 2);
    test_write(path, file, size);
    struct source *s = open_good(path, NULL);
    assert_int_equal(source_kind(s), SOURCE_LLAMA2C);
    assert_int_equal(source_tensor_count(s), 21);
    expect_first(s, "model.embed_tokens.weight", 5, 8, 0);
    expect_first(s, "model.layers.1.input_layernorm.weight", 0, 8, 48);
    expect_first(s, "model.layers.0.self_attn.q_proj.weight", 8, 8, 56);
    expect_first(s, "model.layers.1.self_attn.k_proj.weight", 4, 8, 56 + 128 + 32);
    expect_first(s, "model.layers.0.self_attn.v_proj.weight", 4, 8, 56 + 128 + 64);
    expect_first(s, "model.layers.0.mlp.gate_proj.weight", 4, 8, 56 + 128 * 3 + 16);
    expect_first(s, "model.layers.0.mlp.down_proj.weight", 8, 4, 56 + 128 * 3 + 16 + 64);
    expect_first(s, "model.norm.weight", 0, 8, 56 + 128 * 3 + 16 + 192);
    expect_first(s, "lm_head.weight", 5, 8, 56 + 128 * 3 + 16 + 192 + 8 + 12);
    assert_false(json_flag(source_config(s), "tie_word_embeddings", true));
    assert_int_equal(json_whole(source_config(s), "vocab_size", 0), 5);
    source_close(s);
    test_write(path, file, size - 4);
    open_bad(path, NULL, ERROR_FORMAT, "model.bin", "vocabulary -5");
    test_write(path, file, size + 4);
    open_bad(path, NULL, ERROR_FORMAT, "dim 8, hidden 4, layers 2", "model.bin");
    test_write(path, file, 27);
    open_bad(path, NULL, ERROR_FORMAT, "27 bytes", "28");
    static const struct {
        int at;
        int32_t value;
        const char *words;
    } wrong[] = {
        { 0, 0, "dim 0" },
        { 1, -4, "hidden -4" },
        { 2, INT32_MAX, "layers 2147483647" },
        { 3, 3, "3 heads" },
        { 4, 0, "kv heads 0" },
        { 5, 0, "vocabulary 0" },
        { 5, INT32_MIN, "vocabulary -2147483648" },
        { 6, -1, "context -1" },
        { 0, INT32_MAX - 1, "dim 2147483646" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        make_llama2c(file, 5, 1);
        memcpy(file + wrong[i].at, &wrong[i].value, 4);
        test_write(path, file, size);
        open_bad(path, NULL, ERROR_FORMAT, wrong[i].words, "llama2.c checkpoint");
    }
}

/* One model in two forms: what is not re-ordered between them is equal bit by bit. */
static void llama2c_equals_hugging_face(void **state)
{
    (void)state;
    const char *bin = test_data("weights/stories260K/stories260K.bin");
    const char *folder = test_data("weights/stories260K/hf");
    if (!bin || !folder)
        skip();
    struct source *a = open_good(bin, NULL), *b = open_good(folder, NULL);
    assert_int_equal(source_tensor_count(a), source_tensor_count(b));
    for (size_t i = 0; i < source_tensor_count(a); i++) {
        const struct file_tensor *x = source_tensor(a, i), *y = source_find(b, x->name);
        if (!y)
            fail_msg("%s is missing", x->name);
        assert_int_equal(x->bytes, y->bytes);
        assert_memory_equal(x->shape, y->shape, sizeof x->shape);
        if (!strstr(x->name, "q_proj") && !strstr(x->name, "k_proj"))
            assert_memory_equal(x->data, y->data, x->bytes);
    }
    source_close(a);
    source_close(b);
}

/* Real files of every kind: how many tensors they have and what they say they are. */
static void real_models_open(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum source_kind kind;
        size_t tensors;
        const char *model_type;
        long long vocab;
    } files[] = {
        { "weights/stories260K/hf", SOURCE_SAFETENSORS, 47, "llama", 512 },
        { "weights/stories260K/stories260K.bin", SOURCE_LLAMA2C, 47, "llama", 512 },
        { "weights/babyllama105/model5000.bin", SOURCE_LLAMA2C, 47, "llama", 105 },
        { "formats/edge/nutllm.tiny-llama2.bin", SOURCE_LLAMA2C, 21, "llama", 6 },
        { "formats/edge/nutllm.tiny-llama2-shared.bin", SOURCE_LLAMA2C, 20, "llama", 6 },
        { "formats/hf-llama-tiny-random", SOURCE_SAFETENSORS, 39, "llama", 16 },
        { "formats/gguf/ggml-vocab-baichuan.gguf", SOURCE_GGUF, 0, "baichuan", -1 },
        { "formats/gguf/ggml-vocab-gpt-neox.gguf", SOURCE_GGUF, 0, "gptneox", -1 },
        { "formats/gguf/test-le-v3.gguf", SOURCE_GGUF, 3, "llama", 5 },
        { "formats/edge/weight-inspect.empty.gguf", SOURCE_GGUF, 0, "llama", -1 },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = test_data(files[i].path);
        if (!path)
            skip();
        struct source *s = open_good(path, NULL);
        assert_int_equal(source_kind(s), files[i].kind);
        assert_int_equal(source_tensor_count(s), files[i].tensors);
        assert_string_equal(json_text(source_config(s), "model_type", ""), files[i].model_type);
        assert_int_equal(json_whole(source_config(s), "vocab_size", -1), files[i].vocab);
        for (size_t k = 0; k < source_tensor_count(s); k++)
            assert_ptr_equal(source_find(s, source_tensor(s, k)->name), source_tensor(s, k));
        source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_joined),
        cmocka_unit_test(wrong_indexes_are_refused),
        cmocka_unit_test(folders_are_searched),
        cmocka_unit_test(files_are_told_by_name),
        cmocka_unit_test(split_files_are_checked),
        cmocka_unit_test(cache_is_searched),
        cmocka_unit_test(templates_have_an_order),
        cmocka_unit_test(llama2c_is_read),
        cmocka_unit_test(llama2c_equals_hugging_face),
        cmocka_unit_test(real_models_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
