/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of a GGUF file: read with bounds, then asked for typed members. */
#include "base/json.h"
#include "base/size.h"
#include "file/gguf_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX 65535u
#define KEYS_MAX 65536u /* real files have some fifty; an entry in memory is larger than the smallest in the file */
#define ENTRY_BYTES_MIN 14u /* u64 key length, one byte of key, u32 type, one byte of value */

static const struct {
    const char *name;
    unsigned bytes; /* 0: no fixed size */
} types[GGUF_TYPE_COUNT] = {
    [GGUF_UINT8] = { "uint8", 1 },
    [GGUF_INT8] = { "int8", 1 },
    [GGUF_UINT16] = { "uint16", 2 },
    [GGUF_INT16] = { "int16", 2 },
    [GGUF_UINT32] = { "uint32", 4 },
    [GGUF_INT32] = { "int32", 4 },
    [GGUF_FLOAT32] = { "float32", 4 },
    [GGUF_BOOL] = { "bool", 1 },
    [GGUF_STRING] = { "string", 0 },
    [GGUF_ARRAY] = { "array", 0 },
    [GGUF_UINT64] = { "uint64", 8 },
    [GGUF_INT64] = { "int64", 8 },
    [GGUF_FLOAT64] = { "float64", 8 },
};

const char *gguf_type_name(enum gguf_type type)
{
    return (unsigned)type < GGUF_TYPE_COUNT ? types[type].name : "unknown";
}

int gguf_take_number(struct gguf_cursor *c, size_t bytes, uint64_t *out, const char *what, struct error *err)
{
    if (bytes > gguf_left(c))
        return error_set(err, ERROR_FORMAT, "the file ends inside %s: %zu bytes needed, %" PRIu64 " left", what, bytes,
            gguf_left(c));
    *out = gguf_load(c->data + c->at, bytes);
    c->at += bytes;
    return 0;
}

int gguf_take_string(struct gguf_cursor *c, const char **text, size_t *length, const char *what, struct error *err)
{
    uint64_t n = 0;
    int rc = gguf_take_number(c, 8, &n, what, err);
    if (rc)
        return rc;
    if (n > gguf_left(c))
        return error_set(err, ERROR_FORMAT, "%s has a length of %" PRIu64 " bytes, the file has %" PRIu64 " left", what,
            n, gguf_left(c));
    *text = (const char *)c->data + c->at;
    *length = (size_t)n;
    c->at += n;
    return 0;
}

static int take_type(struct gguf_cursor *c, enum gguf_type *out, struct error *err)
{
    uint64_t type = 0;
    int rc = gguf_take_number(c, 4, &type, "a value's type", err);
    if (rc)
        return rc;
    if (type >= GGUF_TYPE_COUNT)
        return error_set(err, ERROR_FORMAT, "value type %" PRIu64 " is unknown, the last known is %d", type,
            GGUF_TYPE_COUNT - 1);
    *out = (enum gguf_type)type;
    return 0;
}

/* bool elements other than 0 and 1 would make two readers disagree. */
static int check_bools(const unsigned char *data, uint64_t count, struct error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        if (data[i] > 1)
            return error_set(err, ERROR_FORMAT, "a bool has the value %u, expected 0 or 1", data[i]);
    }
    return 0;
}

static int take_elements(struct gguf_cursor *c, struct gguf_value *v, struct error *err)
{
    uint64_t start = c->at, bytes;
    v->data = c->data + start;
    unsigned width = types[v->element].bytes;
    if (!size_mul(&bytes, v->count, width ? width : 8) || bytes > gguf_left(c))
        return error_set(err, ERROR_FORMAT, "%" PRIu64 " elements of type %s need more than the %" PRIu64 " bytes left",
            v->count, types[v->element].name, gguf_left(c));
    if (width) {
        c->at += bytes;
    } else {
        for (uint64_t i = 0; i < v->count; i++) {
            const char *text;
            size_t length;
            int rc = gguf_take_string(c, &text, &length, "a string", err);
            if (rc)
                return rc;
        }
    }
    v->bytes = c->at - start;
    return v->element == GGUF_BOOL ? check_bools(v->data, v->count, err) : 0;
}

static int take_value(struct gguf_cursor *c, struct gguf_value *v, struct error *err)
{
    int rc = take_type(c, &v->type, err);
    if (rc)
        return rc;
    v->element = v->type;
    v->count = 1;
    if (v->type == GGUF_ARRAY) {
        rc = take_type(c, &v->element, err);
        if (rc == 0 && v->element == GGUF_ARRAY)
            rc = error_set(err, ERROR_UNSUPPORTED, "it is an array of arrays, nested arrays are not read");
        if (rc == 0)
            rc = gguf_take_number(c, 8, &v->count, "an array's count", err);
        if (rc)
            return rc;
    }
    return take_elements(c, v, err);
}

