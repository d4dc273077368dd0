/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the folder: what source.c is made of. */
#ifndef WAZN_FILE_SOURCE_IMPL_H
#define WAZN_FILE_SOURCE_IMPL_H

#include "base/filemap.h"
#include "file/gguf.h"
#include "file/source.h"
#include "file/table.h"

/* What a name stands for. */
struct location {
    enum source_kind kind;
    char *path;   /* the file to open: .gguf, .safetensors, .bin, or model.safetensors.index.json */
    char *folder; /* where companions are */
    bool indexed; /* path is an index of shards */
    bool bare;    /* the person named one .safetensors file: config.json may be missing */
};

struct source {
    struct location at;
    struct filemap *maps; /* (map_count) */
    char **paths; /* (map_count) */
    size_t map_count;
    struct table tensors;
    struct gguf *gguf; /* reads maps[0] */
    json_t *config, *generation;
    char *chat_template;
};

/* locate.c: find the file. On failure the location is empty. */
int location_find(struct location *l, const char *name, const char *hf_cache, const struct log *log, struct error *err);
void location_release(struct location *l);

/* A new path; NULL: no memory. */
char *path_join_new(const char *folder, const char *name);

/* shard.c: read the tensors of all the files of one model. */
int source_map(struct source *s, const char *path, struct filemap *view, struct error *err); /* s closes it */
int source_read_shards(struct source *s, struct error *err);     /* at.path: an index */
int source_read_gguf_parts(struct source *s, struct error *err); /* behind the first, already read */

/* config.c, generation.c: GGUF metadata as config.json and as generation_config.json, the latter NULL where there is
 * nothing to say. */
int gguf_config_new(json_t **out, const struct gguf *g, const struct table *tensors, struct error *err);
int gguf_generation_new(json_t **out, const struct gguf *g, struct error *err);

/* llama2c.c: tensors and config of a checkpoint in memory. */
int llama2c_read(struct table *tensors, json_t **config, const void *data, size_t size, const char *path,
    struct error *err);

/* companion.c: config.json, generation_config.json and the chat template of a folder, or of a GGUF. */
int source_read_companions(struct source *s, struct error *err);

#endif
