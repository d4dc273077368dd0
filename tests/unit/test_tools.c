/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/clock.h"
#include "base/filemap.h"
#include "base/utf8.h"
#include "cli/calls.h"
#include "cli/tools.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct error err;

/* ---- reading the file ---- */

#define PARAMETERS \
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}, \"days\": {\"type\": " \
    "[\"integer\", \"null\"]}, \"unit\": {\"enum\": [\"c\", \"f\"]}, \"exact\": {\"const\": 2}, \"list\": {\"type\": " \
    "\"array\"}, \"size\": {\"type\": \"number\"}, \"never\": false}, \"required\": [\"city\"]}"
#define FUNCTION "\"type\": \"function\", \"function\": {\"name\": \"weather\", " PARAMETERS "}"

/* One tool with these keys behind the function. */
static struct tools *open_tool(const char *keys)
{
    struct tools *t;
    struct buffer text = { 0 };
    buffer_printf(&text, "[{" FUNCTION "%s%s}]", *keys ? ", " : "", keys);
    int rc = tools_parse(&t, text.data, text.used, "test", &err);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    buffer_release(&text);
    return t;
}

static const struct tool *find(const struct tools *t, const char *name)
{
    const struct tool *tool;
    assert_int_equal(tools_find(&tool, t, name, &err), 0);
    return tool;
}

static void offers_functions(void **state)
{
    (void)state;
    struct tools *t;
    const struct tool *tool;
    const char *path = test_join(test_folder(), "tools.json");
    const char text[] = "{\"tools\": [{" FUNCTION ", \"command\": [\"date\"], \"timeout\": 2.5, \"stdin\": \"none\"},"
        "{\"type\": \"function\", \"function\": {\"name\": \"Ask-me_2\", \"strict\": true, \"description\": \"d\"}}]}";
    test_write(path, text, strlen(text));
    assert_int_equal(tools_open(&t, path, &err), 0);
    const json_t *offered = tools_json(t);
    assert_int_equal(json_array_size(offered), 2);
    assert_int_equal(json_object_size(json_array_get(offered, 0)), 2); /* nothing of the command */
    assert_string_equal(json_text(json_array_get(offered, 1), "type", ""), "function");
    assert_string_equal(json_text(json_object_get(json_array_get(offered, 1), "function"), "name", ""), "Ask-me_2");
    assert_true(tool_has_command(find(t, "weather")));
    assert_false(tool_has_command(find(t, "Ask-me_2")));
    assert_int_equal(tools_find(&tool, t, "wea\xc3\xa9ther", &err), ERROR_NOT_FOUND);
    assert_string_equal(err.text, "there is no function \"wea\xc3\xa9ther\", only: weather, Ask-me_2");
    tools_close(t);
    tools_close(NULL);
}

static void refuse_file(const char *text, int code, const char *words)
{
    struct tools *t;
    err = (struct error) { 0 };
    int rc = tools_parse(&t, text, strlen(text), "test", &err);
    if (rc != code || !strstr(err.text, words))
        fail_msg("%s\ngives %d, \"%s\", which lacks \"%s\"", text, rc, err.text, words);
    assert_null(t);
    assert_true(strstr(err.text, "test") != NULL);
}

static void refuse_tool(const char *keys, const char *words)
{
    struct buffer text = { 0 };
    buffer_printf(&text, "[{" FUNCTION ", %s}]", keys);
    refuse_file(text.data, ERROR_FORMAT, words);
    assert_non_null(strstr(err.text, "tool 1 (\"weather\"): "));
    buffer_release(&text);
}

static void refuse_function(const char *function, const char *words)
{
    struct buffer text = { 0 };
    buffer_printf(&text, "[{\"type\": \"function\", \"function\": %s}]", function);
    refuse_file(text.data, ERROR_FORMAT, words);
    buffer_release(&text);
}

