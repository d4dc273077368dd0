/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filemap.h"

#include "base/fileout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open_regular(int *out, size_t *size, const char *path, struct error *err)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe must not hang the open */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "could not open \"%s\"", path);
    if (fstat(fd, &st) != 0) {
        int saved = errno;
        close(fd);
        return error_errno(err, saved, "could not stat \"%s\"", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, ERROR_FORMAT, "could not open \"%s\": not a regular file", path);
    }
    *out = fd;
    *size = (size_t)st.st_size;
    return 0;
}

int filemap_open(struct filemap *f, const char *path, struct error *err)
{
    int fd = -1;
    size_t size = 0;
    memset(f, 0, sizeof *f);
    int rc = file_open_regular(&fd, &size, path, err);
    if (rc)
        return rc;
    if (size) {
        void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            rc = error_errno(err, errno, "could not map %zu bytes of \"%s\"", size, path);
        } else {
            f->data = data;
            f->size = size;
        }
    }
    close(fd);
    return rc;
}

void filemap_close(struct filemap *f)
{
    if (f->data)
        munmap((void *)(uintptr_t)f->data, f->size);
    memset(f, 0, sizeof *f);
}

static int read_all(int fd, char *data, size_t size, const char *path, struct error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "could not read \"%s\"", path);
        if (n == 0)
            return error_set(err, ERROR_IO, "could not read \"%s\": it ended after %zu of %zu bytes", path, done, size);
        done += (size_t)n;
    }
    return 0;
}

int file_read_new(char **data, size_t *size, const char *path, size_t limit, struct error *err)
{
    int fd = -1;
    *data = NULL;
    int rc = file_open_regular(&fd, size, path, err);
    if (rc)
        return rc;
    if (*size > limit) {
        rc = error_set(err, ERROR_LIMIT, "could not read \"%s\": it has %zu bytes, the limit is %zu", path, *size,
            limit);
    } else {
        *data = malloc(*size + 1);
        rc = *data ? read_all(fd, *data, *size, path, err) : error_memory(err, *size, path);
    }
    close(fd);
    if (rc) {
        free(*data);
        *data = NULL;
        return rc;
    }
    (*data)[*size] = '\0';
    return 0;
}

int file_write(const char *path, const void *data, size_t size, struct error *err)
{
    const struct file_part part = { data, size };
    return file_write_parts(path, &part, 1, err);
}

int file_write_parts(const char *path, const struct file_part *parts, size_t count, struct error *err)
{
    struct file_out f;
    uint64_t at = 0;
    int rc = file_out_open(&f, path, 0, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = file_out_write(&f, at, parts[i].data, parts[i].size, err);
        at += parts[i].size;
    }
    if (rc == 0)
        return file_out_commit(&f, err);
    file_out_abort(&f);
    return rc;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
