/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filemap.h"
#include "train/records_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* FILE_KINDS: another kind. */
static enum file_kind kind_of(const char *path, bool texts)
{
    static const char *const endings[FILE_KINDS] = {".txt", ".jsonl", ".json"}, *const packed[] = {"", ".gz", ".zst"};
    size_t n = strlen(path);
    for (int k = texts ? FILE_TEXT : FILE_JSONL; k < FILE_KINDS; k++)
        for (int i = 0; i < 3; i++) {
            size_t a = strlen(endings[k]), b = strlen(packed[i]);
            if (n > a + b && memcmp(path + n - a - b, endings[k], a) == 0 && strcmp(path + n - b, packed[i]) == 0)
                return (enum file_kind)k;
        }
    return FILE_KINDS;
}

static int add_file(struct file_list *l, const char *path, enum file_kind kind, struct error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_errno(err, errno, "could not stat \"%s\"", path);
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 16;
        struct file_entry *at = realloc(l->at, capacity * sizeof *at);
        if (!at)
            return error_memory(err, capacity * sizeof *at, "a list of files");
        l->at = at;
        l->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return error_memory(err, strlen(path), "a path");
    l->at[l->n++] = (struct file_entry){copy, kind};
    l->bytes += (uint64_t)st.st_size;
    return 0;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct file_list *l, const char *folder, int depth, bool texts, struct error *err)
{
    struct dirent **entries;
    int rc = 0;
    if (depth > FILE_LIST_DEPTH)
        return error_set(err, ERROR_LIMIT, "\"%s\" is more than %d folders deep", folder, FILE_LIST_DEPTH);
    int n = scandir(folder, &entries, visible, by_bytes);
    if (n < 0)
        return error_errno(err, errno, "could not list \"%s\"", folder);
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (rc == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
            path = NULL;
            rc = error_memory(err, strlen(folder), "a path");
        }
        if (rc == 0 && file_is_folder(path))
            rc = add_folder(l, path, depth + 1, texts, err);
        else if (rc == 0 && kind_of(path, texts) != FILE_KINDS)
            rc = add_file(l, path, kind_of(path, texts), err);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int file_list_make(struct file_list *l, const char *const *paths, size_t n, bool texts, struct error *err)
{
    const char *kinds = texts ? ".txt, .jsonl or .json" : ".jsonl or .json";
    int rc = n ? 0 : error_set(err, ERROR_USAGE, "no files of training data were named");
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t before = l->n;
        if (file_is_folder(paths[i])) {
            rc = add_folder(l, paths[i], 1, texts, err);
            if (rc == 0 && l->n == before)
                rc = error_set(err, ERROR_USAGE, "no file in \"%s\" ends in %s (.gz, .zst)", paths[i], kinds);
        } else if (!file_exists(paths[i])) {
            rc = error_set(err, ERROR_NOT_FOUND, "could not open \"%s\": there is no such file", paths[i]);
        } else if (kind_of(paths[i], texts) == FILE_KINDS) {
            rc = error_set(err, ERROR_UNSUPPORTED, "could not read \"%s\": its name does not end in %s (.gz, .zst)",
                paths[i], kinds);
        } else {
            rc = add_file(l, paths[i], kind_of(paths[i], texts), err);
        }
    }
    return rc;
}

void file_list_release(struct file_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i].path);
    free(l->at);
    memset(l, 0, sizeof *l);
}
