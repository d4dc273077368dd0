/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF: header, metadata (gguf_value.c), then the list of tensors. Nothing is believed before it is compared with the
 * bytes that are left: counts before memory is asked for, sizes with overflow-checked arithmetic, every tensor's range
 * against the file and against the tensor before it. */
#include "base/size.h"
#include "file/gguf_impl.h"
#include "file/gguf_write.h"
#include "file/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 24u
#define TENSOR_BYTES_MIN 25u /* u64 name length, one byte of name, u32 dimensions, u32 type, u64 offset */
#define NAME_BYTES_MAX 63u
#define DIMS_MAX 4u
#define DIM_MAX ((uint64_t)1 << 40)
#define ALIGNMENT_DEFAULT 32u

/* ggml type numbers; the gaps are numbers that were removed. */
static const struct ggml_type {
    const char *name; /* NULL: removed */
    uint32_t block, bytes;
    const struct format *format;
} ggml_types[] = {
    [0] = { "F32", 1, 4, &format_f32 },
    [1] = { "F16", 1, 2, &format_f16 },
    [2] = { "Q4_0", 32, 18, &format_q4_0 },
    [3] = { "Q4_1", 32, 20, &format_q4_1 },
    [6] = { "Q5_0", 32, 22, &format_q5_0 },
    [7] = { "Q5_1", 32, 24, &format_q5_1 },
    [8] = { "Q8_0", 32, 34, &format_q8_0 },
    [9] = { "Q8_1", 32, 36, NULL },
    [10] = { "Q2_K", 256, 84, &format_q2_k },
    [11] = { "Q3_K", 256, 110, &format_q3_k },
    [12] = { "Q4_K", 256, 144, &format_q4_k },
    [13] = { "Q5_K", 256, 176, &format_q5_k },
    [14] = { "Q6_K", 256, 210, &format_q6_k },
    [15] = { "Q8_K", 256, 292, NULL },
    [16] = { "IQ2_XXS", 256, 66, NULL },
    [17] = { "IQ2_XS", 256, 74, NULL },
    [18] = { "IQ3_XXS", 256, 98, NULL },
    [19] = { "IQ1_S", 256, 50, NULL },
    [20] = { "IQ4_NL", 32, 18, &format_iq4_nl },
    [21] = { "IQ3_S", 256, 110, NULL },
    [22] = { "IQ2_S", 256, 82, NULL },
    [23] = { "IQ4_XS", 256, 136, NULL },
    [24] = { "I8", 1, 1, NULL },
    [25] = { "I16", 1, 2, NULL },
    [26] = { "I32", 1, 4, NULL },
    [27] = { "I64", 1, 8, NULL },
    [28] = { "F64", 1, 8, NULL },
    [29] = { "IQ1_M", 256, 56, NULL },
    [30] = { "BF16", 1, 2, &format_bf16 },
    [34] = { "TQ1_0", 256, 54, NULL },
    [35] = { "TQ2_0", 256, 66, NULL },
    [39] = { "MXFP4", 32, 17, &format_mxfp4 },
    [40] = { "NVFP4", 64, 36, NULL },
    [41] = { "Q1_0", 128, 18, NULL },
    [42] = { "Q2_0", 64, 18, NULL },
};
#define GGML_TYPES (sizeof ggml_types / sizeof ggml_types[0])

const char *gguf_format_name(const struct format *f)
{
    int number = gguf_format_number(f);
    return number < 0 ? NULL : ggml_types[number].name;
}

int gguf_format_number(const struct format *f)
{
    for (size_t i = 0; i < GGML_TYPES; i++)
        if (ggml_types[i].format == f)
            return (int)i;
    return -1;
}

struct tensor_info { /* one entry of the tensor list, as the file says it */
    const char *name;
    size_t name_length;
    uint32_t dims;
    uint64_t dim[DIMS_MAX]; /* fastest first */
    uint64_t type, offset;
};

static int take_header(struct gguf_cursor *c, uint64_t *tensors, uint64_t *keys, struct error *err)
{
    uint64_t magic, version;
    if (c->size < HEADER_BYTES)
        return error_set(err, ERROR_FORMAT, "it has %" PRIu64 " bytes, a GGUF header has %u", c->size, HEADER_BYTES);
    if (memcmp(c->data, "GGUF", 4) != 0)
        return error_set(err, ERROR_FORMAT,
            "it is not a GGUF file: it starts with %02x %02x %02x %02x, expected 47 47 55 46", c->data[0], c->data[1],
            c->data[2], c->data[3]);
    gguf_take_number(c, 4, &magic, "the header", NULL);
    gguf_take_number(c, 4, &version, "the header", NULL);
    gguf_take_number(c, 8, tensors, "the header", NULL);
    gguf_take_number(c, 8, keys, "the header", NULL);
    if (version != 0 && (version & 0xffffff) == 0)
        return error_set(err, ERROR_UNSUPPORTED,
            "it is a big-endian GGUF file (version 0x%08" PRIx64 "), only little-endian files are read", version);
    if (version != 2 && version != 3)
        return error_set(err, ERROR_UNSUPPORTED, "GGUF version %" PRIu64 " is not read, only 2 and 3", version);
    return 0;
}

