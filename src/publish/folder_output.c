/* SPDX-License-Identifier: Apache-2.0 */
/* A Hugging Face folder: config.json, generation_config.json, the tokenizer's files, the chat template, licences, one
 * model.safetensors. What a folder already has is copied, what a GGUF has in another form is written. */
#include "base/filemap.h"
#include "file/safetensors.h"
#include "model/arch.h"
#include "model/save_config.h"
#include "publish/publish_impl.h"
#include "text/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPANION_MAX ((size_t)256 << 20)

static int path_in(char path[FILE_OUT_PATH], const char *folder, const char *name, struct error *err)
{
    int n = snprintf(path, FILE_OUT_PATH, "%s/%s", folder, name);
    return n > 0 && n < FILE_OUT_PATH ? 0
        : error_set(err, ERROR_LIMIT, "could not write \"%.100s...\": the path is too long", path);
}

static int write_text(const struct publication *p, const char *name, const char *text, struct error *err)
{
    char path[FILE_OUT_PATH];
    int rc = path_in(path, p->folder.beside, name, err);
    return rc ? rc : file_write(path, text, strlen(text), err);
}

/* Takes over the value; NULL: it could not be made. */
static int write_json(const struct publication *p, const char *name, json_t *value, struct error *err)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(16)) : NULL;
    int rc = text ? write_text(p, name, text, err) : error_memory(err, 0, name);
    free(text);
    json_decref(value);
    return rc;
}

static int copy_companion(const struct publication *p, const char *name, struct error *err)
{
    char from[FILE_OUT_PATH], to[FILE_OUT_PATH], *data = NULL;
    size_t n;
    int rc = path_in(from, source_folder(p->source), name, err);
    if (rc == 0)
        rc = path_in(to, p->folder.beside, name, err);
    if (rc || !file_exists(from))
        return rc;
    rc = file_read_new(&data, &n, from, COMPANION_MAX, err);
    if (rc == 0)
        rc = file_write(to, data, n, err);
    free(data);
    return rc;
}

static int copy_companions(const struct publication *p, struct error *err)
{
    static const char *const names[] = { "generation_config.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "tekken.json", "chat_template.jinja", "chat_template.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE",
        "USE_POLICY.md" };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++)
        rc = copy_companion(p, names[i], err);
    return rc;
}

static int make_companions(const struct publication *p, struct error *err)
{
    const json_t *generation = source_generation(p->source);
    const char *chat = source_chat_template(p->source);
    int rc = generation ? write_json(p, "generation_config.json", json_deep_copy(generation), err) : 0;
    if (rc == 0 && p->tokenizer)
        rc = tokenizer_save_folder(p->tokenizer, p->folder.beside, chat, err);
    if (rc == 0 && chat)
        rc = write_text(p, "chat_template.jinja", chat, err);
    return rc;
}

static const char *dtype_of(const struct format *f)
{
    return f == &format_f32 ? "F32" : f == &format_f16 ? "F16" : f == &format_bf16 ? "BF16"
        : f == &format_f8_e4m3 ? "F8_E4M3" : NULL;
}

/* {"quant_method": "mxfp4"} with the modules that are not, as gpt-oss's own config has it. */
static json_t *quantization_new(void)
{
    return json_pack("{s:s, s:[s,s,s,s]}", "quant_method", "mxfp4", "modules_to_not_convert",
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head");
}

static int write_config(const struct publication *p, struct error *err)
{
    json_t *config = NULL;
    int rc = save_config_new(&config, save_spec(p->save), source_config(p->source), err);
    const char *dtype = "float32";
    bool mxfp4 = false;
    for (size_t i = 0; i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        mxfp4 = mxfp4 || t->mxfp4;
        if (t->role == ROLE_token_embedding)
            dtype = p->formats[i] == &format_bf16 ? "bfloat16" : p->formats[i] == &format_f16 ? "float16" : "float32";
    }
    if (rc == 0 && (json_object_set_new(config, "torch_dtype", json_string(dtype)) != 0
            || (mxfp4 && json_object_set_new(config, "quantization_config", quantization_new()) != 0))) {
        json_decref(config);
        return error_memory(err, sizeof(json_t), "a config");
    }
    return rc ? rc : write_json(p, "config.json", config, err);
}

static int check_formats(const struct publication *p, struct error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        if (!dtype_of(p->formats[i]) && !(t->mxfp4 && p->formats[i] == &format_mxfp4))
            return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" as %s: transformers reads no such format from a "
                "folder; --to bf16, f16 or f32, or an output that ends in .gguf", t->name, p->formats[i]->name);
    }
    return 0;
}

