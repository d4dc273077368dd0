/* SPDX-License-Identifier: Apache-2.0 */
/* Every chat format against transformers' apply_chat_template: data/chat/FORMAT.json, written by tools/golden/chat.py.
 */
#include "small_spm.h"
#include "support.h"
#include "text/chat/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROLS_MAX 32

/* The case's tokens as ids of the byte vocabulary. */
static void expected_ids(const struct tokenizer *t, const json_t *list, struct tokens *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *part = json_array_get(list, i);
        if (json_is_array(part)) {
            const char *name = json_string_value(json_array_get(part, 0));
            int32_t id = tokenizer_find(t, name, strlen(name));
            assert_true(id >= 256);
            tokens_add(out, id);
            continue;
        }
        const unsigned char *text = (const unsigned char *)json_string_value(part);
        for (size_t k = 0; k < json_string_length(part); k++)
            tokens_add(out, text[k]);
    }
}

static void show(const struct tokenizer *t, const char *title, const struct tokens *ids)
{
    struct buffer text = {0};
    tokenizer_decode(t, ids->ids, ids->used, true, &text, NULL);
    print_message("%s: %s\n", title, text.data ? text.data : "");
    buffer_release(&text);
}

/* tokens: as expected_ids takes them, null where the reference refuses; or ids. */
static void run_case(const struct chat_format *f, const struct tokenizer *t, const json_t *c, size_t number)
{
    struct error err = {0};
    struct tokens got = {0}, want = {0};
    struct chat_message *messages;
    struct chat_request r = {.tools = json_object_get(c, "tools"),
        .add_generation_prompt = json_flag(c, "add_generation_prompt", false),
        .date = json_text(c, "date_string", NULL)};
    const json_t *thinking = json_object_get(c, "enable_thinking"), *tokens = json_object_get(c, "tokens");
    if (thinking)
        r.thinking = json_is_true(thinking) ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
    assert_int_equal(chat_messages_new(&messages, &r.n_messages, json_object_get(c, "messages"), &err), 0);
    r.messages = messages;
    int rc = chat_render(f, t, &r, &got, &err);
    if (json_is_null(tokens)) {
        assert_int_equal(rc, ERROR_USAGE);
    } else {
        const json_t *ids = json_object_get(c, "ids");
        for (size_t i = 0; i < json_array_size(ids); i++)
            tokens_add(&want, (int32_t)json_integer_value(json_array_get(ids, i)));
        expected_ids(t, tokens, &want);
        assert_true(want.used > 0 || r.n_messages == 0);
        if (rc || got.used != want.used || memcmp(got.ids, want.ids, want.used * sizeof *want.ids) != 0) {
            print_message("%s, case %zu: %s\n", f->name, number, err.text);
            show(t, "want", &want);
            show(t, "got ", &got);
            fail();
        }
    }
    free(messages);
    tokens_release(&got);
    tokens_release(&want);
}

static void test_formats(void **state)
{
    (void)state;
    for (int i = 0; chat_formats[i]; i++) {
        const struct chat_format *f = chat_formats[i];
        struct error err = {0};
        const char *controls[CONTROLS_MAX];
        char name[256];
        json_t *golden;
        if (strcmp(f->name, "plain") == 0 || strcmp(f->name, "harmony") == 0) /* the latter: test_harmony.c */
            continue;
        snprintf(name, sizeof name, "tests/golden/data/chat/%s.json", f->name);
        assert_int_equal(json_read_file_new(&golden, test_repo(name), 1 << 20, &err), 0);
        const json_t *list = json_object_get(golden, "controls"), *cases = json_object_get(golden, "cases");
        int n = (int)json_array_size(list);
        assert_true(n > 0 && n <= CONTROLS_MAX);
        for (int k = 0; k < n; k++)
            controls[k] = json_string_value(json_array_get(list, (size_t)k));
        struct tokenizer *t =
            small_byte_tokenizer(controls, n, json_text(golden, "bos", NULL), json_text(golden, "eos", NULL));
        assert_non_null(t);
        assert_true(json_array_size(cases) >= 15);
        for (size_t k = 0; k < json_array_size(cases); k++)
            run_case(f, t, json_array_get(cases, k), k);
        tokenizer_close(t);
        json_decref(golden);
    }
}

