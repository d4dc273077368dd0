/* SPDX-License-Identifier: Apache-2.0 */
/* Files become documents, documents samples; what is broken is named. */
#include "small_spm.h"
#include "support.h"
#include "train/corpus.h"
#include "train/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#define EOS 257

static const char *written(const char *name, const char *text)
{
    static const char *folder;
    if (!folder)
        folder = test_folder();
    const char *path = test_join(folder, name);
    test_write(path, text, strlen(text));
    return path;
}

static struct tokenizer *bytes(void)
{
    static const char *const controls[] = {"<s>", "</s>"};
    struct tokenizer *t = small_byte_tokenizer(controls, 2, NULL, "</s>");
    assert_non_null(t);
    assert_int_equal(tokenizer_special(t, TOKEN_EOS), EOS);
    return t;
}

/* All documents, each ended by "|". */
static char *documents(const char *path, const struct corpus_options *options)
{
    static char text[4096];
    struct corpus *c;
    struct document d;
    struct error err = {0};
    int rc;
    size_t used = 0;
    text[0] = 0;
    if (corpus_open(&c, &path, 1, options, &err))
        fail_msg("%s", err.text);
    while ((rc = corpus_next(c, &d, &err)) == 1)
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s|", (int)d.n, d.text);
    if (rc)
        fail_msg("%s", err.text);
    corpus_close(c);
    return text;
}

static void documents_are_found(void **state)
{
    (void)state;
    assert_string_equal(documents(written("a.txt", "one\n\ntwo\n"), &(struct corpus_options){0}), "one\n\ntwo\n|");
    const struct corpus_options empty_lines = {.separator = "\n\n"}, ends = {.separator = "<|end|>"}, all = {0};
    assert_string_equal(documents(written("a.txt", "one\n\ntwo\n\n\n\n \n\nx"), &empty_lines), "one|two|x|");
    assert_string_equal(documents(written("a.txt", "\xef\xbb\xbfone<|end|>two"), &ends), "one|two|");
    assert_string_equal(
        documents(written("b.jsonl",
            "{\"text\":\"a\\nb\"}\n\n{\"n\":1,\"text\":\"c\"}\r\n{\"text\":\"\"}"), &all), "a\nb|c|");
    assert_string_equal(documents(written("c.json", " [ {\"t\":\"a]}\\\"\"} ,\n{\"t\":\"b\",\"x\":[{}]}]\n"),
                            &(struct corpus_options){.key = "t"}), "a]}\"|b|");
    assert_string_equal(documents(written("c.json", "{\"text\":\"a\"}\n{\"text\":\"b\"} {\"text\":\"c\"}"),
                            &(struct corpus_options){0}), "a|b|c|");
    assert_string_equal(documents(written("c.json", "[]"), &(struct corpus_options){0}), "");
    assert_string_equal(documents(written("c.txt", ""), &(struct corpus_options){0}), "");
}

static void write_gzip(const char *path, const char *text, size_t n, const char *mode)
{
    gzFile f = gzopen(path, mode);
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text, (unsigned)n), n);
    assert_int_equal(gzclose(f), Z_OK);
}

static void packed_files_are_unpacked(void **state)
{
    (void)state;
    char packed[256];
    const char *path = test_join(test_folder(), "a.txt.gz");
    write_gzip(path, "one", 3, "wb");
    write_gzip(path, " two", 4, "ab");
    assert_string_equal(documents(path, &(struct corpus_options){0}), "one two|");
    size_t a = ZSTD_compress(packed, sizeof packed, "one", 3, 3);
    size_t b = ZSTD_compress(packed + a, sizeof packed - a, " two", 4, 3);
    path = test_join(test_folder(), "a.txt.zst");
    test_write(path, packed, a + b);
    assert_string_equal(documents(path, &(struct corpus_options){0}), "one two|");
}

static void folders_are_read_in_order(void **state)
{
    (void)state;
    const char *folder = test_folder();
    assert_int_equal(mkdir(test_join(folder, "b"), 0700), 0);
    test_write(test_join(folder, "b/z.txt"), "4", 1);
    test_write(test_join(folder, "b/y.txt"), "3", 1);
    test_write(test_join(folder, "c.jsonl"), "{\"text\":\"5\"}", 12);
    test_write(test_join(folder, "a.txt"), "1", 1);
    test_write(test_join(folder, "a.txt.bak"), "no", 2);
    test_write(test_join(folder, ".a.txt"), "no", 2);
    assert_string_equal(documents(folder, &(struct corpus_options){0}), "1|3|4|5|");
}