static int find_alignment(const struct gguf *g, uint64_t *out, struct error *err)
{
    int64_t x = ALIGNMENT_DEFAULT;
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    if (v && (v->type == GGUF_ARRAY || !gguf_whole_at(v, 0, &x)))
        return error_set(err, ERROR_FORMAT, "key \"general.alignment\" has type %s, expected an integer",
            gguf_type_name(v->type));
    if (x < 8 || x > 65536 || (x & (x - 1)) != 0)
        return error_set(err, ERROR_FORMAT, "general.alignment is %" PRId64 ", expected a power of two from 8 to 65536",
            x);
    *out = (uint64_t)x;
    return 0;
}

static int take_info(struct gguf_cursor *c, struct tensor_info *t, struct error *err)
{
    uint64_t dims = 0;
    int rc = gguf_take_string(c, &t->name, &t->name_length, "a tensor name", err);
    if (rc)
        return rc;
    if (t->name_length == 0 || t->name_length > NAME_BYTES_MAX)
        return error_set(err, ERROR_FORMAT, "a tensor name has %zu bytes, expected 1 to %u", t->name_length,
            NAME_BYTES_MAX);
    rc = gguf_take_number(c, 4, &dims, "a tensor's dimensions", err);
    if (rc == 0 && dims > DIMS_MAX)
        rc = error_set(err, ERROR_FORMAT, "it has %" PRIu64 " dimensions, at most %u are possible", dims, DIMS_MAX);
    for (t->dims = 0; rc == 0 && t->dims < dims; t->dims++) {
        uint64_t n = 0;
        rc = gguf_take_number(c, 8, &n, "a tensor's dimensions", err);
        if (rc == 0 && (n == 0 || n > DIM_MAX))
            rc = error_set(err, ERROR_FORMAT, "dimension %u is %" PRIu64 ", expected 1 to 2^40", t->dims, n);
        t->dim[t->dims] = n;
    }
    if (rc == 0)
        rc = gguf_take_number(c, 4, &t->type, "a tensor's type", err);
    if (rc == 0)
        rc = gguf_take_number(c, 8, &t->offset, "a tensor's offset", err);
    if (rc)
        error_in(err, "tensor \"%.*s\"", (int)t->name_length, t->name);
    return rc;
}

/* Bytes of a tensor from its dimensions and its type's blocks. */
static int measure(const struct tensor_info *t, const struct ggml_type *type, uint64_t *bytes, struct error *err)
{
    uint64_t row = t->dims ? t->dim[0] : 1;
    if (row % type->block)
        return error_set(err, ERROR_FORMAT, "rows of %" PRIu64 " values are not a multiple of the %s block of %u", row,
            type->name, type->block);
    bool fits = size_mul(bytes, row / type->block, type->bytes);
    for (uint32_t i = 1; i < t->dims && fits; i++)
        fits = size_mul(bytes, *bytes, t->dim[i]);
    if (!fits || *bytes > INT64_MAX)
        return error_set(err, ERROR_FORMAT, "its size overflows: %u dimensions from %" PRIu64 ", type %s", t->dims, row,
            type->name);
    return 0;
}

/* Where a tensor lies: right behind the one before it, inside the data. `end`: of the tensor before it, or UINT64_MAX
 * where that one's size is unknown. */
static int check_place(const struct tensor_info *t, uint64_t bytes, uint64_t end, uint64_t alignment, uint64_t room,
    struct error *err)
{
    if (t->offset % alignment)
        return error_set(err, ERROR_FORMAT, "offset %" PRIu64 " is not a multiple of the alignment %" PRIu64, t->offset,
            alignment);
    if (t->offset > room || bytes > room - t->offset)
        return error_set(err, ERROR_FORMAT,
            "%" PRIu64 " bytes at offset %" PRIu64 " go beyond the file: it has %" PRIu64 " bytes of data", bytes,
            t->offset, room);
    if (end == UINT64_MAX)
        return 0;
    uint64_t expected = size_align(end, alignment);
    if (t->offset < end)
        return error_set(err, ERROR_FORMAT,
            "offset %" PRIu64 " overlaps the tensor before it, which ends at %" PRIu64, t->offset, end);
    if (t->offset != expected)
        return error_set(err, ERROR_FORMAT, "offset %" PRIu64 " leaves a gap: expected %" PRIu64, t->offset, expected);
    return 0;
}

