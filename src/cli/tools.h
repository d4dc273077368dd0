/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that a model may call, from a file, and the commands that answer the calls. docs/tools.md describes the
 * file and what a command is given.
 *
 * A call is read, shown to a person, and run only then:
 *
 *     rc = tools_find(&tool, tools, name, err);                                 errors but ERROR_MEMORY are words for
 *     if (rc == 0) rc = tool_arguments_new(&arguments, tool, text, n, err);     the model: its call was wrong
 *     if (rc == 0) rc = tool_describe(&shown, tool, arguments, err);
 *     ... the person agrees ...
 *     if (rc == 0) rc = tool_run(&result, tool, arguments, cancelled, context, err);
 */
#ifndef WAZN_CLI_TOOLS_H
#define WAZN_CLI_TOOLS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

#define TOOLS_BYTES_MAX ((size_t)1 << 20)          /* of the file */
#define TOOLS_MAX 128                              /* as many as OpenAI takes */
#define TOOL_WORDS_MAX 256                         /* of a command */
#define TOOL_SECONDS 10.0                          /* where the file names no "timeout" */
#define TOOL_SECONDS_MAX 3600.0
#define TOOL_ARGUMENTS_BYTES_MAX ((size_t)1 << 18) /* of a call */
#define TOOL_WORD_BYTES_MAX ((size_t)1 << 16)      /* of an argument on the command line; Linux takes twice that */
#define TOOL_RESULT_BYTES_MAX ((size_t)1 << 14)    /* kept of what a command writes: some 4000 tokens */

struct tools;
struct tool; /* read-only; lives as long as its tools */

/* ERROR_FORMAT and ERROR_LIMIT name the file, the tool and the key. */
int tools_open(struct tools **out, const char *path, struct error *err);
/* The same from memory; `what` names it in errors. */
int tools_parse(struct tools **out, const char *data, size_t size, const char *what, struct error *err);
void tools_close(struct tools *t);

/* What the model is shown: array in OpenAI form, {"type": "function", "function": {...}}, for chat_request.tools. */
const json_t *tools_json(const struct tools *t);

/* ERROR_NOT_FOUND: there is none of that name; the text names those there are. */
int tools_find(const struct tool **out, const struct tools *t, const char *name, struct error *err);
/* False: the tool has no command, a person types its result. */
bool tool_has_command(const struct tool *tool);

/* Read and check the arguments of a call. They are a JSON object with all that is required; those at the top level have
 * the types and are among the values ("enum", "const") that their schemas name, and none is unknown where
 * "additionalProperties" is false; what goes on the command line has no zero byte, is not too long, and begins with '-'
 * only where that is harmless. Nothing else of the schemas is checked. Errors (ERROR_FORMAT, ERROR_LIMIT) are texts for
 * the model. The caller releases *out with json_decref. */
int tool_arguments_new(json_t **out, const struct tool *tool, const char *text, size_t n, struct error *err);

/* Append the lines a person sees before agreeing: the name, the arguments and the command, word by word as JSON strings
 * in which every character that does not show itself is escaped. arguments: from tool_arguments_new. */
int tool_describe(struct buffer *out, const struct tool *tool, const json_t *arguments, struct error *err);

/* Run the command; *result becomes what the model is told: its output, or in words why there is none and what was
 * written on standard error. Always UTF-8 without zero bytes. A command that fails or cannot be started is no error
 * here; ERROR_CANCELLED where `cancelled` (looked at every few milliseconds; may be NULL) wants the end;
 * ERROR_MEMORY. */
int tool_run(struct buffer *result, const struct tool *tool, const json_t *arguments,
    bool (*cancelled)(void *context), void *context, struct error *err);

#endif