static void refuses_files(void **state)
{
    (void)state;
    struct tools *t;
    refuse_file("", ERROR_FORMAT, "could not parse");
    refuse_file("{\"tools\": [], \"tools\": []}", ERROR_FORMAT, "duplicate");
    refuse_file("{}", ERROR_FORMAT, "no array of tools");
    refuse_file("[]", ERROR_FORMAT, "empty");
    refuse_file("{\"tools\": {}}", ERROR_FORMAT, "no array of tools");
    refuse_file("{\"tools\": [], \"more\": 1}", ERROR_FORMAT, "no key \"more\"");
    refuse_file("[7]", ERROR_FORMAT, "tool 1: it is not an object");
    refuse_file("[{\"function\": {\"name\": \"a\"}}]", ERROR_FORMAT, "tool 1 (\"a\"): \"type\" is not \"function\"");
    refuse_file("[{\"type\": \"function\"}]", ERROR_FORMAT, "\"function\" is not an object");
    refuse_file("[{" FUNCTION "}, {" FUNCTION "}]", ERROR_FORMAT, "tool 2 (\"weather\"): an earlier tool");
    refuse_function("{\"name\": \"\"}", "\"name\"");
    refuse_function("{\"name\": \"a b\"}", "\"name\"");
    refuse_function("{\"name\": \"a\\u0000\"}", "\"name\"");
    refuse_function("{\"name\": \"a2345678901234567890123456789012345678901234567890123456789012345\"}", "\"name\"");
    refuse_function("{\"name\": \"a\", \"returns\": 1}", "tool 1 (\"a\"): there is no key \"returns\"");
    refuse_function("{\"name\": \"a\", \"description\": 1}", "\"description\"");
    refuse_function("{\"name\": \"a\", \"description\": \"b\\u0000\"}", "\"description\"");
    refuse_function("{\"name\": \"a\", \"strict\": 1}", "\"strict\"");
    refuse_function("{\"name\": \"a\", \"parameters\": []}", "\"parameters\"");
    refuse_function("{\"name\": \"a\", \"parameters\": {\"type\": \"string\"}}", "\"parameters\"");
    refuse_function("{\"name\": \"a\", \"parameters\": {\"properties\": 1}}", "\"properties\"");
    refuse_function("{\"name\": \"a\", \"parameters\": {\"properties\": {\"x\": 1}}}", "schema of \"x\"");
    refuse_function("{\"name\": \"a\", \"parameters\": {\"required\": 1}}", "\"required\"");
    refuse_function("{\"name\": \"a\", \"parameters\": {\"required\": [\"x\"]}}", "\"required\", entry 1");
    assert_int_equal(tools_open(&t, "/nowhere/tools.json", &err), ERROR_NOT_FOUND);
    assert_null(t);
}

static void refuses_commands(void **state)
{
    (void)state;
    refuse_tool("\"comand\": [\"date\"]", "no key \"comand\"");
    refuse_tool("\"command\": \"date\"", "not an array");
    refuse_tool("\"command\": []", "not an array");
    refuse_tool("\"command\": [\"\"]", "does not begin with a program");
    refuse_tool("\"command\": [\"{city}\"]", "does not begin with a program");
    refuse_tool("\"command\": [[\"{city}\"]]", "word 1, is not a text");
    refuse_tool("\"command\": [\"date\", 7]", "word 2, is not a text");
    refuse_tool("\"command\": [\"date\", \"a\\u0000b\"]", "word 2, is not a text");
    refuse_tool("\"command\": [\"date\", \"{town}\"]", "word 2: the parameters have no \"town\"");
    refuse_tool("\"command\": [\"date\", \"--city={city}\"]", "{city} stands inside other text");
    refuse_tool("\"command\": [\"date\", \"{{city}}\"]", "{city} stands inside other text");
    refuse_tool("\"command\": [\"date\", [\"-n\"]]", "word 2: an array in it holds no {value}");
    refuse_tool("\"command\": [\"date\", [\"-n\", [\"{city}\"]]]", "word 3, is not a text");
    refuse_tool("\"timeout\": 3", "\"timeout\" without \"command\"");
    refuse_tool("\"stdin\": \"none\"", "\"stdin\" without \"command\"");
    refuse_tool("\"allow_dash\": true", "\"allow_dash\" without \"command\"");
    refuse_tool("\"command\": [\"date\"], \"timeout\": 0", "\"timeout\"");
    refuse_tool("\"command\": [\"date\"], \"timeout\": 3601", "\"timeout\"");
    refuse_tool("\"command\": [\"date\"], \"timeout\": \"3\"", "\"timeout\"");
    refuse_tool("\"command\": [\"date\"], \"stdin\": \"yes\"", "\"stdin\"");
    refuse_tool("\"command\": [\"date\"], \"stdin\": 1", "\"stdin\"");
    refuse_tool("\"command\": [\"date\"], \"allow_dash\": 1", "\"allow_dash\"");
}

