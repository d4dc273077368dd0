/* SPDX-License-Identifier: Apache-2.0 */
/* Every published form becomes messages, and samples whose learned tokens are what the assistant says. */
#include "small_spm.h"
#include "support.h"
#include "train/render.h"

#include <stdlib.h>
#include <string.h>

static const char *const controls[] = {"<|im_start|>", "<|im_end|>"};

static const char *written(const char *name, const char *text)
{
    static const char *folder;
    if (!folder)
        folder = test_folder();
    const char *path = test_join(folder, name);
    test_write(path, text, strlen(text));
    return path;
}

/* Samples: what is learned in brackets, <|im_start|> as ^ and <|im_end|> as $. */
static char *shown(const struct dataset *d)
{
    struct buffer out = {0};
    for (size_t i = 0; i < dataset_size(d)->samples; i++) {
        struct train_text s;
        bool inside = false;
        dataset_sample(d, i, &s);
        for (int k = 0; k <= s.count; k++) {
            bool learned = k > 0 && s.targets[k - 1] != TRAIN_SKIP;
            if (learned != inside)
                buffer_add_byte(&out, learned ? '[' : ']');
            inside = learned;
            if (k < s.count)
                buffer_add_byte(&out, s.ids[k] < 256 ? (char)s.ids[k] : s.ids[k] == 256 ? '^' : '$');
        }
        buffer_add_text(&out, inside ? "]|" : "|");
    }
    return buffer_new_text(&out);
}

static int make(struct dataset **d, struct render_counts *counts, const char *record, struct render_options o,
    struct error *err)
{
    struct tokenizer *t = small_byte_tokenizer(controls, 2, NULL, "<|im_end|>");
    struct examples *e;
    const char *path = written("a.jsonl", record);
    o.tokens_max = o.tokens_max ? o.tokens_max : 1000;
    assert_int_equal(examples_open(&e, &path, 1, &(struct examples_options){0}, err), 0);
    int rc = render_dataset(d, counts, e, t, &o, err);
    examples_close(e);
    tokenizer_close(t);
    return rc;
}

static void gives(const char *record, struct render_options o, const char *want)
{
    struct error err = {0};
    struct dataset *d;
    struct render_counts counts;
    if (make(&d, &counts, record, o, &err))
        fail_msg("%s", err.text);
    char *text = shown(d);
    assert_string_equal(text, want);
    free(text);
    dataset_close(d);
}

