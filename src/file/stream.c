/* SPDX-License-Identifier: Apache-2.0 */
#include "file/stream.h"

#include "base/filemap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE ((size_t)128 << 10)

enum packing_kind { PLAIN, GZIP, ZSTD };

struct stream {
    char *path;
    int fd;
    struct stat before;
    enum packing_kind kind;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool gzip_begun;
    bool inside; /* a member or frame was begun and did not end */
    bool ended;  /* the file was read to its end */
    uint64_t read, given;
    size_t at, held; /* of the piece */
    unsigned char piece[PIECE];
};

static bool ends(const char *path, const char *with)
{
    size_t n = strlen(path), k = strlen(with);
    return n > k && strcmp(path + n - k, with) == 0;
}

static int begin(struct stream *s, const char *path, struct error *err)
{
    size_t size;
    s->kind = ends(path, ".gz") ? GZIP : ends(path, ".zst") ? ZSTD : PLAIN;
    s->path = strdup(path);
    if (!s->path)
        return error_memory(err, strlen(path), "a path");
    int rc = file_open_regular(&s->fd, &size, path, err);
    if (rc == 0 && fstat(s->fd, &s->before) != 0)
        rc = error_errno(err, errno, "could not stat \"%s\"", path);
    if (rc == 0 && s->kind == GZIP) {
        s->gzip_begun = inflateInit2(&s->gzip, 15 + 16) == Z_OK; /* + 16: a gzip header and no other */
        if (!s->gzip_begun)
            rc = error_memory(err, PIECE, "unpacking");
    }
    if (rc == 0 && s->kind == ZSTD) {
        s->zstd = ZSTD_createDStream();
        if (!s->zstd)
            rc = error_memory(err, PIECE, "unpacking");
    }
    return rc;
}

int stream_open(struct stream **out, const char *path, struct error *err)
{
    *out = NULL;
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "reading a file");
    s->fd = -1;
    int rc = begin(s, path, err);
    if (rc) {
        stream_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->gzip_begun)
        inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    free(s->path);
    free(s);
}

uint64_t stream_done(const struct stream *s)
{
    return s->read;
}

/* What was read is only one file's content if nobody wrote to it meanwhile. */
static int check_unchanged(const struct stream *s, struct error *err)
{
    struct stat now;
    if (fstat(s->fd, &now) != 0)
        return error_errno(err, errno, "could not stat \"%s\"", s->path);
    if (now.st_size == s->before.st_size && now.st_mtim.tv_sec == s->before.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == s->before.st_mtim.tv_nsec && s->read == (uint64_t)now.st_size)
        return 0;
    return error_set(err, ERROR_IO, "\"%s\" changed while it was read: it had %lld bytes, now %lld", s->path,
        (long long)s->before.st_size, (long long)now.st_size);
}

/* Bytes of the file itself; *got 0: its end. */
static int read_file(struct stream *s, void *out, size_t n, size_t *got, struct error *err)
{
    ssize_t done;
    *got = 0;
    if (s->ended)
        return 0;
    do
        done = read(s->fd, out, n);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return error_errno(err, errno, "could not read \"%s\"", s->path);
    *got = (size_t)done;
    s->read += *got;
    s->ended = done == 0;
    bool grown = s->read > (uint64_t)s->before.st_size; /* one that grows as fast as it is read would never end */
    return s->ended || grown ? check_unchanged(s, err) : 0;
}

static int broken(const struct stream *s, const char *why, struct error *err)
{
    return error_set(err, ERROR_FORMAT, "could not unpack \"%s\": %s, behind %llu unpacked bytes", s->path, why,
        (unsigned long long)s->given);
}

static int inflate_piece(struct stream *s, unsigned char *out, size_t n, size_t *got, struct error *err)
{
    if (!s->inside)
        inflateReset(&s->gzip);
    s->inside = true;
    s->gzip.next_in = s->piece + s->at;
    s->gzip.avail_in = (uInt)(s->held - s->at);
    s->gzip.next_out = out;
    s->gzip.avail_out = (uInt)(n < PIECE ? n : PIECE);
    uInt room = s->gzip.avail_out;
    int rc = inflate(&s->gzip, Z_NO_FLUSH);
    s->at = s->held - s->gzip.avail_in;
    *got = room - s->gzip.avail_out;
    if (rc == Z_STREAM_END)
        s->inside = false;
    else if (rc == Z_MEM_ERROR)
        return error_memory(err, PIECE, "unpacking");
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return broken(s, s->gzip.msg ? s->gzip.msg : "it is no gzip file", err);
    return 0;
}

static int zstd_piece(struct stream *s, unsigned char *out, size_t n, size_t *got, struct error *err)
{
    ZSTD_inBuffer in = {s->piece, s->held, s->at};
    ZSTD_outBuffer to = {out, n, 0};
    size_t rc = ZSTD_decompressStream(s->zstd, &to, &in);
    s->at = in.pos;
    *got = to.pos;
    if (ZSTD_isError(rc))
        return broken(s, ZSTD_getErrorName(rc), err);
    s->inside = rc != 0;
    return 0;
}

static int unpack(struct stream *s, unsigned char *out, size_t n, size_t *got, struct error *err)
{
    int rc = 0;
    *got = 0;
    while (rc == 0 && *got == 0) {
        /* Where the packing is between two calls, it may still hold unpacked bytes: ask it before more is read. */
        if (s->at == s->held) {
            s->at = 0;
            rc = read_file(s, s->piece, PIECE, &s->held, err);
            if (rc == 0 && s->held == 0 && !s->inside)
                return s->read ? 0 : broken(s, "it is empty", err);
        }
        bool end = s->held == 0;
        if (rc == 0)
            rc = s->kind == GZIP ? inflate_piece(s, out, n, got, err) : zstd_piece(s, out, n, got, err);
        if (rc == 0 && end && *got == 0 && s->inside)
            rc = broken(s, "it is cut off", err);
    }
    s->given += *got;
    if (rc == 0 && s->given > STREAM_FREE && s->given / STREAM_RATIO > (uint64_t)s->before.st_size)
        rc = error_set(err, ERROR_LIMIT, "\"%s\" unpacks to more than %d times its %lld bytes", s->path, STREAM_RATIO,
            (long long)s->before.st_size);
    return rc;
}

int stream_read(struct stream *s, void *out, size_t n, size_t *got, struct error *err)
{
    if (s->kind == PLAIN)
        return read_file(s, out, n, got, err);
    return unpack(s, out, n, got, err);
}
