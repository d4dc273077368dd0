/* SPDX-License-Identifier: Apache-2.0 */
/* run, tokenize, logits and inspect. */
#include "program.h"

#include "file/source.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Sanitizers keep memory of their own beside the program's. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define STORIES "weights/stories260K/hf"
#define NO_END "256=-inf,257=-inf,258=-inf"

static const char *small(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(
            &(struct made_model) { .layers = 2, .dim = 64, .ffn = 96, .context = 128, .chat = MADE_CHATML });
    return folder;
}

static void stories_speak_their_documented_ids(void **state)
{
    (void)state;
    static const int expected[] = { 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401,
        396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433 };
    const char *model = test_data(STORIES);
    struct program p;
    if (!model)
        skip();
    RUN(&p, 0, NULL, "run", "-m", model, "--raw", "--temp", "0", "-n", "30", "--json", "");
    json_t *out = program_json(&p);
    const json_t *ids = json_object_get(out, "ids");
    assert_int_equal(json_array_size(ids), 30);
    for (size_t i = 0; i < 30; i++)
        assert_int_equal(json_integer_value(json_array_get(ids, i)), expected[i]);
    assert_int_equal(json_whole(out, "prompt_tokens", -1), 1);
    assert_int_equal(json_whole(out, "generated_tokens", -1), 30);
    assert_string_equal(json_text(out, "stop_reason", ""), "length");
    assert_non_null(strstr(json_text(out, "text", ""), "Once upon a time, there was a little girl named Lily"));
    json_decref(out);
    program_release(&p);
}

static void output_is_the_text_alone(void **state)
{
    (void)state;
    struct program p, q;
    RUN(&p, 0, NULL, "run", "-m", small(), "--temp", "0", "-n", "20", "--json", "Hello");
    json_t *out = program_json(&p);
    RUN(&q, 0, "Hello", "run", "-m", small(), "--temp", "0", "-n", "20", "-");
    const char *text = json_text(out, "text", NULL);
    assert_non_null(text);
    assert_string_equal(q.output.data, text);
    assert_non_null(strstr(q.errors.data, "plan: weights"));
    assert_non_null(strstr(q.errors.data, "sampling: temperature 0 (command line)\n"));
    assert_non_null(strstr(q.errors.data, "tokens/s"));
    /* <|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n over single bytes */
    assert_int_equal(json_whole(out, "prompt_tokens", -1), 3 + 5 + 5 + 1 + 10);
    program_release(&q);
    RUN(&q, 0, NULL, "run", "-m", small(), "--temp", "0", "-n", "20", "-q", "Hello");
    assert_string_equal(q.output.data, text);
    assert_int_equal(q.errors.used, 0);
    json_decref(out);
    program_release(&p);
    program_release(&q);
}

static void seeds_repeat(void **state)
{
    (void)state;
    struct program p[3];
    static const char *const seeds[] = { "7", "7", "8" };
    for (int i = 0; i < 3; i++)
        RUN(&p[i], 0, NULL, "run", "-m", small(), "--seed", seeds[i], "--temp", "1.5", "-n", "40", "--logit-bias",
            NO_END, "--threads", i == 1 ? "1" : "2", "--raw", "x");
    assert_string_equal(p[0].output.data, p[1].output.data);
    assert_string_not_equal(p[0].output.data, p[2].output.data);
    for (int i = 0; i < 3; i++)
        program_release(&p[i]);
}

