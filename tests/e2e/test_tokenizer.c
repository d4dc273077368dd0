/* SPDX-License-Identifier: Apache-2.0 */
/* wazn tokenizer train as a user meets it: a folder that opens, the same for any number of threads, refusals that leave
 * nothing behind, Ctrl-C. */
#include "program.h"

#include "base/filemap.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text(const char *name, int lines)
{
    const char *path = test_join(test_folder(), name);
    struct buffer b = { 0 };
    for (int i = 0; i < lines; i++)
        buffer_printf(&b, "Line %d of a text, %s; \xd8\xb3\xd9\x84\xd8\xa7\xd9\x85 number %d.\n", i,
            i % 3 ? "as any other" : "of no meaning", i * 7919 % 10007);
    test_write(path, b.data, b.used);
    buffer_release(&b);
    return path;
}

static char *read_new(const char *folder, const char *name, size_t *n)
{
    struct error err = { 0 };
    char *data;
    if (file_read_new(&data, n, test_join(folder, name), 16 << 20, &err) != 0)
        fail_msg("%s", err.text);
    return data;
}

static void learns_and_encodes(void **state)
{
    (void)state;
    struct program p;
    char out[4096];
    const char *path = text("a.txt", 400);
    snprintf(out, sizeof out, "%s", test_join(test_folder(), "out"));
    RUN(&p, 0, NULL, "tokenizer", "train", path, "--vocabulary", "480", "--special-token", "<|endoftext|>",
        "--special-token", "<|pad|>", "-o", out, "--json");
    json_t *report = program_json(&p);
    assert_int_equal(json_whole(report, "vocabulary", 0), 480);
    assert_int_equal(json_whole(report, "merges", 0), 480 - 258);
    assert_int_equal(json_whole(report, "texts", 0), 1);
    assert_true(json_real_of(report, "bytes_per_token", 0) > 3);
    assert_int_equal(json_array_size(json_object_get(report, "longest")), 10);
    assert_non_null(strstr(p.errors.data, "longest tokens: "));
    json_decref(report);
    program_release(&p);
    RUN(&p, 0, NULL, "tokenize", "--tokenizer", out, "--special", "--json", "Line 3 of a text<|pad|>");
    json_t *ids = program_json(&p);
    assert_true(json_array_size(ids) < 10);
    assert_int_equal(json_integer_value(json_array_get(ids, json_array_size(ids) - 1)), 1);
    json_decref(ids);
    program_release(&p);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    struct program p;
    char *first = NULL;
    size_t first_n = 0, n;
    const char *path = text("b.txt", 20000);
    for (int threads = 1; threads <= 4; threads *= 2) {
        char number[8];
        const char *out = test_join(test_folder(), "out");
        snprintf(number, sizeof number, "%d", threads);
        RUN(&p, 0, NULL, "tokenizer", "train", path, "--vocabulary", "700", "--pattern", "o200k", "--digits", "-t",
            number, "-q", "-o", out);
        assert_int_equal(p.errors.used, 0);
        program_release(&p);
        char *data = read_new(out, "tokenizer.json", &n);
        if (first) {
            assert_int_equal(n, first_n);
            assert_memory_equal(data, first, n);
            free(data);
        } else {
            first = data;
            first_n = n;
        }
    }
    free(first);
}

static void refused(int status, const char *words, const char *const *arguments)
{
    struct program p;
    program_run(&p, status, NULL, arguments);
    if (!strstr(p.errors.data, words))
        fail_msg("\"%s\" does not say \"%s\"", p.errors.data, words);
    program_release(&p);
}
#define REFUSED(status, words, ...) refused(status, words, (const char *const[]) { "tokenizer", __VA_ARGS__, NULL })

static void refusals(void **state)
{
    (void)state;
    char path[4096], out[4096], broken[4096], empty[4096];
    snprintf(path, sizeof path, "%s", text("c.txt", 10));
    snprintf(out, sizeof out, "%s", test_join(test_folder(), "out"));
    snprintf(broken, sizeof broken, "%s", test_join(test_folder(), "broken.txt"));
    snprintf(empty, sizeof empty, "%s", test_join(test_folder(), "empty.txt"));
    test_write(broken, "good\nb\xff" "d\n", 8);
    test_write(empty, "", 0);
    REFUSED(2, "there is train", "-o", out);
    REFUSED(2, "wazn tokenizer learn: there is train", "learn", path);
    REFUSED(2, "a text is missing", "train", "-o", out);
    REFUSED(2, "an output is missing", "train", path);
    REFUSED(2, "between 256", "train", path, "-o", out, "--vocabulary", "100");
    REFUSED(2, "bytes and special tokens are 257", "train", path, "-o", out, "--vocabulary", "256", "--special-token",
        "<s>");
    REFUSED(2, "\"x\" is a single byte", "train", path, "-o", out, "--special-token", "x");
    REFUSED(2, "\"<s>\" is given twice", "train", path, "-o", out, "--special-token", "<s>", "--special-token", "<s>");
    REFUSED(2, "one of gpt2|", "train", path, "-o", out, "--pattern", "gpt9");
    REFUSED(2, "goes with the pattern gpt2", "train", path, "-o", out, "--pattern", "llama3", "--prefix-space");
    REFUSED(3, "missing.txt", "train", path, "missing.txt", "-o", out);
    REFUSED(5, "broken.txt", "train", broken, "-o", out);
    REFUSED(2, "no text", "train", empty, "-o", out);
    assert_false(file_exists(out));
    *strrchr(broken, '/') = '\0';
    REFUSED(2, "it is there already", "train", path, "-o", broken);
}

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = -2;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void control_c_leaves_nothing(void **state)
{
    (void)state;
    struct program p;
    const char *folder = test_folder(), *path = test_join(folder, "pipe.jsonl"), *out = test_join(folder, "out");
    struct buffer line = { 0 };
    /* one long word: every merge looks through all of it */
    buffer_add_text(&line, "{\"text\": \"");
    for (uint32_t i = 0, x = 1; i < (8u << 20); i++) {
        x = x * 1664525 + 1013904223;
        buffer_add_byte(&line, (char)('a' + (x >> 24) % 26));
    }
    buffer_add_text(&line, "\"}\n");
    test_write(path, line.data, line.used);
    buffer_release(&line);
    program_start(&p, (const char *const[]) { "tokenizer", "train", path, "--vocabulary", "1000000", "-o", out, NULL });
    program_close_input(&p);
    for (int i = 0; entries(folder) < 2 && i < 6000; i++)
        usleep(10000); /* its output stands beside its place now: it is at work */
    assert_int_equal(kill(p.pid, SIGINT), 0);
    program_end(&p);
    assert_int_equal(p.status, 130);
    assert_non_null(strstr(p.errors.data, "stopped"));
    assert_int_equal(entries(folder), 1);
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(learns_and_encodes),
        cmocka_unit_test(threads_do_not_show), cmocka_unit_test(refusals),
        cmocka_unit_test(control_c_leaves_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
