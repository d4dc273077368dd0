/* SPDX-License-Identifier: Apache-2.0 */
/* Samples and their sums as a person sees them, and prompts for learning from rewards. */
#include "cli/preview.h"
#include "small_spm.h"
#include "support.h"
#include "train/prompts.h"

#include <string.h>

static const char *const controls[] = {"<|im_start|>", "<|im_end|>"};

static struct examples *opened(const char *text)
{
    struct examples *e;
    const char *path = test_join(test_folder(), "a.jsonl");
    test_write(path, text, strlen(text));
    assert_int_equal(examples_open(&e, &path, 1, &(struct examples_options){0}, NULL), 0);
    return e;
}

#define I "\xe2\x81\xa8"
#define E "\xe2\x81\xa9"
#define B "\xe2\x94\x82"

static void samples_are_shown(void **state)
{
    (void)state;
    struct tokenizer *t = small_byte_tokenizer(controls, 2, NULL, "<|im_end|>");
    struct examples *e = opened("{\"prompt\":\"q\\n\",\"completion\":\"a\"}\n"
                                "{\"prompt\":\"too\",\"completion\":\"long\"}\n");
    struct dataset *d;
    struct render_counts counts;
    struct buffer out = {0};
    struct error err = {0};
    assert_int_equal(render_dataset(&d, &counts, e, t, &(struct render_options){.tokens_max = 5}, &err), 0);
    assert_int_equal(preview_samples(&out, d, t, 3, false, &err), 0);
    assert_string_equal(out.data, "sample 1 of 1, 4 tokens\n" I "q" E B I "\xe2\x86\xb5" E "\n" B
        "\xe2\x9f\xa6" I "a" E B I "<|im_end|>" E "\xe2\x9f\xa7\n\n");
    buffer_clear(&out);
    assert_int_equal(preview_samples(&out, d, t, 1, true, &err), 0);
    assert_non_null(strstr(out.data, "\033[32m" I "a" E B I "<|im_end|>" E "\033[0m\n"));
    buffer_clear(&out);
    preview_sums(&out, d, &counts);
    assert_non_null(strstr(out.data, "samples   1\ntokens    4, longest 4\nlearned   2 (50.0%)\ntoo long  1: /"));
    assert_non_null(strstr(out.data, "a.jsonl:2\n"));
    buffer_release(&out);
    dataset_close(d);
    examples_close(e);
    tokenizer_close(t);
}

static void prompts_end_where_the_assistant_begins(void **state)
{
    (void)state;
    struct tokenizer *t = small_byte_tokenizer(controls, 2, NULL, "<|im_end|>");
    struct examples *e = opened("{\"prompt\":\"q\",\"answer\":\"7\",\"level\":3}\n"
                                "{\"prompt\":\"longer than it may be\",\"answer\":\"\"}");
    struct render_options o = {.format = chat_format_find("chatml"), .tokens_max = 30};
    struct prompts p;
    struct render_counts counts;
    struct error err = {0};
    struct buffer text = {0};
    assert_int_equal(prompts_read(&p, &counts, e, t, &o, &err), 0);
    assert_int_equal(p.n, 1);
    assert_int_equal(counts.too_long.n, 1);
    assert_int_equal(json_whole(p.at[0].record, "level", 0), 3);
    assert_int_equal(tokenizer_decode(t, p.at[0].ids.ids, p.at[0].ids.used, true, &text, &err), 0);
    assert_string_equal(text.data, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    prompts_release(&p);
    examples_rewind(e);
    o.too_long = RENDER_FAIL;
    assert_int_equal(prompts_read(&p, &counts, e, t, &o, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "a.jsonl:2: it has"));
    buffer_release(&text);
    examples_close(e);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_shown), cmocka_unit_test(prompts_end_where_the_assistant_begins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
