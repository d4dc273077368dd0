/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as they come: no UTF-8, nothing at all, ten megabytes, from right to left; and templates as published. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARABIC                                                     \
    "\xd8\xa7\xd9\x84\xd8\xb3\xd9\x91\xd9\x8e\xd9\x84\xd8\xa7\xd9\x85\xd9\x8f " \
    "\xd8\xb9\xd9\x84\xd9\x8a\xd9\x83\xd9\x85 "
#define BIG ((size_t)10 << 20)

static const char *model(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(
            &(struct made_model) { .layers = 2, .dim = 64, .ffn = 96, .context = 256, .chat = MADE_CHATML });
    return folder;
}

static void bytes_that_are_no_text_come_back(void **state)
{
    (void)state;
    static const char odd[] = "a\xff\xfe\xc3(\xed\xa0\x80\xf4\x90\x80\x80\xe2\x96";
    struct program p;
    RUN(&p, 0, odd, "tokenize", "-m", model(), "-");
    char ids[200];
    size_t at = 0;
    for (size_t i = 0; i < sizeof odd - 1; i++) /* the vocabulary is that of bytes */
        at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%d", i ? " " : "", (unsigned char)odd[i]);
    snprintf(ids + at, sizeof ids - at, "\n");
    assert_string_equal(p.output.data, ids);
    program_release(&p);
    RUN(&p, 0, NULL, "tokenize", "-m", model(), "--decode", ids);
    assert_int_equal(p.output.used, sizeof odd - 1);
    assert_memory_equal(p.output.data, odd, sizeof odd - 1);
    program_release(&p);
    RUN(&p, 0, odd, "run", "-m", model(), "-n", "3", "--temp", "0", "--raw", "--json", "-");
    json_t *out = program_json(&p);
    assert_int_equal(json_whole(out, "prompt_tokens", -1), (long long)sizeof odd - 1);
    json_decref(out);
    program_release(&p);
}

static void an_empty_text_has_no_tokens(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 0, NULL, "tokenize", "-m", model(), "");
    assert_string_equal(p.output.data, "\n");
    program_release(&p);
    RUN(&p, 0, "", "tokenize", "-m", model(), "--json", "-");
    assert_string_equal(p.output.data, "[]\n");
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", model(), "-n", "2", "--temp", "0", "");
    program_release(&p);
}

static void ten_megabytes_are_read(void **state)
{
    (void)state;
    const char *path = test_join(test_folder(), "big.txt");
    char *text = malloc(BIG + 1);
    struct program p;
    size_t ids = 0;
    assert_non_null(text);
    for (size_t i = 0; i < BIG; i++)
        text[i] = "ab \xd8\xa8\n"[i % 6 < 5 ? i % 6 : 0];
    text[BIG] = '\0';
    test_write(path, text, BIG);
    RUN(&p, 0, NULL, "tokenize", "-m", model(), "--file", path);
    for (size_t i = 0; i < p.output.used; i++)
        ids += p.output.data[i] == ' ' || p.output.data[i] == '\n';
    assert_int_equal(ids, BIG);
    program_release(&p);
    RUN(&p, 8, text, "run", "-m", model(), "--raw", "-");
    assert_non_null(strstr(p.errors.data, "10485760 tokens do not fit the context of 256"));
    assert_int_equal(p.output.used, 0);
    program_release(&p);
    free(text);
}

/* Token 256 says something in Arabic, and a bias makes it the only one. */
static const char *arabic_model(void)
{
    const char *folder = make_model(
        &(struct made_model) { .layers = 1, .dim = 64, .ffn = 96, .context = 256, .chat = MADE_CHATML });
    const char *path = test_join(folder, "tokenizer.json");
    json_t *root;
    assert_int_equal(json_read_file_new(&root, path, 1 << 20, NULL), 0);
    json_t *token = json_array_get(json_object_get(root, "added_tokens"), 0);
    json_object_set_new(token, "content", json_string(ARABIC));
    json_object_set_new(token, "special", json_false());
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    return folder;
}

static void arabic_stays_whole(void **state)
{
    (void)state;
    const char *folder = arabic_model();
    struct program p;
    RUN(&p, 0, NULL, "run", "-m", folder, "-n", "3", "--temp", "0", "--logit-bias", "256=1000", ARABIC);
    assert_string_equal(p.output.data, ARABIC ARABIC ARABIC);
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", folder, "-n", "2", "--temp", "0", "--logit-bias", "256=1000", "--json", ARABIC);
    json_t *out = program_json(&p);
    assert_string_equal(json_text(out, "text", ""), ARABIC ARABIC);
    json_decref(out);
    program_release(&p);
    RUN(&p, 0, ARABIC "\n", "chat", "-m", folder, "-n", "2", "--temp", "0", "--logit-bias", "256=1000");
    assert_non_null(strstr(p.output.data, ARABIC ARABIC));
    program_release(&p);
}

/* The template that Qwen2 was published with, in a made model. */
static void a_published_template_is_known(void **state)
{
    (void)state;
    const char *published = test_data("tokenizers/qwen2/tokenizer_config.json");
    json_t *root;
    struct program p;
    if (!published)
        skip();
    const char *folder = make_model(&(struct made_model) { .layers = 1, .dim = 64, .ffn = 96, .context = 256 });
    assert_int_equal(json_read_file_new(&root, published, 1 << 20, NULL), 0);
    json_t *config = json_pack("{s:s,s:O}", "eos_token", "<|im_end|>", "chat_template",
        json_object_get(root, "chat_template"));
    assert_non_null(config);
    assert_int_equal(json_dump_file(config, test_join(folder, "tokenizer_config.json"), 0), 0);
    json_decref(config);
    json_decref(root);
    RUN(&p, 0, NULL, "run", "-m", folder, "-n", "2", "--temp", "0", "--json", "Hello");
    json_t *out = program_json(&p);
    /* <|im_start|>system\nYou are a helpful assistant.<|im_end|>\n, then the user's and the assistant's beginning */
    assert_int_equal(json_whole(out, "prompt_tokens", -1), (1 + 7 + 28 + 1 + 1) + (1 + 5 + 5 + 1 + 1) + (1 + 10));
    json_decref(out);
    program_release(&p);
    RUN(&p, 0, "Hello\nand again\n/stats\n", "chat", "-m", folder, "-n", "2", "--temp", "0", "--logit-bias",
        "258=-inf");
    assert_non_null(strstr(p.errors.data, "4 messages"));
    program_release(&p);
    RUN(&p, 0, NULL, "inspect", "-m", folder);
    assert_non_null(strstr(p.output.data, "qwen2"));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_are_no_text_come_back),
        cmocka_unit_test(an_empty_text_has_no_tokens),
        cmocka_unit_test(ten_megabytes_are_read),
        cmocka_unit_test(arabic_stays_whole),
        cmocka_unit_test(a_published_template_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
