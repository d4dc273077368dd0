/* SPDX-License-Identifier: Apache-2.0 */
#include "train/scratch.h"

#include "base/filemap.h"
#include "base/fileout.h"
#include "file/safetensors.h"
#include "model/arch.h"
#include "model/model.h"
#include "model/save.h"
#include "text/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int path_in(char path[FILE_OUT_PATH], const struct file_out *folder, const char *name, struct error *err)
{
    int n = snprintf(path, FILE_OUT_PATH, "%s/%s", folder->beside, name);
    return n > 0 && n < FILE_OUT_PATH ? 0 : error_set(err, ERROR_LIMIT, "the path of \"%s\" is too long", name);
}

static void set_absent(json_t *config, const char *key, json_t *value)
{
    if (json_object_get(config, key))
        json_decref(value);
    else
        json_object_set_new(config, key, value);
}

static int complete_config(json_t **out, const json_t *config, const struct tokenizer *t, struct error *err)
{
    const struct arch *arch;
    int32_t bos = tokenizer_special(t, TOKEN_BOS), eos = tokenizer_special(t, TOKEN_EOS);
    int rc = arch_find(&arch, config, err);
    json_t *c = rc ? NULL : json_deep_copy(config);
    *out = c;
    if (rc || !c)
        return rc ? rc : error_memory(err, 0, "a config");
    set_absent(c, "model_type", json_string(arch->model_types[0]));
    set_absent(c, "architectures", json_pack("[s]", arch->class_name));
    set_absent(c, "vocab_size", json_integer(tokenizer_size(t)));
    set_absent(c, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null());
    set_absent(c, "eos_token_id", eos >= 0 ? json_integer(eos) : json_null());
    json_object_set_new(c, "torch_dtype", json_string("float32"));
    long long rows = json_whole(c, "vocab_size", 0);
    return rows >= tokenizer_size(t) ? 0 : error_set(err, ERROR_USAGE,
        "the config has a vocab_size of %lld, the tokenizer %d tokens", rows, (int)tokenizer_size(t));
}

static int write_config(const struct file_out *folder, const json_t *config, struct error *err)
{
    char path[FILE_OUT_PATH];
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(16));
    int rc = text ? path_in(path, folder, "config.json", err) : error_memory(err, 0, "a config");
    if (rc == 0)
        rc = file_write(path, text, strlen(text), err);
    free(text);
    return rc;
}

/* One tensor's rows, SAVE_ROWS at a time. */
static int write_rows(struct file_out *file, uint64_t at, const struct save *s, size_t i, struct error *err)
{
    const struct saved_tensor *t = save_tensor(s, i);
    size_t row = (size_t)t->cols * sizeof(float);
    float *values = malloc(SAVE_ROWS * row), *scratch = malloc(save_scratch(s) * sizeof *scratch);
    int rc = values && scratch ? 0 : error_memory(err, SAVE_ROWS * row, "rows of a weight");
    for (int64_t first = 0; rc == 0 && first < t->rows; first += SAVE_ROWS) {
        int count = t->rows - first < SAVE_ROWS ? (int)(t->rows - first) : SAVE_ROWS;
        save_decode(s, i, first, count, values, scratch);
        rc = file_out_write(file, at + (uint64_t)first * row, values, (size_t)count * row, err);
    }
    free(values);
    free(scratch);
    return rc;
}

static int write_tensors(const char *path, const struct save *s, struct error *err)
{
    size_t n = save_count(s);
    struct file_tensor *list = calloc(n + 1, sizeof *list);
    uint64_t *places = calloc(n + 1, sizeof *places), bytes = 0;
    struct buffer header = { 0 };
    struct file_out file = { .fd = -1 };
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    int rc = list && places && metadata ? 0 : error_memory(err, n * sizeof *list, "a list of tensors");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct saved_tensor *t = save_tensor(s, i);
        list[i] = (struct file_tensor) { .name = t->name, .type_name = "F32", .dims = t->dims,
            .bytes = (uint64_t)t->rows * (uint64_t)t->cols * sizeof(float) };
        memcpy(list[i].shape, t->shape, sizeof t->shape);
        bytes += list[i].bytes;
    }
    if (rc == 0)
        rc = safetensors_header(&header, places, list, n, metadata, err);
    if (rc == 0)
        rc = file_out_open(&file, path, header.used + bytes, err);
    if (rc == 0)
        rc = file_out_write(&file, 0, header.data, header.used, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = write_rows(&file, places[i], s, i, err);
    if (rc == 0)
        rc = file_out_commit(&file, err);
    file_out_abort(&file);
    json_decref(metadata);
    buffer_release(&header);
    free(list);
    free(places);
    return rc;
}

static int write_weights(const struct file_out *folder, const json_t *config, uint64_t seed, struct error *err)
{
    char path[FILE_OUT_PATH];
    struct model *m = NULL;
    struct save *s = NULL;
    int rc = path_in(path, folder, "model.safetensors", err);
    if (rc == 0)
        rc = model_create(&m, config, seed, err);
    if (rc == 0)
        rc = save_open(&s, m, config, SOURCE_SAFETENSORS, false, err);
    if (rc == 0)
        rc = write_tensors(path, s, err);
    save_close(s);
    model_close(m);
    return rc;
}

int scratch_write(const char *folder, const json_t *config, const struct tokenizer *t, uint64_t seed,
    struct error *err)
{
    struct file_out out = { .fd = -1 };
    json_t *whole = NULL;
    int rc = complete_config(&whole, config, t, err);
    if (rc == 0)
        rc = folder_out_open(&out, folder, err);
    if (rc == 0)
        rc = write_config(&out, whole, err);
    if (rc == 0)
        rc = tokenizer_save_folder(t, out.beside, NULL, err);
    if (rc == 0)
        rc = write_weights(&out, whole, seed, err);
    if (rc == 0)
        rc = folder_out_commit(&out, err);
    if (rc) {
        folder_out_abort(&out);
        error_in(err, "could not begin a model in \"%s\"", folder);
    }
    json_decref(whole);
    return rc;
}
