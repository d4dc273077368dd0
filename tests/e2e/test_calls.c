/* SPDX-License-Identifier: Apache-2.0 */
/* A model that calls a tool, a person who agrees or does not, and what the model is told. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOOLS "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"add\", \"description\": \"Adds.\", " \
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {\"type\": " \
    "\"integer\"}}, \"required\": [\"a\", \"b\"]}}, \"command\": [\"expr\", \"{a}\", \"+\", \"{b}\"]}, " \
    "{\"type\": \"function\", \"function\": {\"name\": \"ask\", \"description\": \"Asks the user.\", \"parameters\": " \
    "{\"type\": \"object\", \"properties\": {}}}}]}"
#define HARMONY_CALL "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>commentary " \
    "to=functions.add <|constrain|>json<|message|>{\"a\": 2, \"b\": 40}<|call|>"
#define HARMONY_ANSWER "<|channel|>final<|message|>It is 42.<|return|>"

static const char *tools_file(void)
{
    static char path[256];
    if (!path[0]) {
        snprintf(path, sizeof path, "%s", test_join(test_folder(), "tools.json"));
        test_write(path, TOOLS, strlen(TOOLS));
    }
    return path;
}

static void talk(struct program *p, const char *model, const char *script)
{
    RUN(p, 0, script, "chat", "-m", model, "--tools", tools_file(), "--temp", "0", "-n", "150", "--date", "none");
}

/* Tokens of the prompt of the last reply. */
static int last_prompt(const struct program *p)
{
    const char *stats = strstr(p->errors.data, "; prompt ");
    assert_non_null(stats);
    return (int)strtol(stats + strlen("; prompt "), NULL, 10);
}

/* A model that says `call`, and `answer` behind what came of it where `script` is the person; its folder. */
static const char *caller(enum made_chat chat, const char *call, const char *answer, const char *script)
{
    struct program p;
    struct made_line lines[2] = { { 1, call }, { 1, answer } };
    talk(&p, make_scripted(chat, NULL, 0), "2+40?\n/stats\n");
    lines[0].position = last_prompt(&p);
    program_release(&p);
    talk(&p, make_scripted(chat, lines, 1), script);
    lines[1].position = last_prompt(&p);
    if (lines[1].position <= lines[0].position)
        fail_msg("no call was made: %s\n%s", p.output.data, p.errors.data);
    program_release(&p);
    return make_scripted(chat, lines, 2);
}

static json_t *saved(const char *path)
{
    json_t *file;
    assert_int_equal(json_read_file_new(&file, path, 1 << 20, NULL), 0);
    return file;
}

