/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/publish.h"

#include "model/role.h"
#include "model/save_config.h"
#include "publish/publish_impl.h"
#include "tensor/block.h"
#include "text/save.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- one tensor ---- */

struct put_rows {
    struct publication *p;
    size_t tensor;
    uint64_t done, total; /* encoded bytes, for progress */
    unsigned char *parts; /* MXFP4 taken apart: nibbles, then scales */
    size_t room;
};

static int put_split(struct put_rows *w, int64_t first, int count, const void *bytes, struct error *err)
{
    const struct publication *p = w->p;
    int64_t blocks = save_tensor(p->save, w->tensor)->cols / 32;
    size_t n = (size_t)(count * blocks);
    if (w->room < n * 17) {
        unsigned char *parts = realloc(w->parts, n * 17);
        if (!parts)
            return error_memory(err, n * 17, "taking MXFP4 apart");
        w->parts = parts;
        w->room = n * 17;
    }
    mxfp4_split(w->parts, w->parts + n * 16, bytes, (int64_t)n * 32);
    uint64_t before = (uint64_t)(first * blocks);
    struct file_out *f = &w->p->file;
    int rc = file_out_write(f, p->places[w->tensor] + before * 16, w->parts, n * 16, err);
    return rc ? rc : file_out_write(f, p->scale_places[w->tensor] + before, w->parts + n * 16, n, err);
}

static int put_rows(void *context, int64_t first, int count, const void *bytes, size_t size, struct error *err)
{
    struct put_rows *w = context;
    struct publication *p = w->p;
    uint64_t row = size / (size_t)count;
    w->done += size;
    watch_report(&p->options->watch, "encoding", NULL, w->done, w->total);
    if (p->scale_places[w->tensor])
        return put_split(w, first, count, bytes, err);
    return file_out_write(&p->file, p->places[w->tensor] + (uint64_t)first * row, bytes, size, err);
}

static bool stopped(void *context)
{
    const struct put_rows *w = context;
    return watch_stopped(&w->p->options->watch);
}

/* All vectors, or all matrices. */
static int write_tensors(struct put_rows *w, bool vectors, struct error *err)
{
    struct publication *p = w->p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        struct encode_loss loss = { 0 };
        if (t->vector != vectors)
            continue;
        w->tensor = i;
        struct encode_task task = { .save = p->save, .tensor = i, .format = p->formats[i],
            .importance = importance_find(p->importance, save_observed(p->save, i)), .threads = p->options->threads,
            .put = put_rows, .cancelled = stopped, .context = w };
        rc = encode_run(&task, &loss, err);
        p->errors[i] = loss.square > 0 ? (float)(loss.error / loss.square) : 0.0f;
    }
    return rc;
}

/* ---- reading it again ---- */

static int check_tokenizer(const struct publication *p, const struct source *written, struct error *err)
{
    struct tokenizer *again = NULL;
    if (!p->tokenizer)
        return 0;
    int rc = tokenizer_open_source(&again, written, err);
    if (rc == 0)
        rc = tokenizer_same(p->tokenizer, again, err);
    tokenizer_close(again);
    return rc;
}

static int open_written(const struct publication *p, struct source **s, struct model **m, struct error *err)
{
    *s = NULL;
    *m = NULL;
    int rc = source_open(s, p->file.beside, NULL, NULL, err);
    return rc ? rc : model_open(m, *s, NULL, err);
}

/* The file is as long as it will be: everything but the numbers of matrices can be checked before they are made. */
static int check_written(const struct publication *p, struct error *err)
{
    struct source *s;
    struct model *m;
    struct error reason = { 0 };
    char text[64];
    int rc = open_written(p, &s, &m, &reason);
    const char *other = rc ? NULL : spec_difference(model_spec(p->model), model_spec(m), text);
    if (rc)
        rc = error_set(err, rc == ERROR_FORMAT ? ERROR_UNSUPPORTED : rc,
            "this kind of file cannot say what the model is: %.700s", reason.text);
    else if (other)
        rc = error_set(err, ERROR_UNSUPPORTED, "this kind of file cannot say what the model is: its %s would be lost",
            other);
    if (rc == 0)
        rc = check_tokenizer(p, s, err);
    model_close(m);
    source_close(s);
    return rc;
}

static int measure(struct publication *p, struct error *err)
{
    struct source *s;
    struct model *m;
    const struct publish_options *o = p->options;
    int rc = open_written(p, &s, &m, err);
    if (rc == 0)
        rc = loss_measure(&p->loss, p->model, m, o->ids, o->n_ids, o->threads, &o->watch, err);
    p->measured = rc == 0;
    model_close(m);
    source_close(s);
    return rc;
}

/* ---- all of it ---- */

int publication_write(struct publication *p, struct error *err)
{
    struct put_rows w = { .p = p };
    bool gguf = p->kind == SOURCE_GGUF;
    p->measured = false;
    for (size_t i = 0; i < p->count; i++) {
        const struct saved_tensor *t = save_tensor(p->save, i);
        w.total += (uint64_t)t->rows * format_row_bytes(p->formats[i], t->cols);
    }
    int rc = gguf ? gguf_output_begin(p, err) : folder_output_begin(p, err);
    if (rc == 0)
        rc = write_tensors(&w, true, err);
    if (rc == 0)
        rc = check_written(p, err);
    if (rc == 0)
        rc = write_tensors(&w, false, err);
    if (rc == 0 && p->options->ids)
        rc = measure(p, err);
    if (rc == 0)
        rc = gguf ? gguf_output_end(p, err) : folder_output_end(p, err);
    free(w.parts);
    return rc;
}

