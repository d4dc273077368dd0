/* SPDX-License-Identifier: Apache-2.0 */
#include "model/adapter_impl.h"

#include "base/buffer.h"
#include "base/random.h"
#include "file/digest.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ADAPTER_BASE_SIZE == DIGEST_TEXT_SIZE, "a base is told by a digest");

/* ---- numbers ---- */

struct weight *adapter_weight(struct model *m, const struct adapter_module *module, int part)
{
    return &m->layers[module->layer].at[module->roles[part]];
}

/* Dropout's keys tell modules apart; the parts of one see the same inputs. */
static void layout(struct adapter *a)
{
    for (size_t i = 0; i < a->n; i++) {
        struct adapter_module *m = &a->modules[i];
        size_t ranks = (size_t)m->matrices * (size_t)m->rank;
        m->scale = (float)(m->alpha / (a->rank_stabilized ? sqrt(m->rank) : (double)m->rank));
        m->a = arena_take(&a->arena, ranks * (size_t)m->cols, sizeof *m->a);
        for (int p = 0; p < m->n_parts; p++)
            m->b[p] = arena_take(&a->arena, ranks * (size_t)m->part_rows[p], sizeof *m->b[p]);
        size_t lengths = a->magnitude ? (size_t)m->rows : 0, at = 0;
        m->magnitude = arena_take(&a->arena, lengths, sizeof *m->magnitude);
        float *norms = arena_take(&a->arena, lengths, sizeof *norms);
        for (int p = 0; p < m->n_parts; at += (size_t)m->part_rows[p++])
            m->low[p] = (struct low_rank) { .rank = m->rank, .scale = m->scale, .a = m->a, .b = m->b[p],
                .magnitude = m->magnitude ? m->magnitude + at : NULL, .norms = norms ? norms + at : NULL,
                .dropout = (float)a->dropout, .key = (uint64_t)i };
    }
}

int adapter_reserve(struct adapter *a, struct error *err)
{
    layout(a);
    int rc = arena_reserve(&a->arena, err);
    if (rc == 0)
        layout(a);
    return rc;
}

/* The part that output `row` of the file belongs to; its place in the model. */
static int part_of(const struct adapter *a, const struct adapter_module *m, int64_t row, int64_t *within)
{
    int part = 0;
    *within = row;
    if (m->interleaved) {
        part = (int)(row % m->n_parts);
        *within = row / m->n_parts;
    } else {
        while (*within >= m->part_rows[part])
            *within -= m->part_rows[part++];
    }
    *within = role_output(&a->base->spec, m->roles[part], false, *within);
    return part;
}

float *adapter_b_at(const struct adapter *a, const struct adapter_module *m, int64_t row, int expert, int k)
{
    int64_t within;
    int part = part_of(a, m, row, &within);
    return m->b[part] + ((int64_t)expert * m->rank + k) * m->part_rows[part] + within;
}

float *adapter_magnitude_at(const struct adapter *a, const struct adapter_module *m, int64_t row)
{
    int64_t within;
    int part = part_of(a, m, row, &within);
    for (int p = 0; p < part; p++)
        within += m->part_rows[p];
    return m->magnitude + within;
}

void adapter_apply(const struct weight *w, int expert, int64_t row, int64_t first, int64_t n, float *x)
{
    const struct tensor *t = w->experts ? &w->experts[expert] : &w->tensor;
    for (const struct low_rank *low = w->low_rank; low; low = low->next) {
        const float *a = low->a + (int64_t)expert * low->rank * t->cols + first;
        const float *b = low->b + (int64_t)expert * low->rank * t->rows + row;
        for (int k = 0; k < low->rank; k++) {
            float by = low->scale * b[k * t->rows];
            for (int64_t i = 0; i < n; i++)
                x[i] += by * a[k * t->cols + i];
        }
        for (int64_t i = 0; low->magnitude && i < n; i++)
            x[i] *= low->magnitude[row] / low->norms[row];
    }
}

/* ---- lengths of rows ---- */

