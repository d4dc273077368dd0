/* SPDX-License-Identifier: Apache-2.0 */
#include "train/records.h"

#include "base/filemap.h"
#include "base/utf8.h"
#include "file/stream.h"
#include "train/records_impl.h"

#include <stdlib.h>
#include <string.h>

#define FILL ((size_t)256 << 10)

/* Where in a .json file: in none of its objects, but ... */
enum json_place { AT_BEGIN, IN_SEQUENCE, BEFORE_FIRST, BEFORE_MORE, BEHIND_ONE, BEHIND_ALL, JSON_PLACES };

struct records {
    struct records_options options;
    char *separator;
    struct file_list files;
    size_t file; /* that is read */
    struct stream *stream;
    uint64_t done;      /* bytes of the files before */
    struct buffer text; /* read and not yet given away, from `at` on */
    size_t at;
    uint64_t offset, line; /* in the unpacked file, of text.data[at] */
    bool ended;            /* the stream was read to its end */
    enum json_place place; /* of a .json file */
};

int records_open(struct records **out, const char *const *paths, size_t n, const struct records_options *options,
    struct error *err)
{
    *out = NULL;
    if (options->bytes_max > RECORDS_BYTES_MAX)
        return error_set(err, ERROR_USAGE, "records of %zu bytes are over the limit of %zu", options->bytes_max,
            RECORDS_BYTES_MAX);
    struct records *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "training data");
    r->options = *options;
    if (r->options.bytes_max == 0)
        r->options.bytes_max = RECORDS_BYTES_MAX;
    int rc = file_list_make(&r->files, paths, n, options->texts, err);
    if (rc == 0 && options->separator && *options->separator) {
        r->separator = strdup(options->separator);
        if (!r->separator)
            rc = error_memory(err, strlen(options->separator), "a separator");
    }
    if (rc) {
        records_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void records_close(struct records *r)
{
    if (!r)
        return;
    stream_close(r->stream);
    buffer_release(&r->text);
    file_list_release(&r->files);
    free(r->separator);
    free(r);
}

void records_rewind(struct records *r)
{
    stream_close(r->stream);
    r->stream = NULL;
    r->file = 0;
    r->done = 0;
}

static const struct file_entry *entry(const struct records *r)
{
    return &r->files.at[r->file];
}

static int named(const struct records *r, int rc, struct error *err)
{
    error_in(err, "%s:%llu", entry(r)->path, (unsigned long long)r->line);
    return rc;
}

/* ---- bytes ---- */

static void consume(struct records *r, size_t n)
{
    if (n == 0)
        return;
    const char *from = r->text.data + r->at, *end = from + n;
    for (const char *at = from; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        r->line++;
    r->at += n;
    r->offset += n;
}

/* More bytes behind those that are held; at the end of the file r->ended. */
static int fill(struct records *r, struct error *err)
{
    size_t got;
    if (r->at > 0) {
        memmove(r->text.data, r->text.data + r->at, r->text.used - r->at);
        r->text.used -= r->at;
        r->at = 0;
    }
    if (r->text.used > r->options.bytes_max) {
        error_set(err, ERROR_LIMIT, "what begins here is longer than the limit of %zu bytes for one record",
            r->options.bytes_max);
        return named(r, ERROR_LIMIT, err);
    }
    if (r->options.progress &&
        !r->options.progress(r->options.context, r->done + stream_done(r->stream), r->files.bytes))
        return error_set(err, ERROR_CANCELLED, "stopped");
    char *to = buffer_room(&r->text, FILL);
    if (!to)
        return buffer_check(&r->text, "training data", err);
    int rc = stream_read(r->stream, to, FILL, &got, err);
    if (rc)
        return rc;
    r->text.used += got;
    r->ended = got == 0;
    return 0;
}

static int next_file(struct records *r, struct error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    int rc = stream_open(&r->stream, entry(r)->path, err);
    buffer_clear(&r->text);
    r->at = 0;
    r->offset = 0;
    r->line = 1;
    r->ended = false;
    r->place = AT_BEGIN;
    while (rc == 0 && !r->ended && r->text.used < strlen(mark))
        rc = fill(r, err);
    if (rc == 0 && r->text.used >= strlen(mark) && memcmp(r->text.data, mark, strlen(mark)) == 0)
        consume(r, strlen(mark));
    return rc;
}

/* ---- cutting ---- */

/* Up to the next `mark`, or the end: *n bytes, then *skip of the mark. */
static int cut(struct records *r, const char *mark, size_t *n, size_t *skip, struct error *err)
{
    size_t length = mark ? strlen(mark) : 0, searched = 0;
    for (;;) {
        size_t held = r->text.used - r->at;
        const char *from = r->text.data + r->at;
        const char *found = mark && held > searched ? memmem(from + searched, held - searched, mark, length) : NULL;
        if (found || r->ended) {
            *n = found ? (size_t)(found - from) : held;
            *skip = found ? length : 0;
            return 0;
        }
        if (mark && held >= length)
            searched = held - length + 1;
        int rc = fill(r, err);
        if (rc)
            return rc;
    }
}

/* Past white space; *c: what stands behind it, 0 at the end. */
static int to_mark(struct records *r, int *c, struct error *err)
{
    for (;;) {
        size_t n = r->at;
        while (n < r->text.used && strchr(" \t\r\n", r->text.data[n]) && r->text.data[n])
            n++;
        consume(r, n - r->at);
        if (r->at < r->text.used || r->ended) {
            *c = r->at < r->text.used ? (unsigned char)r->text.data[r->at] : 0;
            return 0;
        }
        int rc = fill(r, err);
        if (rc)
            return rc;
    }
}

static int refuse(struct records *r, int c, const char *wanted, struct error *err)
{
    if (c)
        error_set(err, ERROR_FORMAT, "it has the byte 0x%02x where %s is expected", (unsigned)c, wanted);
    else
        error_set(err, ERROR_FORMAT, "it ends where %s is expected", wanted);
    return named(r, ERROR_FORMAT, err);
}

/* The object that begins here; strings are told from brackets, nothing else is checked. */
static int cut_object(struct records *r, size_t *n, struct error *err)
{
    size_t depth = 0;
    bool text = false, escaped = false;
    for (size_t i = 0;; i++) {
        while (r->at + i >= r->text.used) {
            int rc = r->ended ? refuse(r, 0, "the end of the object that begins here", err) : fill(r, err);
            if (rc)
                return rc;
        }
        char c = r->text.data[r->at + i];
        if (escaped)
            escaped = false;
        else if (text && c == '\\')
            escaped = true;
        else if (c == '"')
            text = !text;
        else if (!text && (c == '{' || c == '['))
            depth++;
        else if (!text && (c == '}' || c == ']') && --depth == 0) {
            *n = i + 1;
            return 0;
        }
    }
}

/* Past what stands between the objects of a .json file; *more: one begins here. */
static int to_object(struct records *r, bool *more, struct error *err)
{
    static const char *const wanted[JSON_PLACES] = {"an array or object", "an object", "an object", "an object",
        "\",\" or \"]\"", "nothing more"};
    for (;;) {
        int c, rc = to_mark(r, &c, err);
        if (rc)
            return rc;
        *more = c == '{' && r->place != BEHIND_ONE && r->place != BEHIND_ALL;
        if (*more || (c == 0 && (r->place == IN_SEQUENCE || r->place == BEHIND_ALL)))
            return 0;
        if (c == '[' && r->place == AT_BEGIN)
            r->place = BEFORE_FIRST;
        else if (c == ',' && r->place == BEHIND_ONE)
            r->place = BEFORE_MORE;
        else if (c == ']' && (r->place == BEHIND_ONE || r->place == BEFORE_FIRST))
            r->place = BEHIND_ALL;
        else
            return refuse(r, c, wanted[r->place], err);
        consume(r, 1);
    }
}

static int cut_json(struct records *r, size_t *n, struct error *err)
{
    bool more;
    int rc = to_object(r, &more, err);
    *n = 0;
    if (rc || !more)
        return rc;
    r->place = r->place == AT_BEGIN || r->place == IN_SEQUENCE ? IN_SEQUENCE : BEHIND_ONE;
    return cut_object(r, n, err);
}

/* ---- records ---- */

static bool is_blank(const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r')))
        i++;
    return i == n;
}

static int check_utf8(const struct records *r, size_t n, struct error *err)
{
    const char *data = r->text.data + r->at;
    size_t good = utf8_valid_prefix(data, n);
    uint64_t line = r->line;
    if (good == n)
        return 0;
    for (size_t i = 0; i < good; i++)
        line += data[i] == '\n';
    return error_set(err, ERROR_FORMAT, "%s:%llu: it is not UTF-8 at byte %llu of the (unpacked) file: 0x%02x",
        entry(r)->path, (unsigned long long)line, (unsigned long long)(r->offset + good), (unsigned char)data[good]);
}

/* 1: a record; 0: the file has no more. */
static int next_in_file(struct records *r, struct record *out, struct error *err)
{
    for (;;) {
        size_t n = 0, skip = 0;
        enum file_kind kind = entry(r)->kind;
        int rc = kind == FILE_JSON ? cut_json(r, &n, err)
                                   : cut(r, kind == FILE_JSONL ? "\n" : r->separator, &n, &skip, err);
        if (rc == 0 && n > r->options.bytes_max) {
            error_set(err, ERROR_LIMIT, "a record has %zu bytes, the limit is %zu", n, r->options.bytes_max);
            rc = named(r, ERROR_LIMIT, err);
        }
        if (rc == 0)
            rc = check_utf8(r, n, err);
        if (rc)
            return rc;
        const char *data = r->text.data ? r->text.data + r->at : "";
        *out = (struct record){entry(r)->path, r->line, kind != FILE_TEXT, data, n};
        bool end = n + skip == 0;
        if (!end)
            consume(r, n + skip);
        if (end)
            return 0;
        if (!is_blank(out->data, n))
            return 1;
    }
}

int records_next(struct records *r, struct record *out, struct error *err)
{
    int rc = 0;
    while (rc == 0 && r->file < r->files.n) {
        if (!r->stream)
            rc = next_file(r, err);
        if (rc == 0)
            rc = next_in_file(r, out, err);
        if (rc == 0) {
            r->done += stream_done(r->stream);
            stream_close(r->stream);
            r->stream = NULL;
            r->file++;
        }
    }
    if (rc < 0)
        r->file = r->files.n;
    return rc;
}

int record_parse_new(json_t **out, const struct record *record, struct error *err)
{
    char what[512];
    snprintf(what, sizeof what, "%s:%llu", record->file, (unsigned long long)record->line);
    int rc = json_read_new(out, record->data, record->n, what, err);
    if (rc == 0 && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        rc = error_set(err, ERROR_FORMAT, "%s: it is no JSON object", what);
    }
    return rc;
}