static int take_entry(struct gguf *g, struct gguf_cursor *c, struct error *err)
{
    struct gguf_value *v = &g->values[g->count];
    int rc = gguf_take_string(c, &v->key, &v->key_length, "a key", err);
    if (rc)
        return rc;
    if (v->key_length == 0 || v->key_length > KEY_BYTES_MAX)
        return error_set(err, ERROR_FORMAT, "a key has %zu bytes, expected 1 to %u", v->key_length, KEY_BYTES_MAX);
    if (map_find(&g->index, v->key, v->key_length, -1) >= 0)
        return error_set(err, ERROR_FORMAT, "key \"%.*s\" appears twice", (int)v->key_length, v->key);
    rc = take_value(c, v, err);
    if (rc) {
        error_in(err, "key \"%.*s\"", (int)v->key_length, v->key);
        return rc;
    }
    return map_put(&g->index, v->key, v->key_length, (int64_t)g->count++, err);
}

int gguf_take_values(struct gguf *g, struct gguf_cursor *c, uint64_t count, struct error *err)
{
    uint64_t bytes;
    if (!size_mul(&bytes, count, ENTRY_BYTES_MIN) || bytes > gguf_left(c))
        return error_set(err, ERROR_FORMAT,
            "the header says %" PRIu64 " keys of at least %u bytes, the file has %" PRIu64 " bytes left", count,
            ENTRY_BYTES_MIN, gguf_left(c));
    if (count > KEYS_MAX)
        return error_set(err, ERROR_LIMIT, "the header says %" PRIu64 " keys, the limit is %u", count, KEYS_MAX);
    int rc = map_init(&g->index, (size_t)count, err);
    if (rc)
        return rc;
    g->values = calloc((size_t)count + 1, sizeof *g->values);
    if (!g->values)
        return error_memory(err, count * sizeof *g->values, "GGUF metadata");
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = take_entry(g, c, err);
        if (rc)
            error_in(err, "metadata entry %" PRIu64 " of %" PRIu64, i + 1, count);
    }
    return rc;
}

size_t gguf_count(const struct gguf *g)
{
    return g->count;
}

const struct gguf_value *gguf_value(const struct gguf *g, size_t i)
{
    return &g->values[i];
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    int64_t i = map_find(&g->index, key, strlen(key), -1);
    return i < 0 ? NULL : &g->values[i];
}

bool gguf_whole_at(const struct gguf_value *v, uint64_t i, int64_t *out)
{
    if (i >= v->count || v->element == GGUF_STRING)
        return false;
    unsigned width = types[v->element].bytes;
    uint64_t raw = gguf_load(v->data + i * width, width);
    switch (v->element) {
    case GGUF_UINT8:
    case GGUF_UINT16:
    case GGUF_UINT32:
        *out = (int64_t)raw;
        return true;
    case GGUF_UINT64:
        *out = (int64_t)raw;
        return raw <= INT64_MAX;
    case GGUF_INT8:
        *out = (int8_t)raw;
        return true;
    case GGUF_INT16:
        *out = (int16_t)raw;
        return true;
    case GGUF_INT32:
        *out = (int32_t)raw;
        return true;
    case GGUF_INT64:
        *out = (int64_t)raw;
        return true;
    default:
        return false;
    }
}

bool gguf_real_at(const struct gguf_value *v, uint64_t i, double *out)
{
    int64_t whole;
    if (i >= v->count)
        return false;
    if (v->element == GGUF_FLOAT32) {
        *out = json_decimal(gguf_float32_at(v, i));
        return true;
    }
    if (v->element == GGUF_FLOAT64) {
        memcpy(out, v->data + 8 * i, 8);
        return true;
    }
    if (!gguf_whole_at(v, i, &whole))
        return false;
    *out = (double)whole;
    return true;
}

int64_t gguf_whole(const struct gguf *g, const char *key, int64_t absent)
{
    const struct gguf_value *v = gguf_find(g, key);
    int64_t x;
    return v && v->type != GGUF_ARRAY && gguf_whole_at(v, 0, &x) ? x : absent;
}

double gguf_real(const struct gguf *g, const char *key, double absent)
{
    const struct gguf_value *v = gguf_find(g, key);
    double x;
    return v && v->type != GGUF_ARRAY && gguf_real_at(v, 0, &x) ? x : absent;
}

bool gguf_flag(const struct gguf *g, const char *key, bool absent)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v && v->type == GGUF_BOOL ? v->data[0] : absent;
}

const char *gguf_text(const struct gguf *g, const char *key, size_t *length)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_STRING)
        return NULL;
    *length = (size_t)v->bytes - 8;
    return (const char *)v->data + 8;
}

const struct gguf_value *gguf_array(const struct gguf *g, const char *key, enum gguf_type element)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v && v->type == GGUF_ARRAY && v->element == element ? v : NULL;
}

void gguf_strings_begin(struct gguf_strings *it, const struct gguf_value *v)
{
    it->left = v && v->element == GGUF_STRING ? v->count : 0;
    it->at = v ? v->data : NULL;
}

bool gguf_strings_next(struct gguf_strings *it, const char **text, size_t *length)
{
    if (it->left == 0)
        return false;
    /* lengths were checked when the file was opened */
    *length = (size_t)gguf_load(it->at, 8);
    *text = (const char *)it->at + 8;
    it->at += 8 + *length;
    it->left--;
    return true;
}