/* norms: into the adapter's, or where it is new into its magnitudes. */
static int find_norms(struct adapter *a, bool as_magnitude, int threads, struct error *err)
{
    const struct spec *s = &a->base->spec;
    struct flow f = { 0 };
    struct arena arena = { 0 };
    int width = s->dim > s->ffn ? s->dim : s->ffn;
    struct flow_shape shape = { .tokens_max = 1, .threads = threads, .dim = s->dim, .heads = 1, .kv_heads = 1,
        .width_max = width > s->heads * s->head_dim ? width : s->heads * s->head_dim, .head_dim = s->head_dim,
        .context_max = 1 };
    if (!a->magnitude)
        return 0;
    flow_layout(&f, &shape, &arena);
    int rc = arena_reserve(&arena, err);
    if (rc)
        return rc;
    flow_layout(&f, &shape, &arena);
    rc = pool_open(&f.pool, threads, err);
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        for (int p = 0; p < a->modules[i].n_parts; p++) {
            const struct adapter_module *m = &a->modules[i];
            struct low_rank low = m->low[p];
            if (as_magnitude)
                low.norms = m->magnitude + (low.magnitude - m->magnitude);
            low_rank_norms(&f, adapter_weight((struct model *)(uintptr_t)a->base, m, p), &low);
        }
    pool_close(f.pool);
    arena_release(&arena);
    return rc;
}

/* ---- new ones ---- */

struct target_group {
    const char *name;
    int roles[8]; /* ends in -1 */
};
static const struct target_group groups[] = {
    { "attention", { ROLE_q, ROLE_k, ROLE_v, ROLE_attn_out, -1 } },
    { "mlp", { ROLE_gate, ROLE_up, ROLE_down, -1 } },
    { "experts", { ROLE_expert_gate, ROLE_expert_up, ROLE_expert_down, -1 } },
};
#define GROUPS (sizeof groups / sizeof *groups)

#define NAMED 2 /* by its own name: the model must have it */

static bool is_word(const char *word, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(word, name, n) == 0;
}

static int add_target(unsigned char wanted[N_ROLES], const char *word, size_t n, struct error *err)
{
    bool all = is_word(word, n, "all");
    bool found = all;
    for (size_t g = 0; g < GROUPS; g++)
        for (const int *r = groups[g].roles; *r >= 0 && (all || is_word(word, n, groups[g].name)); r++) {
            wanted[*r] = 1;
            found = true;
        }
    int role = role_find(word, n);
    if (role >= N_LAYER_ROLES || role == ROLE_router)
        return error_set(err, ERROR_UNSUPPORTED, "\"%.*s\" as target: embeddings, outputs and routers have no adapters",
            (int)n, word);
    if (role >= 0)
        wanted[role] = NAMED;
    if (found || role >= 0)
        return 0;
    return error_set(err, ERROR_USAGE, "\"%.*s\" is no target of an adapter; there are attention, mlp, experts, all "
        "and roles as q, k, v, attn_out, gate, up, down", (int)(n < 60 ? n : 60), word);
}

/* Of all modules keep those that have a wanted role, each role in one module. */
static int choose_modules(struct adapter *a, const char *targets, struct error *err)
{
    unsigned char wanted[N_ROLES] = { 0 };
    bool met[N_ROLES] = { false }, taken[N_ROLES] = { false };
    size_t n = 0, length;
    int rc = 0, layer = -1;
    for (const char *word = targets; rc == 0 && *word; word += length + (word[length] == ',')) {
        length = strcspn(word, ",");
        rc = add_target(wanted, word, length, err);
    }
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        struct adapter_module *m = &a->modules[i];
        bool keep = false;
        if (m->layer != layer)
            memset(taken, 0, sizeof taken);
        layer = m->layer;
        for (int p = 0; p < m->n_parts; p++)
            keep = keep || (wanted[m->roles[p]] && !taken[m->roles[p]]);
        for (int p = 0; keep && p < m->n_parts; p++)
            met[m->roles[p]] = taken[m->roles[p]] = true;
        if (keep)
            a->modules[n++] = *m;
    }
    a->n = n;
    if (rc == 0 && n == 0)
        rc = error_set(err, ERROR_USAGE, "the model has no weights that \"%s\" names", targets);
    for (int role = 0; rc == 0 && role < N_ROLES; role++)
        if (wanted[role] == NAMED && !met[role])
            rc = error_set(err, ERROR_USAGE, "the model has no matrix \"%s\"", role_name(role));
    return rc;
}

