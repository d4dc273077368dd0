/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model_impl.h"

#include "file/source.h"

#include <stdlib.h>

int model_open(struct model **out, const struct source *s, const struct log *log, struct error *err)
{
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? 0 : error_memory(err, sizeof *m, "a model");
    if (rc == 0)
        rc = spec_read(&m->spec, source_config(s), source_kind(s), err);
    if (rc == 0)
        rc = model_load(m, s, log, err);
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
    free(m);
}

const struct spec *model_spec(const struct model *m)
{
    return &m->spec;
}

static void measure_tensor(const struct model *m, const struct tensor *t, struct model_size *size)
{
    const unsigned char *data = t->data;
    bool copied = data >= m->arena.base && data < m->arena.base + m->arena.size;
    *(copied ? &size->copied_bytes : &size->mapped_bytes) += tensor_bytes(t);
    size->format_bytes[t->format->id] += tensor_bytes(t);
    size->parameters += (uint64_t)t->rows * (uint64_t)t->cols;
}

static void measure_weight(const struct model *m, int role, const struct weight *w, struct model_size *size)
{
    const struct spec *s = &m->spec;
    uint64_t before = size->parameters, added;
    if (w->experts)
        for (int e = 0; e < s->experts; e++)
            measure_tensor(m, &w->experts[e], size);
    else if (w->tensor.format)
        measure_tensor(m, &w->tensor, size);
    added = size->parameters - before;
    if (w->experts)
        size->active += added / (uint64_t)s->experts * (uint64_t)s->experts_used;
    else if (role != ROLE_position_table && (role != ROLE_token_embedding || s->tied)) /* one row of a table is read */
        size->active += added;
}

void model_measure(const struct model *m, struct model_size *size)
{
    *size = (struct model_size) { 0 };
    for (int r = 0; r < N_GLOBAL_ROLES; r++)
        measure_weight(m, N_LAYER_ROLES + r, &m->global.at[r], size);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++)
            measure_weight(m, r, &m->layers[l].at[r], size);
}
