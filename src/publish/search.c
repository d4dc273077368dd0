/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest mix of formats within a loss. Each tensor's error in each format is estimated from some of its rows;
 * for a price per bit every tensor then takes the format where error + price * bits is least (the usual trade of rate
 * for distortion). Only the price is left to find: by halving, each price tried on the whole model. */
#include "publish/publish_impl.h"

#include "model/role.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_ROWS 64
#define TRIES 8

static const struct format *const choices[] = { &format_q2_k, &format_q3_k, &format_q4_k, &format_q5_k, &format_q6_k,
    &format_q8_0 };
#define CHOICES ((int)(sizeof choices / sizeof choices[0]))

struct option_cost {
    const struct format *format;
    double error, bits; /* relative squared error; of the whole tensor */
};

struct search {
    struct publication *p;
    struct option_cost (*costs)[CHOICES]; /* (count) */
    bool *fixed;                          /* (count) a vector, or what a rule decided */
    const struct format **best;           /* (count) of the smallest file within the loss */
    uint64_t best_bytes;                  /* 0: none yet */
    bool best_written;                    /* that file is the one that lies there */
    double least;                         /* mean KL seen */
};

static bool is_fixed(const struct publication *p, size_t i)
{
    const struct saved_tensor *t = save_tensor(p->save, i);
    for (size_t k = 0; k < p->options->n_rules; k++)
        if (keep_matches(&p->options->rules[k], t))
            return true;
    /* routers and tables of positions are small and, like vectors, floats in every recipe */
    return t->vector || t->role == ROLE_router || t->role == ROLE_position_table || p->formats[i]->block > 1;
}

static int estimate(struct search *s, size_t i, struct error *err)
{
    struct publication *p = s->p;
    const struct saved_tensor *t = save_tensor(p->save, i);
    int64_t rows = t->rows < SAMPLE_ROWS ? t->rows : SAMPLE_ROWS;
    int rc = 0;
    for (int c = 0; rc == 0 && c < CHOICES; c++) {
        struct option_cost *cost = &s->costs[i][c];
        struct encode_loss loss = { 0 };
        cost->format = format_that_fits(choices[c], t->cols);
        cost->bits = format_bits(cost->format) * (double)t->rows * (double)t->cols;
        struct encode_task task = { .save = p->save, .tensor = i, .format = cost->format, .rows = rows,
            .importance = importance_find(p->importance, save_observed(p->save, i)), .step = t->rows / rows,
            .threads = p->options->threads };
        rc = encode_run(&task, &loss, err);
        cost->error = loss.square > 0 ? loss.error / loss.square : 0;
    }
    return rc;
}

static int estimate_all(struct search *s, struct error *err)
{
    struct publication *p = s->p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        watch_report(&p->options->watch, "estimating", "tensors", i, p->count);
        if (watch_stopped(&p->options->watch))
            return error_set(err, ERROR_CANCELLED, "stopped while estimating \"%s\"", save_tensor(p->save, i)->name);
        s->fixed[i] = is_fixed(p, i);
        rc = s->fixed[i] ? 0 : estimate(s, i, err);
    }
    return rc;
}

static void choose(struct search *s, double price)
{
    for (size_t i = 0; i < s->p->count; i++) {
        double least = INFINITY;
        for (int c = 0; c < CHOICES && !s->fixed[i]; c++) {
            const struct option_cost *cost = &s->costs[i][c];
            if (cost->error + price * cost->bits < least) {
                least = cost->error + price * cost->bits;
                s->p->formats[i] = cost->format;
            }
        }
    }
}

/* Write and measure what a price gives. *within: the loss is small enough. */
static int try_price(struct search *s, double price, bool *within, struct error *err)
{
    struct publication *p = s->p;
    publication_abort(p);
    choose(s, price);
    int rc = publication_write(p, err);
    *within = rc == 0 && p->loss.kl_mean <= p->options->loss_max;
    if (rc)
        return rc;
    s->least = p->loss.kl_mean < s->least ? p->loss.kl_mean : s->least;
    s->best_written = *within && (s->best_bytes == 0 || p->bytes <= s->best_bytes);
    if (s->best_written) {
        s->best_bytes = p->bytes;
        memcpy(s->best, p->formats, p->count * sizeof *s->best);
    }
    log_write(p->options->log, LOG_INFO, "mean KL %.4g in %llu bytes%s", p->loss.kl_mean, (unsigned long long)p->bytes,
        *within ? "" : ": too much");
    return 0;
}

/* Prices at which everything is smallest, and largest. */
static void price_range(const struct search *s, double *low, double *high)
{
    *low = INFINITY;
    *high = 0;
    for (size_t i = 0; i < s->p->count; i++)
        for (int c = 0; c + 1 < CHOICES && !s->fixed[i]; c++) {
            const struct option_cost *a = &s->costs[i][c], *b = a + 1;
            double price = b->bits > a->bits ? (a->error - b->error) / (b->bits - a->bits) : 0;
            if (price > 0) {
                *low = price < *low ? price : *low;
                *high = price > *high ? price : *high;
            }
        }
    if (!(*low < *high))
        *low = *high = 1;
}

static int run(struct search *s, struct error *err)
{
    double low, high;
    bool within = false;
    price_range(s, &low, &high);
    low = log(low / 2);
    high = log(high * 2);
    int rc = try_price(s, exp(high), &within, err); /* the smallest of all */
    if (rc || within)
        return rc;
    rc = try_price(s, exp(low), &within, err);
    if (rc == 0 && !within)
        return error_set(err, ERROR_LIMIT, "no mix of formats has a mean KL of at most %g: the largest, of %s, has "
            "%.4g", s->p->options->loss_max, choices[CHOICES - 1]->name, s->least);
    for (int i = 0; rc == 0 && i < TRIES; i++) {
        double middle = 0.5 * (low + high);
        rc = try_price(s, exp(middle), &within, err);
        *(within ? &low : &high) = middle;
    }
    return rc;
}

int publication_search(struct publication *p, struct error *err)
{
    struct search s = { .p = p, .least = INFINITY };
    s.costs = calloc(p->count + 1, sizeof *s.costs);
    s.fixed = calloc(p->count + 1, sizeof *s.fixed);
    s.best = calloc(p->count + 1, sizeof *s.best);
    int rc = s.costs && s.fixed && s.best ? 0 : error_memory(err, p->count * sizeof *s.costs, "a search");
    if (rc == 0 && p->kind != SOURCE_GGUF)
        rc = error_set(err, ERROR_USAGE, "a mix of formats is searched for an output that ends in .gguf");
    if (rc == 0)
        rc = estimate_all(&s, err);
    if (rc == 0)
        rc = run(&s, err);
    if (rc == 0 && !s.best_written) {
        publication_abort(p);
        memcpy(p->formats, s.best, p->count * sizeof *s.best);
        rc = publication_write(p, err);
    }
    free(s.costs);
    free(s.fixed);
    free(s.best);
    return rc;
}
