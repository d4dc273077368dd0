/* SPDX-License-Identifier: Apache-2.0 */
#include "file/gguf_write.h"
#include "model/save_config.h"
#include "publish/publish_impl.h"
#include "text/save.h"

#include <stdio.h>
#include <string.h>

#define FILE_TYPE_UNKNOWN 1024 /* llama.cpp: guessed from the tensors */

/* What a new file says itself. */
static bool is_own_key(const struct gguf_value *v)
{
    static const char *const own[] = { "general.file_type", "general.quantization_version", "general.alignment",
        "split.", "wazn." };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        size_t n = strlen(own[i]);
        bool begins = v->key_length >= n && memcmp(v->key, own[i], n) == 0;
        if (begins && (v->key_length == n || own[i][n - 1] == '.'))
            return true;
    }
    return false;
}

static void put_name(struct gguf_out *o, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *slash = memrchr(path, '/', n), *name = slash ? slash + 1 : path;
    gguf_put_text(o, "general.name", name, n - (size_t)(name - path));
}

static int put_new(struct gguf_out *o, const struct publication *p, struct error *err)
{
    json_t *config = NULL;
    const char *chat = source_chat_template(p->source);
    int rc = save_config_new(&config, save_spec(p->save), source_config(p->source), err);
    if (rc == 0)
        rc = gguf_put_config(o, config, err);
    if (rc == 0)
        put_name(o, source_folder(p->source));
    gguf_put_generation(o, source_generation(p->source));
    if (rc == 0 && p->tokenizer)
        rc = tokenizer_save_gguf(p->tokenizer, o, save_spec(p->save)->vocabulary,
            json_object_get(source_generation(p->source), "eos_token_id"), err);
    if (rc == 0 && chat)
        gguf_put_text(o, "tokenizer.chat_template", chat, strlen(chat));
    json_decref(config);
    return rc;
}

static int file_type(const struct publication *p)
{
    if (p->options->recipe)
        return p->options->recipe->file_type;
    for (size_t i = 0; i < recipe_count; i++)
        if (recipes[i].format == p->formats[0] && recipes[i].format->block == 1)
            return recipes[i].file_type;
    return FILE_TYPE_UNKNOWN;
}

/* Known only when all is written: zeros for now. */
static void put_measured(struct gguf_out *o, struct publication *p)
{
    const char *recipe = p->options->recipe ? p->options->recipe->name : p->options->loss_max > 0 ? "searched" : "kept";
    gguf_put_text(o, "wazn.version", WAZN_VERSION, strlen(WAZN_VERSION));
    gguf_put_text(o, "wazn.recipe", recipe, strlen(recipe));
    if (p->importance)
        gguf_put_flag(o, "wazn.calibrated", true);
    gguf_put_array(o, "wazn.loss.tensor_errors", GGUF_FLOAT32, p->count);
    p->errors_place = gguf_out_place(o);
    for (size_t i = 0; i < p->count; i++)
        gguf_add_real(o, 0);
    if (!p->options->ids)
        return;
    gguf_put_whole(o, "wazn.loss.tokens", GGUF_UINT64, (int64_t)p->options->n_ids);
    for (size_t i = 0; i < LOSS_NUMBERS; i++) {
        char key[64];
        snprintf(key, sizeof key, "wazn.loss.%s", loss_name(i));
        gguf_put_real(o, key, 0);
        p->loss_places[i] = gguf_out_place(o) - sizeof(float);
    }
}

static int put_tensors(struct gguf_out *o, struct publication *p, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        rc = gguf_put_tensor(o, t->name, t->dims, t->shape, p->formats[i], &p->places[i], err);
    }
    return rc;
}

int gguf_output_begin(struct publication *p, struct error *err)
{
    struct gguf_out o = { 0 };
    struct buffer header = { 0 };
    const struct gguf *from = source_gguf(p->source);
    int rc = from ? 0 : put_new(&o, p, err);
    for (size_t i = 0; from && i < gguf_count(from); i++)
        if (!is_own_key(gguf_value(from, i)))
            gguf_put_copy(&o, gguf_value(from, i));
    gguf_put_whole(&o, "general.file_type", GGUF_UINT32, file_type(p));
    gguf_put_whole(&o, "general.quantization_version", GGUF_UINT32, 2);
    put_measured(&o, p);
    if (rc == 0)
        rc = put_tensors(&o, p, err);
    if (rc == 0)
        rc = gguf_out_header(&o, &header, err);
    for (size_t i = 0; i < p->count; i++)
        p->places[i] += header.used;
    p->bytes = header.used + o.data_bytes;
    if (rc == 0)
        rc = file_out_open(&p->file, p->options->path, p->bytes, err);
    if (rc == 0)
        rc = file_out_write(&p->file, 0, header.data, header.used, err);
    buffer_release(&header);
    gguf_out_release(&o);
    return rc;
}

int gguf_output_end(struct publication *p, struct error *err)
{
    int rc = file_out_write(&p->file, p->errors_place, p->errors, p->count * sizeof *p->errors, err);
    for (size_t i = 0; rc == 0 && p->measured && i < LOSS_NUMBERS; i++) {
        float x = (float)loss_number(&p->loss, i);
        rc = file_out_write(&p->file, p->loss_places[i], &x, sizeof x, err);
    }
    return rc;
}
