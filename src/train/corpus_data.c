/* SPDX-License-Identifier: Apache-2.0 */
/* Documents to samples. They are read and tokenized a batch at a time; each side (training, validation) holds the
 * tokens of which no whole sample could be cut yet. Training also holds back everything until the first document went
 * to validation, because without one the tail of all goes there. */
#include "base/pool.h"
#include "base/random.h"
#include "train/corpus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_DOCUMENTS 256
#define BATCH_BYTES ((size_t)4 << 20)

struct text {
    struct buffer bytes;
    char name[sizeof ((struct corpus_counts *)0)->first_single]; /* file:line */
    struct tokens ids;
    int rc;
    struct error err;
};

struct side {
    struct dataset_builder *builder;
    struct tokens ids, bytes; /* bytes: of text that a token stands for, for each id */
    struct tokens ends;       /* of documents in ids, where they stay apart */
};

struct work {
    const struct tokenizer *tokenizer;
    const struct corpus_data_options *options;
    struct corpus_counts *counts;
    struct pool *pool;
    int32_t *bytes_of; /* (vocabulary) of text that a token adds */
    int32_t eos;
    struct text *texts; /* (BATCH_DOCUMENTS) */
    size_t n_texts;
    struct side train, validation;
    bool hold; /* training is held back */
};

/* ---- samples of one side ---- */

/* Targets are ids + 1: a sample of count tokens takes count + 1. */
static int add_sample(struct side *s, size_t at, size_t count, struct error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 1; i <= count; i++)
        bytes += (uint64_t)s->bytes.ids[at + i];
    const struct train_text text = {s->ids.ids + at, s->ids.ids + at + 1, (int)count};
    return dataset_builder_add(s->builder, &text, bytes, err);
}

/* Samples of the text ids[from, to); whole: no more of it follows. *next: the first id that is still needed. */
static int cut_text(struct work *w, struct side *s, size_t from, size_t to, bool whole, size_t *next, struct error *err)
{
    size_t context = (size_t)w->options->context;
    int rc = 0;
    while (rc == 0 && to - from > context) {
        rc = add_sample(s, from, context, err);
        from += context;
    }
    if (rc == 0 && whole && to - from > 1)
        rc = add_sample(s, from, to - from - 1, err);
    *next = whole ? to : from;
    return rc;
}

static void drop(struct side *s, size_t n)
{
    s->ids.used -= n;
    s->bytes.used -= n;
    memmove(s->ids.ids, s->ids.ids + n, s->ids.used * sizeof *s->ids.ids);
    memmove(s->bytes.ids, s->bytes.ids + n, s->bytes.used * sizeof *s->bytes.ids);
}

/* last: nothing comes behind what is held. */
static int cut_side(struct work *w, struct side *s, bool last, struct error *err)
{
    size_t from = 0;
    int rc = 0;
    for (size_t i = 0; i < s->ends.used && rc == 0; i++)
        rc = cut_text(w, s, from, (size_t)s->ends.ids[i], true, &from, err);
    if (rc == 0 && (!w->options->apart || last) && s->ids.used > from)
        rc = cut_text(w, s, from, s->ids.used, last, &from, err);
    if (rc == 0 && from > 0)
        drop(s, from);
    tokens_clear(&s->ends);
    return rc;
}

/* ---- documents ---- */

/* The bytes of its tokens; where normalizing or a dummy space made them another sum than the document has, the last
 * ones make up for it, so that all together are the document's. */
static void count_bytes(struct work *w, const struct text *text, int32_t *bytes)
{
    int64_t left = (int64_t)text->bytes.used;
    for (size_t i = 0; i < text->ids.used; i++)
        left -= bytes[i] = w->bytes_of[text->ids.ids[i]];
    for (size_t i = text->ids.used; left != 0 && i-- > 0;) {
        int64_t now = left > 0 || bytes[i] + left >= 0 ? bytes[i] + left : 0;
        left -= now - bytes[i];
        bytes[i] = (int32_t)now;
    }
}

