/* SPDX-License-Identifier: Apache-2.0 */
#include "train/log.h"

#include "base/filemap.h"
#include "train/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct train_log {
    FILE *file;
    char *path;
};

/* Whether a line belongs to what is kept: all but the end and what came behind a step. */
static bool stays(const char *text, size_t n, uint64_t step)
{
    json_t *line = NULL;
    if (json_read_new(&line, text, n, "a line", NULL) != 0)
        return false;
    bool ends = strcmp(json_text(line, "type", ""), "end") == 0;
    bool later = json_whole(line, "step", 0) > (long long)step;
    json_decref(line);
    return !ends && !later;
}

/* The bytes in front of the first line that does not stay. */
static int kept_bytes(size_t *kept, const char *path, uint64_t step, struct error *err)
{
    struct filemap map;
    const char *end;
    *kept = 0;
    int rc = filemap_open(&map, path, err);
    if (rc)
        return rc;
    const char *text = (const char *)map.data;
    while (*kept < map.size && (end = memchr(text + *kept, '\n', map.size - *kept))
        && stays(text + *kept, (size_t)(end - (text + *kept)), step))
        *kept = (size_t)(end + 1 - text);
    filemap_close(&map);
    return 0;
}

static int cut(const char *path, uint64_t step, struct error *err)
{
    size_t kept;
    int rc = kept_bytes(&kept, path, step, err);
    if (rc == 0 && truncate(path, (off_t)kept) != 0)
        rc = error_errno(err, errno, "could not cut \"%s\"", path);
    return rc;
}

int train_log_open(struct train_log **out, const char *path, json_t *run, uint64_t step, struct error *err)
{
    struct train_log *l = calloc(1, sizeof *l);
    bool goes_on = step > 0 && file_exists(path);
    int rc = l && (l->path = strdup(path)) ? 0 : error_memory(err, sizeof *l, "a log");
    if (rc == 0 && goes_on)
        rc = cut(path, step, err);
    if (rc == 0 && !(l->file = fopen(path, goes_on ? "ae" : "we")))
        rc = error_errno(err, errno, "could not open the log \"%s\"", path);
    if (rc == 0 && !goes_on)
        rc = train_log_line(l, json_incref(run), err);
    json_decref(run);
    if (rc) {
        train_log_close(l);
        l = NULL;
    }
    *out = l;
    return rc;
}

void train_log_close(struct train_log *l)
{
    if (!l)
        return;
    if (l->file)
        fclose(l->file);
    free(l->path);
    free(l);
}

int train_log_line(struct train_log *l, json_t *line, struct error *err)
{
    struct buffer text = { 0 };
    if (line)
        json_write(&text, line, JSON_WRITE_COMPACT);
    buffer_add_byte(&text, '\n');
    int rc = line ? buffer_check(&text, "a line of the log", err) : error_memory(err, 0, "a line of the log");
    if (rc == 0 && (fwrite(text.data, 1, text.used, l->file) != text.used || fflush(l->file) != 0))
        rc = error_errno(err, errno, "could not write the log \"%s\"", l->path);
    buffer_release(&text);
    json_decref(line);
    return rc;
}

int train_log_step(struct train_log *l, const char *type, const struct step_result *r, int64_t tokens, double seconds,
    struct error *err)
{
    json_t *line = json_pack("{s:s, s:I, s:f}", "type", type, "step", (json_int_t)r->step, "loss", r->loss);
    if (line && strcmp(type, "step") == 0) {
        json_object_set_new(line, "epoch", json_integer((json_int_t)r->epoch));
        json_object_set_new(line, "learning_rate", json_real(r->lr));
        json_object_set_new(line, "gradient_norm", json_real(r->norm));
        json_object_set_new(line, "tokens", json_integer(tokens));
        json_object_set_new(line, "tokens_per_second", json_real((double)r->tokens / (r->seconds + 1e-9)));
    }
    for (int i = 0; line && i < r->n_metrics; i++)
        json_object_set_new(line, r->metrics[i].name, json_real(r->metrics[i].value));
    if (line)
        json_object_set_new(line, "seconds", json_real(seconds));
    return train_log_line(l, line, err);
}
