/* SPDX-License-Identifier: Apache-2.0 */
/* Roles meet tensors. Every weight the description wants must be found with the right shape, and nothing in the file
 * may be left over. Weights are borrowed from the map; only what an operation cannot use as it lies there is copied. */
#include "model/model_impl.h"
#include "model/names.h"
#include "tensor/block.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void describe_shape(char *out, size_t size, const int64_t *shape, int dims)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < size)
        snprintf(out + used, size - used, ")");
}

static int check_shape(const struct file_tensor *t, const int64_t *shape, int dims, struct error *err)
{
    char have[200], want[200];
    bool same = t->dims == dims;
    for (int i = 0; same && i < dims; i++)
        same = t->shape[i] == shape[i];
    if (same)
        return 0;
    describe_shape(have, sizeof have, t->shape, t->dims);
    describe_shape(want, sizeof want, shape, dims);
    return error_set(err, ERROR_FORMAT, "tensor \"%s\" has shape %s, expected %s from the config", t->name, have, want);
}

static int check_tensor(const struct file_tensor *t, const int64_t *shape, int dims, struct error *err)
{
    int rc = check_shape(t, shape, dims, err);
    if (rc)
        return rc;
    if (!t->format)
        return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" is stored as %s, which nothing here computes with",
            t->name, t->type_name);
    if (shape[dims - 1] % t->format->block != 0)
        return error_set(err, ERROR_FORMAT, "tensor \"%s\" has rows of %lld values, not a multiple of %s's block of %d",
            t->name, (long long)shape[dims - 1], t->format->name, t->format->block);
    return 0;
}

/* out (rows, cols) = columns first, first + step, ... of a stored (cols, total) matrix of `unit` byte numbers. By
 * squares that stay in the nearest cache. */
#define SQUARE 32
static void transpose(unsigned char *out, const unsigned char *in, const struct tensor *t, const struct place *at)
{
    size_t unit = (size_t)t->format->block_bytes, rows = (size_t)t->rows, cols = (size_t)t->cols;
    size_t step = (size_t)at->step, total = (size_t)at->total;
    in += (size_t)at->first * unit;
    for (size_t r0 = 0; r0 < rows; r0 += SQUARE)
        for (size_t c0 = 0; c0 < cols; c0 += SQUARE)
            for (size_t r = r0; r < rows && r < r0 + SQUARE; r++)
                for (size_t c = c0; c < cols && c < c0 + SQUARE; c++)
                    memcpy(out + (r * cols + c) * unit, in + (c * total + r * step) * unit, unit);
}

/* out (rows, cols) = columns first, first + step, ... of every row of a stored (rows, total). */
static void pick(unsigned char *out, const unsigned char *in, const struct tensor *t, const struct place *at)
{
    size_t unit = (size_t)t->format->block_bytes;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < t->cols; c++, out += unit)
            memcpy(out, in + (size_t)(r * at->total + at->first + c * at->step) * unit, unit);
}

typedef void relay_fn(unsigned char *out, const unsigned char *in, const struct tensor *t, const struct place *at);

/* A copy in the model's arena. */
static int bind_copy(struct loader *in, struct tensor *out, const struct file_tensor *t, const void *data,
    const struct place *at, relay_fn *relay, struct error *err)
{
    if (t->format->block != 1)
        return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" is stored transposed or interleaved in blocks (%s)",
            t->name, t->format->name);
    void *copy = arena_take(&in->model->arena, (size_t)out->rows * (size_t)out->cols, (size_t)t->format->block_bytes);
    if (copy)
        relay(copy, data, out, at);
    out->data = copy;
    return 0;
}

