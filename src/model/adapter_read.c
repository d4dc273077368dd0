/* SPDX-License-Identifier: Apache-2.0 */
#include "model/adapter_impl.h"

#include "base/filemap.h"
#include "file/safetensors.h"
#include "file/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct adapter *adapter;
    struct adapter_config config;
    struct filemap map;
    struct table table;
    bool *used;   /* (tensors) */
    float *row;   /* of any tensor, decoded */
};

enum tensor_kind { TENSOR_A, TENSOR_B, TENSOR_MAGNITUDE };
static const char *const endings[] = { ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector" };

static const struct file_tensor *find(const struct reader *r, const char *stem, enum tensor_kind kind)
{
    char name[NAME_SIZE + 64];
    snprintf(name, sizeof name, "%s%s", stem, endings[kind]);
    const struct file_tensor *t = table_find(&r->table, name);
    if (t || kind != TENSOR_MAGNITUDE)
        return t;
    snprintf(name, sizeof name, "%s%s.weight", stem, endings[kind]); /* older writers */
    return table_find(&r->table, name);
}

/* What the names of a module's tensors begin with, where the file has it. */
static bool find_stem(char stem[NAME_SIZE], const struct reader *r, const struct adapter_module *m, int expert)
{
    bool down = m->roles[0] == ROLE_expert_down;
    if (!m->stacked) {
        adapter_module_stem(stem, m, expert, false);
        return find(r, stem, TENSOR_A);
    }
    adapter_module_stem(stem, m, expert, true);
    bool both = find(r, stem, TENSOR_A);
    if (both && !down)
        return true;
    adapter_module_stem(stem, m, expert, false);
    return find(r, stem, TENSOR_A) && (both || adapter_config_targets(&r->config, m->name));
}

static bool is_there(const struct reader *r, struct adapter_module *m)
{
    char stem[NAME_SIZE];
    const struct name_prefix *p = r->adapter->base->spec.arch->prefixes;
    adapter_module_nest(m, NULL, NULL);
    bool found = find_stem(stem, r, m, 0);
    for (; !found && p && p->plain; p++) {
        if (strncmp(m->pattern, p->plain, strlen(p->plain)) != 0)
            continue;
        adapter_module_nest(m, p->plain, p->nested);
        found = find_stem(stem, r, m, 0);
    }
    return found;
}

/* Keep the modules that the file has; no weight of a model is in two of them. */
static int choose_modules(struct reader *r, struct error *err)
{
    struct adapter *a = r->adapter;
    bool taken[N_ROLES] = { false };
    size_t n = 0;
    int rc = 0, layer = -1;
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        struct adapter_module m = a->modules[i];
        if (m.layer != layer)
            memset(taken, 0, sizeof taken);
        layer = m.layer;
        if (!is_there(r, &m))
            continue;
        rc = adapter_config_module(&r->config, &m, err);
        for (int p = 0; rc == 0 && p < m.n_parts; p++) {
            if (taken[m.roles[p]])
                rc = error_set(err, ERROR_FORMAT, "two modules lie beside \"%s\" of layer %d", role_name(m.roles[p]),
                    m.layer);
            taken[m.roles[p]] = true;
        }
        if (rc == 0 && a->magnitude && (m.stacked || m.each))
            rc = error_set(err, ERROR_UNSUPPORTED, "\"%s\" are experts, whose adapters have no magnitudes (DoRA)",
                m.name);
        a->modules[n++] = m;
    }
    a->n = n;
    return rc ? rc : n ? 0 : error_set(err, ERROR_FORMAT, "no tensor of it belongs to a %s model",
        a->base->spec.arch->name);
}