static void context_ends_aloud(void **state)
{
    (void)state;
    char prompt[400];
    struct program p;
    RUN(&p, 0, NULL, "run", "-m", small(), "--temp", "0", "--logit-bias", NO_END, "--raw", "--json", "x");
    json_t *out = program_json(&p);
    assert_string_equal(json_text(out, "stop_reason", ""), "context");
    assert_int_equal(json_whole(out, "generated_tokens", -1), 128);
    assert_non_null(strstr(p.errors.data, "the context of 128 tokens is full"));
    json_decref(out);
    program_release(&p);
    memset(prompt, 'a', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = '\0';
    RUN(&p, 8, NULL, "run", "-m", small(), "--raw", prompt);
    assert_non_null(strstr(p.errors.data, "399 tokens do not fit the context of 128"));
    program_release(&p);
    RUN(&p, 2, NULL, "run", "-m", small(), "--ctx", "129", "--raw", "x");
    assert_non_null(strstr(p.errors.data, "at most 128"));
    program_release(&p);
}

static void base_models_continue(void **state)
{
    (void)state;
    const char *base = make_model(&(struct made_model) { .layers = 1, .dim = 64, .ffn = 64, .context = 64 });
    /* Without a template, and without the tokens of a format either, there is nothing but the text. */
    struct program p;
    const char *config = "{\"bos_token\": \"<|endoftext|>\", \"chat_template\": \"{{ 'mystery' }}\"}";
    RUN(&p, 0, NULL, "run", "-m", base, "-n", "2", "--chat-format", "chatml", "hi");
    program_release(&p);
    RUN(&p, 2, NULL, "run", "-m", base, "--chat-format", "nonsense", "hi");
    assert_non_null(strstr(p.errors.data, "chatml"));
    program_release(&p);
    test_write(test_join(base, "tokenizer_config.json"), config, strlen(config));
    RUN(&p, 6, NULL, "run", "-m", base, "hi");
    assert_non_null(strstr(p.errors.data, "--chat-format"));
    assert_non_null(strstr(p.errors.data, "--raw"));
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", base, "-n", "2", "--raw", "hi");
    program_release(&p);
}

static void interrupt_stops_cleanly(void **state)
{
    (void)state;
    const char *slow = make_model(&(struct made_model) { .layers = 4, .dim = 256, .ffn = 512, .context = 16384 });
    struct program p;
    const char *const arguments[] = { "run", "-m", slow, "--raw", "--temp", "0", "-n", "16000", "--logit-bias", NO_END,
        "-", NULL };
    program_start(&p, arguments);
    program_write(&p, "go");
    program_close_input(&p);
    program_wait_output(&p, 20);
    kill(p.pid, SIGINT);
    program_end(&p);
    assert_int_equal(p.status, 130);
    assert_non_null(strstr(p.errors.data, "cancelled"));
    program_release(&p);
}

static void plan_is_what_is_used(void **state)
{
    (void)state;
    const char *large = make_model(&(struct made_model) { .layers = 3, .dim = 512, .ffn = 2048, .context = 2048 });
    struct program p;
    char prompt[1501];
    if (SANITIZED)
        skip();
    memset(prompt, 'b', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = '\0';
    RUN(&p, 0, NULL, "run", "-m", large, "--raw", "-n", "4", "--kv", "f32", "--json", prompt);
    json_t *out = program_json(&p);
    double plan = (double)json_whole(out, "planned_bytes", 0), measured = (double)p.peak_rss;
    printf("plan %.1f MiB, measured peak %.1f MiB\n", plan / 1048576, measured / 1048576);
    assert_true(fabs(plan - measured) <= 0.03 * plan + 8 * 1048576.0);
    json_decref(out);
    program_release(&p);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const char *huge = make_model(&(struct made_model) { .layers = 2, .dim = 256, .ffn = 64, .context = 1 << 28 });
    static const char *const ways[] = { "the model does not fit", "--ctx ", "--kv q8_0 saves", "q8_0: weights",
        "--force", "MiB is available" };
    struct program p;
    RUN(&p, 8, NULL, "run", "-m", huge, "--ctx", "16000000", "--kv", "f32", "--raw", "x");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!strstr(p.errors.data, ways[i]))
            fail_msg("no \"%s\" in: %s", ways[i], p.errors.data);
    }
    assert_int_equal(p.output.used, 0);
    program_release(&p);
}

static void tokenize_goes_both_ways(void **state)
{
    (void)state;
    struct program p, q;
    const char *text = "Peace \xd8\xb3\xd9\x84\xd8\xa7\xd9\x85 <|im_end|>\n\ttab";
    RUN(&p, 0, text, "tokenize", "-m", small(), "-");
    assert_null(strstr(p.output.data, "258"));
    assert_int_equal(strncmp(p.output.data, "80 101 97 99 101 32 ", 20), 0);
    RUN(&q, 0, NULL, "tokenize", "-m", small(), "--decode", p.output.data);
    assert_string_equal(q.output.data, text);
    program_release(&p);
    program_release(&q);
    RUN(&p, 0, NULL, "tokenize", "-m", small(), "--bos", "--special", "--json", "a<|im_end|>b");
    assert_string_equal(p.output.data, "[256,97,258,98]\n");
    program_release(&p);
    RUN(&p, 2, NULL, "tokenize", "-m", small(), "--decode", "1 2 zwei");
    assert_non_null(strstr(p.errors.data, "zwei"));
    program_release(&p);
    RUN(&p, 2, NULL, "tokenize", "-m", small(), "--decode", "99999");
    program_release(&p);
}

