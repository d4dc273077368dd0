/* SPDX-License-Identifier: Apache-2.0 */
/* BPE against tiktoken and Hugging Face tokenizers (tools/golden/bpe_small.py): made vocabularies of the
 * repository, and real ones of the data collection. */
#include "support.h"

#include "base/filemap.h"
#include "base/json.h"
#include "make_gguf.h"
#include "text/tokenizer.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JSON_BYTES_MAX (16u << 20)

static json_t *golden_new(const char *name)
{
    struct error err = { 0 };
    json_t *root;
    if (json_read_file_new(&root, test_join(test_repo("tests/golden/data"), name), JSON_BYTES_MAX, &err) != 0)
        fail_msg("%s", err.text);
    return root;
}

static struct tokenizer *open_new(const char *path, const char *preset)
{
    struct error err = { 0 };
    struct tokenizer *t;
    if (tokenizer_open(&t, path, preset, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

static void check_ids(const struct tokenizer *t, const json_t *text, unsigned flags, const json_t *wanted)
{
    struct tokens ids = { 0 };
    struct error err = { 0 };
    if (tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &ids, &err) != 0)
        fail_msg("\"%s\": %s", json_string_value(text), err.text);
    size_t same = 0;
    while (same < ids.used && same < json_array_size(wanted)
        && ids.ids[same] == json_integer_value(json_array_get(wanted, same)))
        same++;
    if (same != ids.used || same != json_array_size(wanted))
        fail_msg("\"%s\", flags %u: %zu ids, wanted %zu, the first %zu are the same", json_string_value(text), flags,
            ids.used, json_array_size(wanted), same);
    tokens_release(&ids);
}

/* All bytes come back, at once and as they arrive: with U+FFFD nowhere, as the texts are whole. */
static void check_round_trip(const struct tokenizer *t, const json_t *text)
{
    struct tokens ids = { 0 };
    struct buffer whole = { 0 }, pieces = { 0 };
    struct detokenizer d = { .tokenizer = t, .special = true };
    size_t n = json_string_length(text);
    assert_int_equal(tokenizer_encode(t, json_string_value(text), n, 0, &ids, NULL), 0);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &whole, NULL), 0);
    for (size_t i = 0; i < ids.used; i++)
        assert_int_equal(detokenizer_push(&d, ids.ids[i], &pieces, NULL), 0);
    detokenizer_end(&d, &pieces);
    assert_int_equal(whole.used, n);
    assert_int_equal(pieces.used, n);
    if (n) {
        assert_memory_equal(whole.data, json_string_value(text), n);
        assert_memory_equal(pieces.data, json_string_value(text), n);
    }
    tokens_release(&ids);
    buffer_release(&whole);
    buffer_release(&pieces);
}

static void check_small(const char *name)
{
    json_t *root = golden_new(name), *cases = json_object_get(root, "cases");
    const char *path = test_join(test_folder(), "tokenizer.json");
    assert_int_equal(json_dump_file(json_object_get(root, "tokenizer"), path, 0), 0);
    struct tokenizer *t = open_new(path, NULL);
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *text = json_array_get(one, 0);
        check_ids(t, text, 0, json_array_get(one, 1));
        check_ids(t, text, TOKENIZE_SPECIAL | TOKENIZE_DEFAULT, json_array_get(one, 2));
    }
    tokenizer_close(t);
    json_decref(root);
}

static void small_tokenizers(void **state)
{
    static const char *const names[] = {"fallback", "fused", "gpt2", "llama3", "merged", "metaspace", "own", "unknown",
        "unigram_always", "unigram_first", "unigram_folded", "unigram_unsplit"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char file[64];
        snprintf(file, sizeof file, "tokenizer_small_%s.json", names[i]);
        check_small(file);
    }
}

