/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/batch.h"

#include "base/arena.h"
#include "model/kv.h"
#include "model/pass.h"

#include <assert.h>
#include <stdlib.h>

struct batch {
    const struct model *model;
    struct batch_options options;
    struct kv *kvs;                  /* (sequences) */
    struct pass_sequence *sequences; /* (sequences) */
    struct pass *pass;
    struct arena arena; /* all but the pass */
};

static int chunk_of(const struct batch_options *o)
{
    return o->chunk ? o->chunk : 1;
}

static struct kv_options kv_options_of(const struct batch_options *o)
{
    return (struct kv_options) { .format = o->kv_format, .context = o->context, .tokens_max = chunk_of(o) };
}

static struct pass_options pass_options_of(const struct batch_options *o)
{
    int chunk = chunk_of(o);
    return (struct pass_options) {
        .tokens_max = o->sequences > chunk ? o->sequences : chunk, .logits_max = o->sequences,
        .context_max = o->context, .threads = o->threads
    };
}

static void layout(struct batch *b, struct arena *a)
{
    struct kv_options options = kv_options_of(&b->options);
    b->kvs = arena_take(a, (size_t)b->options.sequences, sizeof *b->kvs);
    b->sequences = arena_take(a, (size_t)b->options.sequences, sizeof *b->sequences);
    for (int i = 0; i < b->options.sequences; i++) {
        struct kv measured;
        kv_layout(b->kvs ? &b->kvs[i] : &measured, model_spec(b->model), &options, a);
    }
}

uint64_t batch_bytes(const struct model *m, const struct batch_options *options)
{
    struct batch measured = { .model = m, .options = *options };
    struct pass_options pass = pass_options_of(options);
    layout(&measured, &measured.arena);
    return measured.arena.used + pass_bytes(m, &pass);
}

static int reserve(struct batch *b, struct error *err)
{
    struct pass_options pass = pass_options_of(&b->options);
    layout(b, &b->arena);
    int rc = arena_reserve(&b->arena, err);
    if (rc) {
        error_in(err, "keys and values for %d sequences of %d tokens", b->options.sequences, b->options.context);
        return rc;
    }
    layout(b, &b->arena);
    return pass_open(&b->pass, b->model, &pass, err);
}

int batch_open(struct batch **out, const struct model *m, const struct batch_options *options, struct error *err)
{
    struct kv_options kv = kv_options_of(options);
    *out = NULL;
    int rc = kv_check(model_spec(m), &kv, err);
    if (rc)
        return rc;
    if (options->sequences < 1)
        return error_set(err, ERROR_USAGE, "a batch of %d sequences makes no sense", options->sequences);
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return error_memory(err, sizeof *b, "a batch");
    b->model = m;
    b->options = *options;
    rc = reserve(b, err);
    if (rc) {
        batch_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

void batch_close(struct batch *b)
{
    if (!b)
        return;
    pass_close(b->pass);
    arena_release(&b->arena);
    free(b);
}

int batch_push(struct batch *b, const int32_t *ids, struct error *err)
{
    return batch_push_some(b, NULL, ids, b->options.sequences, err);
}

int batch_push_some(struct batch *b, const int *which, const int32_t *ids, int n, struct error *err)
{
    assert(n <= b->options.sequences);
    for (int i = 0; i < n; i++) {
        int at = which ? which[i] : i;
        assert(at >= 0 && at < b->options.sequences);
        b->sequences[i] = (struct pass_sequence) { .kv = &b->kvs[at], .ids = &ids[i], .count = 1 };
    }
    return pass_run(b->pass, b->sequences, n, err);
}

int batch_prompt(struct batch *b, int sequence, const int32_t *ids, int count, struct error *err)
{
    struct pass_sequence q = { .kv = &b->kvs[sequence] };
    int chunk = chunk_of(&b->options), rc = 0;
    if (count > b->options.context)
        return error_set(err, ERROR_LIMIT, "a prompt of %d tokens passes the context of %d", count, b->options.context);
    kv_cut(q.kv, 0);
    for (int at = 0; rc == 0 && at < count; at += q.count) {
        q.ids = ids + at;
        q.count = count - at < chunk ? count - at : chunk;
        rc = pass_run(b->pass, &q, 1, err);
    }
    if (rc)
        kv_cut(q.kv, 0);
    return rc;
}

void batch_copy(struct batch *b, int to, int from)
{
    kv_copy(&b->kvs[to], &b->kvs[from], model_spec(b->model));
}

void batch_clear(struct batch *b)
{
    for (int i = 0; i < b->options.sequences; i++)
        kv_cut(&b->kvs[i], 0);
}

const float *batch_logits(const struct batch *b, int row)
{
    return pass_logits(b->pass, row);
}

void batch_logprobs(struct batch *b, const int32_t *ids, float temperature, float *logprobs)
{
    pass_logprobs(b->pass, ids, temperature, logprobs);
}

struct pool *batch_pool(const struct batch *b)
{
    return pass_pool(b->pass);
}