static void refused_with(const char *path, const struct corpus_options *options, int code, const char *words)
{
    struct corpus *c = NULL;
    struct document d;
    struct error err = {0};
    int rc = corpus_open(&c, &path, 1, options, &err);
    while (rc == 0 && (rc = corpus_next(c, &d, &err)) == 1)
        rc = 0;
    if (rc != code || !strstr(err.text, words))
        fail_msg("%d \"%s\" is not %d with \"%s\"", rc, err.text, code, words);
    if (c)
        assert_int_equal(corpus_next(c, &d, NULL), 0);
    corpus_close(c);
}

static void refused(const char *path, int code, const char *words)
{
    refused_with(path, &(struct corpus_options){0}, code, words);
}

static void what_is_broken_is_named(void **state)
{
    (void)state;
    refused("/nowhere/a.txt", ERROR_NOT_FOUND, "/nowhere/a.txt");
    refused(written("a.pdf", "x"), ERROR_UNSUPPORTED, "does not end in .txt, .jsonl or .json");
    refused(test_folder(), ERROR_USAGE, "no file in");
    refused(written("a.txt", "one\ntwo\xff"), ERROR_FORMAT, "a.txt:2: it is not UTF-8 at byte 7");
    refused(written("a.jsonl", "{\"text\":\"a\"}\n{\"text\":\n"), ERROR_FORMAT, "a.jsonl:2");
    refused(written("a.jsonl", "{\"text\":\"a\"}\n\n[1]\n"), ERROR_FORMAT, "a.jsonl:3: it is no JSON object");
    refused(written("a.jsonl", "{\"text\":1}"), ERROR_FORMAT, "a.jsonl:1: its \"text\" is no string");
    refused(written("a.jsonl", "{\"txt\":1}"), ERROR_FORMAT, "its \"text\" is missing");
    refused(written("a.json", "[{\"text\":\"a\"}\n{}]"), ERROR_FORMAT, "a.json:2: it has the byte 0x7b where \",\"");
    refused(written("a.json", "[{\"text\":\"a\"},\n]"), ERROR_FORMAT, "a.json:2: it has the byte 0x5d where an object");
    refused(written("a.json", "[{\"text\":\"a\"}]\n7"), ERROR_FORMAT, "a.json:2: it has the byte 0x37 where nothing");
    refused(written("a.json", "[{\"text\":\"a\"}\n"), ERROR_FORMAT, "it ends where");
    refused(written("a.json", "\n{\"text\":[{}"), ERROR_FORMAT, "a.json:2: it ends where the end of the object");
    refused(written("a.json", ""), ERROR_FORMAT, "a.json:1: it ends where an array or object");
    const struct corpus_options small = {.bytes_max = 8};
    refused_with(written("a.txt", "123456789"), &small, ERROR_LIMIT, "limit of 8 bytes");
    struct buffer deep = {0};
    for (int i = 0; i < 100000; i++)
        buffer_add_text(&deep, "{\"a\":");
    refused(written("a.jsonl", deep.data), ERROR_FORMAT, "a.jsonl:1");
    buffer_release(&deep);
}

static void what_is_badly_packed_is_named(void **state)
{
    (void)state;
    enum { BIG = 100 << 20 };
    char *zeros = calloc(BIG, 1);
    size_t room = ZSTD_compressBound(BIG);
    char *packed = malloc(room);
    const char *gz = test_join(test_folder(), "a.txt.gz"), *zst = test_join(test_folder(), "a.txt.zst");
    assert_non_null(zeros);
    assert_non_null(packed);
    size_t n = ZSTD_compress(packed, room, zeros, BIG, 3);
    test_write(zst, packed, n);
    refused(zst, ERROR_LIMIT, "unpacks to more than");
    n = ZSTD_compress(packed, room, "some text to pack", 17, 3);
    test_write(zst, packed, n - 3);
    refused(zst, ERROR_FORMAT, "it is cut off");
    test_write(zst, "", 0);
    refused(zst, ERROR_FORMAT, "it is empty");
    test_write(zst, "abcdefghijkl", 12);
    refused(zst, ERROR_FORMAT, "could not unpack");
    write_gzip(gz, "some text to pack", 17, "wb");
    struct stat st;
    assert_int_equal(stat(gz, &st), 0);
    FILE *f = fopen(gz, "rb");
    assert_non_null(f);
    n = fread(packed, 1, room, f);
    fclose(f);
    test_write(gz, packed, n - 5);
    refused(gz, ERROR_FORMAT, "it is cut off");
    packed[n - 6] ^= 1;
    test_write(gz, packed, n);
    refused(gz, ERROR_FORMAT, "could not unpack");
    free(zeros);
    free(packed);
}