/* What is not supported is named, not passed over. */
static void rules_are_refused(void **state)
{
    static const char text[] = "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\","
                               "\"precompiled_charsmap\":\"AAAA\"}]},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
                               "\"vocab\":[[\"<unk>\",0],[\"a\",-1]]}}";
    const char *path = test_join(test_folder(), "tokenizer.json");
    struct error err = {0};
    struct tokenizer *t;
    (void)state;
    test_write(path, text, sizeof text - 1);
    assert_int_equal(tokenizer_open(&t, path, NULL, &err), ERROR_UNSUPPORTED);
    assert_null(t);
    assert_non_null(strstr(err.text, "normalizer \"Precompiled\" is not supported"));
}

/* -- a GGUF vocabulary "llama" -- */

static void real_gguf(void **state)
{
    const char *path = test_data("formats/gguf/ggml-vocab-baichuan.gguf");
    (void)state;
    if (!path)
        skip();
    struct tokenizer *t = open_new(path, NULL);
    json_t *cases = golden_new("tokenizer_baichuan.json");
    assert_true(json_array_size(cases) >= 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *text = json_array_get(one, 0);
        check_ids(t, text, 0, json_array_get(one, 1));
        if (!strstr(json_string_value(text), "\xe2\x96\x81")) /* that is what spaces become: it comes back as one */
            check_round_trip(t, text);
    }
    assert_int_equal(tokenizer_special(t, TOKEN_EOS), 2);
    assert_true(tokenizer_adds_bos(t));
    json_decref(cases);
    tokenizer_close(t);
}

static void small_ranks(void **state)
{
    json_t *root = golden_new("tokenizer_small_ranks.json"), *cases;
    const char *path = test_join(test_folder(), "small.tiktoken"), *preset;
    const json_t *ranks = json_object_get(root, "ranks");
    (void)state;
    test_write(path, json_string_value(ranks), json_string_length(ranks));
    json_object_foreach(json_object_get(root, "cases"), preset, cases)
    {
        struct tokenizer *t = open_new(path, preset);
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *one = json_array_get(cases, i);
            check_ids(t, json_array_get(one, 0), 0, json_array_get(one, 1));
            check_round_trip(t, json_array_get(one, 0));
        }
        tokenizer_close(t);
    }
    json_decref(root);
}

/* -- the same vocabulary as tokenizer.json and as GGUF -- */

/* A pre-tokenizer by its name in GGUF, and what a tokenizer.json says instead. */
static const struct pre {
    const char *name, *pattern; /* NULL: the one of ByteLevel */
    bool ignore_merges, nfc;
} pres[] = {
    { "gpt-2", NULL, false, false },
    { "llama-bpe", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+"
        "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", true, false },
    { "qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", false, true },
};

static struct tokenizer *open_json_as(json_t *root, const struct pre *pre)
{
    const char *path = test_join(test_folder(), "tokenizer.json");
    json_t *steps = json_array();
    if (pre->pattern)
        json_array_append_new(steps, json_pack("{s:s,s:{s:s},s:s}", "type", "Split", "pattern", "Regex", pre->pattern,
            "behavior", "Isolated"));
    json_array_append_new(steps, json_pack("{s:s,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0, "use_regex",
        !pre->pattern));
    json_object_set_new(root, "pre_tokenizer", json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", steps));
    json_object_set_new(root, "normalizer", pre->nfc ? json_pack("{s:s}", "type", "NFC") : json_null());
    json_object_set_new(json_object_get(root, "model"), "ignore_merges", json_boolean(pre->ignore_merges));
    assert_int_equal(json_dump_file(root, path, 0), 0);
    return open_new(path, NULL);
}

static void put_tokens(struct make_gguf *m, const json_t *root)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    size_t count = json_object_size(vocab), more = json_array_size(added);
    const char *pieces[1024] = { 0 }, *key;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, id)
        pieces[json_integer_value(id)] = key;
    for (size_t i = 0; i < more; i++)
        pieces[count + i] = json_text(json_array_get(added, i), "content", NULL);
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, count + more);
    for (size_t i = 0; i < count + more; i++)
        make_string(&m->keys, pieces[i], strlen(pieces[i]));
    make_array(m, "tokenizer.ggml.token_type", GGUF_INT32, count + more);
    for (size_t i = 0; i < count + more; i++)
        make_number(&m->keys, i < count ? 1 : json_flag(json_array_get(added, i - count), "special", false) ? 3 : 4, 4);
}

