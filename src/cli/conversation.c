/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/conversation.h"

#include "base/filemap.h"
#include "cli/input.h"

#include <stdlib.h>
#include <string.h>

static void message_release(struct chat_message *m)
{
    const char *const texts[] = { m->role, m->content, m->name, m->reasoning, m->tool_call_id };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((void *)(uintptr_t)texts[i]);
    json_decref((json_t *)(uintptr_t)m->tool_calls);
    free((void *)(uintptr_t)m->ids);
}

/* A copy of a text that may be NULL. */
static const char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;
    *failed = *failed || (text && !copy);
    return copy;
}

static int message_copy(struct chat_message *to, const struct chat_message *m, struct error *err)
{
    bool failed = false;
    *to = (struct chat_message) { .role = copy_text(m->role, &failed), .content = copy_text(m->content, &failed),
        .name = copy_text(m->name, &failed), .reasoning = copy_text(m->reasoning, &failed),
        .tool_call_id = copy_text(m->tool_call_id, &failed),
        .tool_calls = json_incref((json_t *)(uintptr_t)m->tool_calls) };
    if (m->n_ids > 0) {
        int32_t *ids = malloc(m->n_ids * sizeof *ids);
        failed = failed || !ids;
        if (ids)
            memcpy(ids, m->ids, m->n_ids * sizeof *ids);
        to->ids = ids;
        to->n_ids = m->n_ids;
    }
    if (!failed)
        return 0;
    message_release(to);
    return error_memory(err, m->n_ids * sizeof *m->ids, "a message");
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

int conversation_add(struct conversation *c, const struct chat_message *m, struct error *err)
{
    int rc = make_room(c, err);
    if (rc == 0)
        rc = message_copy(&c->messages[c->n], m, err);
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
        rc = message_copy(&m, &(struct chat_message) { .role = "system", .content = content }, err);
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

static void set_text(json_t *message, const char *key, const char *text)
{
    if (text)
        json_object_set_new(message, key, json_string_new(text, strlen(text)));
}

int conversation_save(const struct conversation *c, const char *path, struct error *err)
{
    json_t *array = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const struct chat_message *m = &c->messages[i];
        json_t *message = json_object();
        set_text(message, "role", m->role);
        json_object_set_new(message, "content", json_null());
        set_text(message, "content", m->content);
        set_text(message, "reasoning_content", m->reasoning);
        set_text(message, "name", m->name);
        set_text(message, "tool_call_id", m->tool_call_id);
        if (m->tool_calls)
            json_object_set(message, "tool_calls", (json_t *)(uintptr_t)m->tool_calls);
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
static int check_texts(const json_t *message, const char *path, size_t i, struct error *err)
{
    static const char *const keys[] = { "role", "content", "reasoning_content", "name", "tool_call_id" };
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const json_t *text = json_object_get(message, keys[k]);
        if (json_is_string(text) && strlen(json_string_value(text)) != json_string_length(text))
            return error_set(err, ERROR_FORMAT, "%s: message %zu holds a zero byte", path, i);
    }
    return 0;
}

static int load_message(struct conversation *c, const struct chat_message *m, const json_t *from, const char *path,
    size_t i, struct error *err)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };
    bool known = false;
    for (size_t k = 0; k < sizeof roles / sizeof *roles; k++)
        known = known || strcmp(m->role, roles[k]) == 0;
    if (!known)
        return error_set(err, ERROR_FORMAT, "%s: message %zu has the role \"%s\"", path, i, m->role);
    if (!m->content && !(m->tool_calls && strcmp(m->role, "assistant") == 0))
        return error_set(err, ERROR_FORMAT, "%s: message %zu lacks a content", path, i);
    int rc = check_texts(from, path, i, err);
    return rc ? rc : conversation_add(c, m, err);
}

static int load_messages(struct conversation *c, const json_t *array, const char *path, struct error *err)
{
    struct chat_message *messages;
    size_t n;
    int rc = chat_messages_new(&messages, &n, array, err);
    if (rc) {
        error_in(err, "%s", path);
        return rc == ERROR_USAGE ? ERROR_FORMAT : rc;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = load_message(c, &messages[i], json_array_get(array, i), path, i, err);
    free(messages);
    return rc;
}

int conversation_load(struct conversation *c, const char *path, struct error *err)
{
    json_t *file;
    struct conversation loaded = { 0 };
    int rc = json_read_file_new(&file, path, INPUT_BYTES_MAX, err);
    if (rc)
        return rc;
    const json_t *array = json_is_object(file) ? json_object_get(file, "messages") : file;
    if (json_is_array(array))
        rc = load_messages(&loaded, array, path, err);
    else
        rc = error_set(err, ERROR_FORMAT, "%s has no array \"messages\"", path);
    json_decref(file);
    if (rc) {
        conversation_release(&loaded);
        return rc;
    }
    conversation_release(c);
    *c = loaded;
    return 0;
}
