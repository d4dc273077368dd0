/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/loss.h"

#include "base/filemap.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "file/gguf.h"
#include "publish/windows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSS_FILE_MAX ((size_t)16 << 20)

struct row_loss {
    double kl, surprise, surprise_source; /* surprise: - log of the next token's probability */
    bool same;
};

struct compare {
    struct windows source, quantized;
    const int32_t *ids;
    size_t n, at;
    int64_t vocabulary;
    struct row_loss rows[WINDOWS_STEP];
};

/* log(sum of exp) and the place of the largest. */
static double log_sum(const float *x, int64_t n, int64_t *best)
{
    double sum = 0;
    *best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[*best])
            *best = i;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)x[*best]);
    return (double)x[*best] + log(sum);
}

static void compare_row(void *job, int item, int thread)
{
    struct compare *c = job;
    struct row_loss *row = &c->rows[item];
    const float *p = windows_logits(&c->source, item), *q = windows_logits(&c->quantized, item);
    int64_t p_best, q_best;
    double p_log = log_sum(p, c->vocabulary, &p_best), q_log = log_sum(q, c->vocabulary, &q_best), kl = 0;
    size_t next = c->at + (size_t)item + 1;
    (void)thread;
    for (int64_t i = 0; i < c->vocabulary; i++) {
        double a = (double)p[i] - p_log, b = (double)q[i] - q_log;
        kl += exp(a) * (a - b);
    }
    row->kl = kl > 0 ? kl : 0;
    row->same = p_best == q_best;
    row->surprise = next < c->n ? q_log - (double)q[c->ids[next]] : 0;
    row->surprise_source = next < c->n ? p_log - (double)p[c->ids[next]] : 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int run(struct loss *out, struct compare *c, double *kls, int threads, const struct publish_watch *watch,
    struct error *err)
{
    struct pool *pool = NULL;
    double kl = 0, same = 0, surprise = 0, surprise_source = 0;
    int count = 0, rc = pool_open(&pool, threads, err);
    for (c->at = 0; rc == 0 && c->at < c->n; c->at += (size_t)count) {
        if (watch_stopped(watch))
            rc = error_set(err, ERROR_CANCELLED, "stopped after %zu of %zu tokens of measuring", c->at, c->n);
        watch_report(watch, "measuring the loss", "tokens", c->at, c->n);
        if (rc == 0)
            rc = windows_step(&c->source, c->ids, c->n, c->at, &count, err);
        if (rc == 0)
            rc = windows_step(&c->quantized, c->ids, c->n, c->at, &count, err);
        if (rc)
            break;
        pool_run(pool, count, compare_row, c);
        for (int i = 0; i < count; i++) {
            kls[c->at + (size_t)i] = c->rows[i].kl;
            kl += c->rows[i].kl;
            same += c->rows[i].same;
            surprise += c->rows[i].surprise;
            surprise_source += c->rows[i].surprise_source;
        }
    }
    pool_close(pool);
    if (rc)
        return rc;
    double n = (double)c->n;
    qsort(kls, c->n, sizeof *kls, ascending);
    *out = (struct loss) { .tokens = c->n, .kl_mean = kl / n, .kl_median = kls[c->n / 2],
        .kl_p99 = kls[(size_t)(0.99 * (n - 1))], .kl_max = kls[c->n - 1], .top1_agreement = same / n,
        .perplexity = exp(surprise / (n - 1)), .perplexity_source = exp(surprise_source / (n - 1)),
        .perplexity_ratio = exp((surprise - surprise_source) / (n - 1)) };
    return rc;
}

int loss_measure(struct loss *out, const struct model *source, const struct model *quantized, const int32_t *ids,
    size_t n, int threads, const struct publish_watch *watch, struct error *err)
{
    struct compare *c = calloc(1, sizeof *c);
    double *kls = calloc(n + 1, sizeof *kls);
    int rc = c && kls ? 0 : error_memory(err, n * sizeof *kls, "measuring a loss");
    if (rc == 0 && n < 2)
        rc = error_set(err, ERROR_USAGE, "a loss is measured on at least 2 tokens, the text has %zu", n);
    if (rc == 0)
        rc = windows_open(&c->source, source, threads, NULL, NULL, err);
    if (rc == 0)
        rc = windows_open(&c->quantized, quantized, threads, NULL, NULL, err);
    if (rc == 0) {
        c->ids = ids;
        c->n = n;
        c->vocabulary = model_spec(source)->vocabulary;
        rc = run(out, c, kls, threads, watch, err);
    }
    if (c) {
        windows_close(&c->source);
        windows_close(&c->quantized);
    }
    free(kls);
    free(c);
    return rc;
}

static const struct {
    const char *name;
    size_t offset;
} numbers[LOSS_NUMBERS] = {
#define X(name) { #name, offsetof(struct loss, name) }
    X(kl_mean), X(kl_median), X(kl_p99), X(kl_max), X(top1_agreement), X(perplexity), X(perplexity_source),
    X(perplexity_ratio)
#undef X
};

const char *loss_name(size_t i)
{
    return numbers[i].name;
}

double loss_number(const struct loss *l, size_t i)
{
    double x;
    memcpy(&x, (const unsigned char *)l + numbers[i].offset, sizeof x);
    return x;
}

json_t *loss_json_new(const struct loss *l)
{
    json_t *o = json_pack("{s:I}", "tokens", (json_int_t)l->tokens);
    int rc = o ? 0 : -1;
    for (size_t i = 0; i < LOSS_NUMBERS && rc == 0; i++)
        rc = json_object_set_new(o, numbers[i].name, json_real(loss_number(l, i)));
    if (rc)
        json_decref(o);
    return rc ? NULL : o;
}

/* ---- what a file says of itself ---- */

/* The three tensors that lost most. */
static json_t *worst_new(const struct source *s, const struct gguf_value *errors)
{
    json_t *list = json_object();
    float below = INFINITY;
    for (int place = 0; place < 3; place++) {
        size_t worst = 0;
        float most = 0;
        for (size_t i = 0; i < errors->count && i < source_tensor_count(s); i++) {
            float x = gguf_float32_at(errors, i);
            if (x < below && x > most) {
                most = x;
                worst = i;
            }
        }
        if (most > 0)
            json_object_set_new(list, source_tensor(s, worst)->name, json_real((double)most));
        below = most;
    }
    return list;
}

static json_t *read_gguf_new(const struct source *s, const struct gguf *g)
{
    json_t *o = json_object(), *loss = json_object();
    size_t n = 0;
    const char *recipe = gguf_text(g, "wazn.recipe", &n);
    const struct gguf_value *errors = gguf_array(g, "wazn.loss.tensor_errors", GGUF_FLOAT32);
    if (recipe && utf8_valid_prefix(recipe, n) == n)
        json_object_set_new(o, "recipe", json_stringn(recipe, n));
    json_object_set_new(o, "calibrated", json_boolean(gguf_flag(g, "wazn.calibrated", false)));
    if (gguf_find(g, "wazn.loss.tokens"))
        json_object_set_new(loss, "tokens", json_integer(gguf_whole(g, "wazn.loss.tokens", 0)));
    for (size_t i = 0; i < LOSS_NUMBERS; i++) {
        char key[64];
        snprintf(key, sizeof key, "wazn.loss.%s", numbers[i].name);
        double x = gguf_real(g, key, NAN);
        if (isfinite(x))
            json_object_set_new(loss, numbers[i].name, json_real(x));
    }
    json_object_set(o, "loss", loss);
    json_decref(loss);
    if (errors)
        json_object_set_new(o, "worst_tensors", worst_new(s, errors));
    return o;
}

json_t *loss_read_new(const struct source *s)
{
    const struct gguf *g = source_gguf(s);
    char path[4096];
    json_t *o = NULL;
    if (g)
        return gguf_find(g, "wazn.version") ? read_gguf_new(s, g) : NULL;
    snprintf(path, sizeof path, "%s/" LOSS_FILE, source_folder(s));
    if (!file_exists(path) || json_read_file_new(&o, path, LOSS_FILE_MAX, NULL) != 0)
        return NULL;
    return o;
}