static int append(struct work *w, struct side *s, const struct text *text, struct error *err)
{
    size_t n = text->ids.used;
    int32_t *ids = tokens_room(&s->ids, n), *bytes = tokens_room(&s->bytes, n);
    if (!ids || !bytes)
        return error_memory(err, n * sizeof *ids, "token ids");
    if (s->ids.used + n > INT32_MAX && w->options->apart)
        return error_set(err, ERROR_LIMIT, "documents of more than %d tokens are held back for validation", INT32_MAX);
    memcpy(ids, text->ids.ids, n * sizeof *ids);
    count_bytes(w, text, bytes);
    s->ids.used += n;
    s->bytes.used += n;
    if (w->options->apart)
        tokens_add(&s->ends, (int32_t)s->ids.used);
    return tokens_check(&s->ends, err);
}

static bool to_validation(const struct work *w, const struct text *text)
{
    uint64_t hash = 0xcbf29ce484222325;
    struct random r;
    for (size_t i = 0; i < text->bytes.used; i++)
        hash = (hash ^ (unsigned char)text->bytes.data[i]) * 0x100000001b3;
    random_seed(&r, hash ^ w->options->seed);
    return random_unit(&r) < w->options->validation;
}

static void tokenize(void *context, int item, int thread)
{
    struct work *w = context;
    struct text *text = &w->texts[item];
    (void)thread;
    tokens_clear(&text->ids);
    text->err.code = 0;
    text->rc = tokenizer_encode(
        w->tokenizer, text->bytes.data, text->bytes.used, TOKENIZE_DEFAULT, &text->ids, &text->err);
    if (text->rc == 0 && w->eos >= 0 && (text->ids.used == 0 || text->ids.ids[text->ids.used - 1] != w->eos))
        tokens_add(&text->ids, w->eos);
    if (text->rc == 0)
        text->rc = tokens_check(&text->ids, &text->err);
}

static int take(struct work *w, const struct text *text, struct error *err)
{
    bool validation = w->options->validation > 0 && to_validation(w, text);
    struct corpus_counts *counts = w->counts;
    if (text->rc) {
        if (err)
            *err = text->err;
        error_in(err, "%s", text->name);
        return text->rc;
    }
    counts->documents++;
    counts->validation_documents += validation;
    counts->bytes += text->bytes.used;
    counts->tokens += text->ids.used;
    if (w->options->apart && text->ids.used < 2) {
        counts->single++;
        if (!counts->first_single[0])
            memcpy(counts->first_single, text->name, sizeof text->name);
        return 0;
    }
    w->hold = w->hold && !validation;
    return append(w, validation ? &w->validation : &w->train, text, err);
}

static int take_batch(struct work *w, struct error *err)
{
    int rc = 0;
    pool_run(w->pool, (int)w->n_texts, tokenize, w);
    for (size_t i = 0; i < w->n_texts && rc == 0; i++)
        rc = take(w, &w->texts[i], err);
    if (rc == 0 && !w->hold)
        rc = cut_side(w, &w->train, false, err);
    if (rc == 0)
        rc = cut_side(w, &w->validation, false, err);
    w->n_texts = 0;
    return rc;
}

static int read_all(struct work *w, struct corpus *c, struct error *err)
{
    struct document d;
    size_t bytes = 0;
    int rc;
    while ((rc = corpus_next(c, &d, err)) > 0) {
        struct text *text = &w->texts[w->n_texts++];
        buffer_clear(&text->bytes);
        buffer_add(&text->bytes, d.text, d.n);
        snprintf(text->name, sizeof text->name, "%s:%llu", d.file, (unsigned long long)d.line);
        rc = buffer_check(&text->bytes, "a document", err);
        bytes += d.n;
        if (rc == 0 && (w->n_texts == BATCH_DOCUMENTS || bytes >= BATCH_BYTES)) {
            rc = take_batch(w, err);
            bytes = 0;
        }
        if (rc)
            return rc;
    }
    return rc ? rc : take_batch(w, err);
}