int publication_commit(struct publication *p, struct error *err)
{
    int rc = file_out_commit(&p->file, err);
    return rc || p->kind == SOURCE_GGUF ? rc : folder_out_commit(&p->folder, err);
}

void publication_abort(struct publication *p)
{
    file_out_abort(&p->file);
    folder_out_abort(&p->folder);
}

static bool is_gguf(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

/* Replacing the file one reads from would be a surprise, though the rename makes it safe. */
static int check_place(const struct source *s, const char *path, struct error *err)
{
    struct stat out, in;
    uint64_t bytes;
    for (size_t i = 0; stat(path, &out) == 0 && i <= source_file_count(s); i++) {
        const char *file = i < source_file_count(s) ? source_file(s, i, &bytes) : source_folder(s);
        if (stat(file, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return error_set(err, ERROR_USAGE, "the output \"%s\" is the model it would be made from", path);
    }
    return 0;
}

/* Experts go into MXFP4's own tensors where they are MXFP4 and stay so, or become so. */
static bool wants_mxfp4(const struct model *m, const struct publish_options *o)
{
    struct model_size size;
    model_measure(m, &size);
    bool is = size.format_bytes[FORMAT_mxfp4] > 0;
    for (size_t i = 0; i < o->n_rules; i++) {
        const struct keep_rule *r = &o->rules[i];
        if (r->n >= 6 && memcmp(r->pattern, "expert", 6) == 0 && r->format)
            is = r->format == &format_mxfp4;
    }
    return o->recipe && o->recipe->format->block == 1 ? false
        : is || (o->recipe && o->recipe->format == &format_mxfp4);
}

/* Numbers stored as float32 for GGUF's sake go back to the model's own float where each of them survives. */
static int narrow_vectors(struct publication *p, struct error *err)
{
    const struct format *main = &format_f32;
    int rc = 0;
    for (size_t i = 0; i < p->count; i++)
        if (save_tensor(p->save, i)->role == ROLE_token_embedding)
            main = p->formats[i];
    for (size_t i = 0; rc == 0 && main != &format_f32 && main->block == 1 && i < p->count; i++) {
        struct encode_loss loss = { 0 };
        struct encode_task task = { .save = p->save, .tensor = i, .format = main, .threads = p->options->threads };
        if (p->formats[i] != &format_f32 || (p->options->recipe && !save_tensor(p->save, i)->vector))
            continue;
        rc = encode_run(&task, &loss, err);
        if (rc == 0 && loss.error == 0)
            p->formats[i] = main;
    }
    return rc;
}

static int prepare(struct publication *p, struct error *err)
{
    const struct publish_options *o = p->options;
    p->kind = is_gguf(o->path) ? SOURCE_GGUF : SOURCE_SAFETENSORS;
    int rc = check_place(p->source, o->path, err);
    if (rc == 0)
        rc = save_open(&p->save, p->model, source_config(p->source), p->kind, wants_mxfp4(p->model, o), err);
    if (rc)
        return rc;
    p->count = save_count(p->save);
    p->formats = calloc(p->count + 1, sizeof *p->formats);
    p->errors = calloc(p->count + 1, sizeof *p->errors);
    p->places = calloc(p->count + 1, sizeof *p->places);
    p->scale_places = calloc(p->count + 1, sizeof *p->scale_places);
    if (!p->formats || !p->errors || !p->places || !p->scale_places)
        return error_memory(err, p->count * 32, "a list of tensors");
    rc = recipe_apply(p->formats, p->save, p->kind, o->recipe, o->rules, o->n_rules, o->ids != NULL, err);
    if (rc == 0 && p->kind == SOURCE_SAFETENSORS)
        rc = narrow_vectors(p, err);
    if (rc == 0 && o->ids && p->kind == SOURCE_GGUF)
        rc = importance_new(&p->importance, p->model, o->ids, o->n_ids, o->threads, &o->watch, err);
    return rc;
}

static void fill_report(struct publish_report *report, const struct publication *p)
{
    uint64_t bytes;
    *report = (struct publish_report) { .bytes = p->bytes, .measured = p->measured, .loss = p->loss };
    for (size_t i = 0; i < source_file_count(p->source); i++) {
        source_file(p->source, i, &bytes);
        report->source_bytes += bytes;
    }
    for (size_t i = 0; i < p->count; i++)
        if ((double)p->errors[i] > report->error_worst) {
            report->error_worst = (double)p->errors[i];
            memcpy(report->worst, save_tensor(p->save, i)->name, sizeof report->worst);
        }
}

int publish(struct publish_report *report, const struct source *source, const struct model *model,
    const struct tokenizer *tokenizer, const struct publish_options *options, struct error *err)
{
    struct publication p = { .source = source, .model = model, .tokenizer = tokenizer, .options = options };
    p.file.fd = p.folder.fd = -1;
    int rc = prepare(&p, err);
    if (rc == 0)
        rc = options->loss_max > 0 ? publication_search(&p, err) : publication_write(&p, err);
    if (rc == 0)
        rc = publication_commit(&p, err);
    if (rc) {
        publication_abort(&p);
        error_in(err, "could not write \"%s\"", options->path);
    } else {
        fill_report(report, &p);
    }
    importance_close(p.importance);
    save_close(p.save);
    free(p.formats);
    free(p.errors);
    free(p.places);
    free(p.scale_places);
    return rc;
}
