/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/importance.h"

#include "publish/windows.h"

#include <stdlib.h>

struct entry {
    const struct weight *weight;
    double *sums; /* (columns) of squares; then their means as floats */
    float *means;
    int64_t rows;
    int columns;
};

struct importance {
    struct entry *entries; /* (count) in the order the pass first meets them */
    size_t count, capacity;
    bool failed; /* memory ran out while the pass went on */
};

static struct entry *entry_find(const struct importance *m, const struct weight *w)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].weight == w)
            return &m->entries[i];
    return NULL;
}

static struct entry *entry_add(struct importance *m, const struct weight *w, int columns)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 256;
        struct entry *entries = realloc(m->entries, capacity * sizeof *entries);
        if (!entries)
            return NULL;
        m->entries = entries;
        m->capacity = capacity;
    }
    struct entry *e = &m->entries[m->count];
    *e = (struct entry) { .weight = w, .columns = columns, .sums = calloc((size_t)columns, sizeof *e->sums) };
    if (!e->sums)
        return NULL;
    m->count++;
    return e;
}

static void observe(void *context, const struct weight *w, const struct value *x, int tokens)
{
    struct importance *m = context;
    struct entry *e = entry_find(m, w);
    if (!e)
        e = entry_add(m, w, x->width);
    if (!e) {
        m->failed = true;
        return;
    }
    for (int t = 0; t < tokens; t++) {
        const float *row = x->data + (size_t)t * (size_t)x->width;
        for (int c = 0; c < x->width; c++)
            e->sums[c] += (double)row[c] * (double)row[c];
    }
    e->rows += tokens;
}

static int make_means(struct importance *m, struct error *err)
{
    for (size_t i = 0; i < m->count; i++) {
        struct entry *e = &m->entries[i];
        e->means = malloc((size_t)e->columns * sizeof *e->means);
        if (!e->means)
            return error_memory(err, (size_t)e->columns * sizeof *e->means, "importance");
        for (int c = 0; c < e->columns; c++)
            e->means[c] = (float)(e->sums[c] / (double)e->rows);
        free(e->sums);
        e->sums = NULL;
    }
    return 0;
}

static int run(struct importance *m, struct windows *r, const int32_t *ids, size_t n, const struct publish_watch *watch,
    struct error *err)
{
    int rc = 0, count = 0;
    for (size_t at = 0; rc == 0 && at < n; at += (size_t)count) {
        if (watch_stopped(watch))
            return error_set(err, ERROR_CANCELLED, "stopped after %zu of %zu tokens of calibrating", at, n);
        watch_report(watch, "calibrating", "tokens", at, n);
        rc = windows_step(r, ids, n, at, &count, err);
    }
    if (rc == 0 && m->failed)
        rc = error_memory(err, 0, "importance");
    return rc ? rc : make_means(m, err);
}

int importance_new(struct importance **out, const struct model *model, const int32_t *ids, size_t n, int threads,
    const struct publish_watch *watch, struct error *err)
{
    struct windows r;
    struct importance *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return error_memory(err, sizeof *m, "importance");
    int rc = windows_open(&r, model, threads, observe, m, err);
    if (rc == 0) {
        rc = run(m, &r, ids, n, watch, err);
        windows_close(&r);
    }
    if (rc) {
        importance_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void importance_close(struct importance *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        free(m->entries[i].sums);
        free(m->entries[i].means);
    }
    free(m->entries);
    free(m);
}

const float *importance_find(const struct importance *m, const struct weight *w)
{
    const struct entry *e = m && w ? entry_find(m, w) : NULL;
    return e ? e->means : NULL;
}
