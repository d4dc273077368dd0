/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/conversation.h"

#include "base/filemap.h"
#include "cli/input.h"

#include <stdlib.h>
#include <string.h>

static void message_release(struct chat_message *m)
{
    free((void *)(uintptr_t)m->role);
    free((void *)(uintptr_t)m->content);
    free((void *)(uintptr_t)m->reasoning);
}

static int message_copy(struct chat_message *m, const char *role, const char *content, const char *reasoning,
    struct error *err)
{
    *m = (struct chat_message) { .role = strdup(role), .content = strdup(content) };
    if (reasoning)
        m->reasoning = strdup(reasoning);
    if (m->role && m->content && (m->reasoning || !reasoning))
        return 0;
    message_release(m);
    return error_memory(err, strlen(content), "a message");
}

static int make_room(struct conversation *c, struct error *err)
{
    if (c->n < c->capacity)
        return 0;
    size_t capacity = c->capacity ? c->capacity * 2 : 16;
    struct chat_message *messages = realloc(c->messages, capacity * sizeof *messages);
    if (!messages)
        return error_memory(err, capacity * sizeof *messages, "messages");
    c->messages = messages;
    c->capacity = capacity;
    return 0;
}

int conversation_add(struct conversation *c, const char *role, const char *content, const char *reasoning,
    struct error *err)
{
    int rc = make_room(c, err);
    if (rc == 0)
        rc = message_copy(&c->messages[c->n], role, content, reasoning, err);
    if (rc == 0)
        c->n++;
    return rc;
}

int conversation_set_system(struct conversation *c, const char *content, struct error *err)
{
    struct chat_message m;
    bool had = c->n > 0 && strcmp(c->messages[0].role, "system") == 0;
    int rc = had ? 0 : make_room(c, err);
    if (rc == 0)
        rc = message_copy(&m, "system", content, NULL, err);
    if (rc)
        return rc;
    if (had) {
        message_release(&c->messages[0]);
    } else {
        memmove(c->messages + 1, c->messages, c->n * sizeof *c->messages);
        c->n++;
    }
    c->messages[0] = m;
    return 0;
}

void conversation_cut(struct conversation *c, size_t n)
{
    while (c->n > n)
        message_release(&c->messages[--c->n]);
}

void conversation_release(struct conversation *c)
{
    conversation_cut(c, 0);
    free(c->messages);
    *c = (struct conversation) { 0 };
}

int conversation_save(const struct conversation *c, const char *path, struct error *err)
{
    json_t *array = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const struct chat_message *m = &c->messages[i];
        json_t *message = json_object();
        json_object_set_new(message, "role", json_string(m->role));
        json_object_set_new(message, "content", json_string_new(m->content, strlen(m->content)));
        if (m->reasoning)
            json_object_set_new(message, "reasoning_content", json_string_new(m->reasoning, strlen(m->reasoning)));
        json_array_append_new(array, message);
    }
    json_t *file = json_pack("{s:o}", "messages", array);
    char *text = file ? json_dumps(file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(file);
    int rc = text ? file_write(path, text, strlen(text), err) : error_memory(err, 0, "the conversation");
    free(text);
    return rc;
}

/* jansson keeps zero bytes; our messages end at one, and a cut message must not pass silently. */
static int check_text(const json_t *message, const char *key, const char *path, size_t i, struct error *err)
{
    const json_t *text = json_object_get(message, key);
    if (!json_is_string(text) || strlen(json_string_value(text)) == json_string_length(text))
        return 0;
    return error_set(err, ERROR_FORMAT, "%s: message %zu holds a zero byte", path, i);
}

static int load_message(struct conversation *c, const json_t *message, const char *path, size_t i, struct error *err)
{
    const char *role = json_text(message, "role", NULL), *content = json_text(message, "content", NULL);
    if (!role || !content)
        return error_set(err, ERROR_FORMAT, "%s: message %zu lacks a role or a content", path, i);
    if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
        return error_set(err, ERROR_FORMAT, "%s: message %zu has the role \"%s\"", path, i, role);
    int rc = check_text(message, "content", path, i, err);
    if (rc == 0)
        rc = check_text(message, "reasoning_content", path, i, err);
    return rc ? rc : conversation_add(c, role, content, json_text(message, "reasoning_content", NULL), err);
}

int conversation_load(struct conversation *c, const char *path, struct error *err)
{
    json_t *file;
    struct conversation loaded = { 0 };
    int rc = json_read_file_new(&file, path, INPUT_BYTES_MAX, err);
    if (rc)
        return rc;
    const json_t *array = json_is_object(file) ? json_object_get(file, "messages") : file;
    if (!json_is_array(array))
        rc = error_set(err, ERROR_FORMAT, "%s has no array \"messages\"", path);
    for (size_t i = 0; rc == 0 && i < json_array_size(array); i++)
        rc = load_message(&loaded, json_array_get(array, i), path, i, err);
    json_decref(file);
    if (rc) {
        conversation_release(&loaded);
        return rc;
    }
    conversation_release(c);
    *c = loaded;
    return 0;
}
