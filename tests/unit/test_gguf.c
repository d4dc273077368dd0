/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "file/gguf.h"
#include "file/table.h"
#include "make_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define P40 ((uint64_t)1 << 40)

static struct buffer file; /* the one under test */

static void dim1(struct make_gguf *m, const char *name, uint64_t n, uint32_t type, uint64_t offset)
{
    make_info(m, name, 1, &n, type, offset);
}

/* -- wrong files: what each holds, and words its error must have -- */

static void bad_magic(struct make_gguf *m)
{
    make_gguf_end(m, &file);
    file.data[3] = 'X';
}

static void bad_version_1(struct make_gguf *m)
{
    make_gguf_end(m, &file);
    file.data[4] = 1;
}

static void bad_version_4(struct make_gguf *m)
{
    make_gguf_end(m, &file);
    file.data[4] = 4;
}

static void bad_endian(struct make_gguf *m)
{
    make_gguf_end(m, &file);
    memcpy(file.data + 4, "\0\0\0\3", 4);
}

static void bad_key_count(struct make_gguf *m)
{
    m->key_count = (uint64_t)1 << 61;
}

static void bad_key_count_near(struct make_gguf *m)
{
    make_text(m, "a", "b");
    m->key_count = 3;
}

static void bad_key_count_limit(struct make_gguf *m)
{
    char *zeros = calloc(65537, 14);
    assert_non_null(zeros);
    buffer_add(&m->keys, zeros, (size_t)65537 * 14);
    m->key_count = 65537;
    free(zeros);
}

static void bad_tensor_count(struct make_gguf *m)
{
    m->tensor_count = (uint64_t)1 << 62;
}

static void bad_key_length(struct make_gguf *m)
{
    make_number(&m->keys, UINT64_MAX, 8);
    buffer_add_text(&m->keys, "abcdefghijkl");
    m->key_count = 1;
}

static void bad_key_empty(struct make_gguf *m)
{
    make_text(m, "", "some text");
}

static void bad_key_long(struct make_gguf *m)
{
    char *key = calloc(1, 65537);
    assert_non_null(key);
    memset(key, 'k', 65536);
    make_text(m, key, "x");
    free(key);
}

static void bad_key_twice(struct make_gguf *m)
{
    make_text(m, "general.name", "a");
    make_text(m, "general.name", "b");
}

static void bad_string_length(struct make_gguf *m)
{
    make_key(m, "general.name", GGUF_STRING);
    make_number(&m->keys, (uint64_t)1 << 63, 8);
}

static void bad_value_type(struct make_gguf *m)
{
    make_key(m, "a", (enum gguf_type)13);
    make_number(&m->keys, 0, 8);
}

static void bad_array_count(struct make_gguf *m)
{
    make_array(m, "tokenizer.ggml.scores", GGUF_FLOAT32, (uint64_t)1 << 62);
}

static void bad_array_strings(struct make_gguf *m)
{
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, 1000);
    make_string(&m->keys, "a", 1);
}

static void bad_array_string(struct make_gguf *m)
{
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, 2);
    make_string(&m->keys, "a", 1);
    make_number(&m->keys, 0xffffffff, 8);
}

static void bad_array_nested(struct make_gguf *m)
{
    make_array(m, "a", GGUF_ARRAY, 1);
    buffer_add(&m->keys, (char[20]) { 0 }, 20);
}

static void bad_bool(struct make_gguf *m)
{
    make_whole(m, "tokenizer.ggml.add_bos_token", GGUF_BOOL, 2);
}

static void bad_alignment(struct make_gguf *m)
{
    make_whole(m, "general.alignment", GGUF_UINT32, 24);
}

static void bad_alignment_small(struct make_gguf *m)
{
    make_whole(m, "general.alignment", GGUF_UINT32, 4);
}

static void bad_alignment_big(struct make_gguf *m)
{
    make_whole(m, "general.alignment", GGUF_UINT32, 131072);
}

static void bad_alignment_type(struct make_gguf *m)
{
    make_text(m, "general.alignment", "32");
}

static void bad_name_empty(struct make_gguf *m)
{
    dim1(m, "", 8, 0, 0);
}

static void bad_name_long(struct make_gguf *m)
{
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    dim1(m, name, 8, 0, 0);
}

static void bad_name_zero(struct make_gguf *m)
{
    dim1(m, "abc", 8, 0, 0);
    m->tensors.data[9] = '\0';
    buffer_add(&m->data, (char[32]) { 0 }, 32);
}

