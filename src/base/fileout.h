/* SPDX-License-Identifier: Apache-2.0 */
/* A file or folder that appears whole or not at all. It grows beside its place, under the same ending with the process
 * id in front of it ("model.4711.part.gguf"), is brought to disk and then renamed. What fails or is given up is taken
 * away again; an older file stays untouched until the rename. */
#ifndef WAZN_BASE_FILEOUT_H
#define WAZN_BASE_FILEOUT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define FILE_OUT_PATH 4096

struct file_out {
    int fd; /* -1: not open */
    char path[FILE_OUT_PATH], beside[FILE_OUT_PATH];
};

/* Create the file beside `path`. size: bytes that are reserved on disk at once, so that a full disk is found out before
 * anything is computed; they read as zeros until written. 0: it grows as it is written. */
int file_out_open(struct file_out *f, const char *path, uint64_t size, struct error *err);
/* Write n bytes at a place; any order. */
int file_out_write(struct file_out *f, uint64_t at, const void *data, size_t n, struct error *err);
/* Bring it to disk, then to its place. Closed afterwards, also where it failed. */
int file_out_commit(struct file_out *f, struct error *err);
/* Take it away; nothing where it was committed or never opened (a zeroed one has to have fd -1). */
void file_out_abort(struct file_out *f);

/* The same for a folder: files are written into f->beside. ERROR_USAGE where `path` is there already, unless it is an
 * empty folder. Commit brings the names to disk too: who removes an older folder after it cannot lose both (where
 * the disk refuses only that, the folder is at its place nevertheless). Abort removes it with everything in it. */
int folder_out_open(struct file_out *f, const char *path, struct error *err);
int folder_out_commit(struct file_out *f, struct error *err);
void folder_out_abort(struct file_out *f);

/* Take a folder away with everything in it; links are not followed. */
int folder_remove(const char *path, struct error *err);

#endif
