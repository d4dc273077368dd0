/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules a model has, by the tables of arch.h. */
#include "model/adapter_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* transformers since version 5 holds the experts of every family so. */
static const struct weight_name stacks[] = {
    { ROLE_expert_gate, "model.layers.%d.mlp.experts.gate_up_proj", STORED_PLAIN },
    { ROLE_expert_up, "model.layers.%d.mlp.experts.gate_up_proj", STORED_PLAIN },
    { ROLE_expert_down, "model.layers.%d.mlp.experts.down_proj", STORED_PLAIN },
    END_OF_NAMES
};

#define MODULES_PER_LAYER 64

struct lister {
    const struct model *model;
    struct adapter_module *modules;
    size_t n;
};

static bool begins_module(const struct weight_name *table, const struct weight_name *e, const struct role_shape *shape)
{
    bool follows = e > table && strcmp(e[-1].name, e->name) == 0;
    return !follows && shape->wanted && (shape->kind == ROLE_MATRIX || shape->kind == ROLE_EXPERTS)
        && !(e->stored & STORED_MXFP4);
}

static void cut_ending(char *name, const char *ending)
{
    size_t n = strlen(name), k = strlen(ending);
    if (n > k && strcmp(name + n - k, ending) == 0)
        name[n - k] = '\0';
}

/* The module that begins with this entry, with the parts that follow under its name. */
static void add_module(struct lister *l, const struct weight_name *e, int layer, const struct role_shape *shape)
{
    const struct spec *s = &l->model->spec;
    struct adapter_module *m = &l->modules[l->n];
    bool experts = shape->kind == ROLE_EXPERTS;
    *m = (struct adapter_module) { .pattern = e->name, .layer = layer, .cols = shape->cols,
        .interleaved = e->stored & STORED_INTERLEAVED, .turned = e->stored & STORED_TRANSPOSED,
        .each = experts && names_per_expert(e->name), .matrices = experts ? s->experts : 1 };
    m->stacked = experts && !m->each;
    for (const struct weight_name *f = e; f->name && strcmp(f->name, e->name) == 0; f++) {
        struct role_shape part = role_shape(s, f->role, layer);
        if (m->n_parts == ADAPTER_PARTS || !part.wanted)
            return; /* fused with what this model has not */
        m->roles[m->n_parts] = f->role;
        m->part_rows[m->n_parts++] = part.rows;
        m->rows += part.rows;
    }
    adapter_module_nest(m, NULL, NULL);
    l->n++;
}

static void add_table(struct lister *l, const struct weight_name *table, int layer, bool stacked)
{
    for (const struct weight_name *e = table; e->name; e++) {
        if (e->role >= N_LAYER_ROLES || l->n == (size_t)l->model->spec.layers * MODULES_PER_LAYER)
            continue;
        struct role_shape shape = role_shape(&l->model->spec, e->role, layer);
        bool stack = shape.kind == ROLE_EXPERTS && !names_per_expert(e->name);
        if (begins_module(table, e, &shape) && stack == stacked)
            add_module(l, e, layer, &shape);
    }
}

void adapter_module_nest(struct adapter_module *m, const char *plain, const char *nested)
{
    char name[NAME_SIZE];
    m->plain = plain;
    m->nested = nested;
    snprintf(name, sizeof name, "%s%.*s", nested ? nested : "", NAME_SIZE - 64,
        m->pattern + (plain ? strlen(plain) : 0));
    if (m->each)
        snprintf(m->name, sizeof m->name, "%s", name); /* expanded for each expert */
    else
        names_expand(m->name, name, m->layer, 0);
    cut_ending(m->name, ".weight");
}

void adapter_module_name(char out[NAME_SIZE], const struct adapter_module *m, int expert)
{
    if (m->each)
        names_expand(out, m->name, m->layer, expert);
    else
        memcpy(out, m->name, NAME_SIZE);
}

void adapter_module_stem(char out[NAME_SIZE], const struct adapter_module *m, int expert, bool inside)
{
    char name[NAME_SIZE];
    adapter_module_name(name, m, expert);
    if (m->stacked)
        *strrchr(name, '.') = '\0';
    snprintf(out, NAME_SIZE, "base_model.model.%.*s%s", NAME_SIZE - 64, name, inside ? ".base_layer" : "");
}

int adapter_modules_new(struct adapter_module **out, size_t *n, const struct model *m, bool wrapped, struct error *err)
{
    const struct arch *arch = m->spec.arch;
    const struct name_prefix *p = arch->prefixes;
    struct lister l = { .model = m };
    size_t most = (size_t)m->spec.layers * MODULES_PER_LAYER;
    *out = l.modules = calloc(most, sizeof *l.modules);
    *n = 0;
    if (!l.modules)
        return error_memory(err, most * sizeof *l.modules, "the modules of a model");
    for (int layer = 0; layer < m->spec.layers; layer++) {
        size_t before = l.n;
        add_table(&l, arch->names, layer, true);
        if (m->spec.layer[layer].moe && l.n == before)
            add_table(&l, stacks, layer, true);
        add_table(&l, arch->names, layer, false);
    }
    for (size_t i = 0; (arch->nested || wrapped) && i < l.n; i++)
        for (const struct name_prefix *q = p; q && q->plain; q++)
            if (strncmp(l.modules[i].pattern, q->plain, strlen(q->plain)) == 0) {
                adapter_module_nest(&l.modules[i], q->plain, q->nested);
                break;
            }
    *n = l.n;
    return 0;
}
