/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/filemap.h"

#include <math.h>
#include <stdlib.h>

int json_read_new(json_t **out, const char *data, size_t size, const char *what, struct error *err)
{
    json_error_t e;
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (*out)
        return 0;
    /* jansson says nothing at all where memory ran out inside a value */
    if (json_error_code(&e) == json_error_out_of_memory || !e.text[0])
        return error_memory(err, size, what);
    return error_set(err, ERROR_FORMAT, "could not parse %s as JSON: line %d, column %d: %s", what, e.line, e.column,
        e.text);
}

int json_read_file_new(json_t **out, const char *path, size_t limit, struct error *err)
{
    char *data;
    size_t size;
    *out = NULL;
    int rc = file_read_new(&data, &size, path, limit, err);
    if (rc)
        return rc;
    rc = json_read_new(out, data, size, path, err);
    free(data);
    return rc;
}

const char *json_text(const json_t *object, const char *key, const char *absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : absent;
}

bool json_flag(const json_t *object, const char *key, bool absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

long long json_whole(const json_t *object, const char *key, long long absent)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v) && fabs(json_real_value(v)) < 0x1p53 && floor(json_real_value(v)) == json_real_value(v))
        return (long long)json_real_value(v);
    return absent;
}

double json_real_of(const json_t *object, const char *key, double absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : absent;
}
