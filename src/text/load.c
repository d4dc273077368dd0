/* SPDX-License-Identifier: Apache-2.0 */
/* Which loader a file or folder wants. */
#include "text/load.h"

#include "base/filemap.h"
#include "file/gguf.h"
#include "file/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX (16u << 20)

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "folder/name", or NULL with the error set; the caller frees it. */
static char *join_new(const char *folder, const char *name, struct error *err)
{
    struct buffer b = { 0 };
    buffer_printf(&b, "%s/%s", folder, name);
    char *path = buffer_new_text(&b);
    if (!path)
        error_memory(err, strlen(folder) + strlen(name), "a path");
    return path;
}

/* A JSON file that may be absent (*out is NULL then). */
static int read_optional(json_t **out, const char *folder, const char *name, struct error *err)
{
    *out = NULL;
    char *path = join_new(folder, name, err);
    if (!path)
        return ERROR_MEMORY;
    int rc = file_exists(path) ? json_read_file_new(out, path, CONFIG_BYTES_MAX, err) : 0;
    free(path);
    return rc;
}

/* -- vocab.json with its merges, under the two pairs of names they have -- */

static const char *const vocab_names[][2] = { { "vocab.json", "merges.txt" }, { "encoder.json", "vocab.bpe" } };

#define VOCAB_NAMES (sizeof vocab_names / sizeof vocab_names[0])

/* The pattern that goes with a tokenizer_class; also the normalisation of Qwen. */
static int find_pattern(struct tokenizer *t, const json_t *config, const char *preset, const char **pattern,
    struct error *err)
{
    static const char *const classes[][2] = { { "GPT2Tokenizer", "gpt2" }, { "CodeGenTokenizer", "gpt2" },
        { "GPT2TokenizerFast", "gpt2" }, { "Qwen2Tokenizer", "qwen2" }, { "Qwen2TokenizerFast", "qwen2" } };
    const char *class = json_text(config, "tokenizer_class", NULL);
    *pattern = preset ? preset : class ? NULL : "gpt2";
    for (size_t i = 0; !*pattern && i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(class, classes[i][0]) == 0)
            *pattern = classes[i][1];
    if (!*pattern)
        return error_set(err, ERROR_UNSUPPORTED, "no pattern is known for vocab.json of tokenizer_class \"%s\"", class);
    if (strcmp(*pattern, "qwen2") != 0)
        return 0;
    json_t *nfc = json_pack("{s:s}", "type", "NFC");
    int rc = nfc ? normalizer_add_json(t, nfc, err) : error_memory(err, 64, "a normalizer");
    json_decref(nfc);
    return rc;
}

static int load_vocab_file(struct tokenizer *t, const char *path, const json_t *vocab, const json_t *config,
    const char *preset, struct error *err)
{
    const char *name = name_of(path), *merges_name = "merges.txt", *pattern;
    struct filemap merges = { 0 };
    struct buffer b = { 0 };
    for (size_t i = 0; i < VOCAB_NAMES; i++)
        if (strcmp(name, vocab_names[i][0]) == 0)
            merges_name = vocab_names[i][1];
    buffer_printf(&b, "%.*s%s", (int)(name - path), path, merges_name);
    int rc = buffer_check(&b, "a path", err);
    if (rc == 0)
        rc = find_pattern(t, config, preset, &pattern, err);
    if (rc == 0)
        rc = filemap_open(&merges, b.data, err);
    if (rc == 0)
        rc = load_vocab(t, vocab, (const char *)merges.data, merges.size, pattern, err);
    filemap_close(&merges);
    buffer_release(&b);
    return rc;
}

/* -- one file -- */

static int load_json_file(struct tokenizer *t, const char *path, const struct filemap *file, const json_t *config,
    const char *preset, struct error *err)
{
    json_t *root;
    int rc = json_read_new(&root, (const char *)file->data, file->size, name_of(path), err);
    if (rc)
        return rc;
    if (json_is_object(json_object_get(root, "model")))
        rc = load_json(t, root, err);
    else if (json_is_object(json_object_get(root, "config")) && json_is_array(json_object_get(root, "vocab")))
        rc = load_tekken(t, root, err);
    else
        rc = load_vocab_file(t, path, root, config, preset, err);
    json_decref(root);
    return rc;
}

