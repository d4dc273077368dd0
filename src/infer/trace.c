/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/trace.h"

#include "base/buffer.h"
#include "base/filemap.h"
#include "file/safetensors.h"
#include "file/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct trace {
    struct filemap map;
    struct table tensors;
    json_t *metadata;
    int32_t *ids;
    const float *layers[SPEC_LAYERS_MAX];
    struct trace_values values;
};

/* ---- writing ---- */

static struct file_tensor floats(const char *name, const float *data, int64_t rows, int64_t columns)
{
    return (struct file_tensor) { .name = name, .type_name = "F32", .dims = 2, .shape = { rows, columns },
        .data = data, .bytes = (uint64_t)rows * (uint64_t)columns * sizeof *data };
}

int trace_write(const char *path, const struct spec *s, const struct trace_values *v, struct error *err)
{
    struct file_tensor *tensors = calloc((size_t)s->layers + 3, sizeof *tensors);
    char (*names)[32] = calloc((size_t)s->layers, sizeof *names);
    json_t *metadata = json_pack("{s:s}", "made_by", v->made_by ? v->made_by : "");
    size_t n = 0;
    int rc = tensors && names && metadata ? 0 : error_memory(err, (size_t)s->layers * 32, "a trace");
    if (rc == 0) {
        tensors[n++] = (struct file_tensor) { .name = "ids", .type_name = "I32", .dims = 1, .shape = { v->tokens },
            .data = v->ids, .bytes = (uint64_t)v->tokens * sizeof *v->ids };
        if (v->embedding)
            tensors[n++] = floats("embedding", v->embedding, v->tokens, s->dim);
        for (int i = 0; i < s->layers; i++) {
            snprintf(names[i], sizeof names[i], "layer.%d", i);
            tensors[n++] = floats(names[i], v->layers[i], v->tokens, s->dim);
        }
        tensors[n++] = floats("logits", v->logits, v->tokens, s->vocabulary);
        rc = safetensors_write(path, tensors, n, metadata, err);
    }
    json_decref(metadata);
    free(names);
    free(tensors);
    return rc;
}

/* ---- reading ---- */

static int refuse_shape(const struct file_tensor *f, int64_t rows, int64_t columns, struct error *err)
{
    struct buffer shape = { 0 };
    for (int i = 0; i < f->dims; i++)
        buffer_printf(&shape, "%s%" PRId64, i ? ", " : "", f->shape[i]);
    int rc = error_set(err, ERROR_FORMAT, "tensor \"%s\" is %s (%s), the model needs F32 (%" PRId64 ", %" PRId64 ")",
        f->name, f->type_name, shape.data ? shape.data : "", rows, columns);
    buffer_release(&shape);
    return rc;
}

static int find_floats(const float **out, const struct trace *t, const char *name, int64_t columns, struct error *err)
{
    const struct file_tensor *f = table_find(&t->tensors, name);
    int64_t rows = t->values.tokens;
    if (!f)
        return error_set(err, ERROR_FORMAT, "there is no tensor \"%s\"", name);
    if (strcmp(f->type_name, "F32") != 0 || f->dims != 2 || f->shape[0] != rows || f->shape[1] != columns)
        return refuse_shape(f, rows, columns, err);
    *out = f->data;
    return 0;
}

/* Where ids lie is not promised to be a multiple of their size. */
static int64_t load_wide(const void *ids, int i)
{
    int64_t id;
    memcpy(&id, (const char *)ids + (size_t)i * sizeof id, sizeof id);
    return id;
}

static int32_t load_narrow(const void *ids, int i)
{
    int32_t id;
    memcpy(&id, (const char *)ids + (size_t)i * sizeof id, sizeof id);
    return id;
}

static int read_ids(struct trace *t, const struct spec *s, struct error *err)
{
    const struct file_tensor *f = table_find(&t->tensors, "ids");
    bool wide = f && strcmp(f->type_name, "I64") == 0;
    if (!f || f->dims != 1 || (!wide && strcmp(f->type_name, "I32") != 0))
        return error_set(err, ERROR_FORMAT, "there is no tensor \"ids\" of type I32 or I64 and one dimension");
    if (f->shape[0] < 1)
        return error_set(err, ERROR_FORMAT, "it has no tokens");
    if (f->shape[0] > s->context)
        return error_set(err, ERROR_LIMIT, "%" PRId64 " tokens do not fit the model's context of %d", f->shape[0],
            s->context);
    t->values.tokens = (int)f->shape[0];
    t->ids = calloc((size_t)t->values.tokens, sizeof *t->ids);
    if (!t->ids)
        return error_memory(err, (size_t)t->values.tokens * sizeof *t->ids, "ids");
    for (int i = 0; i < t->values.tokens; i++) {
        int64_t id = wide ? load_wide(f->data, i) : load_narrow(f->data, i);
        if (id < 0 || id >= s->vocabulary)
            return error_set(err, ERROR_FORMAT, "token %d is %" PRId64 ", outside the model's vocabulary of %" PRId64,
                i, id, s->vocabulary);
        t->ids[i] = (int32_t)id;
    }
    t->values.ids = t->ids;
    return 0;
}

static int read_values(struct trace *t, const struct spec *s, struct error *err)
{
    char name[32];
    int rc = read_ids(t, s, err);
    if (rc == 0 && table_find(&t->tensors, "embedding"))
        rc = find_floats(&t->values.embedding, t, "embedding", s->dim, err);
    for (int i = 0; rc == 0 && i < s->layers; i++) {
        snprintf(name, sizeof name, "layer.%d", i);
        rc = find_floats(&t->layers[i], t, name, s->dim, err);
    }
    snprintf(name, sizeof name, "layer.%d", s->layers);
    if (rc == 0 && table_find(&t->tensors, name))
        rc = error_set(err, ERROR_FORMAT, "there is a tensor \"%s\", the model has %d layers", name, s->layers);
    t->values.layers = t->layers;
    return rc ? rc : find_floats(&t->values.logits, t, "logits", s->vocabulary, err);
}

static int read_file(struct trace *t, const char *path, const struct spec *s, struct error *err)
{
    int rc = safetensors_read(&t->tensors, t->map.data, t->map.size, path, err);
    if (rc == 0)
        rc = safetensors_metadata_new(&t->metadata, t->map.data, t->map.size, path, err);
    if (rc)
        return rc;
    t->values.made_by = json_text(t->metadata, "made_by", NULL);
    rc = table_align(&t->tensors, err);
    if (rc == 0)
        rc = read_values(t, s, err);
    if (rc)
        error_in(err, "could not use \"%s\" as a reference", path);
    return rc;
}

int trace_open(struct trace **out, const char *path, const struct spec *s, struct error *err)
{
    *out = NULL;
    struct trace *t = calloc(1, sizeof *t);
    if (!t)
        return error_memory(err, sizeof *t, "a trace");
    int rc = filemap_open(&t->map, path, err);
    if (rc == 0)
        rc = read_file(t, path, s, err);
    if (rc) {
        trace_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void trace_close(struct trace *t)
{
    if (!t)
        return;
    json_decref(t->metadata);
    table_release(&t->tensors);
    filemap_close(&t->map);
    free(t->ids);
    free(t);
}

const struct trace_values *trace_values(const struct trace *t)
{
    return &t->values;
}