/* Tensors as safetensors has them: MXFP4 as two of bytes. names: room for the second's. */
static size_t list_tensors(struct file_tensor *out, char (*names)[SAVED_NAME], const struct publication *p)
{
    size_t n = p->count;
    for (size_t i = 0; i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        struct file_tensor *x = &out[i];
        *x = (struct file_tensor) { .name = t->name, .type_name = dtype_of(p->formats[i]), .dims = t->dims,
            .bytes = (uint64_t)t->rows * format_row_bytes(p->formats[i], t->cols) };
        memcpy(x->shape, t->shape, sizeof t->shape);
        if (!t->mxfp4)
            continue;
        int last = t->dims - 1;
        snprintf(names[i], SAVED_NAME, "%.*sscales", (int)(strlen(t->name) - strlen("blocks")), t->name);
        x->type_name = "U8";
        x->shape[last] = t->cols / 32;
        out[n] = *x;
        out[n].name = names[i];
        out[n].bytes = (uint64_t)(t->rows * (t->cols / 32));
        x->shape[last + 1] = 16;
        x->dims++;
        x->bytes = out[n++].bytes * 16;
    }
    return n;
}

static int begin_weights(struct publication *p, struct error *err)
{
    char path[FILE_OUT_PATH];
    struct buffer header = { 0 };
    struct file_tensor *list = calloc(2 * p->count + 1, sizeof *list);
    char (*names)[SAVED_NAME] = calloc(p->count + 1, sizeof *names);
    uint64_t *places = calloc(2 * p->count + 1, sizeof *places);
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    int rc = list && names && places && metadata ? 0 : error_memory(err, p->count * sizeof *list, "a list of tensors");
    if (rc == 0) {
        size_t n = list_tensors(list, names, p), second = p->count;
        rc = safetensors_header(&header, places, list, n, metadata, err);
        p->bytes = header.used;
        for (size_t i = 0; i < n; i++)
            p->bytes += list[i].bytes;
        for (size_t i = 0; i < p->count; i++) {
            p->places[i] = places[i];
            p->scale_places[i] = save_tensor(p->save, i)->mxfp4 ? places[second++] : 0;
        }
    }
    if (rc == 0)
        rc = path_in(path, p->folder.beside, "model.safetensors", err);
    if (rc == 0)
        rc = file_out_open(&p->file, path, p->bytes, err);
    if (rc == 0)
        rc = file_out_write(&p->file, 0, header.data, header.used, err);
    json_decref(metadata);
    buffer_release(&header);
    free(list);
    free(names);
    free(places);
    return rc;
}

int folder_output_begin(struct publication *p, struct error *err)
{
    int rc = check_formats(p, err);
    if (rc == 0)
        rc = folder_out_open(&p->folder, p->options->path, err);
    if (rc == 0)
        rc = write_config(p, err);
    if (rc == 0)
        rc = source_kind(p->source) == SOURCE_GGUF ? make_companions(p, err) : copy_companions(p, err);
    return rc ? rc : begin_weights(p, err);
}

int folder_output_end(struct publication *p, struct error *err)
{
    json_t *errors = json_object();
    for (size_t i = 0; i < p->count; i++)
        if (p->errors[i] > 0)
            json_object_set_new(errors, save_tensor(p->save, i)->name, json_real((double)p->errors[i]));
    json_t *o = json_pack("{s:s, s:s, s:b, s:o}", "version", WAZN_VERSION, "recipe",
        p->options->recipe ? p->options->recipe->name : "kept", "calibrated", p->importance != NULL, "tensor_errors",
        errors);
    if (o && p->measured)
        json_object_set_new(o, "loss", loss_json_new(&p->loss));
    return write_json(p, LOSS_FILE, o, err);
}
