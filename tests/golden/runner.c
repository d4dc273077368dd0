/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include "support.h"

#include "base/cpu.h"
#include "base/random.h"
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

static void must(int rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

void runner_open(struct runner *r, const char *path)
{
    struct error err = { 0 };
    kernels_init(cpu_features());
    must(source_open(&r->source, path, NULL, NULL, &err), &err);
    must(model_open(&r->model, r->source, NULL, &err), &err);
    r->spec = model_spec(r->model);
}

void runner_close(struct runner *r)
{
    model_close(r->model);
    source_close(r->source);
}

void runner_rounding_off(struct runner_dots *kept)
{
    kept->split = kernels.mxfp4_split_dots;
    memcpy(kept->dots, kernels.dots, sizeof kept->dots);
    kernels.mxfp4_split_dots = NULL;
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (formats[i]->pair != FORMAT_f32)
            kernels.dots[i] = NULL;
}

void runner_rounding_on(const struct runner_dots *kept)
{
    kernels.mxfp4_split_dots = kept->split;
    memcpy(kernels.dots, kept->dots, sizeof kept->dots);
}

static void kv_open(struct kv *kv, struct arena *a, const struct spec *s, const struct kv_options *o)
{
    struct error err = { 0 };
    must(kv_check(s, o, &err), &err);
    kv_layout(kv, s, o, a);
    must(arena_reserve(a, &err), &err);
    kv_layout(kv, s, o, a);
    assert_int_equal(a->used, a->size);
}

static struct pass *open_pass(const struct runner *r, int tokens, int context, int threads)
{
    struct error err = { 0 };
    struct pass_options o = { .tokens_max = tokens, .logits_max = tokens, .context_max = context, .threads = threads };
    struct pass *p;
    must(pass_open(&p, r->model, &o, &err), &err);
    return p;
}

static void keep_logits(float *out, const struct pass *p, int row, int n, int64_t vocabulary)
{
    for (int i = 0; i < n; i++)
        memcpy(out + i * vocabulary, pass_logits(p, row + i), (size_t)vocabulary * sizeof *out);
}

float *runner_logits_new(const struct runner *r, const int32_t *ids, int n, const struct cut *cut)
{
    int64_t vocabulary = r->spec->vocabulary;
    int most = cut->chunk ? cut->chunk : n;
    float *out = malloc((size_t)n * (size_t)vocabulary * sizeof *out);
    struct kv_options o = { .format = cut->format, .context = n, .tokens_max = most };
    struct arena arena = { 0 };
    struct kv kv;
    struct random random;
    struct error err = { 0 };
    assert_non_null(out);
    random_seed(&random, cut->seed);
    kv_open(&kv, &arena, r->spec, &o);
    struct pass *p = open_pass(r, most, n, cut->threads);
    while (kv.length < n) {
        int done = kv.length, left = n - done;
        int count = cut->chunk ? cut->chunk : 1 + (int)random_below(&random, 9);
        count = count < left ? count : left;
        struct pass_sequence q = { .kv = &kv, .ids = ids + done, .count = count, .all_logits = true };
        must(pass_run(p, &q, 1, &err), &err);
        assert_int_equal(kv.length, done + count);
        keep_logits(out + done * vocabulary, p, 0, count, vocabulary);
    }
    pass_close(p);
    arena_release(&arena);
    return out;
}

#define COPIES_MAX 8

float *runner_batch_new(const struct runner *r, const int32_t *ids, int n, int copies, const struct format *format)
{
    int64_t vocabulary = r->spec->vocabulary;
    float *out = malloc((size_t)n * (size_t)vocabulary * sizeof *out);
    struct kv_options o = { .format = format, .context = n, .tokens_max = n };
    struct arena arenas[COPIES_MAX] = { 0 };
    struct kv kvs[COPIES_MAX];
    struct error err = { 0 };
    assert_non_null(out);
    assert_true(copies <= COPIES_MAX);
    struct pass *p = open_pass(r, copies * (copies + 2), n, 2);
    for (int i = 0; i < copies; i++)
        kv_open(&kvs[i], &arenas[i], r->spec, &o);
    for (int step = 0; kvs[copies - 1].length < n; step++) {
        struct pass_sequence q[COPIES_MAX];
        int active = 0, row = 0, before = kvs[copies - 1].length;
        for (int i = 0; i < copies && i <= step; i++) {
            int left = n - kvs[i].length, count = i + 1 + step % 2;
            if (left == 0)
                continue;
            q[active++] = (struct pass_sequence) { .kv = &kvs[i], .ids = ids + kvs[i].length,
                .count = count < left ? count : left, .all_logits = i == copies - 1 };
        }
        must(pass_run(p, q, active, &err), &err);
        row = q[active - 1].kv == &kvs[copies - 1] ? active - 1 : 0; /* the others gave one row each */
        if (kvs[copies - 1].length > before)
            keep_logits(out + before * vocabulary, p, row, kvs[copies - 1].length - before, vocabulary);
    }
    pass_close(p);
    for (int i = 0; i < copies; i++)
        arena_release(&arenas[i]);
    return out;
}