static int take_tensor(struct reader *r, const struct file_tensor **out, const char *stem, enum tensor_kind kind,
    int64_t rows, int64_t cols, struct error *err)
{
    const struct file_tensor *t = *out = find(r, stem, kind);
    int dims = kind == TENSOR_MAGNITUDE ? 1 : 2;
    if (!t)
        return error_set(err, ERROR_FORMAT, "tensor \"%s%s\" is missing", stem, endings[kind]);
    r->used[t - r->table.at] = true;
    if (!t->format || t->format->block != 1)
        return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" is stored as %s", t->name, t->type_name);
    if (t->dims != dims)
        return error_set(err, ERROR_FORMAT, "tensor \"%s\" has %d dimensions, expected %d", t->name, t->dims, dims);
    if (t->shape[0] == rows && (dims == 1 || t->shape[1] == cols))
        return 0;
    return error_set(err, ERROR_FORMAT, "tensor \"%s\" has shape (%lld, %lld), expected (%lld, %lld) for this base",
        t->name, (long long)t->shape[0], (long long)(dims == 1 ? 1 : t->shape[1]), (long long)rows, (long long)cols);
}

/* Row `row` of n numbers, none of them beyond all bounds. */
static int read_row(const struct reader *r, const struct file_tensor *t, int64_t row, int64_t n, struct error *err)
{
    t->format->decode(r->row, (const unsigned char *)t->data + format_row_bytes(t->format, row * n), n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(r->row[i]))
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" has %g at (%lld, %lld)", t->name, (double)r->row[i],
                (long long)row, (long long)i);
    return 0;
}

/* The tensors of one module, or of one of its experts where each has its own. */
static int read_tensors(struct reader *r, struct adapter_module *m, int expert, struct error *err)
{
    const struct file_tensor *a, *b, *magnitude = NULL;
    char stem[NAME_SIZE];
    const int matrices = m->each ? 1 : m->matrices;
    const int64_t ranks = (int64_t)matrices * m->rank;
    if (!find_stem(stem, r, m, expert))
        adapter_module_stem(stem, m, expert, false); /* to be missed below */
    int rc = take_tensor(r, &a, stem, TENSOR_A, ranks, m->cols, err);
    if (rc == 0)
        rc = take_tensor(r, &b, stem, TENSOR_B, m->rows, ranks, err);
    if (rc == 0 && r->adapter->magnitude)
        rc = take_tensor(r, &magnitude, stem, TENSOR_MAGNITUDE, m->rows, 1, err);
    if (rc || !m->a) /* only measured */
        return rc;
    for (int64_t k = 0; rc == 0 && k < ranks; k++) {
        rc = read_row(r, a, k, m->cols, err);
        memcpy(m->a + (expert * (int64_t)m->rank + k) * m->cols, r->row, (size_t)m->cols * sizeof(float));
    }
    for (int64_t o = 0; rc == 0 && o < m->rows; o++) {
        rc = read_row(r, b, o, ranks, err);
        for (int k = 0; k < m->rank; k++) /* ranks are slower than experts */
            for (int e = 0; e < matrices; e++)
                *adapter_b_at(r->adapter, m, o, expert + e, k) = r->row[k * matrices + e];
    }
    if (rc == 0 && magnitude)
        rc = read_row(r, magnitude, 0, m->rows, err);
    for (int64_t o = 0; rc == 0 && magnitude && o < m->rows; o++)
        *adapter_magnitude_at(r->adapter, m, o) = r->row[o];
    return rc;
}

static int read_modules(struct reader *r, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->adapter->n; i++)
        for (int e = 0; rc == 0 && e < (r->adapter->modules[i].each ? r->adapter->modules[i].matrices : 1); e++)
            rc = read_tensors(r, &r->adapter->modules[i], e, err);
    return rc;
}

static int check_leftovers(const struct reader *r, struct error *err)
{
    for (size_t i = 0; i < r->table.count; i++)
        if (!r->used[i])
            return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" is no part of an adapter for this %s model",
                r->table.at[i].name, r->adapter->base->spec.arch->name);
    return 0;
}