static void bad_name_twice(struct make_gguf *m)
{
    make_f32(m, "w", 1, (uint64_t[]) { 8 });
    make_f32(m, "w", 1, (uint64_t[]) { 8 });
}

static void bad_dims(struct make_gguf *m)
{
    make_info(m, "w", 5, (uint64_t[]) { 1, 1, 1, 1, 1 }, 0, 0);
}

static void bad_dim_zero(struct make_gguf *m)
{
    make_info(m, "w", 2, (uint64_t[]) { 8, 0 }, 0, 0);
}

static void bad_dim_big(struct make_gguf *m)
{
    dim1(m, "w", P40 + 1, 0, 0);
}

static void bad_product(struct make_gguf *m)
{
    make_info(m, "w", 4, (uint64_t[]) { P40, P40, P40, P40 }, 0, 0);
}

/* 2^62 values of 4 bytes: the size in bytes wraps to 0. */
static void bad_product_wraps(struct make_gguf *m)
{
    make_info(m, "w", 2, (uint64_t[]) { (uint64_t)1 << 31, (uint64_t)1 << 31 }, 0, 0);
}

/* Two tensors of 2^62 bytes: the second's offset plus size would wrap. */
static void bad_sum(struct make_gguf *m)
{
    make_info(m, "v", 2, (uint64_t[]) { P40, 1 << 20 }, 0, 0);
    make_info(m, "w", 2, (uint64_t[]) { P40, 1 << 20 }, 0, (uint64_t)1 << 62);
}

static void bad_block(struct make_gguf *m)
{
    dim1(m, "w", 33, 8, 0);
    buffer_add(&m->data, (char[96]) { 0 }, 96);
}

static void bad_type_removed(struct make_gguf *m)
{
    dim1(m, "w", 32, 4, 0);
}

static void bad_type_removed_late(struct make_gguf *m)
{
    dim1(m, "w", 32, 38, 0);
}

static void bad_place_end(struct make_gguf *m)
{
    make_f32(m, "v", 1, (uint64_t[]) { 8 });
    dim1(m, "w", 8, 0, 32);
    buffer_add(&m->data, (char[31]) { 0 }, 31);
}

static void bad_place_outside(struct make_gguf *m)
{
    make_f32(m, "v", 1, (uint64_t[]) { 8 });
    dim1(m, "w", 8, 0, (uint64_t)1 << 50);
}

static void bad_place_misaligned(struct make_gguf *m)
{
    make_f32(m, "v", 1, (uint64_t[]) { 8 });
    dim1(m, "w", 4, 0, 16);
}

static void bad_place_overlap(struct make_gguf *m)
{
    make_f32(m, "v", 1, (uint64_t[]) { 16 });
    dim1(m, "w", 8, 0, 32);
}

static void bad_place_gap(struct make_gguf *m)
{
    make_f32(m, "v", 1, (uint64_t[]) { 8 });
    buffer_add(&m->data, (char[96]) { 0 }, 96);
    dim1(m, "w", 8, 0, 64);
}

static void bad_place_order(struct make_gguf *m)
{
    dim1(m, "u", 8, 99, 0);
    dim1(m, "v", 8, 99, 64);
    dim1(m, "w", 8, 0, 32);
    buffer_add(&m->data, (char[128]) { 0 }, 128);
}