struct tensor_list { /* while the tensors are added in the file's order */
    struct table *table;
    const unsigned char *data; /* where offset 0 lies; NULL: the file ends before */
    uint64_t room, alignment;  /* bytes from there to the end of the file */
    uint64_t last;             /* offset of the tensor before, never more than the next one's */
    uint64_t end;              /* its end, or UINT64_MAX: its type is unknown */
};

static int add_tensor(struct tensor_list *l, const struct tensor_info *t, struct error *err)
{
    char unknown[32];
    uint64_t bytes = 0, end = UINT64_MAX;
    const struct ggml_type *type = t->type < GGML_TYPES ? &ggml_types[t->type] : NULL;
    struct file_tensor view = { .dims = (int)t->dims };
    if (type && !type->name)
        return error_set(err, ERROR_UNSUPPORTED, "its type %" PRIu64 " is a number that was removed from the format",
            t->type);
    int rc = type ? measure(t, type, &bytes, err) : 0;
    if (rc == 0)
        rc = check_place(t, bytes, l->end, l->alignment, l->room, err);
    if (rc == 0 && t->offset < l->last)
        rc = error_set(err, ERROR_FORMAT, "offset %" PRIu64 " is out of order, behind %" PRIu64, t->offset, l->last);
    if (rc)
        return rc;
    if (type)
        end = t->offset + bytes;
    for (uint32_t i = 0; i < t->dims; i++)
        view.shape[i] = (int64_t)t->dim[t->dims - 1 - i];
    view.format = type ? type->format : NULL;
    view.data = bytes ? l->data + t->offset : NULL;
    view.bytes = bytes;
    snprintf(unknown, sizeof unknown, "type %" PRIu64, t->type);
    const char *name = type ? type->name : unknown;
    l->last = t->offset;
    l->end = end;
    return table_add(l->table, &view, t->name, t->name_length, name, strlen(name), err);
}

static int take_tensors(const struct gguf *g, struct gguf_cursor *c, uint64_t count, struct table *table,
    struct error *err)
{
    struct tensor_list list = { .table = table };
    struct tensor_info t;
    uint64_t bytes;
    if (!size_mul(&bytes, count, TENSOR_BYTES_MIN) || bytes > gguf_left(c))
        return error_set(err, ERROR_FORMAT,
            "the header says %" PRIu64 " tensors of at least %u bytes each, the file has %" PRIu64 " bytes left", count,
            TENSOR_BYTES_MIN, gguf_left(c));
    int rc = find_alignment(g, &list.alignment, err);
    /* the data begin behind the list: walk it once for its end, then again to add */
    struct gguf_cursor ahead = *c;
    for (uint64_t i = 0; i < count && rc == 0; i++)
        rc = take_info(&ahead, &t, err);
    if (rc)
        return rc;
    uint64_t start = size_align(ahead.at, list.alignment);
    if (start < c->size) {
        list.data = c->data + start;
        list.room = c->size - start;
    }
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = take_info(c, &t, err);
        if (rc == 0) {
            rc = add_tensor(&list, &t, err);
            if (rc)
                error_in(err, "tensor \"%.*s\"", (int)t.name_length, t.name);
        }
    }
    return rc;
}

int gguf_read(struct gguf **out, const void *data, size_t size, const char *path, struct table *tensors,
    struct error *err)
{
    struct gguf_cursor c = { .data = data, .size = size };
    uint64_t tensor_count = 0, key_count = 0;
    *out = NULL;
    struct gguf *g = calloc(1, sizeof *g);
    if (!g)
        return error_memory(err, sizeof *g, "a GGUF file");
    int rc = take_header(&c, &tensor_count, &key_count, err);
    if (rc == 0)
        rc = gguf_take_values(g, &c, key_count, err);
    if (rc == 0 && tensors)
        rc = take_tensors(g, &c, tensor_count, tensors, err);
    if (rc) {
        error_in(err, "could not read \"%s\"", path);
        gguf_close(g);
        g = NULL;
    }
    *out = g;
    return rc;
}

int gguf_open(struct gguf **out, const char *path, struct table *tensors, struct error *err)
{
    struct filemap map;
    *out = NULL;
    int rc = filemap_open(&map, path, err);
    if (rc)
        return rc;
    rc = gguf_read(out, map.data, map.size, path, tensors, err);
    if (rc)
        filemap_close(&map);
    else
        (*out)->map = map;
    return rc;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    free(g->values);
    map_release(&g->index);
    filemap_close(&g->map);
    free(g);
}
