/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in memory of the model's own: copied from a file to learn on, or made anew. */
#include "base/random.h"
#include "model/arch.h"
#include "model/model_impl.h"
#include "model/spec_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What one walk over the weights does. It runs twice, as arena.h says; what was owned before stays until both are
 * done. */
struct owner {
    struct model *model;
    const struct format *format; /* of matrices and tables */
    const bool *frozen;
    struct arena *arena;
    struct random *random; /* NULL: copy what is there */
    double deviation;      /* of normal numbers */
};

static const struct format *format_of(const struct owner *o, const struct role_shape *shape)
{
    bool narrow = shape->kind == ROLE_MATRIX || shape->kind == ROLE_EXPERTS || shape->kind == ROLE_TABLE;
    return narrow ? o->format : &format_f32;
}

static bool learns(const struct owner *o, const struct weight *w, int role)
{
    const struct format *f = w->experts ? w->experts[0].format : w->tensor.format;
    return f && f->block == 1 && role != ROLE_rope_factors && !(o->frozen && o->frozen[role]);
}

static void convert_row(struct tensor *to, const struct tensor *from, int64_t row, float *floats)
{
    const void *in = tensor_row(from, row);
    void *out = (unsigned char *)to->data + (size_t)row * tensor_stride(to);
    if (from->format == to->format) {
        memcpy(out, in, tensor_row_bytes(from));
        return;
    }
    from->format->decode(floats, in, from->cols);
    to->format->encode(out, floats, NULL, to->cols);
}

/* Nobody reads the copied numbers here any more: their pages go back, whole ones. Those of the arenas are nobody
 * else's; others may be shared, and stay what they are. */
static void forget(const struct model *m, const struct tensor *t)
{
    const unsigned char *data = t->data;
    bool ours = model_owns(m, data) || (m->arena.base && data >= m->arena.base && data < m->arena.base + m->arena.size);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)t->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)t->data + (size_t)t->rows * tensor_stride(t)) / page * page;
    if (end > first)
        madvise((void *)first, end - first, ours ? MADV_DONTNEED : MADV_PAGEOUT);
}

static int copy_tensor(const struct model *m, struct tensor *to, const struct tensor *from, struct error *err)
{
    float *floats = malloc((size_t)from->cols * sizeof *floats);
    if (!floats)
        return error_memory(err, (size_t)from->cols * sizeof *floats, "a row of a weight");
    for (int64_t r = 0; r < from->rows; r++)
        convert_row(to, from, r, floats);
    free(floats);
    if (from->skip == 0)
        forget(m, from);
    return 0;
}

/* Of a matrix that is not written to the residual stream, or of a family that does not care: the deviation itself. */
static double deviation_of(const struct owner *o, int role)
{
    const struct spec *s = &o->model->spec;
    bool writes = role == ROLE_attn_out || role == ROLE_down;
    return writes && s->arch == &arch_gpt2 ? o->deviation / sqrt(2.0 * s->layers) : o->deviation;
}

static void begin_tensor(const struct owner *o, struct tensor *t, int role, const struct role_shape *shape)
{
    float *x = (float *)(uintptr_t)t->data;
    size_t n = (size_t)t->rows * (size_t)t->cols;
    double deviation = deviation_of(o, role);
    bool constant = shape->kind == ROLE_GAIN || shape->kind == ROLE_BIAS || shape->kind == ROLE_EXPERT_BIASES;
    float start = shape->kind == ROLE_GAIN ? 1 - o->model->spec.norm_offset : 0;
    for (size_t i = 0; i < n; i++)
        x[i] = constant ? start : (float)(deviation * random_normal(o->random));
}

/* What a weight becomes: what learns takes the wanted format, what is owned and frozen stays as it is. NULL: nothing,
 * it stays where it is. */