static void refuses_too_much(void **state)
{
    (void)state;
    struct tools *t;
    struct buffer text = { 0 };
    buffer_add_text(&text, "[");
    for (int i = 0; i <= TOOLS_MAX; i++)
        buffer_printf(&text, "%s{\"type\": \"function\", \"function\": {\"name\": \"t%d\"}}", i ? ", " : "", i);
    buffer_add_text(&text, "]");
    refuse_file(text.data, ERROR_LIMIT, "129 tools, the limit is 128");
    buffer_clear(&text);
    buffer_add_text(&text, "[{" FUNCTION ", \"command\": [\"date\"");
    for (int i = 0; i < TOOL_WORDS_MAX; i++)
        buffer_add_text(&text, ", \"a\"");
    buffer_add_text(&text, "]}]");
    refuse_file(text.data, ERROR_LIMIT, "more than 256 words");
    buffer_clear(&text);
    while (text.used <= TOOLS_BYTES_MAX)
        buffer_add_byte(&text, ' ');
    const char *path = test_join(test_folder(), "tools.json");
    test_write(path, text.data, text.used);
    assert_int_equal(tools_open(&t, path, &err), ERROR_LIMIT);
    buffer_release(&text);
}

/* ---- arguments ---- */

static void accept(const struct tool *tool, const char *text)
{
    json_t *arguments;
    int rc = tool_arguments_new(&arguments, tool, text, strlen(text), &err);
    if (rc)
        fail_msg("%s: %s", text, err.text);
    json_decref(arguments);
}

static void refuse(const struct tool *tool, const char *text, const char *words)
{
    json_t *arguments;
    int rc = tool_arguments_new(&arguments, tool, text, strlen(text), &err);
    if (rc != ERROR_FORMAT || !strstr(err.text, words))
        fail_msg("%s\ngives %d, \"%s\", which lacks \"%s\"", text, rc, err.text, words);
    assert_null(arguments);
}

static void checks_arguments(void **state)
{
    (void)state;
    struct tools *t = open_tool("");
    const struct tool *tool = find(t, "weather");
    accept(tool, "{\"city\": \"Paris\", \"days\": 3, \"unit\": \"c\", \"exact\": 2.0, \"list\": [], \"size\": 1}");
    accept(tool, " {\"city\": \"\", \"days\": null, \"other\": true}\n");
    accept(tool, "{\"city\": \"Paris\", \"days\": 3.0, \"size\": 1.5}");
    refuse(tool, "", "could not parse the arguments");
    refuse(tool, "{\"city\": \"Paris\"", "could not parse the arguments");
    refuse(tool, "{\"city\": \"Paris\"} and more", "could not parse the arguments");
    refuse(tool, "{\"city\": \"Paris\", \"city\": \"Rome\"}", "duplicate");
    refuse(tool, "[\"Paris\"]", "not a JSON object");
    refuse(tool, "{}", "argument \"city\" is missing");
    refuse(tool, "{\"city\": 7}", "argument \"city\" is not of the type \"string\"");
    refuse(tool, "{\"city\": null}", "argument \"city\" is not of the type \"string\"");
    refuse(tool, "{\"city\": \"a\", \"days\": 3.5}", "is not of the type [\"integer\", \"null\"]");
    refuse(tool, "{\"city\": \"a\", \"days\": true}", "argument \"days\" is not of the type");
    refuse(tool, "{\"city\": \"a\", \"list\": {}}", "argument \"list\" is not of the type");
    refuse(tool, "{\"city\": \"a\", \"size\": \"1\"}", "argument \"size\" is not of the type");
    refuse(tool, "{\"city\": \"a\", \"unit\": \"k\"}", "argument \"unit\" is not one of [\"c\", \"f\"]");
    refuse(tool, "{\"city\": \"a\", \"exact\": 3}", "argument \"exact\" is not 2");
    refuse(tool, "{\"city\": \"a\", \"never\": 3}", "there is no argument \"never\"");
    tools_close(t);
    const char closed[] = "[{\"type\": \"function\", \"function\": {\"name\": \"a\", \"parameters\": {\"properties\": "
        "{\"x\": true}, \"additionalProperties\": false}}}]";
    assert_int_equal(tools_parse(&t, closed, strlen(closed), "test", &err), 0);
    accept(find(t, "a"), "{\"x\": [1]}");
    refuse(find(t, "a"), "{\"x\": 1, \"y\\u001b\": 1}", "there is no argument \"y\\x1b\"");
    /* the name is cut, but not inside a character */
    refuse(find(t, "a"), "{\"a23456789012345678901234567890123456789012345678901234567890123\xc3\xa9\": 1}", "0123\"");
    tools_close(t);
}