static int check_options(const struct adapter_options *o, struct error *err)
{
    if (o->rank < 1 || o->rank > ADAPTER_RANK_MAX || !(o->alpha > 0) || isinf(o->alpha))
        return error_set(err, ERROR_USAGE, "an adapter of rank %d with alpha %g; ranks are 1 to %d, alpha is above 0",
            o->rank, o->alpha, ADAPTER_RANK_MAX);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return error_set(err, ERROR_USAGE, "an adapter's dropout is %g, it must lie between 0 and 1", o->dropout);
    return 0;
}

static int refuse_stretched_experts(const struct adapter *a, struct error *err)
{
    for (size_t i = 0; a->magnitude && i < a->n; i++)
        if (a->modules[i].stacked || a->modules[i].each)
            return error_set(err, ERROR_UNSUPPORTED, "\"%s\" are experts, whose adapters have no magnitudes (DoRA)",
                a->modules[i].name);
    return 0;
}

/* PEFT's beginning: kaiming_uniform with a = sqrt(5) is uniform within 1 / sqrt(columns). */
static void fill_a(struct adapter *a, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    for (size_t i = 0; i < a->n; i++) {
        const struct adapter_module *m = &a->modules[i];
        double bound = 1 / sqrt((double)m->cols);
        for (int64_t k = 0; k < m->matrices * (int64_t)m->rank * m->cols; k++)
            m->a[k] = (float)((2 * random_unit(&r) - 1) * bound);
    }
}

static struct adapter *adapter_alloc(const struct model *base, struct error *err)
{
    struct adapter *a = calloc(1, sizeof *a);
    if (a)
        a->base = base;
    else
        error_memory(err, sizeof *a, "an adapter");
    return a;
}

int adapter_new(struct adapter **out, const struct model *base, const json_t *config, const struct adapter_options *o,
    int threads, struct error *err)
{
    *out = NULL;
    int rc = check_options(o, err);
    struct adapter *a = rc ? NULL : adapter_alloc(base, err);
    if (!a)
        return rc ? rc : ERROR_MEMORY;
    a->rank = o->rank;
    a->alpha = o->alpha;
    a->dropout = o->dropout;
    a->rank_stabilized = o->rank_stabilized;
    a->magnitude = o->magnitude;
    rc = adapter_modules_new(&a->modules, &a->n, base, json_is_object(json_object_get(config, "text_config")), err);
    if (rc == 0)
        rc = choose_modules(a, o->targets, err);
    if (rc == 0)
        rc = refuse_stretched_experts(a, err);
    for (size_t i = 0; i < a->n; i++) {
        a->modules[i].rank = a->rank;
        a->modules[i].alpha = a->alpha;
    }
    if (rc == 0)
        rc = adapter_reserve(a, err);
    if (rc == 0) {
        fill_a(a, o->seed);
        rc = find_norms(a, true, threads, err);
    }
    if (rc) {
        error_in(err, "could not make an adapter");
        adapter_close(a);
        return rc;
    }
    *out = a;
    return 0;
}

/* ---- attached ---- */

/* Where a weight's list ends. */
static const struct low_rank **list_end(struct weight *w)
{
    const struct low_rank **end = &w->low_rank;
    while (*end)
        end = (const struct low_rank **)(uintptr_t)&(*end)->next;
    return end;
}

