/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"

#include "base/filemap.h"
#include "base/fileout.h"
#include "file/safetensors.h"
#include "file/table.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "checkpoint-"
#define DIGITS 8
#define STATE "state.safetensors"
#define RUN "run.json"
#define LEARNED "learned"
#define RUN_BYTES_MAX ((size_t)16 << 20)
#define LIST_MAX 4096

/* The tensors of an optimizer's state. */
struct state {
    struct file_tensor *tensors;
    char (*names)[OPTIMIZER_NAME];
    size_t n;
};

static int state_open(struct state *s, const struct optimizer *o, struct error *err)
{
    s->n = optimizer_state(o, NULL, NULL);
    s->tensors = calloc(s->n + 1, sizeof *s->tensors);
    s->names = calloc(s->n + 1, sizeof *s->names);
    if (!s->tensors || !s->names)
        return error_memory(err, s->n * sizeof *s->tensors, "a list of tensors");
    optimizer_state(o, s->tensors, s->names);
    return 0;
}

static void state_release(struct state *s)
{
    free(s->tensors);
    free(s->names);
}

static int path_of(char out[FILE_OUT_PATH], const char *folder, const char *name, struct error *err)
{
    int n = snprintf(out, FILE_OUT_PATH, "%s/%s", folder, name);
    return n > 0 && n < FILE_OUT_PATH ? 0
        : error_set(err, ERROR_LIMIT, "the path \"%.100s...\" of a checkpoint is too long", folder);
}

static void name_of(char out[32], uint64_t step)
{
    snprintf(out, 32, NAME "%0*" PRIu64, DIGITS, step);
}

/* ---- writing ---- */

static int write_run(const struct checkpoint_identity *identity, const char *folder, uint64_t step,
    const struct checkpoint_best *best, struct error *err)
{
    char path[FILE_OUT_PATH];
    json_t *run = json_pack("{s:i, s:I, s:O?}", "version", 1, "step", (json_int_t)step, "identity",
        (json_t *)(uintptr_t)identity->json);
    if (run && isfinite(best->loss))
        json_object_set_new(run, "best", json_pack("{s:f, s:I}", "loss", best->loss, "step", (json_int_t)best->step));
    char *text = run ? json_dumps(run, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    int rc = text ? path_of(path, folder, RUN, err) : error_memory(err, 0, "a checkpoint's description");
    if (rc == 0)
        rc = file_write(path, text, strlen(text), err);
    free(text);
    json_decref(run);
    return rc;
}

static int write_state(const struct optimizer *o, const char *folder, struct error *err)
{
    struct state s = { 0 };
    char path[FILE_OUT_PATH];
    int rc = state_open(&s, o, err);
    if (rc == 0)
        rc = path_of(path, folder, STATE, err);
    if (rc == 0)
        rc = safetensors_write(path, s.tensors, s.n, NULL, err);
    state_release(&s);
    return rc;
}

int checkpoint_write(const struct checkpoint_identity *identity, const struct optimizer *o, uint64_t step,
    const struct checkpoint_best *best, int (*save)(void *context, const char *folder, struct error *err),
    void *context, struct error *err)
{
    char name[32], path[FILE_OUT_PATH], learned[FILE_OUT_PATH];
    struct file_out folder = { .fd = -1 };
    name_of(name, step);
    int rc = path_of(path, identity->folder, name, err);
    if (rc == 0)
        rc = folder_out_open(&folder, path, err);
    if (rc == 0)
        rc = path_of(learned, folder.beside, LEARNED, err);
    if (rc == 0 && save)
        rc = save(context, learned, err);
    if (rc == 0)
        rc = write_state(o, folder.beside, err);
    if (rc == 0)
        rc = write_run(identity, folder.beside, step, best, err);
    if (rc == 0)
        rc = folder_out_commit(&folder, err);
    if (rc) {
        folder_out_abort(&folder);
        error_in(err, "could not write the checkpoint of step %" PRIu64, step);
    }
    return rc;
}

/* ---- finding ---- */

/* The step of "checkpoint-00000100", or -1. Later steps than have so many digits have more. */
static int64_t step_of(const char *name)
{
    size_t n = strlen(NAME), digits = strspn(strncmp(name, NAME, n) == 0 ? name + n : "", "0123456789");
    bool whole = digits >= DIGITS && digits <= 18 && name[n + digits] == '\0';
    return whole ? strtoll(name + n, NULL, 10) : -1;
}

static bool is_half(const char *name)
{
    const char *end = strrchr(name, '.');
    return strncmp(name, NAME, strlen(NAME)) == 0 && end && strcmp(end, ".part") == 0;
}

static int compare_steps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The steps of all checkpoints, rising. clean: takes away what is half-written. */
static int list_steps(int64_t steps[LIST_MAX], int *n, const char *folder, bool clean, struct error *err)
{
    char path[FILE_OUT_PATH];
    DIR *d = opendir(folder);
    *n = 0;
    if (!d)
        return errno == ENOENT ? 0 : error_errno(err, errno, "could not look for checkpoints in \"%s\"", folder);
    for (const struct dirent *entry; *n < LIST_MAX && (entry = readdir(d));) {
        if (step_of(entry->d_name) >= 0)
            steps[(*n)++] = step_of(entry->d_name);
        else if (clean && is_half(entry->d_name) && path_of(path, folder, entry->d_name, NULL) == 0)
            folder_remove(path, NULL);
    }
    closedir(d);
    qsort(steps, (size_t)*n, sizeof *steps, compare_steps);
    return 0;
}

int checkpoint_prune(const char *folder, int keep, uint64_t best, struct error *err)
{
    int64_t steps[LIST_MAX];
    char name[32], path[FILE_OUT_PATH];
    int n, rc = list_steps(steps, &n, folder, false, err);
    for (int i = 0; rc == 0 && i < n - keep; i++) {
        if (steps[i] == (int64_t)best)
            continue;
        name_of(name, (uint64_t)steps[i]);
        rc = path_of(path, folder, name, err);
        if (rc == 0)
            rc = folder_remove(path, err);
    }
    return rc;
}

/* ---- reading ---- */

static int check_member(const char *key, const json_t *was, const json_t *is, struct error *err)
{
    struct buffer before = { 0 }, now = { 0 };
    if (json_equal(was, is))
        return 0;
    json_write(&before, was, 0);
    json_write(&now, is, 0);
    int rc = error_set(err, ERROR_USAGE, "it was written with %s %.200s, this run has %.200s", key,
        before.data ? before.data : "", now.data ? now.data : "");
    buffer_release(&before);
    buffer_release(&now);
    return rc;
}

/* Numbers of both come from text with 17 digits, or from what was written so. */
static int check_identity(const json_t *was, const json_t *is, struct error *err)
{
    const char *key;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)is, key, value) {
        rc = check_member(key, json_object_get(was, key), value, err);
        if (rc)
            return rc;
    }
    json_object_foreach((json_t *)(uintptr_t)was, key, value)
        if (rc == 0 && !json_object_get(is, key))
            rc = check_member(key, value, NULL, err);
    return rc;
}