/* A part of a vector, or of the rows of biases that experts have. */
static int bind_vector(struct loader *in, struct tensor *out, int64_t index, const struct role_shape *shape,
    const struct place *at, struct error *err)
{
    const struct file_tensor *t = source_tensor(in->source, (size_t)index);
    bool rows = shape->kind == ROLE_EXPERT_BIASES;
    int64_t want[2] = { shape->rows, at->total };
    int rc = check_tensor(t, rows ? want : want + 1, rows ? 2 : 1, err);
    if (rc)
        return rc;
    in->used[index] = true;
    *out = (struct tensor) { .format = t->format, .rows = shape->rows, .cols = shape->cols, .data = t->data };
    if (shape->cols == at->total)
        return 0;
    if (rows || at->step > 1)
        return bind_copy(in, out, t, t->data, at, pick, err);
    if (at->first % t->format->block != 0 || shape->cols % t->format->block != 0)
        return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" cannot be cut at %lld: its blocks hold %d", t->name,
            (long long)at->first, t->format->block);
    out->data = (const unsigned char *)t->data + format_row_bytes(t->format, at->first);
    return 0;
}

/* One matrix: the part `at` of tensor `index`, entry `in_stack` of a stack where it is one. */
static int bind_matrix(struct loader *in, struct tensor *out, int64_t index, const struct role_shape *shape,
    const struct place *at, int stack, int in_stack, struct error *err)
{
    const struct file_tensor *t = source_tensor(in->source, (size_t)index);
    bool turned = at->entry->stored & STORED_TRANSPOSED;
    int64_t want[3] = { stack, turned ? shape->cols : at->total, turned ? at->total : shape->cols };
    int rc = check_tensor(t, want + (stack ? 0 : 1), stack ? 3 : 2, err);
    if (rc)
        return rc;
    in->used[index] = true;
    *out = (struct tensor) { .format = t->format, .rows = shape->rows, .cols = shape->cols };
    const unsigned char *matrix = t->data;
    if (matrix)
        matrix += format_row_bytes(t->format, in_stack * at->total * shape->cols);
    if (turned)
        return bind_copy(in, out, t, matrix, at, transpose, err);
    out->data = matrix + format_row_bytes(t->format, at->first * shape->cols);
    out->skip = (int)at->step - 1;
    return 0;
}

/* "..blocks" becomes "..scales". */
static int64_t find_scales(const struct loader *in, char name[NAME_SIZE])
{
    size_t n = strlen(name);
    memcpy(name + n - strlen("blocks"), "scales", strlen("scales"));
    return names_find(in, name);
}

static int check_bytes(const struct file_tensor *t, const int64_t *shape, int dims, struct error *err)
{
    if (strcmp(t->type_name, "U8") != 0)
        return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" is stored as %s, expected U8", t->name, t->type_name);
    return check_shape(t, shape, dims, err);
}

/* The scale 255 stands for NaN (OCP Microscaling Formats 1.0, section 5.4.1). */
static int check_scales(const struct file_tensor *t, struct error *err)
{
    const unsigned char *nan = t->bytes ? memchr(t->data, 255, (size_t)t->bytes) : NULL;
    if (!nan)
        return 0;
    return error_set(err, ERROR_FORMAT, "tensor \"%s\" has 255 (NaN) for the scale of block %lld", t->name,
        (long long)(nan - (const unsigned char *)t->data));
}

/* MXFP4 in two tensors, one matrix of a stack, in place. */
static int bind_mxfp4(struct loader *in, struct tensor *out, int64_t index, const struct role_shape *shape,
    const struct place *at, int stack, int in_stack, struct error *err)
{
    const struct file_tensor *blocks = source_tensor(in->source, (size_t)index), *scales;
    int64_t want[4] = { stack, at->total, shape->cols / 32, 16 };
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s", blocks->name);
    int64_t index_scales = find_scales(in, name);
    if (index_scales < 0)
        return error_set(err, ERROR_FORMAT, "tensor \"%s\" is missing", name);
    scales = source_tensor(in->source, (size_t)index_scales);
    int rc = shape->cols % 32 == 0 ? 0 : error_set(err, ERROR_FORMAT,
        "tensor \"%s\" has rows of %lld values, not a multiple of mxfp4's block of 32", blocks->name,
        (long long)shape->cols);
    if (rc == 0)
        rc = check_bytes(blocks, want, 4, err);
    if (rc == 0)
        rc = check_bytes(scales, want, 3, err);
    if (rc == 0 && !in->used[index_scales])
        rc = check_scales(scales, err);
    if (rc)
        return rc;
    in->used[index] = in->used[index_scales] = true;
    size_t skipped = (size_t)(in_stack * at->total + at->first) * (size_t)(shape->cols / 32);
    *out = (struct tensor) { .format = &format_mxfp4, .rows = shape->rows, .cols = shape->cols,
        .data = (const unsigned char *)blocks->data + skipped * sizeof(struct mxfp4_split),
        .scales = (const uint8_t *)scales->data + skipped, .skip = (int)at->step - 1 };
    return 0;
}