static bool grow(void *context, uint64_t done, uint64_t total)
{
    FILE *f = fopen(context, "ab");
    assert_true(done == 0 || total > 0);
    assert_non_null(f);
    fputs("more", f);
    fclose(f);
    return true;
}

static bool stop(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    assert_true(done <= total);
    return false;
}

static void changes_and_stops_are_told(void **state)
{
    (void)state;
    char *path = strdup(written("a.txt", "text"));
    const struct corpus_options growing = {.progress = grow, .context = path};
    refused_with(path, &growing, ERROR_IO, "changed while it was read");
    refused_with(path, &(struct corpus_options){.progress = stop}, ERROR_CANCELLED, "stopped");
    free(path);
}

/* ---- samples ---- */

struct made {
    struct dataset *train, *validation;
    struct corpus_counts counts;
};

static struct made make(const char *path, const struct corpus_options *how, const struct corpus_data_options *options)
{
    struct made m;
    struct corpus *c;
    struct error err = {0};
    struct tokenizer *t = bytes();
    assert_int_equal(corpus_open(&c, &path, 1, how, &err), 0);
    if (corpus_datasets(&m.train, &m.validation, &m.counts, c, t, options, &err))
        fail_msg("%s", err.text);
    corpus_close(c);
    tokenizer_close(t);
    return m;
}

static void drop(struct made *m)
{
    dataset_close(m->train);
    dataset_close(m->validation);
}

/* Samples as text: ids>targets|, EOS as $. */
static const char *shown(const struct dataset *d)
{
    static char text[1024];
    size_t used = 0;
    for (size_t i = 0; i < dataset_size(d)->samples; i++) {
        struct train_text s;
        dataset_sample(d, i, &s);
        for (int k = 0; k < 2 * s.count; k++) {
            int32_t id = k < s.count ? s.ids[k] : s.targets[k - s.count];
            if (k == s.count)
                text[used++] = '>';
            text[used++] = id == EOS ? '$' : (char)id;
        }
        text[used++] = '|';
    }
    text[used] = 0;
    return text;
}

static void samples_follow_each_other(void **state)
{
    (void)state;
    const struct corpus_options lines = {.separator = "\n"};
    const struct corpus_data_options four = {.context = 4, .threads = 2};
    struct made m = make(written("a.txt", "abc\nde\nf"), &lines, &four);
    assert_string_equal(shown(m.train), "abc$>bc$d|de$f>e$f$|");
    assert_null(m.validation);
    assert_int_equal(dataset_size(m.train)->counted, 8);
    assert_int_equal(dataset_size(m.train)->counted_bytes, 5); /* all but "a" */
    assert_int_equal(m.counts.documents, 3);
    assert_int_equal(m.counts.bytes, 6);
    assert_int_equal(m.counts.tokens, 9);
    drop(&m);
    m = make(written("a.txt", "abcdef\n1\ng"), &lines,
        &(struct corpus_data_options){.context = 4, .threads = 1, .apart = true});
    assert_string_equal(shown(m.train), "abcd>bcde|ef>f$|1>$|g>$|");
    drop(&m);
}

static void one_document_gives_its_tail(void **state)
{
    (void)state;
    struct made m = make(written("a.txt", "abcdefghi"), &(struct corpus_options){0},
        &(struct corpus_data_options){.context = 4, .threads = 1, .validation = 0.35});
    assert_string_equal(shown(m.train), "abcd>bcde|e>f|");
    assert_string_equal(shown(m.validation), "ghi>hi$|");
    drop(&m);
    m = make(written("a.txt", "ab\ncdefgh"), &(struct corpus_options){.separator = "\n"},
        &(struct corpus_data_options){.context = 8, .threads = 1, .validation = 0.35, .apart = true});
    assert_string_equal(shown(m.train), "ab>b$|cd>de|");
    assert_string_equal(shown(m.validation), "fgh>gh$|");
    drop(&m);
}