static void bounds_arguments(void **state)
{
    (void)state;
    struct tools *t = open_tool("\"command\": [\"printf\", \"%s\", \"{city}\"]");
    const struct tool *tool = find(t, "weather");
    struct buffer text = { 0 };
    json_t *arguments;
    buffer_add_text(&text, "{\"city\": \"");
    for (size_t i = 0; i <= TOOL_WORD_BYTES_MAX; i++)
        buffer_add_byte(&text, 'a');
    buffer_add_text(&text, "\"}");
    assert_int_equal(tool_arguments_new(&arguments, tool, text.data, text.used, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "argument \"city\" has 65537 bytes, a command takes 65536"));
    text.used--;
    while (text.used <= TOOL_ARGUMENTS_BYTES_MAX)
        buffer_add_byte(&text, ' ');
    assert_int_equal(tool_arguments_new(&arguments, tool, text.data, text.used, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "262145 bytes, the limit is 262144"));
    assert_null(arguments);
    buffer_release(&text);
    tools_close(t);
}

/* ---- commands ---- */

static struct buffer result;

static int call_as(const char *keys, const char *text, bool (*cancelled)(void *context))
{
    struct tools *t = open_tool(keys);
    json_t *arguments;
    buffer_clear(&result);
    int rc = tool_arguments_new(&arguments, find(t, "weather"), text, strlen(text), &err);
    if (rc == 0)
        rc = tool_run(&result, find(t, "weather"), arguments, cancelled, NULL, &err);
    json_decref(arguments);
    tools_close(t);
    return rc;
}

static void expect(const char *keys, const char *text, const char *wanted)
{
    int rc = call_as(keys, text, NULL);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    assert_string_equal(result.data, wanted);
}

#define PRINT "\"stdin\": \"none\", \"command\": [\"printf\", \"[%s]\", "

static void puts_values_into_commands(void **state)
{
    (void)state;
    expect(PRINT "\"{city}\"]", "{\"city\": \"$HOME `id`; *\\n\\\"'\"}", "[$HOME `id`; *\n\"']");
    expect(PRINT "\"{city}\"]", "{\"city\": \"\"}", "[]");
    expect(PRINT "\"{days}\", \"{size}\", \"{list}\"]",
        "{\"city\": \"a\", \"days\": 3, \"size\": 0.1, \"list\": [1, \"b c\", {\"d\": null}]}",
        "[3][0.1][[1,\"b c\",{\"d\":null}]]");
    expect(PRINT "\"{days}\", \"{city}\"]", "{\"city\": \"a\"}", "[a]"); /* what is absent takes no place */
    expect(PRINT "\"{days}\", \"{city}\"]", "{\"city\": \"a\", \"days\": null}", "[a]");
    expect(PRINT "[\"days\", \"{days}\"], \"{city}\"]", "{\"city\": \"a\"}", "[a]");
    expect(PRINT "[\"days\", \"{days}\"], \"{city}\"]", "{\"city\": \"a\", \"days\": 2}", "[days][2][a]");
    expect(PRINT "\"{ print }\", \"{}\", \"{x y}\"]", "{\"city\": \"a\"}", "[{ print }][{}][{x y}]");
}