static struct tokenizer *open_gguf_as(const json_t *root, const struct pre *pre)
{
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    const char *path = test_join(test_folder(), "vocabulary.gguf");
    struct make_gguf m = { 0 };
    struct buffer file = { 0 };
    make_text(&m, "tokenizer.ggml.model", "gpt2");
    make_text(&m, "tokenizer.ggml.pre", pre->name);
    make_whole(&m, "tokenizer.ggml.add_bos_token", GGUF_BOOL, 0);
    put_tokens(&m, root);
    make_array(&m, "tokenizer.ggml.merges", GGUF_STRING, json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        char line[256];
        int n = snprintf(line, sizeof line, "%s %s", json_string_value(json_array_get(json_array_get(merges, i), 0)),
            json_string_value(json_array_get(json_array_get(merges, i), 1)));
        make_string(&m.keys, line, (size_t)n);
    }
    make_gguf_end(&m, &file);
    test_write(path, file.data, file.used);
    buffer_release(&file);
    return open_new(path, NULL);
}

static void check_same(const struct tokenizer *a, const struct tokenizer *b, const json_t *text, unsigned flags)
{
    struct tokens x = { 0 }, y = { 0 };
    const char *bytes = json_string_value(text);
    size_t n = json_string_length(text);
    assert_int_equal(tokenizer_encode(a, bytes, n, flags, &x, NULL), 0);
    assert_int_equal(tokenizer_encode(b, bytes, n, flags, &y, NULL), 0);
    assert_int_equal(x.used, y.used);
    for (size_t i = 0; i < x.used; i++)
        assert_int_equal(x.ids[i], y.ids[i]);
    tokens_release(&x);
    tokens_release(&y);
}

static void gguf_like_json(void **state)
{
    json_t *golden = golden_new("tokenizer_small_gpt2.json"), *root = json_object_get(golden, "tokenizer");
    json_t *cases = json_object_get(golden, "cases"), *texts = golden_new("tokenizer_texts.json");
    (void)state;
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++) {
        struct tokenizer *json = open_json_as(root, &pres[i]), *gguf = open_gguf_as(root, &pres[i]);
        assert_string_equal(tokenizer_describe(json), tokenizer_describe(gguf));
        for (unsigned flags = 0; flags <= TOKENIZE_SPECIAL; flags += TOKENIZE_SPECIAL) {
            for (size_t k = 0; k < json_array_size(cases); k++)
                check_same(json, gguf, json_array_get(json_array_get(cases, k), 0), flags);
            for (size_t k = 0; k < json_array_size(texts); k++)
                check_same(json, gguf, json_array_get(texts, k), flags);
        }
        tokenizer_close(json);
        tokenizer_close(gguf);
    }
    json_decref(golden);
    json_decref(texts);
}

/* -- real vocabularies -- */