/* The tail of what training held back becomes validation. */
static int split_tail(struct work *w, struct error *err)
{
    struct side *from = &w->train, *to = &w->validation;
    size_t n = (size_t)ceil((double)from->ids.used * w->options->validation), at = from->ids.used - n;
    if (n == 0)
        return 0;
    int32_t *ids = tokens_room(&to->ids, n), *bytes = tokens_room(&to->bytes, n);
    if (!ids || !bytes)
        return error_memory(err, n * sizeof *ids, "token ids");
    memcpy(ids, from->ids.ids + at, n * sizeof *ids);
    memcpy(bytes, from->bytes.ids + at, n * sizeof *bytes);
    to->ids.used = to->bytes.used = n;
    from->ids.used = from->bytes.used = at;
    size_t kept = 0;
    for (size_t i = 0; i < from->ends.used; i++) {
        size_t end = (size_t)from->ends.ids[i];
        if (end > at)
            tokens_add(&to->ends, (int32_t)(end - at));
        else
            kept++;
    }
    from->ends.used = kept; /* the text that was cut in two ends with what is left of it */
    return tokens_check(&to->ends, err);
}

static int finish(struct dataset **out, struct work *w, struct side *s, const char *what, struct error *err)
{
    int rc = cut_side(w, s, true, err);
    if (rc == 0)
        rc = dataset_builder_finish(out, s->builder, err);
    if (rc)
        error_in(err, "%s, of %llu documents with %llu tokens", what, (unsigned long long)w->counts->documents,
            (unsigned long long)w->counts->tokens);
    return rc;
}

static int prepare(struct work *w, struct error *err)
{
    struct buffer bytes = {0};
    int32_t size = tokenizer_size(w->tokenizer);
    w->bytes_of = calloc((size_t)size + 1, sizeof *w->bytes_of);
    w->texts = calloc(BATCH_DOCUMENTS, sizeof *w->texts);
    int rc = w->bytes_of && w->texts ? 0 : error_memory(err, (size_t)size * sizeof *w->bytes_of, "tokenizing");
    for (int32_t id = 0; id < size && rc == 0; id++) {
        buffer_clear(&bytes);
        rc = tokenizer_add_bytes(w->tokenizer, id, &bytes, err);
        w->bytes_of[id] = (int32_t)bytes.used;
    }
    buffer_release(&bytes);
    if (rc == 0)
        rc = pool_open(&w->pool, w->options->threads, err);
    if (rc == 0)
        rc = dataset_builder_open(&w->train.builder, err);
    if (rc == 0)
        rc = dataset_builder_open(&w->validation.builder, err);
    return rc;
}

static void release_side(struct side *s)
{
    dataset_builder_close(s->builder);
    tokens_release(&s->ids);
    tokens_release(&s->bytes);
    tokens_release(&s->ends);
}

static void release(struct work *w)
{
    pool_close(w->pool);
    for (size_t i = 0; w->texts && i < BATCH_DOCUMENTS; i++) {
        buffer_release(&w->texts[i].bytes);
        tokens_release(&w->texts[i].ids);
    }
    free(w->texts);
    free(w->bytes_of);
    release_side(&w->train);
    release_side(&w->validation);
}

int corpus_datasets(struct dataset **train, struct dataset **validation, struct corpus_counts *counts,
    struct corpus *c, const struct tokenizer *t, const struct corpus_data_options *options, struct error *err)
{
    struct work w = {.tokenizer = t,
        .options = options,
        .counts = counts,
        .eos = tokenizer_special(t, TOKEN_EOS),
        .hold = options->validation > 0};
    *train = *validation = NULL;
    memset(counts, 0, sizeof *counts);
    if (options->context < 1 || options->threads < 1 || !(options->validation >= 0 && options->validation < 1))
        return error_set(err, ERROR_USAGE, "samples of %d tokens with a share of %g for validation, by %d threads, "
                                           "cannot be", options->context, options->validation, options->threads);
    int rc = prepare(&w, err);
    if (rc == 0)
        rc = read_all(&w, c, err);
    if (rc == 0 && w.hold)
        rc = split_tail(&w, err);
    if (rc == 0)
        rc = finish(train, &w, &w.train, "could not make samples for training", err);
    if (rc == 0 && options->validation > 0)
        rc = finish(validation, &w, &w.validation, "could not make samples for validation", err);
    if (rc) {
        dataset_close(*train);
        *train = NULL;
    }
    release(&w);
    return rc;
}
