/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a model trains here: forward and backward of random texts of one length, beside what the machine could do
 * at best; and whole steps, with the norm of the gradients and AdamW.
 *     bench-train MODEL [--batch N] [--tokens N] [--threads N] [--rounds N] [--logits N] [--checkpoint] [--frozen]
 *         [--cpu LEVEL]
 * One line of JSON a round. Frozen: no weight learns, gradients pass through all of them, as under LoRA. */
#include "base/clock.h"
#include "base/cpu.h"
#include "base/random.h"
#include "backend/peak.h"
#include "file/source.h"
#include "kernel/kernel.h"
#include "model/train_pass.h"
#include "train/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 1024

struct bench {
    const char *model;
    int batch, tokens, threads, rounds, logits;
    bool checkpoint, frozen;
    unsigned features;
    int32_t *ids, *targets; /* (batch, tokens) */
    struct train_text texts[TEXTS_MAX];
};

static int stop(const struct error *err)
{
    fprintf(stderr, "bench-train: %s\n", err->text);
    return 1;
}

/* Multiplications of one token with matrices: the forward, the gradients of inputs, and those of weights that learn. */
static double products_of(const struct model *m, bool frozen)
{
    struct model_size size;
    const struct spec *s = model_spec(m);
    double products = (double)s->dim * (double)s->vocabulary;
    model_measure(m, &size);
    for (int i = 0; i < FORMAT_COUNT; i++)
        products += (double)size.layer_active[i];
    return products * (frozen ? 2 : 3);
}

static const struct format *main_format(const struct model *m)
{
    struct model_size size;
    int most = 0;
    model_measure(m, &size);
    for (int i = 0; i < FORMAT_COUNT; i++)
        most = size.layer_active[i] > size.layer_active[most] ? i : most;
    return formats[most];
}

static int make_texts(struct bench *b, int64_t vocabulary)
{
    struct random rng;
    size_t all = (size_t)b->batch * (size_t)b->tokens;
    b->ids = calloc(2 * all, sizeof *b->ids);
    if (!b->ids)
        return 1;
    b->targets = b->ids + all;
    random_seed(&rng, 1);
    for (size_t i = 0; i < all; i++)
        b->ids[i] = (int32_t)(random_next(&rng) % (uint64_t)vocabulary);
    for (size_t i = 0; i < all; i++)
        b->targets[i] = b->ids[(i + 1) % all];
    for (int i = 0; i < b->batch; i++)
        b->texts[i] = (struct train_text) { b->ids + (size_t)i * (size_t)b->tokens,
            b->targets + (size_t)i * (size_t)b->tokens, b->tokens };
    return 0;
}

/* What moves the weights, as a run does it. Frozen: nothing. */
struct mover {
    struct pool *pool;
    struct optimizer *optimizer;
};

static int mover_open(struct mover *o, const struct train_pass *p, int threads, struct error *err)
{
    const struct optimizer_options options = { .kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
        .weight_decay = 0.1 };
    size_t n = train_pass_parameters(p, NULL);
    struct parameter *list = calloc(n + 1, sizeof *list);
    if (n == 0 || !list) {
        free(list);
        return 0;
    }
    train_pass_parameters(p, list);
    int rc = pool_open(&o->pool, threads, err);
    if (rc == 0)
        rc = optimizer_open(&o->optimizer, list, n, &options, o->pool, err);
    free(list);
    return rc;
}

static void mover_close(struct mover *o)
{
    optimizer_close(o->optimizer);
    pool_close(o->pool);
}

static void mover_step(const struct mover *o, int step)
{
    if (!o->optimizer)
        return;
    double norm = optimizer_norm(o->optimizer);
    optimizer_step(o->optimizer, (uint64_t)step, 1e-6, norm > 1 ? 1 / norm : 1);
}

