/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the weights, or in the same GGUF: the config, the generation config and the chat template. */
#include "base/filemap.h"
#include "file/source_impl.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX ((size_t)4 << 20)
#define TOKENIZER_CONFIG_BYTES_MAX ((size_t)64 << 20) /* lists every added token */
#define TEMPLATE_BYTES_MAX ((size_t)1 << 20)

/* An object from a JSON file of the folder; *out stays NULL where the folder has none of that name. */
static int read_object(json_t **out, const struct source *s, const char *name, size_t limit, struct error *err)
{
    char *path = path_join_new(s->at.folder, name);
    *out = NULL;
    if (!path)
        return error_memory(err, strlen(name), "a path");
    int rc = file_exists(path) ? json_read_file_new(out, path, limit, err) : 0;
    if (*out && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        rc = error_set(err, ERROR_FORMAT, "could not read \"%s\": it is not a JSON object", path);
    }
    free(path);
    return rc;
}

/* Keep a copy of the template's text. */
static int set_template(struct source *s, const char *text, size_t n, const char *from, struct error *err)
{
    if (n > TEMPLATE_BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "the chat template in %s has %zu bytes, the limit is %zu", from, n,
            TEMPLATE_BYTES_MAX);
    if (memchr(text, '\0', n))
        return error_set(err, ERROR_FORMAT, "the chat template in %s holds a 0 byte", from);
    s->chat_template = malloc(n + 1);
    if (!s->chat_template)
        return error_memory(err, n + 1, "a chat template");
    memcpy(s->chat_template, text, n);
    s->chat_template[n] = '\0';
    return 0;
}

/* "chat_template" of a JSON file: a string, or a list of {"name", "template"} of which "default" is taken, else the
 * only one. */
static int take_template(struct source *s, const json_t *value, const char *from, struct error *err)
{
    size_t i;
    const json_t *one, *chosen = NULL;
    json_array_foreach (value, i, one) {
        if (strcmp(json_text(one, "name", ""), "default") == 0 || json_array_size(value) == 1)
            chosen = json_object_get(one, "template");
    }
    if (json_is_string(value))
        chosen = value;
    if (!json_is_string(chosen))
        return 0;
    return set_template(s, json_string_value(chosen), json_string_length(chosen), from, err);
}

static int read_template_member(struct source *s, const char *name, struct error *err)
{
    json_t *object = NULL;
    if (s->chat_template)
        return 0;
    int rc = read_object(&object, s, name, TOKENIZER_CONFIG_BYTES_MAX, err);
    if (rc == 0)
        rc = take_template(s, json_object_get(object, "chat_template"), name, err);
    json_decref(object);
    return rc;
}

static int read_template_file(struct source *s, const char *name, struct error *err)
{
    char *path = path_join_new(s->at.folder, name), *text = NULL;
    size_t n;
    if (!path)
        return error_memory(err, strlen(name), "a path");
    int rc = file_exists(path) ? file_read_new(&text, &n, path, TEMPLATE_BYTES_MAX, err) : 0;
    if (text)
        rc = set_template(s, text, n, name, err);
    free(text);
    free(path);
    return rc;
}

static int read_folder(struct source *s, struct error *err)
{
    int rc = read_object(&s->config, s, "config.json", CONFIG_BYTES_MAX, err);
    if (rc == 0 && !s->config && !s->at.bare)
        rc = error_set(err, ERROR_NOT_FOUND, "could not find \"config.json\" in folder \"%s\"", s->at.folder);
    if (rc == 0)
        rc = read_object(&s->generation, s, "generation_config.json", CONFIG_BYTES_MAX, err);
    if (rc == 0)
        rc = read_template_file(s, "chat_template.jinja", err);
    if (rc == 0)
        rc = read_template_member(s, "chat_template.json", err);
    if (rc == 0)
        rc = read_template_member(s, "tokenizer_config.json", err);
    return rc;
}

static int read_gguf(struct source *s, struct error *err)
{
    size_t n;
    int rc = gguf_config_new(&s->config, s->gguf, &s->tensors, err);
    if (rc == 0)
        rc = gguf_generation_new(&s->generation, s->gguf, err);
    const char *text = gguf_text(s->gguf, "tokenizer.chat_template", &n);
    if (rc == 0 && text)
        rc = set_template(s, text, n, "\"tokenizer.chat_template\"", err);
    if (rc)
        error_in(err, "could not read \"%s\"", s->at.path);
    return rc;
}

int source_read_companions(struct source *s, struct error *err)
{
    int rc = 0;
    if (s->at.kind == SOURCE_SAFETENSORS)
        rc = read_folder(s, err);
    else if (s->at.kind == SOURCE_GGUF)
        rc = read_gguf(s, err);
    if (rc == 0 && !s->config) {
        s->config = json_object();
        if (!s->config)
            rc = error_memory(err, sizeof(json_t), "a config");
    }
    return rc;
}