static int load_gguf_file(struct tokenizer *t, const char *path, struct error *err)
{
    struct gguf *g;
    int rc = gguf_open(&g, path, NULL, err);
    if (rc)
        return rc;
    rc = load_gguf(t, g, err);
    gguf_close(g);
    return rc;
}

static int load_file(struct tokenizer *t, const char *path, const json_t *config, const char *preset, struct error *err)
{
    struct filemap file;
    if (strcmp(name_of(path), "tokenizer.bin") == 0)
        return error_set(err, ERROR_UNSUPPORTED, "tokenizer.bin of llama2.c lacks the kinds of its tokens: use the "
            "tokenizer.model it was made from");
    if (ends_with(path, ".gguf"))
        return load_gguf_file(t, path, err);
    int rc = filemap_open(&file, path, err);
    if (rc)
        return rc;
    if (ends_with(path, ".json"))
        rc = load_json_file(t, path, &file, config, preset, err);
    else if (file.size && ranks_recognize((const char *)file.data, file.size))
        rc = load_ranks(t, (const char *)file.data, file.size, preset, name_of(path), err);
    else
        rc = load_sentencepiece(t, file.data, file.size, err);
    filemap_close(&file);
    return rc;
}

/* -- a folder -- */

/* Tokenizer files, the most complete first. */
static const char *const folder_names[] = { "tokenizer.json", "tekken.json", "tokenizer.model", "vocab.json",
    "encoder.json" };

static int load_folder(struct tokenizer *t, const char *folder, const char *preset, struct error *err)
{
    json_t *config = NULL, *map = NULL, *added = NULL;
    char *path = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && !path && i < sizeof folder_names / sizeof folder_names[0]; i++) {
        path = join_new(folder, folder_names[i], err);
        if (!path)
            rc = ERROR_MEMORY;
        else if (!file_exists(path)) {
            free(path);
            path = NULL;
        }
    }
    if (rc == 0 && !path)
        rc = error_set(
            err, ERROR_NOT_FOUND, "the folder has no tokenizer.json, tekken.json, tokenizer.model or vocab.json");
    if (rc == 0)
        rc = read_optional(&config, folder, "tokenizer_config.json", err);
    if (rc == 0)
        rc = read_optional(&map, folder, "special_tokens_map.json", err);
    if (rc == 0)
        rc = read_optional(&added, folder, "added_tokens.json", err);
    if (rc == 0) {
        rc = load_file(t, path, config, preset, err);
        if (rc == 0)
            rc = load_config(t, config, map, added, err);
        if (rc)
            error_in(err, "%s", name_of(path));
    }
    json_decref(config);
    json_decref(map);
    json_decref(added);
    free(path);
    return rc;
}

/* -- the doors -- */

static int finish(struct tokenizer **out, struct tokenizer *t, int rc, const char *path, struct error *err)
{
    if (rc == 0)
        rc = tokenizer_finish(t, err);
    if (rc) {
        error_in(err, "could not open tokenizer \"%s\"", path);
        tokenizer_close(t);
        t = NULL;
    } else {
        guess_roles(t);
    }
    *out = t;
    return rc;
}

int tokenizer_open(struct tokenizer **out, const char *path, const char *preset, struct error *err)
{
    struct tokenizer *t;
    int rc = tokenizer_new(&t, err);
    if (rc == 0)
        rc = file_is_folder(path) ? load_folder(t, path, preset, err) : load_file(t, path, NULL, preset, err);
    return finish(out, t, rc, path, err);
}

int tokenizer_open_source(struct tokenizer **out, const struct source *s, struct error *err)
{
    struct tokenizer *t;
    const struct gguf *g = source_gguf(s);
    if (!g)
        return tokenizer_open(out, source_folder(s), NULL, err);
    int rc = tokenizer_new(&t, err);
    if (rc == 0)
        rc = load_gguf(t, g, err);
    return finish(out, t, rc, source_path(s), err);
}