static const char *many(void)
{
    struct buffer text = {0};
    for (int i = 0; i < 3000; i++)
        buffer_printf(&text, "document %d%.*s\n", i, i % 40, "........................................");
    const char *path = written("many.txt", text.data);
    buffer_release(&text);
    return path;
}

static void the_share_is_kept_and_threads_change_nothing(void **state)
{
    (void)state;
    const char *path = many();
    const struct corpus_options lines = {.separator = "\n"};
    struct corpus_data_options o = {.context = 100, .threads = 1, .validation = 0.1, .seed = 5};
    struct made one = make(path, &lines, &o);
    o.threads = 3;
    struct made three = make(path, &lines, &o);
    o.seed = 6;
    struct made other = make(path, &lines, &o);
    assert_int_equal(one.counts.documents, 3000);
    assert_in_range(one.counts.validation_documents, 240, 360);
    assert_int_equal(dataset_size(one.train)->tokens + dataset_size(one.validation)->tokens, one.counts.tokens - 2);
    assert_memory_equal(dataset_digest(one.train), dataset_digest(three.train), DATASET_DIGEST);
    assert_memory_equal(dataset_digest(one.validation), dataset_digest(three.validation), DATASET_DIGEST);
    assert_memory_not_equal(dataset_digest(one.train), dataset_digest(other.train), DATASET_DIGEST);
    drop(&one);
    drop(&three);
    drop(&other);
}

static void what_teaches_nothing_is_counted(void **state)
{
    (void)state;
    static const char *const none[] = {"<s>"};
    struct tokenizer *t = small_byte_tokenizer(none, 1, NULL, NULL);
    struct corpus *c;
    struct dataset *train, *validation;
    struct corpus_counts counts;
    struct error err = {0};
    const char *path = written("a.txt", "ab\nc\nde\nf");
    const struct corpus_data_options apart = {.context = 8, .threads = 1, .apart = true};
    assert_int_equal(corpus_open(&c, &path, 1, &(struct corpus_options){.separator = "\n"}, &err), 0);
    assert_int_equal(corpus_datasets(&train, &validation, &counts, c, t, &apart, &err), 0);
    assert_int_equal(counts.single, 2);
    assert_non_null(strstr(counts.first_single, "a.txt:2"));
    assert_int_equal(dataset_size(train)->samples, 2);
    dataset_close(train);
    assert_int_equal(corpus_datasets(&train, &validation, &counts, c, t, &apart, &err), ERROR_USAGE); /* all was read */
    assert_non_null(strstr(err.text, "no samples"));
    corpus_rewind(c);
    assert_int_equal(corpus_datasets(&train, &validation, &counts, c, t, &apart, &err), 0);
    dataset_close(train);
    corpus_close(c);
    tokenizer_close(t);
}

/* Real files: every byte is accounted for. */
static void real_text(void **state)
{
    (void)state;
    const char *path = test_data("text/tinyshakespeare.txt.gz");
    if (!path)
        skip();
    struct made m = make(path, &(struct corpus_options){.separator = "\n\n"},
        &(struct corpus_data_options){.context = 256, .threads = 2, .validation = 0.1});
    assert_int_equal(dataset_size(m.train)->counted_bytes + dataset_size(m.validation)->counted_bytes,
        m.counts.bytes - 2);
    assert_true(m.counts.documents > 7000 && m.counts.bytes > 1000000);
    drop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents_are_found),
        cmocka_unit_test(packed_files_are_unpacked),
        cmocka_unit_test(folders_are_read_in_order),
        cmocka_unit_test(what_is_broken_is_named),
        cmocka_unit_test(what_is_badly_packed_is_named),
        cmocka_unit_test(changes_and_stops_are_told),
        cmocka_unit_test(samples_follow_each_other),
        cmocka_unit_test(one_document_gives_its_tail),
        cmocka_unit_test(the_share_is_kept_and_threads_change_nothing),
        cmocka_unit_test(what_teaches_nothing_is_counted),
        cmocka_unit_test(real_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