/* Published vocabularies: where dummy spaces go, and that text between control tokens is encoded in one piece. */
static void test_real(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *golden;
    if (!test_data("tokenizers"))
        skip();
    assert_int_equal(json_read_file_new(&golden, test_repo("tests/golden/data/chat_real.json"), 1 << 20, &err), 0);
    const json_t *sets = json_object_get(golden, "sets");
    assert_int_equal(json_array_size(sets), 4);
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const json_t *set = json_array_get(sets, i), *cases = json_object_get(set, "cases");
        struct tokenizer *t;
        assert_int_equal(tokenizer_open(&t, test_data(json_text(set, "tokenizer", "")), NULL, &err), 0);
        assert_true(json_array_size(cases) >= 7);
        for (size_t k = 0; k < json_array_size(cases); k++)
            run_case(chat_format_find(json_text(set, "format", "")), t, json_array_get(cases, k), k);
        tokenizer_close(t);
    }
    json_decref(golden);
}

/* What is said of a message, control tokens between U+E000 and U+E001, as tools/golden/said.py writes it. */
static void said_text(
    const struct tokenizer *t, const struct tokens *ids, const struct chat_said *s, struct buffer *out)
{
    assert_true(s->from < s->to && s->to <= ids->used && s->last == -1);
    for (size_t i = s->from; i < s->to; i++) {
        bool control = tokenizer_kind(t, ids->ids[i]) == TOKEN_CONTROL;
        buffer_add_text(out, control ? "\xee\x80\x80" : "");
        tokenizer_decode(t, &ids->ids[i], 1, true, out, NULL);
        buffer_add_text(out, control ? "\xee\x80\x81" : "");
    }
}

/* Turns of a case against the reference; returns how many. */
static size_t check_said(const struct chat_format *f, const struct tokenizer *t, const json_t *c, const json_t *turns)
{
    struct error err = {0};
    struct tokens ids = {0};
    struct chat_said_list said = {0};
    struct chat_message *messages;
    struct chat_request r = {.tools = json_object_get(c, "tools"),
        .add_generation_prompt = json_flag(c, "add_generation_prompt", false)};
    size_t turn = 0;
    assert_int_equal(chat_messages_new(&messages, &r.n_messages, json_object_get(c, "messages"), &err), 0);
    r.messages = messages;
    if (chat_render_said(f, t, &r, &ids, &said, &err))
        fail_msg("%s: %s", f->name, err.text);
    for (size_t i = 0; i < said.n; turn++) {
        struct buffer text = {0};
        size_t message = said.at[i].message, end = said.at[i].from;
        assert_string_equal(messages[message].role, "assistant");
        for (; i < said.n && said.at[i].message == message; end = said.at[i++].to) {
            assert_int_equal(said.at[i].from, end); /* the parts of a turn follow each other */
            said_text(t, &ids, &said.at[i], &text);
        }
        const char *want = json_string_value(json_array_get(turns, turn));
        if (!want || !text.data || strcmp(text.data, want) != 0)
            fail_msg("%s: \"%s\" is said, not \"%s\"", f->name, text.data ? text.data : "", want ? want : "");
        buffer_release(&text);
    }
    assert_int_equal(turn, json_array_size(turns));
    chat_said_release(&said);
    tokens_release(&ids);
    free(messages);
    return turn;
}

/* What the assistant says, against data/chat_said.json, which is read off the templates' own output. */
static void test_said(void **state)
{
    (void)state;
    struct error err = {0};
    const char *name;
    json_t *golden, *all, *turns;
    assert_int_equal(json_read_file_new(&all, test_repo("tests/golden/data/chat_said.json"), 1 << 20, &err), 0);
    assert_true(json_object_size(all) >= 19);
    json_object_foreach (all, name, turns) {
        const char *controls[CONTROLS_MAX];
        char path[256];
        size_t checked = 0;
        snprintf(path, sizeof path, "tests/golden/data/chat/%s.json", name);
        assert_int_equal(json_read_file_new(&golden, test_repo(path), 1 << 20, &err), 0);
        const json_t *list = json_object_get(golden, "controls"), *cases = json_object_get(golden, "cases");
        for (size_t k = 0; k < json_array_size(list); k++)
            controls[k] = json_string_value(json_array_get(list, k));
        struct tokenizer *t = small_byte_tokenizer(
            controls, (int)json_array_size(list), json_text(golden, "bos", NULL), json_text(golden, "eos", NULL));
        for (size_t k = 0; k < json_array_size(cases); k++)
            if (json_is_array(json_array_get(turns, k)))
                checked +=
                    check_said(chat_format_find(name), t, json_array_get(cases, k), json_array_get(turns, k));
        assert_true(checked >= 5);
        tokenizer_close(t);
        json_decref(golden);
    }
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats), cmocka_unit_test(test_said),
        cmocka_unit_test(test_real)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