static int read_run(const char *folder, const struct checkpoint_identity *identity, uint64_t *step,
    struct checkpoint_best *best, struct error *err)
{
    char path[FILE_OUT_PATH];
    json_t *run = NULL;
    int rc = path_of(path, folder, RUN, err);
    if (rc == 0)
        rc = json_read_file_new(&run, path, RUN_BYTES_MAX, err);
    if (rc == 0 && json_whole(run, "version", 0) != 1)
        rc = error_set(err, ERROR_UNSUPPORTED, "\"" RUN "\" is of version %lld, known is 1",
            json_whole(run, "version", 0));
    long long at = json_whole(run, "step", -1);
    if (rc == 0 && at < 0)
        rc = error_set(err, ERROR_FORMAT, "\"" RUN "\" says no step");
    if (rc == 0)
        rc = check_identity(json_object_get(run, "identity"), identity->json, err);
    if (rc == 0) {
        const json_t *b = json_object_get(run, "best");
        *step = (uint64_t)at;
        *best = (struct checkpoint_best) { json_real_of(b, "loss", INFINITY),
            (uint64_t)json_whole(b, "step", 0) };
    }
    json_decref(run);
    return rc;
}

static int check_tensor(const struct file_tensor *found, const struct file_tensor *wanted, struct error *err)
{
    if (!found)
        return error_set(err, ERROR_FORMAT, "\"" STATE "\" has no tensor \"%s\"", wanted->name);
    bool same = strcmp(found->type_name, wanted->type_name) == 0 && found->dims == wanted->dims;
    for (int i = 0; same && i < wanted->dims; i++)
        same = found->shape[i] == wanted->shape[i];
    return same ? 0 : error_set(err, ERROR_FORMAT, "tensor \"%s\" of \"" STATE "\" has another shape or type than "
        "what learns", wanted->name);
}

/* Everything is checked before anything is copied. */
static int copy_state(const struct state *s, struct table *found, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = check_tensor(table_find(found, s->names[i]), &s->tensors[i], err);
    if (rc == 0 && found->count != s->n)
        rc = error_set(err, ERROR_FORMAT, "\"" STATE "\" has %zu tensors, expected %zu", found->count, s->n);
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        memcpy((void *)(uintptr_t)s->tensors[i].data, table_find(found, s->names[i])->data, s->tensors[i].bytes);
    return rc;
}

static int read_state(const char *folder, struct optimizer *o, struct error *err)
{
    struct state s = { 0 };
    struct table found = { 0 };
    struct filemap map;
    char path[FILE_OUT_PATH];
    int rc = path_of(path, folder, STATE, err);
    if (rc == 0)
        rc = filemap_open(&map, path, err);
    if (rc)
        return rc;
    rc = safetensors_read(&found, map.data, map.size, path, err);
    if (rc == 0)
        rc = state_open(&s, o, err);
    if (rc == 0)
        rc = copy_state(&s, &found, err);
    state_release(&s);
    table_release(&found);
    filemap_close(&map);
    return rc;
}

int checkpoint_read(const struct checkpoint_identity *identity, struct optimizer *o, uint64_t *step,
    struct checkpoint_best *best, struct error *err)
{
    int64_t steps[LIST_MAX];
    char name[32], path[FILE_OUT_PATH];
    int n, rc = list_steps(steps, &n, identity->folder, true, err);
    *step = 0;
    if (rc || n == 0)
        return rc;
    name_of(name, (uint64_t)steps[n - 1]);
    rc = path_of(path, identity->folder, name, err);
    if (rc == 0)
        rc = read_run(path, identity, step, best, err);
    if (rc == 0)
        rc = read_state(path, o, err);
    if (rc)
        error_in(err, "could not go on from \"%s\"", path);
    return rc;
}