static void keeps_options_out(void **state)
{
    (void)state;
    struct tools *t = open_tool("\"command\": [\"printf\", \"{city}\"]");
    refuse(find(t, "weather"), "{\"city\": \"-v\"}", "argument \"city\" begins with '-'");
    refuse(find(t, "weather"), "{\"city\": \"--help\"}", "argument \"city\" begins with '-'");
    refuse(find(t, "weather"), "{\"city\": \"-\"}", "argument \"city\" begins with '-'");
    refuse(find(t, "weather"), "{\"city\": \"a\\u0000b\"}", "argument \"city\" holds a zero byte");
    accept(find(t, "weather"), "{\"city\": \"a-v\"}");
    tools_close(t);
    t = open_tool("\"command\": [\"printf\", \"{days}\", \"--\", \"{size}\", [\"--\", \"{list}\"]]");
    refuse(find(t, "weather"), "{\"city\": \"a\", \"days\": -3}", "argument \"days\" begins with '-'");
    accept(find(t, "weather"), "{\"city\": \"a\", \"size\": -3}"); /* behind the end of options */
    tools_close(t);
    t = open_tool("\"command\": [\"printf\", [\"--\", \"{days}\"], \"{size}\"]"); /* an end that may be left out */
    refuse(find(t, "weather"), "{\"city\": \"a\", \"size\": -3}", "argument \"size\" begins with '-'");
    tools_close(t);
    t = open_tool("\"command\": [\"printf\", \"%s\"]"); /* on standard input it is no option */
    accept(find(t, "weather"), "{\"city\": \"-v\"}");
    tools_close(t);
    expect("\"allow_dash\": true, \"command\": [\"printf\", \"[%s]\", \"{city}\"]", "{\"city\": \"-v\"}", "[-v]");
    expect("\"command\": [\"printf\", \"--\", \"[%s]\", \"{city}\"]", "{\"city\": \"-v\"}", "[-v]");
}

static void tells_the_model_what_came(void **state)
{
    (void)state;
    const char *city = "{\"city\": \"a\", \"size\": 0.1}";
    expect("\"command\": [\"cat\"]", city, "{\"city\":\"a\",\"size\":0.1}");
    expect("\"command\": [\"cat\"], \"stdin\": \"arguments\"", city, "{\"city\":\"a\",\"size\":0.1}");
    expect("\"command\": [\"cat\"], \"stdin\": \"none\"", city, "[done, nothing was written]");
    expect("\"command\": [\"sh\", \"-c\", \"echo out; echo problem >&2\"]", city, "out");
    expect("\"command\": [\"sh\", \"-c\", \"echo problem >&2\"]", city, "standard error:\nproblem");
    expect("\"command\": [\"sh\", \"-c\", \"echo out; echo problem >&2; exit 3\"]", city,
        "error: exit status 3\nstandard error:\nproblem\nstandard output:\nout");
    expect("\"command\": [\"false\"]", city, "error: exit status 1");
    expect("\"command\": [\"sh\", \"-c\", \"kill -TERM $$\"]", city, "error: killed by signal 15 (Terminated)");
    expect("\"command\": [\"sh\", \"-c\", \"echo begun; sleep 100\"], \"timeout\": 1.5", city,
        "error: timed out after 1.5 s\nstandard output:\nbegun");
    expect("\"command\": [\"/nowhere/program\"]", city,
        "error: could not start \"/nowhere/program\": No such file or directory");
    expect("\"command\": [\"printf\", \"a\\\\000b\\\\377c\\\\303\"]", city, "ab\xef\xbf\xbd" "c\xef\xbf\xbd");
}

