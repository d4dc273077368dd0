/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, ids and JSON, from and to the outside. */
#ifndef WAZN_CLI_INPUT_H
#define WAZN_CLI_INPUT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "text/tokens.h"

#include <stddef.h>

#define INPUT_BYTES_MAX ((size_t)64 << 20)

/* Ids as a person types them: whole numbers separated by blanks or commas. */
int ids_read(struct tokens *out, const char *text, struct error *err);

/* Append the whole of standard input, at most INPUT_BYTES_MAX. Ctrl-C: ERROR_CANCELLED. */
int stdin_read(struct buffer *out, struct error *err);

/* The text a command was given: `word`, or standard input where it is "-". */
int text_read(struct buffer *out, const char *word, struct error *err);

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. */
json_t *json_string_new(const char *bytes, size_t n);
/* Write a value on standard output as one line, and release it. NULL: ERROR_MEMORY. */
int json_print(json_t *value, struct error *err);

#endif
