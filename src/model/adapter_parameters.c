/* SPDX-License-Identifier: Apache-2.0 */
#include "model/adapter_impl.h"

#include <stdio.h>

struct list {
    struct parameter *out; /* NULL: only counted */
    size_t n;
};

/* rows (1: a vector) of cols numbers for each matrix of a module; the name is that of a part's role. */
static void add_parameter(struct list *l, const struct adapter_module *m, int part, const char *which, int64_t rows,
    int64_t cols, float *data, float *gradient)
{
    struct parameter *p = l->out ? &l->out[l->n] : NULL;
    l->n++;
    if (!p)
        return;
    *p = (struct parameter) { .kind = m->magnitude == data ? PARAMETER_VECTOR : PARAMETER_MATRIX,
        .matrices = m->matrices, .rows = rows, .cols = cols, .format = &format_f32, .data = data,
        .gradient = gradient };
    snprintf(p->name, sizeof p->name, "layers.%d.%s.%s", m->layer, role_name(m->roles[part]), which);
}

size_t adapter_parameters(const struct adapter *a, const struct low_rank *beside, struct parameter *out)
{
    struct list l = { .out = out };
    for (size_t i = 0; i < a->n; i++) {
        const struct adapter_module *m = &a->modules[i];
        const struct low_rank *low = &beside[i * ADAPTER_PARTS];
        add_parameter(&l, m, 0, "lora_a", m->rank, m->cols, m->a, low->a_gradient);
        for (int k = 0; k < m->n_parts; k++)
            add_parameter(&l, m, k, "lora_b", m->rank, m->part_rows[k], m->b[k], low[k].b_gradient);
        if (m->magnitude)
            add_parameter(&l, m, 0, "magnitude", 1, m->rows, m->magnitude, low->magnitude_gradient);
    }
    return l.n;
}