static void a_call_is_run_and_answered(void **state)
{
    (void)state;
    char script[600], path[256];
    struct program p;
    const char *m = caller(MADE_HARMONY, HARMONY_CALL, HARMONY_ANSWER, "2+40?\ny\n/stats\n");
    snprintf(path, sizeof path, "%s", test_join(test_folder(), "talk.json"));
    snprintf(script, sizeof script, "2+40?\ny\n/save %s\nmore\n", path);
    talk(&p, m, script);
    assert_non_null(strstr(p.output.data, "It is 42."));
    assert_null(strstr(p.output.data, "Add them"));
    assert_non_null(strstr(p.errors.data, "\"expr\""));
    assert_non_null(strstr(p.errors.data, "its result: 42"));
    program_release(&p);
    json_t *file = saved(path);
    const json_t *list = json_object_get(file, "messages"), *call = json_array_get(list, 1);
    assert_int_equal(json_array_size(list), 4);
    assert_string_equal(json_text(call, "reasoning_content", ""), "Add them.");
    call = json_array_get(json_object_get(call, "tool_calls"), 0);
    assert_string_equal(json_text(json_object_get(call, "function"), "name", ""), "add");
    assert_string_equal(json_text(json_object_get(call, "function"), "arguments", ""), "{\"a\": 2, \"b\": 40}");
    assert_string_equal(json_text(json_array_get(list, 2), "role", ""), "tool");
    assert_string_equal(json_text(json_array_get(list, 2), "content", ""), "42");
    assert_string_equal(json_text(json_array_get(list, 2), "tool_call_id", ""), json_text(call, "id", "?"));
    assert_string_equal(json_text(json_array_get(list, 3), "content", ""), "It is 42.");
    json_decref(file);
    snprintf(script, sizeof script, "/load %s\n/save %s.again\n", path, path);
    talk(&p, m, script);
    program_release(&p);
    char again[300];
    snprintf(again, sizeof again, "%s.again", path);
    json_t *first = saved(path), *second = saved(again);
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

static void a_refusal_goes_back(void **state)
{
    (void)state;
    static const char *const words[] = { "n", "", "no thanks" };
    for (size_t i = 0; i < 3; i++) {
        char script[600], path[256];
        struct program p;
        snprintf(path, sizeof path, "%s", test_join(test_folder(), "talk.json"));
        snprintf(script, sizeof script, "2+40?\n%s\n/save %s\n/stats\n", words[i], path);
        talk(&p, caller(MADE_HARMONY, HARMONY_CALL, HARMONY_ANSWER, script), script);
        assert_non_null(strstr(p.errors.data, "wazn: refused"));
        assert_null(strstr(p.errors.data, "its result: 42"));
        assert_non_null(strstr(p.output.data, "It is 42."));
        json_t *file = saved(path);
        assert_non_null(strstr(json_text(json_array_get(json_object_get(file, "messages"), 2), "content", ""),
            "refused"));
        json_decref(file);
        program_release(&p);
    }
}

/* The model is told why, nobody is asked. */
static void wrong_calls_go_back(void **state)
{
    (void)state;
    static const struct { enum made_chat chat; const char *call, *told; } cases[] = {
        { MADE_HARMONY, "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": 2}<|call|>",
            "\"b\"" },
        { MADE_HARMONY, "<|channel|>commentary to=functions.add<|message|>{\"a\": <|call|>", "JSON" },
        { MADE_QWEN3, "<tool_call>\n{\"name\": \"sub\", \"arguments\": {}}\n</tool_call><|im_end|>", "sub" },
        { MADE_QWEN3, "<tool_call>\n{\"name\": \"add\", \"argu\n</tool_call><|im_end|>", "JSON" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program p;
        const char *answer = cases[i].chat == MADE_HARMONY ? HARMONY_ANSWER : "It is 42.<|im_end|>";
        const char *m = caller(cases[i].chat, cases[i].call, answer, "2+40?\n/stats\n");
        talk(&p, m, "2+40?\n");
        const char *wrong = strstr(p.errors.data, "calls wrongly: ");
        if (!wrong || !strstr(wrong, cases[i].told) || strstr(p.errors.data, "expr")
            || !strstr(p.output.data, "It is 42."))
            fail_msg("case %zu: %s\n%s", i, p.output.data, p.errors.data);
        program_release(&p);
    }
}

static void other_formats_call_too(void **state)
{
    (void)state;
    struct program p;
    const char *m = caller(MADE_QWEN3, "I add.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2, \"b\": "
        "40}}\n</tool_call><|im_end|>", "It is 42.<|im_end|>", "2+40?\ny\n/stats\n");
    talk(&p, m, "2+40?\ny\n");
    assert_non_null(strstr(p.output.data, "I add."));
    assert_non_null(strstr(p.output.data, "It is 42."));
    assert_non_null(strstr(p.errors.data, "its result: 42"));
    program_release(&p);
}

/* A tool without a command is the person. */
static void a_person_types_a_result(void **state)
{
    (void)state;
    struct program p;
    const char *m = caller(MADE_HARMONY,
        "<|channel|>commentary to=functions.ask <|constrain|>json<|message|>{}<|call|>", HARMONY_ANSWER,
        "2+40?\nforty-two\n/stats\n");
    char script[600], path[256];
    snprintf(path, sizeof path, "%s", test_join(test_folder(), "talk.json"));
    snprintf(script, sizeof script, "2+40?\nforty-two\n/save %s\n", path);
    talk(&p, m, script);
    assert_non_null(strstr(p.output.data, "It is 42."));
    json_t *file = saved(path);
    assert_string_equal(json_text(json_array_get(json_object_get(file, "messages"), 2), "content", ""), "forty-two");
    json_decref(file);
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_run_and_answered),
        cmocka_unit_test(a_refusal_goes_back),
        cmocka_unit_test(wrong_calls_go_back),
        cmocka_unit_test(other_formats_call_too),
        cmocka_unit_test(a_person_types_a_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
