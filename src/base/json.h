/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON from foreign bytes with jansson, asking it for typed members, and writing it. */
#ifndef WAZN_BASE_JSON_H
#define WAZN_BASE_JSON_H

#include "base/buffer.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Parse one document (strict grammar, duplicate keys refused, NUL escapes kept). The caller releases it with
 * json_decref. `what` names it in errors. */
int json_read_new(json_t **out, const char *data, size_t size, const char *what, struct error *err);

/* Read and parse a file of at most `limit` bytes. */
int json_read_file_new(json_t **out, const char *path, size_t limit, struct error *err);

/* Member of an object, or `absent` where it is missing, null or of another type. Numbers convert where exact. */
const char *json_text(const json_t *object, const char *key, const char *absent);
bool json_flag(const json_t *object, const char *key, bool absent);
long long json_whole(const json_t *object, const char *key, long long absent);
double json_real_of(const json_t *object, const char *key, double absent);

/* Append a value as Python's json.dumps(ensure_ascii=False, indent=...) writes it, numbers with the fewest digits that
 * read back equal; indent 0: on one line; JSON_WRITE_COMPACT: without spaces, numbers as Rust's serde_json writes them.
 * NULL is null. */
#define JSON_WRITE_COMPACT (-1)
void json_write(struct buffer *out, const json_t *value, int indent);
/* The shortest decimal that is this float: 1e-5f is 1e-5, as whoever wrote it had it. */
double json_decimal(float x);

#endif
