/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a source, whatever file they came from: names unique, found by hash. Every reader adds to one. */
#ifndef WAZN_FILE_TABLE_H
#define WAZN_FILE_TABLE_H

#include "base/map.h"
#include "file/source.h"

struct table {
    struct file_tensor *at; /* (count) */
    size_t count, capacity;
    struct map index;
    void **copies; /* (copy_count) aligned copies of misaligned tensors */
    size_t copy_count;
};

/* A zeroed table is empty and ready. Adds a tensor; name and type_name (not 0-terminated) are copied. ERROR_FORMAT: the
 * name is there already or holds a 0 byte. */
int table_add(struct table *t, const struct file_tensor *tensor, const char *name, size_t name_length,
    const char *type_name, size_t type_length, struct error *err);

const struct file_tensor *table_find(const struct table *t, const char *name); /* NULL: not there */

/* safetensors does not promise that numbers lie at multiples of their size: copy those tensors that do not. */
int table_align(struct table *t, struct error *err);

void table_release(struct table *t);

#endif
