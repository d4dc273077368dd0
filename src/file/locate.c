/* SPDX-License-Identifier: Apache-2.0 */
/* From the name a person gave to the file to open: a path, or a repository in the local Hugging Face cache. */
#include "base/buffer.h"
#include "file/source_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INDEX_NAME "model.safetensors.index.json"
#define LISTED_MAX 12

char *path_join_new(const char *folder, const char *name)
{
    struct buffer b = { 0 };
    buffer_printf(&b, "%s/%s", folder, name);
    return buffer_new_text(&b);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int set_text(char **out, const char *text, size_t n, struct error *err)
{
    free(*out);
    *out = malloc(n + 1);
    if (!*out)
        return error_memory(err, n + 1, "a path");
    memcpy(*out, text, n);
    (*out)[n] = '\0';
    return 0;
}

void location_release(struct location *l)
{
    free(l->path);
    free(l->folder);
    memset(l, 0, sizeof *l);
}

static int set_file(struct location *l, enum source_kind kind, const char *folder, const char *name, struct error *err)
{
    l->kind = kind;
    free(l->path);
    l->path = path_join_new(folder, name);
    return l->path ? 0 : error_memory(err, strlen(folder) + strlen(name), "a path");
}

/* -- a folder -- */

struct listing { /* model files of a folder that its fixed names do not settle */
    char *safetensors, *gguf; /* the first of each */
    int safetensors_count, gguf_count;
    struct buffer names;
    int named;
};

/* Of a split GGUF only the first part counts: "-00002-of-00009.gguf" and on are its rest. */
static bool is_later_part(const char *name)
{
    size_t n = strlen(name);
    const char *tail = n > 20 ? name + n - 20 : "";
    return tail[0] == '-' && strncmp(tail + 6, "-of-", 4) == 0 && strncmp(tail + 1, "00001", 5) != 0;
}

static int list_entry(struct listing *l, const char *name, struct error *err)
{
    int rc = 0;
    bool gguf = ends_with(name, ".gguf");
    if (name[0] == '.' || (!gguf && !ends_with(name, ".safetensors") && !ends_with(name, ".bin")))
        return 0;
    if (l->named++ < LISTED_MAX)
        buffer_printf(&l->names, "%s%s", l->names.used ? ", " : "", name);
    if (gguf && !is_later_part(name) && l->gguf_count++ == 0)
        rc = set_text(&l->gguf, name, strlen(name), err);
    if (ends_with(name, ".safetensors") && l->safetensors_count++ == 0)
        rc = set_text(&l->safetensors, name, strlen(name), err);
    return rc;
}

static int list_folder(struct listing *l, const char *folder, struct error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return error_errno(err, errno, "could not list folder \"%s\"", folder);
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir));)
        rc = list_entry(l, e->d_name, err);
    closedir(dir);
    return rc ? rc : buffer_check(&l->names, "a list of files", err);
}

static int choose_listed(struct location *l, const char *folder, const struct listing *found, struct error *err)
{
    if (found->safetensors_count == 1)
        return set_file(l, SOURCE_SAFETENSORS, folder, found->safetensors, err);
    if (found->safetensors_count == 0 && found->gguf_count == 1)
        return set_file(l, SOURCE_GGUF, folder, found->gguf, err);
    const char *tried = INDEX_NAME ", model.safetensors, one *.safetensors, one *.gguf";
    if (!found->named)
        return error_set(err, ERROR_NOT_FOUND, "could not find a model in folder \"%s\": looked for %s", folder, tried);
    return error_set(err, ERROR_USAGE,
        "could not choose a model in folder \"%s\": looked for %s; it holds %s%s: name one of them", folder, tried,
        found->names.data, found->named > LISTED_MAX ? " ..." : "");
}

/* Take a file of this name where the folder has it: l->path is set then. */
static int try_file(struct location *l, const char *folder, const char *name, struct error *err)
{
    int rc = set_file(l, SOURCE_SAFETENSORS, folder, name, err);
    if (rc == 0 && (!file_exists(l->path) || file_is_folder(l->path))) {
        free(l->path);
        l->path = NULL;
    }
    return rc;
}

static int find_in_folder(struct location *l, const char *folder, struct error *err)
{
    struct listing found = { 0 };
    int rc = set_text(&l->folder, folder, strlen(folder), err);
    if (rc)
        return rc;
    rc = try_file(l, folder, INDEX_NAME, err);
    l->indexed = l->path != NULL;
    if (rc == 0 && !l->path)
        rc = try_file(l, folder, "model.safetensors", err);
    if (rc || l->path)
        return rc;
    rc = list_folder(&found, folder, err);
    if (rc == 0)
        rc = choose_listed(l, folder, &found, err);
    free(found.safetensors);
    free(found.gguf);
    buffer_release(&found.names);
    return rc;
}

/* -- a file -- */

static int find_file(struct location *l, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (ends_with(path, ".gguf"))
        l->kind = SOURCE_GGUF;
    else if (ends_with(path, ".safetensors"))
        l->kind = SOURCE_SAFETENSORS;
    else if (ends_with(path, ".bin"))
        l->kind = SOURCE_LLAMA2C;
    else if (ends_with(path, ".safetensors.index.json"))
        l->indexed = true;
    else
        return error_set(err, ERROR_USAGE,
            "could not open \"%s\": a model is a folder, a .safetensors, .gguf or llama2.c .bin file", path);
    l->bare = l->kind == SOURCE_SAFETENSORS && !l->indexed;
    int rc = set_text(&l->path, path, strlen(path), err);
    if (rc)
        return rc;
    if (!slash)
        return set_text(&l->folder, ".", 1, err);
    return set_text(&l->folder, path, slash == path ? 1 : (size_t)(slash - path), err);
}