/* Unpack a .gz of the collection into `folder`. */
static const char *unpack(const char *relative, const char *folder, const char *name)
{
    extern char **environ;
    char *arguments[] = { "gzip", "-dc", (char *)(uintptr_t)test_data(relative), NULL };
    const char *path = test_join(folder, name);
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(posix_spawnp(&child, "gzip", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return path;
}

static void check_real(const char *path, const char *preset, unsigned flags, const char *golden, bool round_trip)
{
    json_t *texts = golden_new("tokenizer_texts.json"), *ids = golden_new(golden);
    struct tokenizer *t = open_new(path, preset);
    assert_true(json_array_size(texts) > 200);
    assert_int_equal(json_array_size(texts), json_array_size(ids));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        check_ids(t, json_array_get(texts, i), flags, json_array_get(ids, i));
        if (round_trip)
            check_round_trip(t, json_array_get(texts, i));
    }
    tokenizer_close(t);
    json_decref(texts);
    json_decref(ids);
}

static void real_ranks(void **state)
{
    (void)state;
    if (!test_data("tokenizers"))
        skip();
    const char *folder = test_folder();
    check_real(unpack("tokenizers/gpt2/r50k_base.tiktoken.gz", folder, "r50k_base.tiktoken"), NULL, 0,
        "tokenizer_real_gpt2.json", true);
    check_real(unpack("tokenizers/cl100k/cl100k_base.tiktoken.gz", folder, "cl100k_base.tiktoken"), NULL, 0,
        "tokenizer_real_cl100k.json", true);
    check_real(unpack("tokenizers/o200k/o200k_base.tiktoken.gz", folder, "o200k_base.tiktoken"), "o200k_harmony", 0,
        "tokenizer_real_o200k.json", true);
    check_real(unpack("tokenizers/llama3/tokenizer.model.gz", folder, "tokenizer.model"), NULL, 0,
        "tokenizer_real_llama3.json", true);
}

static void real_merges(void **state)
{
    (void)state;
    if (!test_data("tokenizers"))
        skip();
    const char *gpt2 = test_folder(), *qwen2 = test_folder(), *phi2 = test_folder();
    unpack("tokenizers/gpt2/encoder.json.gz", gpt2, "encoder.json");
    unpack("tokenizers/gpt2/vocab.bpe.gz", gpt2, "vocab.bpe");
    check_real(gpt2, NULL, 0, "tokenizer_real_gpt2.json", true);
    unpack("tokenizers/qwen2/vocab.json.gz", qwen2, "vocab.json");
    unpack("tokenizers/qwen2/merges.txt.gz", qwen2, "merges.txt");
    check_real(qwen2, "qwen2", 0, "tokenizer_real_qwen2.json", false); /* NFC changes some of the texts */
    check_real(unpack("tokenizers/phi2/tokenizer.json.gz", phi2, "tokenizer.json"), NULL, TOKENIZE_SPECIAL,
        "tokenizer_real_phi2.json", true);
}

/* The collection has tekken.json in a compact form, ranks in one string: "! 0 AA== AQ== ...". */
static json_t *tekken_vocab_new(const char *ranks)
{
    json_t *vocab = json_array();
    for (const char *at = ranks; *at;) {
        size_t n = strcspn(at, " \n");
        if (n == 1 && *at == '!') {
            at += 2;
            at += strcspn(at, " ") + 1;
            continue;
        }
        json_t *entry = json_pack(
            "{s:i,s:s%,s:n}", "rank", (int)json_array_size(vocab), "token_bytes", at, n, "token_str");
        assert_int_equal(json_array_append_new(vocab, entry), 0);
        at += n;
        at += *at != '\0';
    }
    return vocab;
}

static void real_tekken(void **state)
{
    struct error err = { 0 };
    json_t *compact;
    (void)state;
    if (!test_data("tokenizers"))
        skip();
    const char *folder = test_folder(), *path = test_join(folder, "tekken.json");
    const char *packed = unpack("tokenizers/mistral/tekken_240718.compact.json.gz", folder, "compact.json");
    assert_int_equal(json_read_file_new(&compact, packed, JSON_BYTES_MAX, &err), 0);
    json_t *root = json_pack("{s:O,s:o}", "config", json_object_get(compact, "config"), "vocab",
        tekken_vocab_new(json_text(compact, "bpe_ranks", "")));
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    json_decref(compact);
    check_real(path, NULL, 0, "tokenizer_real_tekken.json", true);
    struct tokenizer *t = open_new(folder, NULL);
    assert_int_equal(tokenizer_size(t), 131072);
    assert_int_equal(tokenizer_special(t, TOKEN_BOS), 1);
    assert_int_equal(tokenizer_find(t, "[INST]", 6), 3);
    assert_string_equal(tokenizer_describe(t), "byte-level BPE (tekken pattern)");
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_tokenizers),
        cmocka_unit_test(rules_are_refused),
        cmocka_unit_test(real_gguf),
        cmocka_unit_test(small_ranks),
        cmocka_unit_test(gguf_like_json),
        cmocka_unit_test(real_ranks),
        cmocka_unit_test(real_merges),
        cmocka_unit_test(real_tekken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
