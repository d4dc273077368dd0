/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/buffer.h"
#include "base/filemap.h"
#include "file/safetensors.h"
#include "file/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_file(struct buffer *out, const char *header, size_t data_bytes)
{
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        buffer_add_byte(out, (char)(n >> (8 * i)));
    buffer_add(out, header, n);
    for (size_t i = 0; i < data_bytes; i++)
        buffer_add_byte(out, (char)i);
}

/* From memory of the exact size, so that the sanitizer sees a read beyond it. */
static int read_exact(struct table *t, const char *data, size_t size, void **copy, struct error *e)
{
    *copy = malloc(size ? size : 1);
    assert_non_null(*copy);
    if (size)
        memcpy(*copy, data, size);
    return safetensors_read(t, *copy, size, "made.safetensors", e);
}

#define T(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static const struct bad {
    const char *header;
    size_t data_bytes;
    int code;
    const char *words[4];
} bad[] = {
    { "[1]", 0, ERROR_FORMAT, { "3 bytes", "start with '{'" } },
    { " {}", 0, ERROR_FORMAT, { "start with '{'" } },
    { "{} x", 0, ERROR_FORMAT, { "JSON", "line 1" } },
    { "{\"a\":", 0, ERROR_FORMAT, { "JSON" } },
    { "{" T("a", "U8", "[4]", 0, 4) "," T("a", "U8", "[4]", 4, 8) "}", 8, ERROR_FORMAT, { "duplicate", "\"a\"" } },
    { "{\"a\":1}", 0, ERROR_FORMAT, { "\"a\"", "dtype" } },
    { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, ERROR_FORMAT, { "\"a\"", "dtype" } },
    { "{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, ERROR_FORMAT, { "\"a\"", "dtype" } },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, ERROR_FORMAT, { "\"a\"", "shape" } },
    { "{" T("a", "U8", "[-1]", 0, 1) "}", 1, ERROR_FORMAT, { "\"a\"", "dimension 0" } },
    { "{" T("a", "U8", "[1, 1.0]", 0, 1) "}", 1, ERROR_FORMAT, { "\"a\"", "dimension 1" } },
    { "{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, ERROR_UNSUPPORTED, { "\"a\"", "9 dimensions", "8" } },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, ERROR_FORMAT, { "\"a\"", "data_offsets" } },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, ERROR_FORMAT, { "\"a\"", "data_offsets" } },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, ERROR_FORMAT, { "data_offsets" } },
    { "{" T("a", "U8", "[1]", 3, 2) "}", 4, ERROR_FORMAT, { "\"a\"", "[3, 2]" } },
    { "{" T("a", "U8", "[1]", -1, 0) "}", 4, ERROR_FORMAT, { "\"a\"", "[-1, 0]" } },
    { "{" T("a", "U8", "[5]", 0, 5) "}", 4, ERROR_FORMAT, { "\"a\"", "byte 5", "4 bytes of data" } },
    { "{" T("a", "F32", "[3]", 0, 16) "}", 16, ERROR_FORMAT, { "\"a\"", "16 bytes", "expected 12", "F32" } },
    { "{" T("a", "F64", "[4611686018427387904, 4]", 0, 8) "}", 8, ERROR_FORMAT, { "\"a\"", "overflows", "F64" } },
    { "{" T("a", "U8", "[4611686018427387904, 4611686018427387904]", 0, 8) "}", 8, ERROR_FORMAT, { "overflows" } },
    { "{" T("a", "F4", "[3]", 0, 2) "}", 2, ERROR_FORMAT, { "\"a\"", "12 bits", "F4" } },
    { "{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 3, 5) "}", 5, ERROR_FORMAT, { "\"b\"", "byte 3", "hole" } },
    { "{" T("a", "U8", "[3]", 0, 3) "," T("b", "U8", "[3]", 2, 5) "}", 5, ERROR_FORMAT, { "\"b\"", "overlaps" } },
    { "{" T("a", "U8", "[2]", 1, 3) "}", 3, ERROR_FORMAT, { "\"a\"", "byte 1", "expected 0" } },
    { "{" T("a", "U8", "[2]", 0, 2) "}", 3, ERROR_FORMAT, { "ends at byte 2", "3 bytes of data" } },
    { "{}", 1, ERROR_FORMAT, { "ends at byte 0", "1 bytes of data" } },
    { "{" T("a", "Q9", "[2]", 0, 3) "}", 2, ERROR_FORMAT, { "\"a\"", "byte 3" } },
    { "{\"__metadata__\":[]}", 0, ERROR_FORMAT, { "__metadata__" } },
    { "{\"__metadata__\":{\"k\":1}}", 0, ERROR_FORMAT, { "__metadata__", "\"k\"" } },
    { "{" T("a", "U8", "[99999999999999999999]", 0, 3) "}", 2, ERROR_FORMAT, { "JSON", "big" } },
};

