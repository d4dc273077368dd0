/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what a person named. A file that somebody cuts shorter while it is mapped ends the process with SIGBUS on
 * the next touch of the missing pages: the system offers no error there, and copying every weight to avoid it would
 * cost the memory that mapping saves. Replace model files by rename, as every download tool does, never in place. */
#include "file/source_impl.h"

#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

static int read_single(struct source *s, struct error *err)
{
    struct filemap map;
    int rc = source_map(s, s->at.path, &map, err);
    if (rc)
        return rc;
    switch (s->at.kind) {
    case SOURCE_SAFETENSORS:
        return safetensors_read(&s->tensors, map.data, map.size, s->at.path, err);
    case SOURCE_LLAMA2C:
        return llama2c_read(&s->tensors, &s->config, map.data, map.size, s->at.path, err);
    case SOURCE_GGUF:
        break;
    }
    rc = gguf_read(&s->gguf, map.data, map.size, s->at.path, &s->tensors, err);
    return rc ? rc : source_read_gguf_parts(s, err);
}

int source_open(struct source **out, const char *name, const char *hf_cache, const struct log *log, struct error *err)
{
    *out = NULL;
    struct source *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "a model source");
    int rc = location_find(&s->at, name, hf_cache, log, err);
    if (rc == 0)
        rc = s->at.indexed ? source_read_shards(s, err) : read_single(s, err);
    if (rc == 0)
        rc = table_align(&s->tensors, err);
    if (rc == 0)
        rc = source_read_companions(s, err);
    if (rc) {
        source_close(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

void source_close(struct source *s)
{
    if (!s)
        return;
    table_release(&s->tensors);
    gguf_close(s->gguf);
    json_decref(s->config);
    json_decref(s->generation);
    free(s->chat_template);
    for (size_t i = 0; i < s->map_count; i++)
        filemap_close(&s->maps[i]);
    for (size_t i = 0; i < s->map_count; i++)
        free(s->paths[i]);
    free(s->paths);
    free(s->maps);
    location_release(&s->at);
    free(s);
}

enum source_kind source_kind(const struct source *s)
{
    return s->at.kind;
}

const char *source_path(const struct source *s)
{
    return s->at.path;
}

const char *source_folder(const struct source *s)
{
    return s->at.folder;
}

const struct gguf *source_gguf(const struct source *s)
{
    return s->gguf;
}

size_t source_file_count(const struct source *s)
{
    return s->map_count;
}

const char *source_file(const struct source *s, size_t i, uint64_t *bytes)
{
    *bytes = s->maps[i].size;
    return s->paths[i];
}

size_t source_tensor_count(const struct source *s)
{
    return s->tensors.count;
}

const struct file_tensor *source_tensor(const struct source *s, size_t i)
{
    return &s->tensors.at[i];
}

const struct file_tensor *source_find(const struct source *s, const char *name)
{
    return table_find(&s->tensors, name);
}

const json_t *source_config(const struct source *s)
{
    return s->config;
}

const json_t *source_generation(const struct source *s)
{
    return s->generation;
}

const char *source_chat_template(const struct source *s)
{
    return s->chat_template;
}