/* -- the Hugging Face cache: models--org--name/refs/main names a folder below snapshots/ -- */

/* One part of a repository name or a revision: never a way out of its folder. */
static bool is_plain_name(const char *text, size_t n)
{
    if (n == 0 || n > 96 || text[0] == '.' || text[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.';
        if (!plain)
            return false;
    }
    return true;
}

/* "org/name", or "name" as the oldest repositories are called. */
static bool is_repository(const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash)
        return is_plain_name(name, strlen(name));
    return is_plain_name(name, (size_t)(slash - name)) && is_plain_name(slash + 1, strlen(slash + 1));
}

static int repository_folder_new(char **out, const char *name, const char *hf_cache, struct error *err)
{
    struct buffer b = { 0 };
    buffer_printf(&b, "%s/models--", hf_cache);
    for (const char *c = name; *c; c++) {
        if (*c == '/')
            buffer_add_text(&b, "--");
        else
            buffer_add_byte(&b, *c);
    }
    *out = buffer_new_text(&b);
    return *out ? 0 : error_memory(err, strlen(name), "a path");
}

/* The revision in refs/main; *out stays NULL where there is none. */
static int read_ref(char **out, const char *repository, struct error *err)
{
    char *path = path_join_new(repository, "refs/main");
    size_t n = 0;
    if (!path)
        return error_memory(err, strlen(repository), "a path");
    int rc = file_exists(path) ? file_read_new(out, &n, path, 256, err) : 0;
    while (*out && n > 0 && strchr(" \t\r\n", (*out)[n - 1]))
        (*out)[--n] = '\0';
    if (*out && (strlen(*out) != n || !is_plain_name(*out, n)))
        rc = error_set(err, ERROR_FORMAT, "\"%s\" does not hold a revision but \"%s\"", path, *out);
    free(path);
    return rc;
}

static int newest_snapshot(char **out, const char *snapshots, struct error *err)
{
    struct timespec newest = { 0 };
    DIR *dir = opendir(snapshots);
    if (!dir)
        return error_errno(err, errno, "could not list \"%s\"", snapshots);
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir));) {
        struct stat st;
        if (!is_plain_name(e->d_name, strlen(e->d_name)))
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, 0) != 0 || !S_ISDIR(st.st_mode))
            continue;
        bool newer = st.st_mtim.tv_sec != newest.tv_sec ? st.st_mtim.tv_sec > newest.tv_sec
                                                        : st.st_mtim.tv_nsec > newest.tv_nsec;
        if (*out && !newer)
            continue;
        newest = st.st_mtim;
        rc = set_text(out, e->d_name, strlen(e->d_name), err);
    }
    closedir(dir);
    if (rc == 0 && !*out)
        rc = error_set(err, ERROR_NOT_FOUND, "\"%s\" holds no revision", snapshots);
    return rc;
}

static int find_snapshot(struct location *l, const char *repository, const struct log *log, struct error *err)
{
    char *revision = NULL, *folder = NULL;
    char *snapshots = path_join_new(repository, "snapshots");
    int rc = snapshots ? read_ref(&revision, repository, err) : error_memory(err, strlen(repository), "a path");
    if (rc == 0 && !revision) {
        rc = newest_snapshot(&revision, snapshots, err);
        if (rc == 0)
            log_write(log, LOG_INFO, "no refs/main in \"%s\": the newest snapshot, %s, is used", repository, revision);
    }
    if (rc == 0) {
        folder = path_join_new(snapshots, revision);
        rc = folder ? 0 : error_memory(err, strlen(snapshots), "a path");
    }
    if (rc == 0 && !file_is_folder(folder))
        rc = error_set(
            err, ERROR_NOT_FOUND, "refs/main says revision %s, but there is no folder \"%s\"", revision, folder);
    if (rc == 0)
        rc = find_in_folder(l, folder, err);
    free(folder);
    free(snapshots);
    free(revision);
    return rc;
}

static int find_repository(struct location *l, const char *name, const char *hf_cache, const struct log *log,
    struct error *err)
{
    char *repository = NULL;
    if (!is_repository(name))
        return error_set(err, ERROR_NOT_FOUND, "no file or folder of that name");
    if (!hf_cache)
        return error_set(err, ERROR_NOT_FOUND, "no file or folder of that name, and no Hugging Face cache to look in");
    int rc = repository_folder_new(&repository, name, hf_cache, err);
    if (rc == 0 && !file_is_folder(repository))
        rc = error_set(err, ERROR_NOT_FOUND, "no file or folder of that name, and no \"%s\" in the Hugging Face cache",
            repository);
    if (rc == 0)
        rc = find_snapshot(l, repository, log, err);
    free(repository);
    return rc;
}

int location_find(struct location *l, const char *name, const char *hf_cache, const struct log *log, struct error *err)
{
    int rc;
    memset(l, 0, sizeof *l);
    if (file_is_folder(name)) {
        rc = find_in_folder(l, name, err);
    } else if (file_exists(name)) {
        rc = find_file(l, name, err);
    } else {
        rc = find_repository(l, name, hf_cache, log, err);
        if (rc)
            error_in(err, "could not find model \"%s\"", name);
    }
    if (rc)
        location_release(l);
    return rc;
}
