/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include "base/filemap.h"
#include "base/size.h"
#include "file/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int compare_tensors(const void *x, const void *y)
{
    const struct file_tensor *a = *(const struct file_tensor *const *)x, *b = *(const struct file_tensor *const *)y;
    int by_dtype = safetensors_rank(b->type_name) - safetensors_rank(a->type_name);
    return by_dtype ? by_dtype : strcmp(a->name, b->name);
}

static int check_tensor(const struct file_tensor *t, struct error *err)
{
    uint64_t bits = safetensors_bits(t->type_name);
    bool fits = true;
    if (!bits)
        return error_set(err, ERROR_USAGE, "tensor \"%s\": dtype \"%s\" is unknown", t->name, t->type_name);
    for (int i = 0; i < t->dims && fits; i++)
        fits = t->shape[i] >= 0 && size_mul(&bits, bits, (uint64_t)t->shape[i]);
    if (!fits || bits % 8 || bits / 8 != t->bytes)
        return error_set(err, ERROR_USAGE, "tensor \"%s\": %" PRIu64 " bytes are not what shape and dtype %s need",
            t->name, t->bytes, t->type_name);
    return 0;
}

/* NULL: no memory. */
static json_t *describe_new(const struct file_tensor *t, uint64_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->dims; i++) {
        if (json_array_append_new(shape, json_integer(t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->type_name, "shape", shape, "data_offsets", (json_int_t)begin,
        (json_int_t)(begin + t->bytes));
}

static int append(const char *bytes, size_t n, void *context)
{
    buffer_add(context, bytes, n);
    return 0;
}

/* The 8 bytes of length and the header, padded with spaces to a multiple of 8. */
static int make_header(struct buffer *out, const struct file_tensor *const *order, size_t count, const json_t *metadata,
    struct error *err)
{
    uint64_t at = 0;
    int rc = 0;
    json_t *header = json_object();
    if (metadata && json_object_set(header, "__metadata__", (json_t *)(uintptr_t)metadata) != 0)
        rc = -1;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (json_object_get(header, order[i]->name)) {
            json_decref(header);
            return error_set(err, ERROR_USAGE, "tensor name \"%s\" appears twice", order[i]->name);
        }
        rc = json_object_set_new(header, order[i]->name, describe_new(order[i], at));
        at += order[i]->bytes;
    }
    buffer_add(out, "\0\0\0\0\0\0\0\0", 8);
    if (!header || rc || json_dump_callback(header, append, out, JSON_COMPACT) != 0)
        rc = error_memory(err, out->used, "a safetensors header");
    json_decref(header);
    while (rc == 0 && !out->failed && out->used % 8)
        buffer_add_byte(out, ' ');
    if (rc == 0)
        rc = buffer_check(out, "a safetensors header", err);
    for (int i = 0; rc == 0 && i < 8; i++)
        out->data[i] = (char)((out->used - 8) >> (8 * i));
    return rc;
}

/* Pointers to the tensors in the order of the file. */
static int make_order(const struct file_tensor ***out, const struct file_tensor *tensors, size_t count,
    struct error *err)
{
    int rc = 0;
    const struct file_tensor **order = calloc(count + 1, sizeof *order);
    *out = order;
    if (!order)
        return error_memory(err, (count + 1) * sizeof *order, "a list of tensors");
    for (size_t i = 0; i < count && rc == 0; i++) {
        order[i] = &tensors[i];
        rc = check_tensor(&tensors[i], err);
    }
    if (rc == 0)
        qsort(order, count, sizeof *order, compare_tensors);
    return rc;
}

int safetensors_header(struct buffer *header, uint64_t *places, const struct file_tensor *tensors, size_t count,
    const json_t *metadata, struct error *err)
{
    const struct file_tensor **order;
    int rc = make_order(&order, tensors, count, err);
    if (rc == 0)
        rc = make_header(header, order, count, metadata, err);
    uint64_t at = header->used;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        places[order[i] - tensors] = at;
        at += order[i]->bytes;
    }
    free(order);
    return rc;
}

int safetensors_write(const char *path, const struct file_tensor *tensors, size_t count, const json_t *metadata,
    struct error *err)
{
    const struct file_tensor **order = NULL;
    struct buffer header = { 0 };
    struct file_part *parts = calloc(count + 1, sizeof *parts);
    int rc = parts ? make_order(&order, tensors, count, err)
                   : error_memory(err, (count + 1) * sizeof *parts, "a list of tensors");
    if (rc == 0)
        rc = make_header(&header, order, count, metadata, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        parts[i + 1] = (struct file_part) { order[i]->data, (size_t)order[i]->bytes };
    if (rc == 0) {
        parts[0] = (struct file_part) { header.data, header.used };
        rc = file_write_parts(path, parts, count + 1, err);
    }
    if (rc)
        error_in(err, "could not write \"%s\"", path);
    buffer_release(&header);
    free(parts);
    free(order);
    return rc;
}