static const struct bad {
    const char *name;
    void (*make)(struct make_gguf *m);
    int code;
    const char *words[4];
} bad[] = {
    { "magic", bad_magic, ERROR_FORMAT, { "not a GGUF file", "47 47 55 58" } },
    { "version 1", bad_version_1, ERROR_UNSUPPORTED, { "version 1" } },
    { "version 4", bad_version_4, ERROR_UNSUPPORTED, { "version 4" } },
    { "big-endian", bad_endian, ERROR_UNSUPPORTED, { "big-endian", "0x03000000" } },
    { "key count", bad_key_count, ERROR_FORMAT, { "2305843009213693952 keys", "0 bytes left" } },
    { "key count, near", bad_key_count_near, ERROR_FORMAT, { "3 keys", "22 bytes left" } },
    { "key count, limit", bad_key_count_limit, ERROR_LIMIT, { "65537 keys", "65536" } },
    { "tensor count", bad_tensor_count, ERROR_FORMAT, { "4611686018427387904 tensors" } },
    { "key length", bad_key_length, ERROR_FORMAT, { "a key", "18446744073709551615", "12 left" } },
    { "empty key", bad_key_empty, ERROR_FORMAT, { "key has 0 bytes" } },
    { "long key", bad_key_long, ERROR_FORMAT, { "65536 bytes", "65535" } },
    { "key twice", bad_key_twice, ERROR_FORMAT, { "\"general.name\"", "twice", "entry 2 of 2" } },
    { "string length", bad_string_length, ERROR_FORMAT, { "\"general.name\"", "9223372036854775808" } },
    { "value type", bad_value_type, ERROR_FORMAT, { "\"a\"", "type 13 is unknown" } },
    { "array count", bad_array_count, ERROR_FORMAT, { "scores", "4611686018427387904 elements", "float32" } },
    { "array of strings", bad_array_strings, ERROR_FORMAT, { "tokens", "1000 elements", "9 bytes left" } },
    { "string in array", bad_array_string, ERROR_FORMAT, { "tokens", "4294967295 bytes", "0 left" } },
    { "nested array", bad_array_nested, ERROR_UNSUPPORTED, { "nested" } },
    { "bool", bad_bool, ERROR_FORMAT, { "add_bos_token", "bool has the value 2" } },
    { "alignment 24", bad_alignment, ERROR_FORMAT, { "general.alignment is 24", "power of two" } },
    { "alignment 4", bad_alignment_small, ERROR_FORMAT, { "general.alignment is 4" } },
    { "alignment 131072", bad_alignment_big, ERROR_FORMAT, { "general.alignment is 131072" } },
    { "alignment text", bad_alignment_type, ERROR_FORMAT, { "general.alignment", "type string" } },
    { "empty name", bad_name_empty, ERROR_FORMAT, { "tensor name has 0 bytes" } },
    { "long name", bad_name_long, ERROR_FORMAT, { "tensor name has 64 bytes" } },
    { "zero in name", bad_name_zero, ERROR_FORMAT, { "0 byte" } },
    { "name twice", bad_name_twice, ERROR_FORMAT, { "\"w\"", "twice" } },
    { "5 dimensions", bad_dims, ERROR_FORMAT, { "\"w\"", "5 dimensions" } },
    { "dimension 0", bad_dim_zero, ERROR_FORMAT, { "\"w\"", "dimension 1 is 0" } },
    { "dimension 2^40 + 1", bad_dim_big, ERROR_FORMAT, { "\"w\"", "1099511627777" } },
    { "product", bad_product, ERROR_FORMAT, { "\"w\"", "overflows" } },
    { "product wraps to 0", bad_product_wraps, ERROR_FORMAT, { "\"w\"", "overflows" } },
    { "sum", bad_sum, ERROR_FORMAT, { "\"v\"", "4611686018427387904 bytes", "0 bytes of data" } },
    { "block", bad_block, ERROR_FORMAT, { "\"w\"", "33 values", "Q8_0", "32" } },
    { "removed type", bad_type_removed, ERROR_UNSUPPORTED, { "\"w\"", "type 4", "removed" } },
    { "removed type 38", bad_type_removed_late, ERROR_UNSUPPORTED, { "\"w\"", "type 38", "removed" } },
    { "end beyond the file", bad_place_end, ERROR_FORMAT, { "\"w\"", "32 bytes at offset 32", "63 bytes of data" } },
    { "outside the file", bad_place_outside, ERROR_FORMAT, { "\"w\"", "1125899906842624", "32 bytes of data" } },
    { "misaligned", bad_place_misaligned, ERROR_FORMAT, { "\"w\"", "offset 16", "alignment 32" } },
    { "overlap", bad_place_overlap, ERROR_FORMAT, { "\"w\"", "overlaps", "64" } },
    { "gap", bad_place_gap, ERROR_FORMAT, { "\"w\"", "gap", "expected 32" } },
    { "order", bad_place_order, ERROR_FORMAT, { "\"w\"", "order", "behind 64" } },
};

/* From memory of the exact size, so that the sanitizer sees a read beyond it. */
static int read_exact(struct gguf **g, struct table *t, const struct buffer *b, size_t size, void **copy,
    struct error *e)
{
    *copy = malloc(size ? size : 1);
    assert_non_null(*copy);
    memcpy(*copy, b->data, size);
    return gguf_read(g, *copy, size, "made.gguf", t, e);
}

