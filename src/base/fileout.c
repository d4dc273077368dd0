/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fileout.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "folder/name.end" becomes "folder/name.PID.part.end". */
static int name_beside(struct file_out *f, const char *path, struct error *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *name = memrchr(path, '/', n), *end = memrchr(path, '.', n);
    size_t stem = end && end > (name ? name + 1 : path) ? (size_t)(end - path) : n;
    f->fd = -1;
    int whole = snprintf(f->path, sizeof f->path, "%.*s", (int)n, path);
    int used = snprintf(f->beside, sizeof f->beside, "%.*s.%ld.part%.*s", (int)stem, path, (long)getpid(),
        (int)(n - stem), path + stem);
    if (n > INT32_MAX || whole < 0 || used < 0 || (size_t)whole >= sizeof f->path || (size_t)used >= sizeof f->beside) {
        f->beside[0] = '\0';
        return error_set(err, ERROR_LIMIT, "could not write \"%.100s...\": the path is too long", path);
    }
    return 0;
}

static int reserve(struct file_out *f, uint64_t size, struct error *err)
{
    if (size == 0 || fallocate(f->fd, 0, 0, (off_t)size) == 0)
        return 0;
    int saved = errno;
    /* file systems that reserve nothing can still make it as long */
    if ((saved == EOPNOTSUPP || saved == ENOSYS) && ftruncate(f->fd, (off_t)size) == 0)
        return 0;
    return error_errno(err, saved, "could not reserve %llu bytes for \"%s\"", (unsigned long long)size, f->path);
}

int file_out_open(struct file_out *f, const char *path, uint64_t size, struct error *err)
{
    int rc = name_beside(f, path, err);
    if (rc)
        return rc;
    f->fd = open(f->beside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return error_errno(err, errno, "could not create \"%s\"", f->beside);
    if (size > INT64_MAX)
        rc = error_set(err, ERROR_LIMIT, "could not write \"%s\": %llu bytes are too many", path,
            (unsigned long long)size);
    else
        rc = reserve(f, size, err);
    if (rc)
        file_out_abort(f);
    return rc;
}

int file_out_write(struct file_out *f, uint64_t at, const void *data, size_t n, struct error *err)
{
    const char *bytes = data;
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(f->fd, bytes + done, n - done, (off_t)(at + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return error_errno(err, errno, "could not write \"%s\"", f->path);
        done += (size_t)wrote;
    }
    return 0;
}

int file_out_commit(struct file_out *f, struct error *err)
{
    int rc = 0, fd = f->fd;
    if (fsync(fd) != 0)
        rc = error_errno(err, errno, "could not write \"%s\" to disk", f->path);
    f->fd = -1;
    if (close(fd) != 0 && rc == 0)
        rc = error_errno(err, errno, "could not write \"%s\"", f->path);
    if (rc == 0 && rename(f->beside, f->path) != 0)
        rc = error_errno(err, errno, "could not rename \"%s\" to \"%s\"", f->beside, f->path);
    if (rc)
        unlink(f->beside);
    return rc;
}

void file_out_abort(struct file_out *f)
{
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    unlink(f->beside);
}

int folder_out_open(struct file_out *f, const char *path, struct error *err)
{
    struct stat st;
    int rc = name_beside(f, path, err);
    if (rc)
        return rc;
    /* rmdir tells an empty folder from one that holds something, and the rename wants none there */
    if (lstat(f->path, &st) == 0 && (!S_ISDIR(st.st_mode) || rmdir(f->path) != 0))
        rc = error_set(err, ERROR_USAGE, "could not make the folder \"%s\": it is there already", f->path);
    if (rc == 0 && mkdir(f->beside, 0777) != 0)
        rc = error_errno(err, errno, "could not make the folder \"%s\"", f->beside);
    if (rc)
        f->beside[0] = '\0';
    return rc;
}

/* Bring the names in a folder to disk. File systems that cannot do so say EINVAL. */
static int sync_names(int fd, const char *path, struct error *err)
{
    return fsync(fd) == 0 || errno == EINVAL ? 0
        : error_errno(err, errno, "could not write the folder \"%s\" to disk", path);
}

static int open_folder(int *fd, const char *path, struct error *err)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? 0 : error_errno(err, errno, "could not open the folder \"%s\"", path);
}

static int open_parent(int *fd, const char *path, struct error *err)
{
    char parent[FILE_OUT_PATH];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    return open_folder(fd, slash ? parent : ".", err);
}

int folder_out_commit(struct file_out *f, struct error *err)
{
    int inside, around = -1, rc = open_folder(&inside, f->beside, err);
    if (rc == 0) {
        rc = sync_names(inside, f->beside, err);
        close(inside);
    }
    if (rc == 0)
        rc = open_parent(&around, f->path, err);
    if (rc == 0 && rename(f->beside, f->path) != 0)
        rc = error_errno(err, errno, "could not rename \"%s\" to \"%s\"", f->beside, f->path);
    if (rc)
        folder_out_abort(f);
    else
        rc = sync_names(around, f->path, err);
    if (around >= 0)
        close(around);
    f->beside[0] = '\0';
    return rc;
}

void folder_out_abort(struct file_out *f)
{
    if (f->beside[0])
        folder_remove(f->beside, NULL);
    f->beside[0] = '\0';
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int folder_remove(const char *path, struct error *err)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return 0;
    return error_errno(err, errno, "could not remove \"%s\"", path);
}