static void wrong_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buffer b = { 0 };
        struct table t = { 0 };
        struct error e = { 0 };
        void *copy;
        make_file(&b, bad[i].header, bad[i].data_bytes);
        int rc = read_exact(&t, b.data, b.used, &copy, &e);
        if (rc != bad[i].code)
            fail_msg("%s: code %d (%s), expected %d", bad[i].header, rc, e.text, bad[i].code);
        assert_non_null(strstr(e.text, "made.safetensors"));
        for (int k = 0; k < 4 && bad[i].words[k]; k++) {
            if (!strstr(e.text, bad[i].words[k]))
                fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].header, e.text, bad[i].words[k]);
        }
        table_release(&t);
        free(copy);
        buffer_release(&b);
    }
}

static void wrong_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words[2];
    } files[] = {
        { "", 0, { "0 bytes", "8" } },
        { "\2\0\0\0\0\0\0", 7, { "7 bytes", "8" } },
        { "\0\0\0\0\0\0\0\0{}", 10, { "0 bytes", "'{'" } },
        { "\3\0\0\0\0\0\0\0{}", 10, { "length is 3", "2 bytes" } },
        { "\1\xe1\xf5\5\0\0\0\0{}", 10, { "100000001", "100000000" } },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, { "18446744073709551615", "100000000" } },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct table t = { 0 };
        struct error e = { 0 };
        void *copy;
        assert_int_equal(read_exact(&t, files[i].bytes, files[i].size, &copy, &e), ERROR_FORMAT);
        for (int k = 0; k < 2; k++) {
            if (!strstr(e.text, files[i].words[k]))
                fail_msg("\"%s\" does not say \"%s\"", e.text, files[i].words[k]);
        }
        table_release(&t);
        free(copy);
    }
}

static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "BF16", "[3]", 9, 15) "," T(
    "a", "F32", "[2,1]", 1, 9) "," T("u", "I8", "[1]", 0, 1) "," T("scalar", "F16", "[]", 15, 17) "," T("none", "F32",
    "[0,7]", 17, 17) "," T("odd", "Q9", "[7]", 17, 20) "}   ";

static void good_file_is_read(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    struct table t = { 0 };
    struct error e = { 0 };
    void *copy;
    make_file(&b, good, 20);
    if (read_exact(&t, b.data, b.used, &copy, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(t.count, 6);
    assert_string_equal(t.at[0].name, "u");
    assert_string_equal(t.at[0].type_name, "I8");
    assert_null(t.at[0].format);
    const struct file_tensor *a = table_find(&t, "a"), *none = table_find(&t, "none"), *odd = table_find(&t, "odd");
    assert_ptr_equal(a->format, &format_f32);
    assert_true(a->dims == 2 && a->shape[0] == 2 && a->shape[1] == 1 && a->bytes == 8);
    assert_ptr_equal(table_find(&t, "b")->format, &format_bf16);
    assert_int_equal(table_find(&t, "scalar")->dims, 0);
    assert_int_equal(table_find(&t, "scalar")->bytes, 2);
    assert_true(none->bytes == 0 && !none->data && none->shape[0] == 0);
    assert_string_equal(odd->type_name, "Q9");
    assert_true(!odd->format && odd->bytes == 3);
    assert_null(table_find(&t, "__metadata__"));
    /* numbers at odd addresses are copied to where they can be loaded */
    assert_int_equal(table_align(&t, &e), 0);
    assert_true(t.copy_count >= 1);
    for (size_t i = 0; i < t.count; i++) {
        if (t.at[i].format == &format_f32)
            assert_int_equal((uintptr_t)t.at[i].data % 4, 0);
    }
    assert_memory_equal(a->data, "\1\2\3\4\5\6\7\x8", 8);
    table_release(&t);
    free(copy);
    for (size_t size = 0; size < b.used; size++) {
        assert_int_equal(read_exact(&t, b.data, size, &copy, &e), ERROR_FORMAT);
        table_release(&t);
        free(copy);
    }
    buffer_release(&b);
}

/* Bytes as the reference library writes the same tensors (safetensors 0.8, numpy). */
static void writer_equals_reference(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[36,42]},"
        "\"\xc3\xa9\\\"x\":{\"dtype\":\"U16\",\"shape\":[0,2],\"data_offsets\":[42,42]},"
        "\"I\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[42,43]},"
        "\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[43,44]},"
        "\"t\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[44,45]}}";
    static const float numbers[4] = { 0, 1, 2, 3 };
    const struct file_tensor tensors[] = {
        { "b", "F32", NULL, 1, { 3 }, numbers, 12 },
        { "a", "F32", NULL, 2, { 2, 2 }, numbers, 16 },
        { "i", "I64", NULL, 1, { 1 }, "\1\0\0\0\0\0\0\0", 8 },
        { "h", "F16", NULL, 1, { 3 }, "\0\x3c\0\x40\0\x42", 6 },
        { "u", "U8", NULL, 1, { 1 }, "\7", 1 },
        { "\xc3\xa9\"x", "U16", NULL, 2, { 0, 2 }, NULL, 0 },
        { "I", "I8", NULL, 1, { 1 }, "\1", 1 },
        { "t", "BOOL", NULL, 1, { 1 }, "\1", 1 },
    };
    struct error e = { 0 };
    struct filemap f;
    struct table t = { 0 };
    const char *path = test_join(test_folder(), "out.safetensors");
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (safetensors_write(path, tensors, 8, metadata, &e) != 0)
        fail_msg("%s", e.text);
    json_decref(metadata);
    assert_int_equal(filemap_open(&f, path, &e), 0);
    size_t padded = (sizeof header - 1 + 7) / 8 * 8;
    assert_int_equal(f.size, 8 + padded + 45);
    assert_int_equal(f.data[0] | f.data[1] << 8, padded);
    assert_memory_equal(f.data + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < padded; i++)
        assert_int_equal(f.data[8 + i], ' ');
    assert_int_equal(safetensors_read(&t, f.data, f.size, path, &e), 0);
    for (size_t i = 0; i < 8; i++) {
        const struct file_tensor *x = table_find(&t, tensors[i].name);
        assert_int_equal(x->bytes, tensors[i].bytes);
        if (x->bytes)
            assert_memory_equal(x->data, tensors[i].data, x->bytes);
    }
    table_release(&t);
    filemap_close(&f);
}

static void writer_refuses_contradictions(void **state)
{
    (void)state;
    static const float numbers[4] = { 0 };
    static const struct {
        struct file_tensor tensors[2];
        size_t count;
        const char *words;
    } wrong[] = {
        { { { "a", "F32", NULL, 1, { 3 }, numbers, 16 } }, 1, "16 bytes" },
        { { { "a", "Q4_0", NULL, 1, { 4 }, numbers, 16 } }, 1, "\"Q4_0\" is unknown" },
        { { { "a", "F32", NULL, 2, { INT64_MAX, INT64_MAX }, numbers, 16 } }, 1, "16 bytes" },
        { { { "a", "F32", NULL, 1, { -4 }, numbers, 16 } }, 1, "16 bytes" },
        { { { "a", "F32", NULL, 1, { 4 }, numbers, 16 }, { "a", "F32", NULL, 1, { 1 }, numbers, 4 } }, 2, "twice" },
    };
    const char *path = test_join(test_folder(), "none.safetensors");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error e = { 0 };
        assert_int_equal(safetensors_write(path, wrong[i].tensors, wrong[i].count, NULL, &e), ERROR_USAGE);
        if (!strstr(e.text, wrong[i].words))
            fail_msg("\"%s\" does not say \"%s\"", e.text, wrong[i].words);
        assert_false(file_exists(path));
    }
    struct error e = { 0 };
    assert_int_equal(safetensors_write(test_join(test_folder(), "no/folder"), NULL, 0, NULL, &e), ERROR_NOT_FOUND);
}

