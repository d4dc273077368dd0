/* SPDX-License-Identifier: Apache-2.0 */
#include "file/safetensors.h"

#include "base/size.h"
#include "file/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* In the reference's order, which writers sort by: widths never fall. */
static const struct dtype {
    const char *name;
    unsigned bits;
    const struct format *format; /* NULL: nothing here computes with it */
} dtypes[] = {
    { "BOOL", 8, NULL },
    { "F4", 4, NULL },
    { "F6_E2M3", 6, NULL },
    { "F6_E3M2", 6, NULL },
    { "U8", 8, NULL },
    { "I8", 8, NULL },
    { "F8_E5M2", 8, NULL },
    { "F8_E4M3", 8, &format_f8_e4m3 },
    { "F8_E8M0", 8, NULL },
    { "F8_E4M3FNUZ", 8, NULL },
    { "F8_E5M2FNUZ", 8, NULL },
    { "I16", 16, NULL },
    { "U16", 16, NULL },
    { "F16", 16, &format_f16 },
    { "BF16", 16, &format_bf16 },
    { "I32", 32, NULL },
    { "U32", 32, NULL },
    { "F32", 32, &format_f32 },
    { "C64", 64, NULL },
    { "F64", 64, NULL },
    { "I64", 64, NULL },
    { "U64", 64, NULL },
};

static const struct dtype *dtype_find(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    }
    return NULL;
}

unsigned safetensors_bits(const char *dtype)
{
    const struct dtype *d = dtype_find(dtype);
    return d ? d->bits : 0;
}

int safetensors_rank(const char *dtype)
{
    const struct dtype *d = dtype_find(dtype);
    return d ? (int)(d - dtypes) : -1;
}

struct entry { /* one tensor of the header */
    const char *name;
    const char *dtype;
    struct file_tensor view; /* name and type_name unset */
    uint64_t begin, end;
};

static int read_shape(struct entry *e, const json_t *shape, struct error *err)
{
    size_t i;
    const json_t *n;
    if (!json_is_array(shape))
        return error_set(err, ERROR_FORMAT, "it has no \"shape\" array");
    if (json_array_size(shape) > FILE_DIMS_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "it has %zu dimensions, at most %d are read", json_array_size(shape),
            FILE_DIMS_MAX);
    e->view.dims = (int)json_array_size(shape);
    json_array_foreach (shape, i, n) {
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return error_set(err, ERROR_FORMAT, "dimension %zu is not a whole number from 0 up", i);
        e->view.shape[i] = json_integer_value(n);
    }
    return 0;
}

static int read_offsets(struct entry *e, const json_t *offsets, uint64_t room, struct error *err)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return error_set(err, ERROR_FORMAT, "it has no \"data_offsets\" of two whole numbers");
    long long b = json_integer_value(begin), n = json_integer_value(end);
    if (b < 0 || n < b)
        return error_set(err, ERROR_FORMAT, "its data_offsets [%lld, %lld] are not a range", b, n);
    if ((uint64_t)n > room)
        return error_set(err, ERROR_FORMAT, "it ends at byte %lld, the file has %" PRIu64 " bytes of data", n, room);
    e->begin = (uint64_t)b;
    e->end = (uint64_t)n;
    return 0;
}

/* shape times bits must be what the offsets say. */
static int check_size(const struct entry *e, const struct dtype *d, struct error *err)
{
    uint64_t bits = 1;
    bool fits = true;
    for (int i = 0; i < e->view.dims && fits; i++)
        fits = size_mul(&bits, bits, (uint64_t)e->view.shape[i]);
    if (!fits || !size_mul(&bits, bits, d->bits))
        return error_set(err, ERROR_FORMAT, "its size overflows: %d dimensions of dtype %s", e->view.dims, d->name);
    if (bits % 8)
        return error_set(err, ERROR_FORMAT, "its %" PRIu64 " bits of dtype %s are no whole number of bytes", bits,
            d->name);
    if (bits / 8 != e->end - e->begin)
        return error_set(err, ERROR_FORMAT, "it has %" PRIu64 " bytes, expected %" PRIu64 " from shape and dtype %s",
            e->end - e->begin, bits / 8, d->name);
    return 0;
}

static int read_entry(struct entry *e, const char *name, const json_t *object, uint64_t room, struct error *err)
{
    e->name = name;
    e->dtype = json_text(object, "dtype", NULL);
    if (!e->dtype)
        return error_set(err, ERROR_FORMAT, "it has no \"dtype\"");
    int rc = read_shape(e, json_object_get(object, "shape"), err);
    if (rc == 0)
        rc = read_offsets(e, json_object_get(object, "data_offsets"), room, err);
    const struct dtype *d = dtype_find(e->dtype);
    if (rc || !d)
        return rc;
    e->view.format = d->format;
    return check_size(e, d, err);
}

