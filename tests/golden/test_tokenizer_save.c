/* SPDX-License-Identifier: Apache-2.0 */
/* Real vocabularies written as GGUF and as a folder, opened again: 297 texts of many scripts give the same ids. */
#include "support.h"

#include "base/fileout.h"
#include "base/json.h"
#include "file/gguf_write.h"
#include "text/save.h"
#include "text/tokenizer.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

static void must(int rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

static struct tokenizer *open_new(const char *path, const char *preset)
{
    struct error err = { 0 };
    struct tokenizer *t;
    must(tokenizer_open(&t, path, preset, &err), &err);
    return t;
}

/* "gzip -dc from > to" */
static void unpack(const char *from, const char *to)
{
    char script[8192];
    pid_t pid;
    int status;
    snprintf(script, sizeof script, "gzip -dc '%s' > '%s'", from, to);
    char *arguments[] = { "sh", "-c", script, NULL };
    assert_int_equal(posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static struct tokens encoded(const struct tokenizer *t, const json_t *text, unsigned flags)
{
    struct tokens ids = { 0 };
    struct error err = { 0 };
    must(tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &ids, &err), &err);
    return ids;
}

static void same_ids(const struct tokenizer *have, const struct tokenizer *want, const char *what)
{
    json_t *texts, *text;
    struct error err = { 0 };
    size_t i;
    must(json_read_file_new(&texts, test_repo("tests/golden/data/tokenizer_texts.json"), 8 << 20, &err), &err);
    assert_true(json_array_size(texts) > 200);
    json_array_foreach(texts, i, text)
    {
        struct tokens a = encoded(have, text, TOKENIZE_DEFAULT), b = encoded(want, text, TOKENIZE_DEFAULT);
        if (a.used != b.used || memcmp(a.ids, b.ids, a.used * sizeof *a.ids) != 0)
            fail_msg("%s: \"%s\" has %zu ids instead of %zu, or others", what, json_string_value(text), a.used, b.used);
        tokens_release(&a);
        tokens_release(&b);
    }
    json_decref(texts);
    for (int role = 0; role <= TOKEN_EOS; role++)
        assert_int_equal(tokenizer_special(have, (enum token_role)role),
            tokenizer_special(want, (enum token_role)role));
    assert_int_equal(tokenizer_adds_bos(have), tokenizer_adds_bos(want));
}

/* More rows than tokens: the rest is filled up. */
static struct tokenizer *through_gguf(const struct tokenizer *t, const char *path)
{
    struct gguf_out o = { 0 };
    struct buffer header = { 0 };
    struct error err = { 0 };
    int eos = (int)tokenizer_special(t, TOKEN_EOS);
    json_t *stops = eos >= 0 ? json_pack("[i, i]", eos, 5) : NULL;
    gguf_put_text(&o, "general.architecture", "llama", 5);
    must(tokenizer_save_gguf(t, &o, tokenizer_size(t) + 3, stops, &err), &err);
    must(gguf_out_header(&o, &header, &err), &err);
    test_write(path, header.data, header.used);
    buffer_release(&header);
    gguf_out_release(&o);
    json_decref(stops);
    struct tokenizer *again = open_new(path, NULL);
    assert_int_equal(tokenizer_size(again), tokenizer_size(t) + 3);
    if (eos >= 0)
        assert_int_equal(tokenizer_special(again, TOKEN_EOT), 5);
    assert_int_equal(tokenizer_save_gguf(t, &o, tokenizer_size(t) - 1, NULL, &err), ERROR_UNSUPPORTED);
    gguf_out_release(&o);
    return again;
}

static void check(const char *path, const char *preset, const char *what)
{
    struct tokenizer *t = open_new(path, preset);
    struct error err = { 0 };
    const char *out = test_folder();
    struct tokenizer *from_gguf = through_gguf(t, test_join(out, "t.gguf"));
    must(tokenizer_same(t, from_gguf, &err), &err);
    same_ids(from_gguf, t, what);
    /* and from there to a folder, as wazn convert goes back */
    must(tokenizer_save_folder(from_gguf, out, "{{ a template }}", &err), &err);
    struct tokenizer *from_folder = open_new(out, NULL);
    same_ids(from_folder, t, what);
    printf("    %-12s %s\n", what, tokenizer_describe(from_folder));
    tokenizer_close(t);
    tokenizer_close(from_gguf);
    tokenizer_close(from_folder);
}

/* Files of the data collection: where one is, what it is called when unpacked, how it is opened. */
static void real_vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *what, *files[2], *names[2], *preset;
    } list[] = {
        { "gpt2", { "gpt2/encoder.json.gz", "gpt2/vocab.bpe.gz" }, { "encoder.json", "vocab.bpe" }, NULL },
        { "qwen2", { "qwen2/vocab.json.gz", "qwen2/merges.txt.gz" }, { "vocab.json", "merges.txt" }, "qwen2" },
        { "llama3", { "llama3/tokenizer.model.gz" }, { "tokenizer.model" }, "llama3" },
        { "o200k", { "o200k/o200k_base.tiktoken.gz" }, { "o200k_base.tiktoken" }, "o200k_harmony" },
        { "phi2", { "phi2/tokenizer.json.gz" }, { "tokenizer.json" }, NULL },
    };
    if (!test_data("tokenizers"))
        skip();
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const char *folder = test_folder();
        char from[2048];
        for (int k = 0; k < 2 && list[i].files[k]; k++) {
            snprintf(from, sizeof from, "tokenizers/%s", list[i].files[k]);
            unpack(test_data(from), test_join(folder, list[i].names[k]));
        }
        check(test_join(folder, list[i].names[0]), list[i].preset, list[i].what);
    }
}

static void real_sentencepiece(void **state)
{
    (void)state;
    static const char *const list[] = { "tokenizers/llama2/tokenizer.model",
        "tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3", "weights/stories260K/hf/tokenizer.model" };
    if (!test_data("tokenizers"))
        skip();
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        check(test_data(list[i]), NULL, "SentencePiece");
}

/* What no name of tokenizer.ggml.pre stands for is refused. */
static void patterns_without_a_name_are_refused(void **state)
{
    (void)state;
    static const char json[] = "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
        "\"pattern\": {\"Regex\": \"[a-z]+|.\"}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": "
        "\"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}, \"decoder\": {\"type\": \"ByteLevel\"}, "
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}";
    const char *path = test_join(test_folder(), "tokenizer.json");
    struct gguf_out o = { 0 };
    struct error err = { 0 };
    test_write(path, json, sizeof json - 1);
    struct tokenizer *t = open_new(path, NULL);
    assert_int_equal(tokenizer_save_gguf(t, &o, 3, NULL, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "GGUF has no name for a pre-tokenizer like this"));
    assert_int_equal(tokenizer_save_folder(t, test_folder(), NULL, &err), ERROR_UNSUPPORTED);
    gguf_out_release(&o);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_vocabularies),
        cmocka_unit_test(real_sentencepiece),
        cmocka_unit_test(patterns_without_a_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
