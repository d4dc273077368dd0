/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a list of paths means; private to records*.c. */
#ifndef WAZN_TRAIN_RECORDS_IMPL_H
#define WAZN_TRAIN_RECORDS_IMPL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_LIST_DEPTH 32 /* of folders in folders */

enum file_kind { FILE_TEXT, FILE_JSONL, FILE_JSON, FILE_KINDS };

struct file_list {
    struct file_entry {
        char *path;
        enum file_kind kind;
    } *at; /* (n) */
    size_t n, capacity;
    uint64_t bytes; /* of all files */
};

int file_list_make(struct file_list *l, const char *const *paths, size_t n, bool texts, struct error *err);
void file_list_release(struct file_list *l);

#endif