static int check_metadata(const json_t *metadata, struct error *err)
{
    const char *key;
    const json_t *value;
    if (!json_is_object(metadata))
        return error_set(err, ERROR_FORMAT, "\"__metadata__\" is not an object of strings");
    json_object_foreach ((json_t *)(uintptr_t)metadata, key, value) {
        if (!json_is_string(value))
            return error_set(err, ERROR_FORMAT, "\"__metadata__\" entry \"%s\" is not a string", key);
    }
    return 0;
}

static int compare_entries(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* By offset the tensors touch, from the first byte to the last. */
static int check_cover(struct entry *entries, size_t count, uint64_t room, struct error *err)
{
    uint64_t at = 0;
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        if (e->begin != at)
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" starts at byte %" PRIu64 ", expected %" PRIu64 ": %s",
                e->name, e->begin, at, e->begin < at ? "it overlaps the one before" : "a hole before it");
        at = e->end;
    }
    if (at != room)
        return error_set(err, ERROR_FORMAT, "the last tensor ends at byte %" PRIu64 ", the file has %" PRIu64
            " bytes of data", at, room);
    return 0;
}

static int add_entries(struct table *tensors, struct entry *entries, size_t count, const unsigned char *buffer,
    struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct entry *e = &entries[i];
        e->view.bytes = e->end - e->begin;
        e->view.data = e->view.bytes ? buffer + e->begin : NULL;
        rc = table_add(tensors, &e->view, e->name, strlen(e->name), e->dtype, strlen(e->dtype), err);
    }
    return rc;
}

static int read_header(struct table *tensors, const json_t *header, const unsigned char *buffer, uint64_t room,
    struct error *err)
{
    size_t count = 0, members = json_object_size(header);
    const char *name;
    const json_t *value;
    int rc = 0;
    if (!json_is_object(header))
        return error_set(err, ERROR_FORMAT, "its header is not an object");
    struct entry *entries = calloc(members + 1, sizeof *entries);
    if (!entries)
        return error_memory(err, (members + 1) * sizeof *entries, "a safetensors header");
    json_object_foreach ((json_t *)(uintptr_t)header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            rc = check_metadata(value, err);
        } else {
            rc = read_entry(&entries[count++], name, value, room, err);
            if (rc)
                error_in(err, "tensor \"%s\"", name);
        }
        if (rc)
            break;
    }
    if (rc == 0)
        rc = check_cover(entries, count, room, err);
    if (rc == 0)
        rc = add_entries(tensors, entries, count, buffer, err);
    free(entries);
    return rc;
}

static uint64_t load_length(const unsigned char *p)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

static int find_header(const unsigned char *data, size_t size, uint64_t *length, struct error *err)
{
    if (size < 8)
        return error_set(
            err, ERROR_FORMAT, "it has %zu bytes, a safetensors file starts with 8 of header length", size);
    *length = load_length(data);
    if (*length > SAFETENSORS_HEADER_MAX)
        return error_set(err, ERROR_FORMAT, "its header length is %" PRIu64 ", the limit is %u", *length,
            SAFETENSORS_HEADER_MAX);
    if (*length > size - 8)
        return error_set(err, ERROR_FORMAT, "its header length is %" PRIu64 ", the file has %zu bytes behind it",
            *length, size - 8);
    if (*length == 0 || data[8] != '{')
        return error_set(err, ERROR_FORMAT, "its header of %" PRIu64 " bytes does not start with '{'", *length);
    return 0;
}

static int open_header(json_t **header, uint64_t *length, const void *data, size_t size, struct error *err)
{
    int rc = find_header(data, size, length, err);
    return rc ? rc : json_read_new(header, (const char *)data + 8, (size_t)*length, "its header", err);
}

int safetensors_read(struct table *tensors, const void *data, size_t size, const char *path, struct error *err)
{
    const unsigned char *bytes = data;
    uint64_t length = 0;
    json_t *header = NULL;
    int rc = open_header(&header, &length, data, size, err);
    if (rc == 0)
        rc = read_header(tensors, header, bytes + 8 + length, size - 8 - length, err);
    if (rc)
        error_in(err, "could not read \"%s\"", path);
    json_decref(header);
    return rc;
}

int safetensors_metadata_new(json_t **out, const void *data, size_t size, const char *path, struct error *err)
{
    uint64_t length = 0;
    json_t *header = NULL;
    int rc = open_header(&header, &length, data, size, err);
    json_t *metadata = rc == 0 ? json_object_get(header, "__metadata__") : NULL;
    if (metadata)
        rc = check_metadata(metadata, err);
    *out = rc ? NULL : metadata ? json_incref(metadata) : json_object();
    json_decref(header);
    if (rc == 0 && !*out)
        rc = error_memory(err, sizeof *out, "metadata");
    if (rc)
        error_in(err, "could not read \"%s\"", path);
    return rc;
}
