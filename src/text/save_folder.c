/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filemap.h"
#include "text/save_impl.h"
#include "text/save_json.h"
#include "text/save_spm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_beside(const char *folder, const char *name, const void *data, size_t n, struct error *err)
{
    char path[4096];
    int used = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (used < 0 || (size_t)used >= sizeof path)
        return error_set(err, ERROR_LIMIT, "could not write \"%.100s...\": the path is too long", path);
    return file_write(path, data, n, err);
}

/* Takes over the value; NULL: it could not be made. */
static int write_json(const char *folder, const char *name, json_t *value, size_t indent, struct error *err)
{
    char *text = value ? json_dumps(value, JSON_INDENT(indent) | JSON_REAL_PRECISION(16)) : NULL;
    int rc = text ? write_beside(folder, name, text, strlen(text), err) : error_memory(err, 0, name);
    free(text);
    json_decref(value);
    return rc;
}

static int set_role(json_t *o, const struct tokenizer *t, const char *key, enum token_role role)
{
    int32_t id = tokenizer_special(t, role);
    size_t n;
    const char *text = id < 0 ? NULL : tokenizer_piece(t, id, &n);
    return json_object_set_new(o, key, text ? json_stringn(text, n) : json_null());
}

static json_t *config_new(const struct tokenizer *t, const char *chat_template)
{
    json_t *o = json_object(), *decoder = json_object();
    int rc = 0;
    for (size_t i = 0; i < t->added.count; i++) {
        char id[16];
        json_t *entry = save_added_new(t, i);
        snprintf(id, sizeof id, "%d", (int)t->added.tokens[i].id);
        json_object_del(entry, "id");
        rc |= json_object_set_new(decoder, id, entry);
    }
    rc |= json_object_set_new(o, "added_tokens_decoder", decoder);
    rc |= json_object_set_new(o, "add_bos_token", json_boolean(tokenizer_adds_bos(t)));
    rc |= json_object_set_new(o, "add_eos_token", json_boolean(t->back.used > 0));
    rc |= set_role(o, t, "bos_token", TOKEN_BOS);
    rc |= set_role(o, t, "eos_token", TOKEN_EOS);
    rc |= set_role(o, t, "unk_token", TOKEN_UNK);
    rc |= set_role(o, t, "pad_token", TOKEN_PAD);
    rc |= json_object_set_new(o, "clean_up_tokenization_spaces", json_false());
    rc |= json_object_set_new(o, "tokenizer_class",
        json_string(save_is_unigram(t) ? "LlamaTokenizer" : "PreTrainedTokenizerFast"));
    if (chat_template)
        rc |= json_object_set_new(o, "chat_template", json_string(chat_template));
    if (rc)
        json_decref(o);
    return rc ? NULL : o;
}

int tokenizer_save_folder(const struct tokenizer *t, const char *folder, const char *chat_template, struct error *err)
{
    struct buffer model = { 0 };
    json_t *json = NULL;
    struct save_steps steps;
    int rc = save_find_steps(t, &steps, err);
    if (rc == 0 && save_is_byte_level(t))
        rc = save_json_new(&json, t, err);
    else if (rc == 0 && !save_is_unigram(t) && !steps.rules && !steps.collapses) /* else tokenizer.model alone */
        rc = save_json_spm_new(&json, t, err);
    if (rc == 0 && json)
        rc = write_json(folder, "tokenizer.json", json, 1, err);
    if (rc == 0 && !save_is_byte_level(t))
        rc = save_spm(&model, t, err);
    if (rc == 0 && model.used)
        rc = write_beside(folder, "tokenizer.model", model.data, model.used, err);
    if (rc == 0)
        rc = write_json(folder, "tokenizer_config.json", config_new(t, chat_template), 2, err);
    buffer_release(&model);
    return rc;
}