static void wrong_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct make_gguf m = { 0 };
        struct table t = { 0 };
        struct error e = { 0 };
        struct gguf *g;
        void *copy;
        buffer_clear(&file);
        bad[i].make(&m);
        if (!file.used)
            make_gguf_end(&m, &file);
        int rc = read_exact(&g, &t, &file, file.used, &copy, &e);
        if (rc != bad[i].code)
            fail_msg("%s: code %d (%s), expected %d", bad[i].name, rc, e.text, bad[i].code);
        assert_null(g);
        assert_non_null(strstr(e.text, "made.gguf"));
        for (int k = 0; k < 4 && bad[i].words[k]; k++) {
            if (!strstr(e.text, bad[i].words[k]))
                fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].name, e.text, bad[i].words[k]);
        }
        table_release(&t);
        free(copy);
    }
    buffer_release(&file);
}

static void make_good(struct buffer *out)
{
    struct make_gguf m = { 0 };
    make_text(&m, "general.architecture", "llama");
    make_whole(&m, "u8", GGUF_UINT8, 200);
    make_whole(&m, "i8", GGUF_INT8, -3);
    make_whole(&m, "u16", GGUF_UINT16, 60000);
    make_whole(&m, "i16", GGUF_INT16, -300);
    make_whole(&m, "u32", GGUF_UINT32, 4000000000);
    make_whole(&m, "i32", GGUF_INT32, -70000);
    make_whole(&m, "u64", GGUF_UINT64, -1);
    make_whole(&m, "i64", GGUF_INT64, INT64_MIN);
    make_whole(&m, "bool", GGUF_BOOL, 1);
    make_real(&m, "f32", 0.5f);
    make_key(&m, "f64", GGUF_FLOAT64);
    double pi = 3.25;
    buffer_add(&m.keys, &pi, 8);
    make_array(&m, "tokens", GGUF_STRING, 3);
    make_string(&m.keys, "a", 1);
    make_string(&m.keys, "", 0);
    make_string(&m.keys, "b\0c", 3);
    make_array(&m, "types", GGUF_INT32, 3);
    make_number(&m.keys, 1, 4);
    make_number(&m.keys, (uint64_t)-2, 4);
    make_number(&m.keys, 3, 4);
    make_array(&m, "nothing", GGUF_FLOAT32, 0);
    make_f32(&m, "w", 3, (uint64_t[]) { 3, 2, 5 });
    make_f32(&m, "scalar", 0, NULL);
    make_f32(&m, "v", 1, (uint64_t[]) { 7 });
    make_gguf_end(&m, out);
}

static void check_numbers(const struct gguf *g)
{
    assert_int_equal(gguf_whole(g, "u8", -1), 200);
    assert_int_equal(gguf_whole(g, "i8", -1), -3);
    assert_int_equal(gguf_whole(g, "u16", -1), 60000);
    assert_int_equal(gguf_whole(g, "i16", -1), -300);
    assert_int_equal(gguf_whole(g, "u32", -1), 4000000000);
    assert_int_equal(gguf_whole(g, "i32", -1), -70000);
    assert_int_equal(gguf_whole(g, "u64", -5), -5); /* does not fit */
    assert_true(gguf_whole(g, "i64", 0) == INT64_MIN);
    assert_int_equal(gguf_whole(g, "f32", -5), -5);
    assert_int_equal(gguf_whole(g, "bool", -5), -5);
    assert_int_equal(gguf_whole(g, "tokens", -5), -5);
    assert_int_equal(gguf_whole(g, "none", -5), -5);
    assert_true(gguf_real(g, "f32", 0) == 0.5 && gguf_real(g, "f64", 0) == 3.25 && gguf_real(g, "i8", 0) == -3);
    assert_true(gguf_real(g, "bool", 7) == 7 && gguf_real(g, "nothing", 7) == 7);
    assert_true(gguf_flag(g, "bool", false) && gguf_flag(g, "u8", true) && !gguf_flag(g, "none", false));
}

static void check_arrays(const struct gguf *g)
{
    size_t n = 0;
    const char *text = gguf_text(g, "general.architecture", &n);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "llama", 5);
    assert_null(gguf_text(g, "tokens", &n));
    assert_null(gguf_array(g, "tokens", GGUF_INT32));
    const struct gguf_value *types = gguf_array(g, "types", GGUF_INT32);
    assert_int_equal(types->count, 3);
    assert_int_equal(gguf_int32_at(types, 1), -2);
    int64_t x;
    assert_true(gguf_whole_at(types, 2, &x) && x == 3);
    assert_false(gguf_whole_at(types, 3, &x));
    struct gguf_strings it;
    gguf_strings_begin(&it, gguf_array(g, "tokens", GGUF_STRING));
    assert_true(gguf_strings_next(&it, &text, &n) && n == 1 && *text == 'a');
    assert_true(gguf_strings_next(&it, &text, &n) && n == 0);
    assert_true(gguf_strings_next(&it, &text, &n) && n == 3 && memcmp(text, "b\0c", 3) == 0);
    assert_false(gguf_strings_next(&it, &text, &n));
    gguf_strings_begin(&it, NULL);
    assert_false(gguf_strings_next(&it, &text, &n));
    assert_int_equal(gguf_array(g, "nothing", GGUF_FLOAT32)->count, 0);
}

