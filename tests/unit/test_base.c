/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/filemap.h"
#include "base/fileout.h"
#include "base/json.h"
#include "base/map.h"
#include "base/random.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void error_texts(void **state)
{
    (void)state;
    struct error e = { 0 };
    assert_int_equal(error_set(&e, ERROR_FORMAT, "bad \"%s\"", "a\033b"), ERROR_FORMAT);
    assert_string_equal(e.text, "bad \"a\\x1bb\"");
    error_in(&e, "could not open \"%s\"", "m");
    assert_string_equal(e.text, "could not open \"m\": bad \"a\\x1bb\"");
    assert_int_equal(error_exit_status(ERROR_FORMAT), 5);
    assert_int_equal(error_exit_status(ERROR_CANCELLED), 130);
    assert_int_equal(error_exit_status(-99), 1);
    assert_int_equal(error_set(NULL, ERROR_IO, "x"), ERROR_IO);
    error_set(&e, ERROR_FORMAT, "%s", "\xc3\xa9 \xc3 \xff \xc2\x9b");
    assert_string_equal(e.text, "\xc3\xa9 \\xc3 \\xff \\xc2\\x9b");
    char big[3000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    error_in(&e, "%s", big);
    assert_true(strlen(e.text) < ERROR_TEXT_SIZE);
    for (size_t i = 0; i < 8; i++) { /* cut wherever it may be, it stays UTF-8 */
        memset(big, 'y', i);
        for (size_t at = i; at + 2 < sizeof big; at += 2)
            memcpy(big + at, "\xc3\xa9", 3);
        error_set(&e, ERROR_FORMAT, "%s", big);
        assert_int_equal(utf8_valid_prefix(e.text, strlen(e.text)), strlen(e.text));
        error_in(&e, "%.*s", (int)i, "context");
        assert_int_equal(utf8_valid_prefix(e.text, strlen(e.text)), strlen(e.text));
        assert_true(strlen(e.text) > ERROR_TEXT_SIZE - 32);
    }
}

struct laid_out {
    float *a;
    double *b;
};

static void lay_out(struct laid_out *l, struct arena *a, size_t n)
{
    l->a = arena_take(a, n, sizeof *l->a);
    l->b = arena_take(a, 3, sizeof *l->b);
}

static void arena_measures_what_it_gives(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct laid_out l;
    lay_out(&l, &a, 101);
    assert_null(l.a);
    assert_int_equal(a.used, 448 + 64);
    assert_int_equal(arena_reserve(&a, NULL), 0);
    lay_out(&l, &a, 101);
    assert_int_equal(a.used, a.size);
    assert_int_equal((uintptr_t)l.b % ARENA_ALIGN, 0);
    assert_true(l.a[100] == 0.0f && l.b[2] == 0.0);
    arena_release(&a);
    struct error e = { 0 };
    arena_take(&a, SIZE_MAX / 2, 3);
    assert_int_equal(arena_reserve(&a, &e), ERROR_MEMORY);
    arena_release(&a);
}

static void buffer_grows(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%d,", i);
    assert_int_equal(b.used, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.used);
    assert_null(buffer_room(&b, SIZE_MAX / 2));
    assert_int_equal(buffer_check(&b, "a test", NULL), ERROR_MEMORY);
    buffer_clear(&b);
    buffer_add_text(&b, "hello");
    char *text = buffer_new_text(&b);
    assert_string_equal(text, "hello");
    free(text);
    buffer_release(&b);
}

static void map_holds_many(void **state)
{
    (void)state;
    enum { N = 5000 };
    static char keys[N][16];
    struct map m;
    assert_int_equal(map_init(&m, 4, NULL), 0);
    for (int i = 0; i < N; i++) {
        int n = snprintf(keys[i], sizeof keys[i], "key %d", i);
        assert_int_equal(map_put(&m, keys[i], (size_t)n, i, NULL), 0);
    }
    assert_int_equal(map_put(&m, "", 0, 77, NULL), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(map_find(&m, keys[i], strlen(keys[i]), -1), i);
    assert_int_equal(map_find(&m, "", 0, -1), 77);
    assert_int_equal(map_find(&m, "key", 3, -1), -1);
    assert_int_equal(m.used, N + 1);
    map_release(&m);
    assert_int_equal(map_find(&m, "key", 3, -1), -1);
}

static void files_are_written_whole(void **state)
{
    (void)state;
    struct error e = { 0 };
    struct filemap f;
    char *data;
    size_t size;
    const char *folder = test_folder(), *path = test_join(folder, "file");
    assert_int_equal(file_write(path, "abc", 3, &e), 0);
    assert_int_equal(filemap_open(&f, path, &e), 0);
    assert_memory_equal(f.data, "abc", 3);
    filemap_close(&f);
    assert_int_equal(file_read_new(&data, &size, path, 2, &e), ERROR_LIMIT);
    assert_null(data);
    assert_int_equal(file_read_new(&data, &size, path, 3, &e), 0);
    assert_string_equal(data, "abc");
    free(data);
    assert_int_equal(filemap_open(&f, folder, &e), ERROR_FORMAT);
    assert_int_equal(filemap_open(&f, test_join(folder, "none"), &e), ERROR_NOT_FOUND);
    assert_int_equal(file_write(test_join(folder, "no/such"), "x", 1, &e), ERROR_NOT_FOUND);
    assert_int_equal(file_write(folder, "x", 1, &e), ERROR_IO);
    assert_false(file_exists(test_join(folder, "no")));
    assert_true(file_is_folder(folder));
}

static void an_output_is_there_whole_or_not_at_all(void **state)
{
    (void)state;
    struct error e = { 0 };
    struct file_out f;
    char *data;
    size_t size;
    const char *folder = test_folder(), *path = test_join(folder, "some.name");
    test_write(path, "old", 3);
    assert_int_equal(file_out_open(&f, path, 8, &e), 0);
    assert_non_null(strstr(f.beside, "some."));
    assert_string_equal(f.beside + strlen(f.beside) - 10, ".part.name");
    assert_int_equal(file_out_write(&f, 6, "gh", 2, &e), 0); /* any order; what is not written is zeros */
    assert_int_equal(file_out_write(&f, 0, "abc", 3, &e), 0);
    file_out_abort(&f);
    file_out_abort(&f);
    assert_false(file_exists(f.beside));
    assert_int_equal(file_read_new(&data, &size, path, 99, &e), 0);
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(file_out_open(&f, path, 8, &e), 0);
    assert_int_equal(file_out_write(&f, 6, "gh", 2, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    assert_false(file_exists(f.beside));
    assert_int_equal(file_read_new(&data, &size, path, 99, &e), 0);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "\0\0\0\0\0\0gh", 8);
    free(data);
    assert_int_equal(file_out_open(&f, test_join(folder, "huge"), (uint64_t)1 << 62, &e), ERROR_IO);
    assert_non_null(strstr(e.text, "could not reserve"));
    assert_false(file_exists(f.beside));
}

static void a_folder_is_there_whole_or_not_at_all(void **state)
{
    (void)state;
    struct error e = { 0 };
    struct file_out f;
    const char *folder = test_folder(), *path = test_join(folder, "model.v1/");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(folder_out_open(&f, path, &e), 0);
        assert_int_equal(file_write(test_join(f.beside, "a"), "x", 1, &e), 0);
        if (round == 0)
            folder_out_abort(&f);
        else
            assert_int_equal(folder_out_commit(&f, &e), 0);
        assert_false(file_exists(f.beside));
        assert_true(file_exists(path) == (round == 1));
    }
    assert_true(file_exists(test_join(path, "a")));
    assert_int_equal(folder_out_open(&f, path, &e), ERROR_USAGE);
    assert_non_null(strstr(e.text, "it is there already"));
    folder_out_abort(&f);
    assert_true(file_exists(test_join(path, "a")));
}

static void utf8_follows_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int taken;
        int32_t point;
    } cases[] = {
        { "A", 1, 'A' }, { "\xd9\x88", 2, 0x648 }, { "\xe2\x82\xac", 3, 0x20ac }, { "\xf0\x9f\x98\x80", 4, 0x1f600 },
        { "\xc0\x80", 1, -1 }, { "\xed\xa0\x80", 1, -1 }, { "\xf4\x90\x80\x80", 1, -1 }, { "\xe2\x82", 2, -1 },
        { "\xe2\x82z", 2, -1 }, { "\x80", 1, -1 }, { "\xff", 1, -1 }, { "\xf0\x9f\x98", 3, -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t point;
        assert_int_equal(utf8_decode(cases[i].bytes, strlen(cases[i].bytes), &point), cases[i].taken);
        assert_int_equal(point, cases[i].point);
    }
    assert_int_equal(utf8_valid_prefix("ab\xd9\x88\xd9", 5), 4);
    assert_int_equal(utf8_incomplete_tail("ab\xd9", 3), 1);
    assert_int_equal(utf8_incomplete_tail("\xf0\x9f\x98", 3), 3);
    assert_int_equal(utf8_incomplete_tail("\xe2\x82\xac", 3), 0);
    assert_int_equal(utf8_incomplete_tail("ab\xff", 3), 0);
}

static void random_is_reproducible(void **state)
{
    (void)state;
    struct random a, b;
    double sum = 0, squares = 0;
    random_seed(&a, 42);
    random_seed(&b, 42);
    for (int i = 0; i < 10000; i++) {
        double x = random_normal(&a);
        assert_true(x == random_normal(&b));
        sum += x;
        squares += x * x;
        assert_true(random_below(&a, 7) < 7 && random_below(&b, 7) < 7);
    }
    assert_true(sum / 10000 > -0.05 && sum / 10000 < 0.05);
    assert_true(squares / 10000 > 0.95 && squares / 10000 < 1.05);
    for (int i = 0; i < 1000; i++)
        assert_true(random_below_wide(&a, 7) < 7 && random_below_wide(&a, UINT64_MAX) < UINT64_MAX);
}

static void json_is_strict(void **state)
{
    (void)state;
    struct error e = { 0 };
    json_t *j;
    const char *good = "{\"a\": 1.0, \"b\": null, \"c\": \"x\", \"d\": true}";
    assert_int_equal(json_read_new(&j, good, strlen(good), "a test", &e), 0);
    assert_int_equal(json_whole(j, "a", -1), 1);
    assert_int_equal(json_whole(j, "b", -1), -1);
    assert_string_equal(json_text(j, "c", ""), "x");
    assert_true(json_flag(j, "d", false));
    json_decref(j);
    const char *twice = "{\"a\": 1, \"a\": 2}";
    assert_int_equal(json_read_new(&j, twice, strlen(twice), "a test", &e), ERROR_FORMAT);
    assert_non_null(strstr(e.text, "a test"));
}

static void json_is_written(void **state)
{
    (void)state;
    static const char *const texts[] = { "{}", "[]", "[1,-2,0.1,1e22,100000.0,5e-324,true,false,null]",
        "{\"b\":\"\\\"\\\\\\n\\u0001\\u0000\xc3\xa9/\",\"a\":[{\"c\":[]}]}" };
    struct buffer b = { 0 };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *j;
        assert_int_equal(json_read_new(&j, texts[i], strlen(texts[i]), "a test", NULL), 0);
        buffer_clear(&b);
        json_write(&b, j, JSON_WRITE_COMPACT);
        assert_string_equal(b.data, texts[i]);
        json_decref(j);
    }
    json_t *j = json_pack("{s:[i, f], s:{}}", "a", 1, 1e-5, "b");
    buffer_clear(&b);
    json_write(&b, j, 0);
    assert_string_equal(b.data, "{\"a\": [1, 1e-05], \"b\": {}}");
    buffer_clear(&b);
    json_write(&b, j, 2);
    assert_string_equal(b.data, "{\n  \"a\": [\n    1,\n    1e-05\n  ],\n  \"b\": {}\n}");
    json_decref(j);
    buffer_clear(&b);
    json_write(&b, NULL, 0);
    assert_string_equal(b.data, "null");
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_texts),
        cmocka_unit_test(arena_measures_what_it_gives),
        cmocka_unit_test(buffer_grows),
        cmocka_unit_test(map_holds_many),
        cmocka_unit_test(files_are_written_whole),
        cmocka_unit_test(an_output_is_there_whole_or_not_at_all),
        cmocka_unit_test(a_folder_is_there_whole_or_not_at_all),
        cmocka_unit_test(utf8_follows_the_rfc),
        cmocka_unit_test(random_is_reproducible),
        cmocka_unit_test(json_is_strict),
        cmocka_unit_test(json_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