static const struct format *becomes(const struct owner *o, const struct weight *w, int role,
    const struct role_shape *shape)
{
    const struct tensor *now = w->experts ? w->experts : &w->tensor;
    if (o->random)
        return shape->wanted && role != ROLE_rope_factors ? format_of(o, shape) : NULL;
    if (learns(o, w, role))
        return format_of(o, shape);
    return now->format && model_owns(o->model, now->data) ? now->format : NULL;
}

static int own_weight(const struct owner *o, struct weight *w, int role, int layer, struct error *err)
{
    const struct spec *s = &o->model->spec;
    struct role_shape shape = role_shape(s, role, layer);
    bool experts = shape.kind == ROLE_EXPERTS;
    struct tensor to = { .format = becomes(o, w, role, &shape), .rows = shape.rows, .cols = shape.cols };
    if (!to.format)
        return 0;
    int matrices = experts ? s->experts : 1, rc = 0;
    struct tensor *list = experts ? arena_take(o->arena, (size_t)matrices, sizeof *list) : NULL;
    unsigned char *data = arena_take(o->arena, (size_t)matrices, tensor_bytes(&to));
    for (int i = 0; data && rc == 0 && i < matrices; i++) {
        to.data = data + (size_t)i * tensor_bytes(&to);
        if (o->random)
            begin_tensor(o, &to, role, &shape);
        else
            rc = copy_tensor(o->model, &to, w->experts ? &w->experts[i] : &w->tensor, err);
        *(experts ? &list[i] : &w->tensor) = to;
    }
    if (data && experts)
        *w = (struct weight) { .experts = list };
    return rc;
}

static int own_all(const struct owner *o, struct error *err)
{
    struct model *m = o->model;
    int rc = 0;
    for (int r = 0; rc == 0 && r < N_GLOBAL_ROLES; r++)
        rc = own_weight(o, &m->global.at[r], N_LAYER_ROLES + r, 0, err);
    for (int l = 0; rc == 0 && l < m->spec.layers; l++)
        for (int r = 0; rc == 0 && r < N_LAYER_ROLES; r++)
            rc = own_weight(o, &m->layers[l].at[r], r, l, err);
    return rc;
}

static int own_twice(struct owner *o, struct error *err)
{
    struct arena arena = { 0 };
    o->arena = &arena;
    int rc = own_all(o, err);
    if (rc == 0)
        rc = arena_reserve(&arena, err);
    if (rc == 0)
        rc = own_all(o, err);
    if (rc) {
        arena_release(&arena);
        error_in(err, "could not give the weights memory of their own");
        return rc;
    }
    arena_release(&o->model->own);
    o->model->own = arena;
    return 0;
}

int model_own(struct model *m, const struct format *format, const bool *frozen, struct error *err)
{
    struct owner o = { .model = m, .format = format, .frozen = frozen };
    if (format != &format_f32 && format != &format_bf16)
        return error_set(err, ERROR_USAGE, "weights learn as f32 or bf16, not as %s", format->name);
    return own_twice(&o, err);
}

static int create(struct model *m, const json_t *config, uint64_t seed, struct error *err)
{
    struct random random;
    struct owner o = { .model = m, .format = &format_f32, .random = &random };
    int rc = spec_real(&o.deviation, config, "initializer_range", 0.02, 0, 10, err);
    if (rc == 0)
        rc = spec_read(&m->spec, config, SOURCE_SAFETENSORS, err);
    if (rc)
        return rc;
    m->layers = arena_take(&m->arena, (size_t)m->spec.layers, sizeof *m->layers);
    rc = arena_reserve(&m->arena, err);
    if (rc)
        return rc;
    m->layers = arena_take(&m->arena, (size_t)m->spec.layers, sizeof *m->layers);
    random_seed(&random, seed);
    return own_twice(&o, err);
}

int model_create(struct model **out, const json_t *config, uint64_t seed, struct error *err)
{
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? create(m, config, seed, err) : error_memory(err, sizeof *m, "a model");
    if (rc) {
        error_in(err, "could not make a new model");
        model_close(m);
        m = NULL;
    }
    *out = m;
    return rc;
}