int adapter_attach(struct adapter *a, struct model *m, double scale, int threads, struct error *err)
{
    assert(m == a->base && !a->attached);
    if (!isfinite(scale))
        return error_set(err, ERROR_USAGE, "an adapter's scale is %g", scale);
    for (size_t i = 0; i < a->n; i++)
        for (int p = 0; p < a->modules[i].n_parts; p++)
            a->modules[i].low[p].scale = a->modules[i].scale * (float)scale;
    int rc = find_norms(a, false, threads, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < a->n; i++)
        for (int p = 0; p < a->modules[i].n_parts; p++)
            *list_end(adapter_weight(m, &a->modules[i], p)) = &a->modules[i].low[p];
    a->attached = m;
    a->strength = scale;
    return 0;
}

int adapter_refresh(struct adapter *a, int threads, struct error *err)
{
    return find_norms(a, false, threads, err);
}

static void detach(struct adapter *a)
{
    for (size_t i = 0; i < a->n; i++)
        for (int p = 0; p < a->modules[i].n_parts; p++) {
            const struct low_rank **at = &adapter_weight(a->attached, &a->modules[i], p)->low_rank;
            while (*at != &a->modules[i].low[p])
                at = (const struct low_rank **)(uintptr_t)&(*at)->next;
            *at = (*at)->next;
        }
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    if (a->attached)
        detach(a);
    arena_release(&a->arena);
    free(a->modules);
    free(a);
}

void adapter_describe(const struct adapter *a, struct adapter_about *about)
{
    *about = (struct adapter_about) { .alpha = a->alpha, .dropout = a->dropout, .rank_stabilized = a->rank_stabilized,
        .magnitude = a->magnitude, .modules = a->n, .bytes = a->arena.size };
    for (size_t i = 0; i < a->n; i++) {
        const struct adapter_module *m = &a->modules[i];
        about->rank = m->rank > about->rank ? m->rank : about->rank;
        about->parameters += (uint64_t)m->matrices * (uint64_t)m->rank * (uint64_t)(m->rows + m->cols);
        about->parameters += a->magnitude ? (uint64_t)m->rows : 0;
        for (int p = 0; p < m->n_parts; p++)
            about->roles[m->roles[p]] = true;
    }
}

/* ---- the base ---- */

/* Gains survive every format, and Gemma's 1 is in them or not. */
static int add_gains(struct buffer *b, const struct model *m, const struct weight *w, int role, int layer,
    struct error *err)
{
    struct role_shape shape = role_shape(&m->spec, role, layer);
    if (!shape.wanted || shape.kind != ROLE_GAIN)
        return 0;
    size_t bytes = (size_t)shape.cols * sizeof(float);
    float *gains = malloc(bytes);
    if (!gains)
        return error_memory(err, bytes, "gains");
    w->tensor.format->decode(gains, w->tensor.data, shape.cols);
    for (int64_t i = 0; i < shape.cols; i++)
        gains[i] += m->spec.norm_offset;
    buffer_add(b, gains, bytes);
    free(gains);
    return 0;
}

int adapter_base(char text[ADAPTER_BASE_SIZE], const struct model *m, struct error *err)
{
    const struct spec *s = &m->spec;
    struct buffer b = { 0 };
    int rc = 0;
    buffer_printf(&b, "%s %d %d %d %d %d %d %lld %d %d\n", s->arch->name, s->layers, s->dim, s->heads, s->kv_heads,
        s->head_dim, s->ffn, (long long)s->vocabulary, s->experts, s->expert_ffn);
    for (int r = 0; rc == 0 && r < N_GLOBAL_ROLES; r++)
        rc = add_gains(&b, m, &m->global.at[r], N_LAYER_ROLES + r, 0, err);
    for (int l = 0; l < s->layers; l++)
        for (int r = 0; rc == 0 && r < N_LAYER_ROLES; r++)
            rc = add_gains(&b, m, &m->layers[l].at[r], r, l, err);
    if (rc == 0)
        rc = buffer_check(&b, "what a base is told by", err);
    if (rc == 0)
        rc = digest_bytes(text, b.data, b.used, err);
    buffer_release(&b);
    return rc;
}
