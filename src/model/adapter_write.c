/* SPDX-License-Identifier: Apache-2.0 */
#include "model/adapter_impl.h"

#include "base/buffer.h"
#include "base/filemap.h"
#include "base/fileout.h"
#include "file/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM (NAME_SIZE + 64)

/* Tensors as the file has them: numbers of their own, in one arena. */
struct writer {
    const struct adapter *adapter;
    struct arena arena;
    struct file_tensor *tensors; /* (count) */
    char (*names)[NAME_ROOM];
    size_t n;
};

static float *add_tensor(struct writer *w, const char *stem, const char *ending, int64_t rows, int64_t cols)
{
    float *data = arena_take(&w->arena, (size_t)(rows * (cols ? cols : 1)), sizeof *data);
    if (data) {
        snprintf(w->names[w->n], NAME_ROOM, "%s%s", stem, ending);
        w->tensors[w->n] = (struct file_tensor) { .name = w->names[w->n], .type_name = "F32", .format = &format_f32,
            .dims = cols ? 2 : 1, .shape = { rows, cols }, .data = data,
            .bytes = (uint64_t)(rows * (cols ? cols : 1)) * sizeof *data };
    }
    w->n++;
    return data;
}

/* Gates and ups lie inside where downs have a stack too. */
static bool lies_inside(const struct adapter *a, const struct adapter_module *m)
{
    for (size_t i = 0; m->stacked && m->roles[0] != ROLE_expert_down && i < a->n; i++)
        if (a->modules[i].layer == m->layer && a->modules[i].roles[0] == ROLE_expert_down)
            return true;
    return false;
}

static void add_module(struct writer *w, const struct adapter_module *m, int expert)
{
    char stem[NAME_SIZE];
    const int matrices = m->each ? 1 : m->matrices;
    const int64_t ranks = (int64_t)matrices * m->rank;
    adapter_module_stem(stem, m, expert, lies_inside(w->adapter, m));
    float *a = add_tensor(w, stem, ".lora_A.weight", ranks, m->cols);
    float *b = add_tensor(w, stem, ".lora_B.weight", m->rows, ranks);
    float *magnitude = w->adapter->magnitude ? add_tensor(w, stem, ".lora_magnitude_vector", m->rows, 0) : NULL;
    if (!a)
        return;
    memcpy(a, m->a + (int64_t)expert * m->rank * m->cols, (size_t)(ranks * m->cols) * sizeof *a);
    for (int64_t o = 0; o < m->rows; o++) {
        for (int k = 0; k < m->rank; k++)
            for (int e = 0; e < matrices; e++)
                b[o * ranks + k * matrices + e] = *adapter_b_at(w->adapter, m, o, expert + e, k);
        if (magnitude)
            magnitude[o] = *adapter_magnitude_at(w->adapter, m, o);
    }
}

static void layout(struct writer *w)
{
    const struct adapter *a = w->adapter;
    size_t count = 0;
    for (size_t i = 0; i < a->n; i++)
        count += 3 * (size_t)(a->modules[i].each ? a->modules[i].matrices : 1);
    w->n = 0;
    w->tensors = arena_take(&w->arena, count, sizeof *w->tensors);
    w->names = arena_take(&w->arena, count, sizeof *w->names);
    for (size_t i = 0; i < a->n; i++)
        for (int e = 0; e < (a->modules[i].each ? a->modules[i].matrices : 1); e++)
            add_module(w, &a->modules[i], e);
}

static int path_in(char path[FILE_OUT_PATH], const struct file_out *folder, const char *name, struct error *err)
{
    int n = snprintf(path, FILE_OUT_PATH, "%s/%s", folder->beside, name);
    return n > 0 && n < FILE_OUT_PATH ? 0 : error_set(err, ERROR_LIMIT, "the path is too long");
}

static int write_config(const struct adapter *a, const struct file_out *folder, const char *base, struct error *err)
{
    char path[FILE_OUT_PATH];
    struct buffer text = { 0 };
    json_t *config;
    int rc = adapter_config_new(&config, a, base, err);
    if (rc == 0) {
        json_write(&text, config, 2);
        rc = buffer_check(&text, ADAPTER_CONFIG, err);
    }
    if (rc == 0)
        rc = path_in(path, folder, ADAPTER_CONFIG, err);
    if (rc == 0)
        rc = file_write(path, text.data, text.used, err);
    json_decref(config);
    buffer_release(&text);
    return rc;
}

static int write_weights(const struct adapter *a, const struct file_out *folder, struct error *err)
{
    char path[FILE_OUT_PATH];
    struct writer w = { .adapter = a };
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    layout(&w);
    int rc = metadata ? arena_reserve(&w.arena, err) : error_memory(err, sizeof *metadata, ADAPTER_WEIGHTS);
    if (rc == 0) {
        layout(&w);
        rc = path_in(path, folder, ADAPTER_WEIGHTS, err);
        if (rc == 0)
            rc = safetensors_write(path, w.tensors, w.n, metadata, err);
        arena_release(&w.arena);
    }
    json_decref(metadata);
    return rc;
}

int adapter_save(const struct adapter *a, const char *folder, const char *base, struct error *err)
{
    struct file_out out = { .fd = -1 };
    int rc = folder_out_open(&out, folder, err);
    if (rc == 0)
        rc = write_config(a, &out, base, err);
    if (rc == 0)
        rc = write_weights(a, &out, err);
    if (rc == 0)
        rc = folder_out_commit(&out, err);
    if (rc) {
        folder_out_abort(&out);
        error_in(err, "could not write adapter \"%s\"", folder);
    }
    return rc;
}
