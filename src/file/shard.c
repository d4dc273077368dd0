/* SPDX-License-Identifier: Apache-2.0 */
/* Models in several files: safetensors shards with their index, split GGUF. */
#include "file/safetensors.h"
#include "file/source_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_BYTES_MAX ((size_t)64 << 20)

int source_map(struct source *s, const char *path, struct filemap *view, struct error *err)
{
    struct filemap *maps = realloc(s->maps, (s->map_count + 1) * sizeof *maps);
    if (!maps)
        return error_memory(err, (s->map_count + 1) * sizeof *maps, "a list of files");
    s->maps = maps;
    char **paths = realloc(s->paths, (s->map_count + 1) * sizeof *paths), *copy = paths ? strdup(path) : NULL;
    s->paths = paths ? paths : s->paths;
    if (!copy)
        return error_memory(err, strlen(path) + 1, "a path");
    int rc = filemap_open(view, path, err);
    if (rc) {
        free(copy);
        return rc;
    }
    s->paths[s->map_count] = copy;
    s->maps[s->map_count++] = *view;
    return 0;
}

/* The index comes with the model: a file it names must lie beside it. */
static int check_shard_name(const char *tensor, const json_t *file, struct error *err)
{
    const char *name = json_string_value(file);
    if (!name)
        return error_set(err, ERROR_FORMAT, "the file of tensor \"%s\" is not a string", tensor);
    if (!*name || *name == '.' || strchr(name, '/') || strlen(name) != json_string_length(file))
        return error_set(
            err, ERROR_FORMAT, "tensor \"%s\" is said to be in \"%s\", which is not a plain file name", tensor, name);
    return 0;
}

/* Every tensor of a shard must be where the index says. */
static int check_shard(const struct source *s, size_t first, const json_t *weight_map, const char *file,
    struct error *err)
{
    for (size_t i = first; i < s->tensors.count; i++) {
        const char *name = s->tensors.at[i].name;
        const char *said = json_text(weight_map, name, NULL);
        if (!said)
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" of \"%s\" is not in the index", name, file);
        if (strcmp(said, file) != 0)
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" is in \"%s\", the index says \"%s\"", name, file, said);
    }
    return 0;
}

static int read_shard(struct source *s, const json_t *weight_map, const char *file, struct error *err)
{
    struct filemap map;
    size_t first = s->tensors.count;
    char *path = path_join_new(s->at.folder, file);
    if (!path)
        return error_memory(err, strlen(file), "a path");
    int rc = source_map(s, path, &map, err);
    if (rc == 0)
        rc = safetensors_read(&s->tensors, map.data, map.size, path, err);
    if (rc == 0)
        rc = check_shard(s, first, weight_map, file, err);
    free(path);
    return rc;
}

static int read_weight_map(struct source *s, json_t *weight_map, struct error *err)
{
    const char *name;
    json_t *file;
    json_t *seen = json_object(); /* files already read */
    int rc = seen ? 0 : error_memory(err, sizeof(void *), "a list of files");
    json_object_foreach (weight_map, name, file) {
        if (rc == 0)
            rc = check_shard_name(name, file, err);
        if (rc)
            break;
        const char *base = json_string_value(file);
        if (json_object_get(seen, base))
            continue;
        if (json_object_set_new(seen, base, json_true()) != 0)
            rc = error_memory(err, strlen(base), "a list of files");
        if (rc == 0)
            rc = read_shard(s, weight_map, base, err);
    }
    json_decref(seen);
    if (rc)
        return rc;
    json_object_foreach (weight_map, name, file) {
        if (!table_find(&s->tensors, name))
            return error_set(err, ERROR_FORMAT, "tensor \"%s\" is not in \"%s\", where the index says it is", name,
                json_string_value(file));
    }
    return 0;
}

int source_read_shards(struct source *s, struct error *err)
{
    json_t *index = NULL;
    int rc = json_read_file_new(&index, s->at.path, INDEX_BYTES_MAX, err);
    if (rc)
        return rc;
    json_t *weight_map = json_object_get(index, "weight_map");
    if (json_object_size(weight_map) == 0)
        rc = error_set(err, ERROR_FORMAT, "it has no \"weight_map\" of tensors to files");
    else
        rc = read_weight_map(s, weight_map, err);
    if (rc)
        error_in(err, "could not read index \"%s\"", s->at.path);
    json_decref(index);
    return rc;
}

/* A part's tensors are added; its metadata only say which part it is. */
static int read_part(struct source *s, const char *path, int64_t number, int64_t count, struct error *err)
{
    struct gguf *g = NULL;
    struct filemap map;
    int rc = source_map(s, path, &map, err);
    if (rc == 0)
        rc = gguf_read(&g, map.data, map.size, path, &s->tensors, err);
    if (rc)
        return rc;
    int64_t is = gguf_whole(g, "split.no", -1), of = gguf_whole(g, "split.count", -1);
    gguf_close(g);
    if (is != number || of != count)
        return error_set(err, ERROR_FORMAT,
            "could not read \"%s\": it says split.no %" PRId64 " of split.count %" PRId64 ", expected %" PRId64
            " of %" PRId64, path, is, of, number, count);
    return 0;
}

int source_read_gguf_parts(struct source *s, struct error *err)
{
    char first[32], next[32];
    int64_t count = gguf_whole(s->gguf, "split.count", 1), number = gguf_whole(s->gguf, "split.no", 0);
    const char *path = s->at.path;
    if (count == 1 && number == 0)
        return 0;
    if (number != 0)
        return error_set(err, ERROR_USAGE,
            "could not open \"%s\": it is part %" PRId64 " of %" PRId64 " of a split model, name the first part", path,
            number + 1, count);
    if (count < 1 || count > 65535)
        return error_set(err, ERROR_FORMAT, "could not open \"%s\": split.count is %" PRId64 ", expected 1 to 65535",
            path, count);
    int length = snprintf(first, sizeof first, "-00001-of-%05" PRId64 ".gguf", count);
    size_t stem = strlen(path) > (size_t)length ? strlen(path) - (size_t)length : 0;
    if (strcmp(path + stem, first) != 0)
        return error_set(err, ERROR_FORMAT,
            "could not open \"%s\": it is the first of %" PRId64 " parts, but its name does not end in \"%s\"", path,
            count, first);
    char *part = strdup(path);
    int rc = part ? 0 : error_memory(err, strlen(path), "a path");
    for (int64_t i = 1; i < count && rc == 0; i++) {
        snprintf(next, sizeof next, "-%05" PRId64 "-of-%05" PRId64 ".gguf", i + 1, count);
        memcpy(part + stem, next, (size_t)length);
        rc = read_part(s, part, i, count, err);
    }
    free(part);
    int64_t tensors = gguf_whole(s->gguf, "split.tensors.count", (int64_t)s->tensors.count);
    if (rc == 0 && tensors != (int64_t)s->tensors.count)
        rc = error_set(err, ERROR_FORMAT,
            "could not open \"%s\": its %" PRId64 " parts hold %zu tensors, split.tensors.count is %" PRId64, path,
            count, s->tensors.count, tensors);
    return rc;
}