static void logits_are_readable(void **state)
{
    (void)state;
    const char *path = test_join(test_folder(), "out.safetensors");
    struct program p;
    struct source *s;
    struct error e = { 0 };
    char ids[600] = "1";
    for (int i = 2; i <= 100; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), ",%d", i);
    RUN(&p, 0, NULL, "logits", "-m", small(), "--tokens", ids, "-o", path);
    program_release(&p);
    if (source_open(&s, path, NULL, NULL, &e) != 0)
        fail_msg("%s", e.text);
    const struct file_tensor *t = source_find(s, "logits");
    assert_non_null(t);
    assert_string_equal(t->type_name, "F32");
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 100);
    assert_int_equal(t->shape[1], MADE_VOCABULARY);
    const float *values = t->data;
    for (int i = 0; i < 100 * MADE_VOCABULARY; i++)
        assert_true(isfinite(values[i]));
    source_close(s);
    RUN(&p, 2, NULL, "logits", "-m", small(), "--tokens", "1,400", "-o", path);
    assert_non_null(strstr(p.errors.data, "400"));
    program_release(&p);
    RUN(&p, 3, NULL, "logits", "-m", small(), "--tokens", "1", "-o", "/nowhere/out.safetensors");
    program_release(&p);
}

static void inspect_tells_everything(void **state)
{
    (void)state;
    static const char *const keys[] = { "model", "files", "formats", "tokenizer", "special_tokens", "chat_format",
        "sampling", "licence", "family", "parameters", "layers", "sizes", "context", "plan" };
    static const char mit[] = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining\na "
        "copy of this software, to deal in it without restriction, including";
    const char *model = make_model(&(struct made_model) {
        .layers = 1, .dim = 64, .ffn = 64, .context = 64, .chat = MADE_CHATML });
    struct program p;
    test_write(test_join(model, "LICENSE"), mit, sizeof mit - 1);
    test_write(test_join(model, "README.md"), "---\nlicense: llama3.1\n---\nx", 27);
    RUN(&p, 0, NULL, "inspect", "-m", model, "--json", "--sha256", "--ctx", "32");
    json_t *out = program_json(&p);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!json_object_get(out, keys[i]))
            fail_msg("no \"%s\" in %s", keys[i], p.output.data);
    }
    assert_string_equal(json_text(out, "family", ""), "llama");
    assert_int_equal(json_whole(json_object_get(out, "plan"), "context", 0), 32);
    assert_int_equal(strlen(json_text(json_array_get(json_object_get(out, "files"), 0), "sha256", "")), 64);
    const json_t *licence = json_object_get(out, "licence");
    assert_string_equal(json_text(json_array_get(licence, 0), "name", ""), "MIT License");
    const json_t *restrictions = json_object_get(json_array_get(licence, 1), "restrictions");
    assert_non_null(strstr(json_string_value(json_array_get(restrictions, 0)), "700 million"));
    json_decref(out);
    program_release(&p);
    RUN(&p, 0, NULL, "inspect", "-m", model);
    assert_non_null(strstr(p.output.data, "! needs a licence of its own above 700 million"));
    assert_non_null(strstr(p.output.data, "temperature           0.8  (default)"));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_speak_their_documented_ids),
        cmocka_unit_test(output_is_the_text_alone),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(context_ends_aloud),
        cmocka_unit_test(base_models_continue),
        cmocka_unit_test(interrupt_stops_cleanly),
        cmocka_unit_test(plan_is_what_is_used),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(tokenize_goes_both_ways),
        cmocka_unit_test(logits_are_readable),
        cmocka_unit_test(inspect_tells_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
