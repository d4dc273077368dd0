/* SPDX-License-Identifier: Apache-2.0 */
/* A file as read-only memory, and files written whole or not at all. */
#ifndef WAZN_BASE_FILEMAP_H
#define WAZN_BASE_FILEMAP_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct filemap {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;
};

/* Map a regular file. ERROR_NOT_FOUND, ERROR_IO; a directory, device or pipe is ERROR_FORMAT. */
int filemap_open(struct filemap *f, const char *path, struct error *err);
void filemap_close(struct filemap *f);

/* Open a regular file for reading and tell its size; refuses what filemap_open refuses. */
int file_open_regular(int *fd, size_t *size, const char *path, struct error *err);

/* Read a small file whole into new memory (0-terminated, the terminator not counted); refuses more than `limit` bytes.
 * The caller frees *data. */
int file_read_new(char **data, size_t *size, const char *path, size_t limit, struct error *err);

/* Write `size` bytes to `path`: beside it, fsync, rename. On failure an older file is untouched and nothing is left. */
int file_write(const char *path, const void *data, size_t size, struct error *err);

/* The same, from several pieces that follow each other in the file. */
struct file_part {
    const void *data;
    size_t size;
};
int file_write_parts(const char *path, const struct file_part *parts, size_t count, struct error *err);

bool file_exists(const char *path);    /* anything at all */
bool file_is_folder(const char *path); /* after following links */

#endif