static int run_rounds(const struct bench *b, const struct model *m, struct train_pass *p, uint64_t bytes,
    const struct mover *mover, struct error *err)
{
    const double tokens = (double)b->batch * b->tokens, products = tokens * products_of(m, b->frozen);
    for (int i = -1; i < b->rounds; i++) { /* the first warms up */
        double peak, loss, start, cpu;
        int rc = peak_products(&peak, main_format(m), b->threads, err);
        start = clock_seconds();
        cpu = clock_cpu_seconds();
        train_pass_clear(p);
        rc = rc ? rc : train_pass_run(p, b->texts, b->batch, 0, &loss, err);
        if (rc)
            return rc;
        double seconds = clock_seconds() - start, busy = (clock_cpu_seconds() - cpu) / seconds / b->threads;
        mover_step(mover, i + 2);
        double whole = clock_seconds() - start;
        if (i >= 0)
            printf("{\"tokens_per_second\":%.1f,\"step_tokens_per_second\":%.1f,\"seconds\":%.4f,"
                   "\"busy\":%.3f,\"loss\":%.6f,\"share\":%.3f,\"pass_bytes\":%llu,\"peak_rss\":%llu}\n",
                tokens / seconds, tokens / whole, seconds, busy, loss, products / seconds / peak,
                (unsigned long long)bytes, (unsigned long long)cpu_peak_rss());
        fflush(stdout);
    }
    return 0;
}

static int run(struct bench *b, struct model *m)
{
    bool frozen[N_ROLES];
    struct error err = { 0 };
    struct mover mover = { 0 };
    struct train_pass *p;
    const int tokens = b->batch * b->tokens;
    struct train_options o = { .tokens_max = tokens, .texts_max = b->batch,
        .logits_max = b->logits < tokens ? b->logits : tokens, .threads = b->threads, .checkpoint = b->checkpoint,
        .frozen = b->frozen ? frozen : NULL };
    memset(frozen, 1, sizeof frozen);
    if (make_texts(b, model_spec(m)->vocabulary))
        return 1;
    if (!b->frozen && model_own(m, main_format(m) == &format_bf16 ? &format_bf16 : &format_f32, NULL, &err))
        return stop(&err);
    if (train_pass_open(&p, m, &o, &err))
        return stop(&err);
    int rc = mover_open(&mover, p, b->threads, &err);
    if (rc == 0)
        rc = run_rounds(b, m, p, train_pass_bytes(m, &o), &mover, &err);
    mover_close(&mover);
    train_pass_close(p);
    free(b->ids);
    return rc ? stop(&err) : 0;
}

static int parse(struct bench *b, int argc, char **argv)
{
    struct {
        const char *name;
        int *at;
    } numbers[] = { { "--batch", &b->batch }, { "--tokens", &b->tokens }, { "--threads", &b->threads },
        { "--rounds", &b->rounds }, { "--logits", &b->logits } };
    bool unknown = false;
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof numbers / sizeof *numbers && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        if (k < sizeof numbers / sizeof *numbers && i + 1 < argc)
            *numbers[k].at = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc)
            unknown |= cpu_level(argv[++i], &b->features) != 0;
        else if (strcmp(argv[i], "--checkpoint") == 0)
            b->checkpoint = true;
        else if (strcmp(argv[i], "--frozen") == 0)
            b->frozen = true;
        else if (argv[i][0] != '-' && !b->model)
            b->model = argv[i];
        else
            return 1;
    }
    return unknown || !b->model || b->batch < 1 || b->batch > TEXTS_MAX || b->tokens < 1 || b->tokens > 1 << 20;
}

int main(int argc, char **argv)
{
    static struct bench b = { .batch = 4, .tokens = 64, .threads = 2, .rounds = 5, .logits = 512 };
    struct source *source;
    struct model *m;
    struct error err = { 0 };
    b.features = cpu_features();
    if (parse(&b, argc, argv)) {
        fprintf(stderr, "usage: bench-train MODEL [--batch N] [--tokens N] [--threads N] [--rounds N] [--logits N] "
                        "[--checkpoint] [--frozen] [--cpu LEVEL]\n");
        return 2;
    }
    kernels_init(b.features);
    if (source_open(&source, b.model, NULL, NULL, &err))
        return stop(&err);
    int rc = model_open(&m, source, NULL, &err);
    if (rc == 0) {
        rc = run(&b, m);
        model_close(m);
    } else {
        rc = stop(&err);
    }
    source_close(source);
    return rc;
}