static int check_base(const struct reader *r, struct error *err)
{
    char identity[ADAPTER_BASE_SIZE];
    const char *made_for = json_text(json_object_get(r->config.json, "wazn"), "base", NULL);
    int rc = made_for ? adapter_base(identity, r->adapter->base, err) : 0;
    if (rc == 0 && made_for && strcmp(made_for, identity) != 0)
        rc = error_set(err, ERROR_USAGE, "it was made for another base (\"%.80s\", %.12s...), this one is %.12s...",
            json_text(r->config.json, "base_model_name_or_path", "?"), made_for, identity);
    return rc;
}

/* The longest row of any tensor. */
static int reserve_row(struct reader *r, struct error *err)
{
    int64_t most = 1;
    for (size_t i = 0; i < r->adapter->n; i++) {
        const struct adapter_module *m = &r->adapter->modules[i];
        int64_t ranks = (int64_t)m->matrices * m->rank, width = m->rows > m->cols ? m->rows : m->cols;
        most = width > most ? width : most;
        most = ranks > most ? ranks : most;
    }
    r->row = calloc((size_t)most, sizeof *r->row);
    return r->row ? 0 : error_memory(err, (size_t)most * sizeof *r->row, "a row of an adapter");
}

/* Shapes are checked before any memory is taken by them: it is bounded by the file's size. */
static int read_weights(struct reader *r, const char *path, struct error *err)
{
    struct adapter *a = r->adapter;
    int rc = filemap_open(&r->map, path, err);
    if (rc == 0)
        rc = safetensors_read(&r->table, r->map.data, r->map.size, path, err);
    if (rc == 0)
        rc = table_align(&r->table, err);
    if (rc == 0 && !(r->used = calloc(r->table.count + 1, sizeof *r->used)))
        rc = error_memory(err, r->table.count, "the list of tensors");
    if (rc == 0)
        rc = adapter_modules_new(&a->modules, &a->n, a->base, false, err);
    if (rc == 0)
        rc = choose_modules(r, err);
    if (rc == 0)
        rc = read_modules(r, err);
    if (rc == 0)
        rc = check_leftovers(r, err);
    if (rc == 0)
        rc = reserve_row(r, err);
    if (rc == 0)
        rc = adapter_reserve(a, err);
    return rc ? rc : read_modules(r, err);
}

static int path_of(char path[4096], const char *folder, const char *name, struct error *err)
{
    int n = snprintf(path, 4096, "%s/%s", folder, name);
    return n > 0 && n < 4096 ? 0 : error_set(err, ERROR_LIMIT, "the path is too long");
}

static int read_folder(struct reader *r, const char *folder, struct error *err)
{
    struct adapter *a = r->adapter;
    char path[4096];
    int rc = path_of(path, folder, ADAPTER_CONFIG, err);
    if (rc == 0)
        rc = adapter_config_read(&r->config, path, err);
    if (rc)
        return rc;
    a->rank = r->config.rank;
    a->alpha = r->config.alpha;
    a->dropout = r->config.dropout;
    a->rank_stabilized = r->config.rank_stabilized;
    a->magnitude = r->config.magnitude;
    rc = check_base(r, err);
    if (rc == 0)
        rc = path_of(path, folder, ADAPTER_WEIGHTS, err);
    return rc ? rc : read_weights(r, path, err);
}

int adapter_open(struct adapter **out, const struct model *base, const char *folder, struct error *err)
{
    struct reader r = { .adapter = calloc(1, sizeof *r.adapter) };
    *out = NULL;
    if (!r.adapter)
        return error_memory(err, sizeof *r.adapter, "an adapter");
    r.adapter->base = base;
    int rc = read_folder(&r, folder, err);
    json_decref(r.config.json);
    table_release(&r.table);
    filemap_close(&r.map);
    free(r.used);
    free(r.row);
    if (rc) {
        error_in(err, "could not open adapter \"%s\"", folder);
        adapter_close(r.adapter);
        return rc;
    }
    *out = r.adapter;
    return 0;
}