typedef int bind_fn(struct loader *in, struct tensor *out, int64_t index, const struct role_shape *shape,
    const struct place *at, int stack, int in_stack, struct error *err);

static int bind_experts(struct loader *in, struct weight *w, int layer, const struct role_shape *shape,
    struct place *at, struct error *err)
{
    int experts = in->model->spec.experts, rc = 0;
    bool each = names_per_expert(at->entry->name);
    struct tensor *list = arena_take(&in->model->arena, (size_t)experts, sizeof *list), unused;
    for (int e = 0; rc == 0 && e < experts; e++) {
        if (each)
            names_expand(at->name, at->entry->name, layer, e);
        int64_t index = names_find(in, at->name);
        if (index < 0)
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" is missing", at->name);
        bind_fn *bind = at->entry->stored & STORED_MXFP4 ? bind_mxfp4 : bind_matrix;
        rc = bind(in, list ? &list[e] : &unused, index, shape, at, each ? 0 : experts, each ? 0 : e, err);
    }
    w->experts = list;
    return rc;
}

static int bind_weight(struct loader *in, struct weight *w, int role, int layer, struct error *err)
{
    struct role_shape shape = role_shape(&in->model->spec, role, layer);
    struct place at;
    if (!shape.wanted)
        return 0;
    int rc = names_place(in, role, layer, &at, err);
    if (rc)
        return rc;
    if (shape.kind == ROLE_EXPERTS)
        return bind_experts(in, w, layer, &shape, &at, err);
    int64_t index = names_find(in, at.name);
    if (role_is_vector(&shape) || shape.kind == ROLE_EXPERT_BIASES)
        return bind_vector(in, &w->tensor, index, &shape, &at, err);
    return bind_matrix(in, &w->tensor, index, &shape, &at, 0, 0, err);
}

/* Runs twice, as arena.h says; what can fail fails while measuring. */
static int load_layout(struct loader *in, struct error *err)
{
    struct model *m = in->model;
    struct layer_weights unused = { 0 };
    int rc = 0;
    m->layers = arena_take(&m->arena, (size_t)m->spec.layers, sizeof *m->layers);
    for (int r = 0; rc == 0 && r < N_GLOBAL_ROLES; r++)
        rc = bind_weight(in, &m->global.at[r], N_LAYER_ROLES + r, 0, err);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; rc == 0 && r < N_LAYER_ROLES; r++)
            rc = bind_weight(in, m->layers ? &m->layers[l].at[r] : &unused.at[r], r, l, err);
    return rc;
}

static int check_leftovers(const struct loader *in, const struct log *log, struct error *err)
{
    size_t left = 0, ignored = 0;
    const char *first = NULL;
    for (size_t i = 0; i < source_tensor_count(in->source); i++) {
        const char *name = source_tensor(in->source, i)->name;
        if (in->used[i])
            continue;
        if (names_ignored(in, name))
            ignored++;
        else if (left++ == 0)
            first = name;
    }
    if (ignored)
        log_write(log, LOG_INFO, "%zu tensors are not used (buffers, copies, parts that do not concern text)", ignored);
    if (left == 0)
        return 0;
    return error_set(err, ERROR_FORMAT, "%zu tensors are no part of a %s model with this config; the first is \"%s\"",
        left, in->model->spec.arch->name, first);
}

