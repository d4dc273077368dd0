/* SPDX-License-Identifier: Apache-2.0 */
/* enum and const: values as the texts that JSON gives them. */
#include "infer/schema_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (4u << 20)

/* As short as keeps every number what it is. The caller frees it. */
static char *text_new(const json_t *value)
{
    for (size_t digits = 15; digits < 17; digits++) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *again = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
        bool same = again && json_equal(value, again);
        json_decref(again);
        if (same)
            return text;
        free(text);
    }
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

static bool is_of(const json_t *value, unsigned types)
{
    double real = json_real_value(value);
    if (json_is_real(value) && types >> JSON_INTEGER & 1u && real == trunc(real))
        return true;
    return types >> json_typeof(value) & 1u;
}

uint32_t schema_values(struct schema_compiler *c, const json_t *values, unsigned types, uint32_t next)
{
    size_t n = json_array_size(values), kept = 0, bytes = 0;
    uint32_t node = NODE_THE_END;
    char **texts = calloc(n ? n : 1, sizeof *texts);
    if (!texts) {
        c->b.rc = error_memory(c->b.err, n * sizeof *texts, "the values of an enum");
        return node;
    }
    for (size_t i = 0; i < n && c->b.rc == 0; i++) {
        const json_t *value = json_array_get(values, i);
        if (!is_of(value, types))
            continue;
        char *text = text_new(value);
        if (!text) {
            c->b.rc = error_memory(c->b.err, 0, "a value of an enum");
            break;
        }
        texts[kept++] = text;
        bytes += strlen(text);
        if (bytes > BYTES_MAX)
            schema_fail(c, ERROR_LIMIT, "the values of the enum have more than %u bytes", BYTES_MAX);
    }
    if (kept == 0)
        schema_fail(c, ERROR_UNSUPPORTED, n ? "no value of the enum is of the type" : "the enum is empty");
    if (c->b.rc == 0)
        node = build_words(&c->b, texts, kept, next);
    for (size_t i = 0; i < kept; i++)
        free(texts[i]);
    free(texts);
    return node;
}