static void cuts_what_is_too_long(void **state)
{
    (void)state;
    const char *city = "{\"city\": \"a\"}", note[] = "\n[cut here: there is more than 16384 bytes]";
    const char plain[] = "\"command\": [\"sh\", \"-c\", \"head -c 16384 /dev/zero | tr '\\\\0' x\"]";
    const char accents[] = "\"command\": [\"sh\", \"-c\", \"printf x; yes '\xc3\xa9' | head -n 9000 | tr -d '\\\\n'\"]";
    assert_int_equal(call_as(plain, city, NULL), 0);
    assert_int_equal(result.used, TOOL_RESULT_BYTES_MAX);
    /* a character of two bytes across the limit is left out whole */
    assert_int_equal(call_as(accents, city, NULL), 0);
    assert_int_equal(result.used, TOOL_RESULT_BYTES_MAX - 1 + strlen(note));
    assert_string_equal(result.data + TOOL_RESULT_BYTES_MAX - 1, note);
    assert_int_equal(utf8_valid_prefix(result.data, result.used), result.used);
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static void stops_when_told(void **state)
{
    (void)state;
    double begun = clock_seconds();
    assert_int_equal(call_as("\"command\": [\"sleep\", \"100\"]", "{\"city\": \"a\"}", at_once), ERROR_CANCELLED);
    assert_true(clock_seconds() - begun < 9);
    assert_int_equal(result.used, 0);
}

static void shows_what_will_run(void **state)
{
    (void)state;
    struct tools *t = open_tool("\"command\": [\"/bin/printf\", \"--\", \"%s \\\\n\", \"{city}\"], \"timeout\": 5");
    json_t *arguments;
    /* a control character, one of C1, a mark of direction, a zero-width space, a tag beyond the BMP, Arabic */
    const char text[] = "{\"city\": \"a\\u001b[2J\\u009b\\u202e\\u200b\\udb40\\udc41\\n\\\"\xd9\x88\"}";
#define SHOWN "\"a\\u001b[2J\\u009b\\u202e\\u200b\\udb40\\udc41\\n\\\"\xd9\x88\""
    assert_int_equal(tool_arguments_new(&arguments, find(t, "weather"), text, strlen(text), &err), 0);
    buffer_clear(&result);
    assert_int_equal(tool_describe(&result, find(t, "weather"), arguments, &err), 0);
    assert_string_equal(result.data, "function weather\narguments {\n  \"city\": " SHOWN "\n}\n"
        "command, for up to 5 s, with the arguments on standard input\n"
        "  \"/bin/printf\"\n  \"--\"\n  \"%s \\\\n\"\n  " SHOWN "\n");
    json_decref(arguments);
    tools_close(t);
    t = open_tool("");
    arguments = json_pack("{s:s}", "city", "a");
    buffer_clear(&result);
    assert_int_equal(tool_describe(&result, find(t, "weather"), arguments, &err), 0);
    assert_string_equal(result.data,
        "function weather\narguments {\n  \"city\": \"a\"\n}\nno command: you type the result\n");
    json_decref(arguments);
    tools_close(t);
}

/* What came holds these words. */
static void expect_example(const struct tools *t, const char *name, const char *text, const char *words)
{
    json_t *arguments;
    buffer_clear(&result);
    assert_int_equal(tool_arguments_new(&arguments, find(t, name), text, strlen(text), &err), 0);
    assert_int_equal(tool_run(&result, find(t, name), arguments, NULL, NULL, &err), 0);
    if (!strstr(result.data, words))
        fail_msg("%s %s gives \"%s\", which lacks \"%s\"", name, text, result.data, words);
    json_decref(arguments);
}

static void knows_what_does_not_show(void **state)
{
    (void)state;
    static const int32_t hidden[] = { 0, 0x1b, 0x7f, 0x9b, 0xad, 0x61c, 0x180e, 0x200b, 0x200d, 0x200f, 0x2028, 0x2029,
        0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xe000, 0xfeff, 0xfffb, 0xffff, 0xe0041 };
    static const int32_t shown[] = { ' ', 'a', '~', 0xa0, 0xe9, 0x300, 0x5d0, 0x648, 0x2014, 0x3042, 0x4e2d, 0x1f600 };
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        assert_true(unicode_hidden(hidden[i]));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        assert_false(unicode_hidden(shown[i]));
}

static void example_works(void **state)
{
    (void)state;
    struct tools *t;
    assert_int_equal(tools_open(&t, test_repo("examples/tools.json"), &err), 0);
    assert_int_equal(json_array_size(tools_json(t)), 3);
    expect_example(t, "date_and_time", "{}", ", week ");
    expect_example(t, "date_and_time", "{\"day\": \"2026-03-01\"}", " 2026-03-01 00:00:00 ");
    expect_example(t, "date_and_time", "{\"day\": \"--help\"}", "error: exit status 1\nstandard error:\n");
    expect_example(t, "disk_space", "{\"path\": \"/\"}", "%");
    if (access("/usr/bin/bc", X_OK) == 0) {
        expect_example(t, "calculate", "{\"expression\": \"-2.5 * (3 + 2^70)\"}", "-2951479051793528258567.5");
        expect_example(t, "calculate", "{\"expression\": \"$(id)\"}", "illegal character");
    } else {
        print_message("skipped: bc is not installed, calculate of examples/tools.json needs it\n");
    }
    tools_close(t);
}

/* The block of the page that begins with `open`, up to its end; the caller releases it. */
static struct buffer block_of(const char *page, const char *open)
{
    struct buffer b = { 0 };
    const char *at = strstr(page, open), *end = at ? strstr(at + strlen(open), "```") : NULL;
    assert_non_null(end);
    at += strlen(open);
    buffer_add(&b, at, (size_t)(end - at));
    return b;
}

static void page_is_right(void **state)
{
    (void)state;
    char *page;
    size_t size;
    struct tools *t;
    assert_int_equal(file_read_new(&page, &size, test_repo("docs/tools.md"), 1 << 20, &err), 0);
    struct buffer file = block_of(page, "```json\n"), shown = block_of(page, "```\nfunction ");
    assert_int_equal(tools_parse(&t, file.data, file.used, "the page", &err), 0);
    json_t *arguments = json_pack("{s:s}", "city", "Paris");
    buffer_clear(&result);
    assert_int_equal(tool_describe(&result, find(t, "weather"), arguments, &err), 0);
    assert_string_equal(result.data + strlen("function "), shown.data);
    json_decref(arguments);
    tools_close(t);
    buffer_release(&file);
    buffer_release(&shown);
    free(page);
}

/* ---- calls ---- */

static struct calls calls;

static void expect_calls(const char *recipient, const char *text, const char *wanted)
{
    struct buffer got = { 0 };
    calls_release(&calls);
    int rc = calls_read(&calls, recipient, text, strlen(text), &err);
    if (rc)
        fail_msg("%s: %s", text, err.text);
    for (size_t i = 0; i < calls.n; i++)
        buffer_printf(&got, "%s(%s)%s;", calls.at[i].name, calls.at[i].arguments, calls.at[i].id ? calls.at[i].id : "");
    assert_string_equal(got.data, wanted);
    buffer_release(&got);
}

static void reads_calls(void **state)
{
    (void)state;
    expect_calls("functions.weather", " {\"city\": \"Paris\"}\n", "weather({\"city\": \"Paris\"});");
    expect_calls("functions.weather", " ", "weather({});");
    expect_calls("functions.weather", "not {", "weather(not {);"); /* for tool_arguments_new to say */
    expect_calls("", "\n{\"name\": \"a\", \"arguments\": {\"x\": 0.1, \"y\": [1]}}\n", "a({\"x\":0.1,\"y\":[1]});");
    expect_calls("", "{\"name\": \"a\", \"parameters\": {}}", "a({});");
    expect_calls("", "{\"name\": \"a\"}", "a({});");
    expect_calls("", "{\"name\": \"a\", \"arguments\": null}", "a({});");
    expect_calls("", "{\"name\": \"a\", \"arguments\": \"{\\\"x\\\": 1}\"}", "a({\"x\": 1});");
    expect_calls("", "[{\"name\": \"a\", \"arguments\": {}, \"id\": \"123456789\"}, {\"name\": \"b\"}]",
        "a({})123456789;b({});");
    expect_calls("", "{\"type\": \"function\", \"id\": \"i\", \"function\": {\"name\": \"a\", \"arguments\": {}}}",
        "a({})i;");
}

static void refuse_calls(const char *recipient, const char *text, size_t n, int code, const char *words)
{
    calls_release(&calls);
    assert_int_equal(calls_read(&calls, "", "{\"name\": \"kept\"}", 16, &err), 0);
    int rc = calls_read(&calls, recipient, text, n, &err);
    if (rc != code || !strstr(err.text, words))
        fail_msg("%s\ngives %d, \"%s\", which lacks \"%s\"", text, rc, err.text, words);
    assert_int_equal(utf8_valid_prefix(err.text, strlen(err.text)), strlen(err.text));
    assert_int_equal(calls.n, 1);
    assert_string_equal(calls.at[0].name, "kept");
}

static void refuse_call(const char *text, const char *words)
{
    refuse_calls("", text, strlen(text), ERROR_FORMAT, words);
}

static void refuses_calls(void **state)
{
    (void)state;
    struct buffer many = { 0 };
    refuse_calls("browser.search", "{}", 2, ERROR_NOT_FOUND, "the call is for \"browser.search\"");
    refuse_calls("functions.a", "{}\0", 3, ERROR_FORMAT, "zero byte");
    refuse_call("", "could not parse the call as JSON");
    refuse_call("weather(city=Paris)", "could not parse the call as JSON");
    refuse_call("{\"name\": \"a\", \"arguments\": {}", "could not parse the call as JSON");
    refuse_call("{\"name\": \"a\"} {\"name\": \"b\"}", "could not parse the call as JSON");
    refuse_call("{\"n\xc3\xa9\xc3\xa9\xc3\xa9 \xc3", "could not parse the call as JSON");
    refuse_call("{\"arguments\": {}}", "no \"name\"");
    refuse_call("{\"name\": \"\"}", "no \"name\"");
    refuse_call("{\"name\": 7}", "no \"name\"");
    refuse_call("{\"name\": \"a\\u0000\"}", "no \"name\"");
    refuse_call("[]", "empty");
    refuse_call("[{\"name\": \"a\"}, 7]", "no \"name\"");
    refuse_call("{\"name\": \"a\", \"arguments\": [1]}", "arguments of the call are not");
    buffer_add_text(&many, "[{\"name\": \"a\"}");
    for (int i = 0; i < CALLS_MAX; i++)
        buffer_add_text(&many, ", {\"name\": \"a\"}");
    buffer_add_text(&many, "]");
    refuse_calls("", many.data, many.used, ERROR_LIMIT, "65 calls, the limit is 64");
    while (many.used <= CALLS_BYTES_MAX)
        buffer_add_byte(&many, ' ');
    refuse_calls("", many.data, many.used, ERROR_LIMIT, "1048577 bytes");
    buffer_release(&many);
}

static bool is_answer(const char *format, const char *text)
{
    return calls_are_answer(chat_format_find(format), text, strlen(text));
}

static void finds_calls_without_marks(void **state)
{
    (void)state;
    assert_true(is_answer("llama3.1", " {\"name\": \"a\", \"parameters\": {}}"));
    assert_true(is_answer("llama3.1", "{ \"name\": \"a\", \"param")); /* to be told that it is malformed */
    assert_true(is_answer("llama3.1", "{\"type\": \"function\", \"name\": \"a\", \"parameters\": {}}"));
    assert_true(is_answer("llama3.1", "{\"type\": \"function\", \"function\": {\"name\": \"a\", \"arguments\": {}}}"));
    assert_false(is_answer("llama3.1", ""));
    assert_false(is_answer("llama3.1", "{"));
    assert_false(is_answer("llama3.1", "I would call {\"name\": \"a\", \"parameters\": {}}"));
    assert_false(is_answer("llama3.1", "{\"city\": \"Paris\"}"));
    assert_false(is_answer("llama3.1", "{\"title\": \"x\", \"name\": \"a\"}"));
    assert_false(is_answer("qwen3", "{\"name\": \"a\", \"arguments\": {}}"));
    assert_false(is_answer("mistral-v7", "{\"name\": \"a\", \"arguments\": {}}"));
    assert_false(is_answer("harmony", "{\"name\": \"a\", \"arguments\": {}}"));
}

static int release(void **state)
{
    (void)state;
    buffer_release(&result);
    calls_release(&calls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_functions),
        cmocka_unit_test(refuses_files),
        cmocka_unit_test(refuses_commands),
        cmocka_unit_test(refuses_too_much),
        cmocka_unit_test(checks_arguments),
        cmocka_unit_test(bounds_arguments),
        cmocka_unit_test(puts_values_into_commands),
        cmocka_unit_test(keeps_options_out),
        cmocka_unit_test(tells_the_model_what_came),
        cmocka_unit_test(cuts_what_is_too_long),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(shows_what_will_run),
        cmocka_unit_test(knows_what_does_not_show),
        cmocka_unit_test(example_works),
        cmocka_unit_test(page_is_right),
        cmocka_unit_test(reads_calls),
        cmocka_unit_test(refuses_calls),
        cmocka_unit_test(finds_calls_without_marks),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