static bool has(const struct loader *in, const char *name)
{
    return names_index(in, name) >= 0;
}

/* GGUF metadata does not say which optional weights there are; the tensors do. */
static void settle_from_tensors(const struct loader *in)
{
    struct spec *s = &in->model->spec;
    if (source_kind(in->source) != SOURCE_GGUF)
        return;
    s->tied = !has(in, "output.weight");
    s->qkv_bias = has(in, "blk.0.attn_q.bias") || has(in, "blk.0.attn_qkv.bias");
    s->attention_out_bias = has(in, "blk.0.attn_output.bias");
    s->ffn_bias = has(in, "blk.0.ffn_up.bias");
    s->rope_factors = s->ropes[0].dims && has(in, "rope_freqs.weight");
}

/* Llama 3.1's GGUF stores the scaled rope as divisors of the plain one. */
static int apply_rope_factors(struct model *m, struct error *err)
{
    const struct tensor *t = &m->global.rope_factors.tensor;
    struct spec_rope *r = &m->spec.ropes[0];
    float factors[SPEC_ROPE_DIMS_MAX / 2];
    if (!t->format)
        return 0;
    t->format->decode(factors, t->data, t->cols);
    for (int i = 0; i < r->dims / 2; i++) {
        if (!(isfinite(factors[i]) && factors[i] > 0))
            return error_set(err, ERROR_FORMAT, "tensor \"rope_freqs.weight\" has %g at %d, expected a divisor",
                (double)factors[i], i);
        r->inverse_frequency[i] /= (double)factors[i];
    }
    return 0;
}

/* Gemma multiplies embeddings by sqrt(dim) rounded to the checkpoint's own precision, which was bf16 in training. */
static void round_embedding_scale(struct model *m)
{
    float *scale = &m->spec.embedding_scale;
    uint16_t rounded;
    if (m->global.token_embedding.tensor.format == &format_f32)
        return;
    format_bf16.encode(&rounded, scale, NULL, 1);
    format_bf16.decode(scale, &rounded, 1);
}

static int index_names(struct loader *in, struct error *err)
{
    size_t n = source_tensor_count(in->source);
    in->used = calloc(n ? n : 1, sizeof *in->used);
    if (!in->used)
        return error_memory(err, n, "the list of tensors");
    int rc = map_init(&in->index, n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *name = source_tensor(in->source, i)->name;
        rc = map_put(&in->index, name, strlen(name), (int64_t)i, err);
    }
    return rc;
}

/* How much is copied is known before anything is. */
static int check_copies(const struct model *m, const struct model_options *o, struct error *err)
{
    const double unit = 1024.0 * 1024.0;
    if (o->copy_bytes_max == 0 || m->arena.used <= o->copy_bytes_max)
        return 0;
    return error_set(err, ERROR_LIMIT, "weights of %.1f MiB must be laid anew in memory (they are stored transposed or "
        "fused), and %.1f MiB is available; convert the model to GGUF, whose weights are used in place",
        (double)m->arena.used / unit, (double)o->copy_bytes_max / unit);
}

int model_load(struct model *m, const struct source *s, const struct model_options *options, struct error *err)
{
    struct loader in = { .source = s, .model = m };
    int rc = index_names(&in, err);
    if (rc == 0) {
        settle_from_tensors(&in);
        rc = load_layout(&in, err);
    }
    if (rc == 0)
        rc = check_leftovers(&in, options->log, err);
    if (rc == 0)
        rc = check_copies(m, options, err);
    if (rc == 0)
        rc = arena_reserve(&m->arena, err);
    if (rc == 0)
        rc = load_layout(&in, err);
    if (rc == 0)
        rc = apply_rope_factors(m, err);
    if (rc == 0)
        round_embedding_scale(m);
    map_release(&in.index);
    free(in.used);
    return rc;
}