static void good_file_is_read(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    struct table t = { 0 };
    struct error e = { 0 };
    struct gguf *g;
    void *copy;
    make_good(&b);
    assert_int_equal(read_exact(&g, &t, &b, b.used, &copy, &e), 0);
    assert_int_equal(gguf_count(g), 15);
    assert_int_equal(gguf_value(g, 1)->key_length, 2);
    check_numbers(g);
    check_arrays(g);
    assert_int_equal(t.count, 3);
    const struct file_tensor *w = table_find(&t, "w");
    assert_int_equal(w->dims, 3);
    assert_true(w->shape[0] == 5 && w->shape[1] == 2 && w->shape[2] == 3 && w->bytes == 120);
    assert_ptr_equal(w->format, &format_f32);
    assert_string_equal(w->type_name, "F32");
    float last;
    memcpy(&last, (const char *)w->data + 116, 4);
    assert_true(last == 29.0f);
    assert_int_equal(table_find(&t, "scalar")->dims, 0);
    assert_int_equal(table_find(&t, "scalar")->bytes, 4);
    assert_null(table_find(&t, "x"));
    gguf_close(g);
    /* metadata alone: the tensor list is not looked at */
    b.data[b.used - 200] ^= 1;
    assert_int_equal(gguf_read(&g, copy, b.used, "made.gguf", NULL, &e), 0);
    gguf_close(g);
    table_release(&t);
    free(copy);
    buffer_release(&b);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    make_good(&b);
    for (size_t size = 0; size < b.used; size++) {
        struct table t = { 0 };
        struct error e = { 0 };
        struct gguf *g;
        void *copy;
        if (read_exact(&g, &t, &b, size, &copy, &e) == 0)
            fail_msg("%zu of %zu bytes were accepted", size, b.used);
        assert_null(g);
        assert_true(e.code != 0);
        table_release(&t);
        free(copy);
    }
    buffer_release(&b);
}

/* A type this program does not know: the file opens, that tensor has no format. */
static void unknown_types_are_kept(void **state)
{
    (void)state;
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    struct table t = { 0 };
    struct error e = { 0 };
    struct gguf *g;
    dim1(&m, "u", 8, 99, 0);
    dim1(&m, "v", 8, 0, 64);
    dim1(&m, "i", 8, 27, 96);
    buffer_add(&m.data, (char[160]) { 0 }, 160);
    make_gguf_end(&m, &b);
    if (gguf_read(&g, b.data, b.used, "made.gguf", &t, &e) != 0)
        fail_msg("%s", e.text);
    assert_null(table_find(&t, "u")->format);
    assert_string_equal(table_find(&t, "u")->type_name, "type 99");
    assert_null(table_find(&t, "u")->data);
    assert_string_equal(table_find(&t, "i")->type_name, "I64");
    assert_null(table_find(&t, "i")->format);
    assert_int_equal(table_find(&t, "i")->bytes, 64);
    assert_ptr_equal(table_find(&t, "v")->format, &format_f32);
    gguf_close(g);
    table_release(&t);
    buffer_release(&b);
}

static void real_files(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int code;
        const char *words;
    } files[] = {
        { "formats/gguf/test-le-v3.gguf", 0, "" },
        { "formats/gguf/ggml-vocab-gpt-neox.gguf", 0, "" },
        { "formats/gguf/ggml-vocab-baichuan.gguf", 0, "" },
        { "formats/edge/TensorHawk.model.gguf", 0, "" },
        { "formats/gguf/test-be-v3.gguf", ERROR_UNSUPPORTED, "big-endian" },
        { "formats/edge/weight-inspect.tiny.gguf", ERROR_FORMAT, "32768 bytes at offset 0" },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct table t = { 0 };
        struct error e = { 0 };
        struct gguf *g;
        const char *path = test_data(files[i].path);
        if (!path)
            skip();
        assert_int_equal(gguf_open(&g, path, &t, &e), files[i].code);
        assert_non_null(strstr(e.text, files[i].words));
        gguf_close(g);
        table_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(good_file_is_read),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(unknown_types_are_kept),
        cmocka_unit_test(real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
