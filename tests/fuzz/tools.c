/* SPDX-License-Identifier: Apache-2.0 */
/* A tools file, a zero byte, and what a model wrote as a call: read, checked and shown as the program would, never run.
 * What a person is shown holds nothing that a terminal or an eye could take for something else. */
#include "base/utf8.h"
#include "cli/calls.h"
#include "cli/tools.h"
#include "text/unicode.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_shown(const struct buffer *shown)
{
    for (size_t at = 0; at < shown->used;) {
        int32_t point;
        at += (size_t)utf8_decode(shown->data + at, shown->used - at, &point);
        assert(point >= 0 && (point == '\n' || !unicode_hidden(point)));
    }
}

static void make(const struct tools *t, const struct call *call)
{
    const struct tool *tool;
    json_t *arguments = NULL;
    struct error err = {0};
    struct buffer shown = {0};
    int rc = tools_find(&tool, t, call->name, &err);
    if (rc == 0)
        rc = tool_arguments_new(&arguments, tool, call->arguments, strlen(call->arguments), &err);
    assert((rc == 0) == (arguments != NULL) && (rc == 0) == (err.code == 0));
    assert(utf8_valid_prefix(err.text, strlen(err.text)) == strlen(err.text));
    if (rc == 0) {
        assert(tool_describe(&shown, tool, arguments, &err) == 0);
        check_shown(&shown);
    }
    buffer_release(&shown);
    json_decref(arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct tools *t;
    struct calls calls = {0};
    const char *text = (const char *)data;
    size_t n = size ? strnlen(text, size) : 0, rest = n < size ? n + 1 : size;
    int rc = tools_parse(&t, text, n, "input", &err);
    assert((rc == 0) == (t != NULL) && (rc == 0) == (err.code == 0));
    struct error call_err = {0};
    int read = calls_read(&calls, "", text + rest, size - rest, &call_err);
    assert((read == 0) == (calls.n > 0) && (read == 0) == (call_err.code == 0));
    calls_are_answer(chat_format_find("llama3.1"), text + rest, size - rest);
    if (read != 0) /* what harmony gives for the first function */
        calls_read(&calls, "functions.f", text + rest, size - rest, NULL);
    for (size_t i = 0; t && i < calls.n; i++)
        make(t, &calls.at[i]);
    calls_release(&calls);
    tools_close(t);
    return 0;
}
