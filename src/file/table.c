/* SPDX-License-Identifier: Apache-2.0 */
#include "file/table.h"

#include <stdlib.h>
#include <string.h>

static int grow(struct table *t, struct error *err)
{
    size_t capacity = t->capacity ? t->capacity * 2 : 64;
    if (!t->index.capacity) {
        int rc = map_init(&t->index, capacity, err);
        if (rc)
            return rc;
    }
    struct file_tensor *at = realloc(t->at, capacity * sizeof *at);
    if (!at)
        return error_memory(err, capacity * sizeof *at, "a list of tensors");
    t->at = at;
    t->capacity = capacity;
    return 0;
}

int table_add(struct table *t, const struct file_tensor *tensor, const char *name, size_t name_length,
    const char *type_name, size_t type_length, struct error *err)
{
    if (memchr(name, '\0', name_length))
        return error_set(err, ERROR_FORMAT, "tensor name \"%s...\" holds a 0 byte", name);
    if (map_find(&t->index, name, name_length, -1) >= 0)
        return error_set(err, ERROR_FORMAT, "tensor name \"%.*s\" appears twice", (int)name_length, name);
    if (t->count == t->capacity) {
        int rc = grow(t, err);
        if (rc)
            return rc;
    }
    /* one block holds both texts: the name is what is freed */
    char *text = malloc(name_length + type_length + 2);
    if (!text)
        return error_memory(err, name_length + type_length + 2, "a tensor name");
    memcpy(text, name, name_length);
    text[name_length] = '\0';
    char *type = text + name_length + 1;
    memcpy(type, type_name, type_length);
    type[type_length] = '\0';
    int rc = map_put(&t->index, text, name_length, (int64_t)t->count, err);
    if (rc) {
        free(text);
        return rc;
    }
    t->at[t->count] = *tensor;
    t->at[t->count].name = text;
    t->at[t->count].type_name = type;
    t->count++;
    return 0;
}

const struct file_tensor *table_find(const struct table *t, const char *name)
{
    int64_t i = map_find(&t->index, name, strlen(name), -1);
    return i < 0 ? NULL : &t->at[i];
}

/* What a load of one number of this format wants its address to be a multiple of. Block formats are read by bytes. */
static uintptr_t number_align(const struct format *f)
{
    return f == &format_f32 ? 4 : f == &format_f16 || f == &format_bf16 ? 2 : 1;
}

int table_align(struct table *t, struct error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        struct file_tensor *x = &t->at[i];
        if (!x->bytes || (uintptr_t)x->data % number_align(x->format) == 0)
            continue;
        void **copies = realloc(t->copies, (t->copy_count + 1) * sizeof *copies);
        if (!copies)
            return error_memory(err, (t->copy_count + 1) * sizeof *copies, "a list of tensors");
        t->copies = copies;
        void *copy = malloc(x->bytes);
        if (!copy)
            return error_memory(err, x->bytes, x->name);
        memcpy(copy, x->data, x->bytes);
        t->copies[t->copy_count++] = copy;
        x->data = copy;
    }
    return 0;
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free((void *)(uintptr_t)t->at[i].name);
    for (size_t i = 0; i < t->copy_count; i++)
        free(t->copies[i]);
    free(t->at);
    free(t->copies);
    map_release(&t->index);
    memset(t, 0, sizeof *t);
}