static void real_files(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t tensors;
    } files[] = {
        { "formats/safetensors/tensor-1d-int32.safetensors", 1 },
        { "formats/safetensors/tensor-2d-float64.safetensors", 1 },
        { "formats/safetensors/tensor-3d-float32.safetensors", 1 },
        { "formats/safetensors/tensor-4d-float32.safetensors", 1 },
        { "formats/safetensors/multi_layer.safetensors", 9 },
        { "formats/safetensors/jfk-codes.safetensors", 1 },
        { "formats/safetensors/voices.safetensors", 2 },
        { "formats/safetensors/mnist.safetensors", 20 },
        { "formats/edge/TensorHawk.leaky.safetensors", 1 },
        { "formats/edge/checkpoint-studio.diff_new.safetensors", 5 },
        { "formats/edge/checkpoint-studio.diff_old.safetensors", 5 },
        { "formats/edge/checkpoint-studio.tiny.safetensors", 7 },
        { "formats/edge/heinrich.tiny.safetensors", 3 },
        { "formats/edge/nutllm.tiny.safetensors", 21 },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct table t = { 0 };
        struct error e = { 0 };
        struct filemap f;
        const char *path = test_data(files[i].path);
        if (!path)
            skip();
        assert_int_equal(filemap_open(&f, path, &e), 0);
        if (safetensors_read(&t, f.data, f.size, path, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(t.count, files[i].tensors);
        table_release(&t);
        filemap_close(&f);
    }
    /* five bytes behind the last tensor: the reference refuses it too */
    struct table t = { 0 };
    struct error e = { 0 };
    struct filemap f;
    const char *path = test_data("formats/edge/weight-inspect.tiny.safetensors");
    assert_int_equal(filemap_open(&f, path, &e), 0);
    assert_int_equal(safetensors_read(&t, f.data, f.size, path, &e), ERROR_FORMAT);
    assert_non_null(strstr(e.text, "32773 bytes of data"));
    table_release(&t);
    filemap_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(wrong_lengths_are_refused),
        cmocka_unit_test(good_file_is_read),
        cmocka_unit_test(writer_equals_reference),
        cmocka_unit_test(writer_refuses_contradictions),
        cmocka_unit_test(real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