static void refused(const char *record, const char *words)
{
    struct error err = {0};
    struct dataset *d;
    struct render_counts counts;
    assert_true(make(&d, &counts, record, (struct render_options){.format = chat_format_find("chatml")}, &err) < 0);
    if (!strstr(err.text, words) || !strstr(err.text, "a.jsonl:1"))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

#define Q "{\"role\":\"user\",\"content\":\"q\"}"
#define A "{\"role\":\"assistant\",\"content\":\"a\"}"
#define QA "^user\nq$\n^assistant\n[a$]\n|"

static void forms_become_samples(void **state)
{
    (void)state;
    const struct render_options chat = {.format = chat_format_find("chatml")}, base = {0};
    gives("{\"messages\":[" Q "," A "]}", chat, QA);
    gives("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":\"a\"}]}", chat, QA);
    gives("{\"instruction\":\"q\",\"input\":\"\",\"output\":\"a\"}", chat, QA);
    gives("{\"instruction\":\"q\",\"input\":\"i\",\"output\":\"a\"}", chat, "^user\nq\n\ni$\n^assistant\n[a$]\n|");
    gives("{\"prompt\":\"q\",\"completion\":\"a\"}", chat, QA);
    gives("{\"prompt\":\"q\",\"completion\":\"a\"}", base, "q[a$]|");
    gives("{\"prompt\":[" Q "],\"completion\":[" A "]}",
        chat, QA);
    gives("{\"text\":\"some\"}", chat, "s[ome$]|");
    gives("{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"b\"}", chat, QA "^user\nq$\n^assistant\n[b$]\n|");
    gives("{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\",\"rejected\":\"\\n\\nHuman: q\\n\\nAssistant: b\"}", chat,
        QA "^user\nq$\n^assistant\n[b$]\n|");
    gives("{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"a\"},"
          "\"rejected\":{\"from\":\"gpt\",\"value\":\"b\"}}", chat, QA "^user\nq$\n^assistant\n[b$]\n|");
}

#define TWO "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}," \
            "{\"role\":\"user\",\"content\":\"r\"},{\"role\":\"assistant\",\"content\":\"b\"," \
            "\"reasoning_content\":\"t\"}]}"

static void turns_and_thoughts_are_chosen(void **state)
{
    (void)state;
    const struct chat_format *qwen = chat_format_find("qwen3");
    const char *front = "^user\nq$\n^assistant\n[a$]\n^user\nr$\n^assistant\n";
    struct buffer want = {0};
    buffer_printf(&want, "%s[<think>\nt\n</think>\n\nb$]\n|", front);
    gives(TWO, (struct render_options){.format = qwen}, want.data);
    buffer_clear(&want);
    buffer_printf(&want, "%s<think>\nt\n</think>\n\n[b$]\n|", front);
    gives(TWO, (struct render_options){.format = qwen, .skip_reasoning = true}, want.data);
    gives(TWO, (struct render_options){.format = qwen, .skip_reasoning = true, .last_turn = true},
        "^user\nq$\n^assistant\na$\n^user\nr$\n^assistant\n<think>\nt\n</think>\n\n[b$]\n|");
    buffer_release(&want);
}

static void long_and_empty_ones_are_named(void **state)
{
    (void)state;
    static const char *const records = "{\"prompt\":\"q\",\"completion\":\"abcdefgh\"}\n"
                                       "{\"prompt\":\"q\",\"completion\":\"a\"}\n{\"messages\":[" Q "]}\n";
    struct render_options o = {.tokens_max = 5};
    struct dataset *d;
    struct render_counts counts;
    struct error err = {0};
    assert_int_equal(make(&d, &counts, records, o, &err), 0);
    assert_int_equal(counts.examples, 3);
    assert_int_equal(counts.too_long.n, 1);
    assert_non_null(strstr(counts.too_long.at[0], "a.jsonl:1"));
    assert_int_equal(counts.empty.n, 1);
    assert_non_null(strstr(counts.empty.at[0], "a.jsonl:3"));
    assert_int_equal(dataset_size(d)->samples, 1);
    assert_int_equal(dataset_size(d)->counted_bytes, 1);
    dataset_close(d);
    o.too_long = RENDER_CUT;
    gives(records, o, "q[abcd]|q[a$]|");
    o.too_long = RENDER_FAIL;
    assert_int_equal(make(&d, &counts, records, o, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "a.jsonl:1: it has 10 tokens, the limit is 5"));
}

static void what_is_no_example_is_named(void **state)
{
    (void)state;
    refused("{\"x\":1}", "no kind of example");
    refused("{\"messages\":[{\"role\":\"bot\",\"content\":\"q\"}]}", "the role \"bot\"");
    refused("{\"messages\":[]}", "it has no messages");
    refused("{\"messages\":[3]}", "message 1 is no object");
    refused("{\"messages\":[{\"role\":\"user\"}]}", "neither content nor calls");
    refused("{\"chosen\":\"a\",\"rejected\":\"b\"}", "do not begin with the same prompt");
    refused("{\"prompt\":\"q\",\"answer\":\"a\"}", "nothing to learn");
    refused("{\"conversations\":[{\"from\":\"function_call\",\"value\":\"{\"}]}", "function_call");
}

static void real_files(void **state)
{
    (void)state;
    static const struct { const char *path; size_t samples; } files[] = {{"hh-rlhf/harmless-base.test.jsonl.gz", 4000},
        {"llamafactory/dpo_en_demo.json.gz", 600}, {"llamafactory/glaive_toolcall_en_demo.json.gz", 300},
        {"llamafactory/identity.json", 80}, {"rasbt/instruction-data.json.gz", 1100},
        {"rasbt/instruction-data-with-preference.json.gz", 2200}, {"fastchat/dummy_conversation.json.gz", 100}};
    struct tokenizer *t = small_byte_tokenizer(controls, 2, NULL, "<|im_end|>");
    if (!test_data("instruct")) {
        tokenizer_close(t);
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct examples *e;
        struct dataset *d;
        struct render_counts counts;
        struct error err = {0};
        const char *path = test_data(test_join("instruct", files[i].path));
        assert_int_equal(examples_open(&e, &path, 1, &(struct examples_options){0}, &err), 0);
        if (render_dataset(&d, &counts, e, t,
                &(struct render_options){.format = chat_format_find("qwen3"), .tokens_max = 100000}, &err))
            fail_msg("%s", err.text);
        if (dataset_size(d)->samples < files[i].samples || counts.too_long.n)
            fail_msg("%s: %zu samples", path, dataset_size(d)->samples);
        dataset_close(d);
        examples_close(e);
    }
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_become_samples),
        cmocka_unit_test(turns_and_thoughts_are_chosen),
        cmocka_unit_test(long_and_empty_ones_are_named),
        cmocka_unit_test(what_is_no_example_is_named),
        cmocka_unit_test(real_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
