/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model_impl.h"

#include "file/source.h"

#include <stdlib.h>

int model_open(struct model **out, const struct source *s, const struct model_options *options, struct error *err)
{
    static const struct model_options none;
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? 0 : error_memory(err, sizeof *m, "a model");
    if (rc == 0)
        rc = spec_read(&m->spec, source_config(s), source_kind(s), err);
    if (rc == 0)
        rc = model_load(m, s, options ? options : &none, err);
    if (rc) {
        error_in(err, "could not open model \"%s\"", source_path(s));
        model_close(m);
        m = NULL;
    }
    *out = m;
    return rc;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    arena_release(&m->arena);
    arena_release(&m->own);
    free(m);
}

const struct spec *model_spec(const struct model *m)
{
    return &m->spec;
}

static bool lies_in(const struct arena *a, const void *data)
{
    const unsigned char *at = data;
    return a->base && at >= a->base && at < a->base + a->size;
}

bool model_owns(const struct model *m, const void *data)
{
    return lies_in(&m->own, data);
}

static void measure_tensor(const struct model *m, const struct tensor *t, struct model_size *size)
{
    bool copied = lies_in(&m->arena, t->data) || model_owns(m, t->data);
    *(copied ? &size->copied_bytes : &size->mapped_bytes) += tensor_bytes(t);
    size->format_bytes[t->format->id] += tensor_bytes(t);
    size->parameters += (uint64_t)t->rows * (uint64_t)t->cols;
}

/* What one token takes of a weight of `all`, bytes or values: its experts of all experts, its row of a table. */
static uint64_t share_of_token(const struct spec *s, const struct role_shape *shape, uint64_t all)
{
    if (shape->kind == ROLE_EXPERTS || shape->kind == ROLE_EXPERT_BIASES)
        return all / (uint64_t)s->experts * (uint64_t)s->experts_used;
    return all;
}

static void measure_weight(const struct model *m, int role, int layer, const struct weight *w, struct model_size *size)
{
    const struct spec *s = &m->spec;
    const struct role_shape shape = role_shape(s, role, layer);
    const bool table = role == ROLE_position_table || (role == ROLE_token_embedding && !s->tied);
    uint64_t parameters = size->parameters, bytes = size->mapped_bytes + size->copied_bytes;
    if (w->experts)
        for (int e = 0; e < s->experts; e++)
            measure_tensor(m, &w->experts[e], size);
    else if (w->tensor.format)
        measure_tensor(m, &w->tensor, size);
    else
        return;
    uint64_t active = share_of_token(s, &shape, size->parameters - parameters);
    bytes = share_of_token(s, &shape, size->mapped_bytes + size->copied_bytes - bytes);
    size->active_bytes += table ? bytes / (uint64_t)shape.rows : bytes;
    if (table) /* no product with it */
        return;
    size->active += active;
    if (shape.kind == ROLE_EXPERTS || (shape.kind == ROLE_MATRIX && role < N_LAYER_ROLES))
        size->layer_active[(w->experts ? w->experts[0] : w->tensor).format->id] += active;
}

void model_measure(const struct model *m, struct model_size *size)
{
    *size = (struct model_size) { 0 };
    for (int r = 0; r < N_GLOBAL_ROLES; r++)
        measure_weight(m, N_LAYER_ROLES + r, 0, &m->global.at[r], size);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++)
            measure_weight(m, r, l, &m->layers[l].at[r], size);
}
