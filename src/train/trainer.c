/* SPDX-License-Identifier: Apache-2.0 */
#include "train/trainer.h"

#include "base/clock.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 32 /* steps whose mean loss an explosion is measured by */

struct trainer {
    struct train_pass *pass;
    struct objective objective;
    struct trainer_options options;
    struct trainer_watch watch;
    struct pool *pool;
    struct optimizer *optimizer;
    uint64_t step, saved; /* done; in the newest checkpoint */
    struct checkpoint_best best;
    double losses[WINDOW];
    uint64_t n_losses;
};

static struct parameter *parameters_new(const struct train_pass *pass, size_t *n, struct error *err)
{
    *n = train_pass_parameters(pass, NULL);
    struct parameter *list = calloc(*n + 1, sizeof *list);
    if (!list)
        error_memory(err, *n * sizeof *list, "a list of parameters");
    else
        train_pass_parameters(pass, list);
    return list;
}

uint64_t trainer_bytes(const struct train_pass *pass, const struct trainer_options *options)
{
    size_t n;
    struct parameter *list = parameters_new(pass, &n, NULL);
    uint64_t bytes = list ? optimizer_bytes(list, n, &options->optimizer, options->threads) : 0;
    free(list);
    return bytes;
}

static int open_parts(struct trainer *t, struct error *err)
{
    size_t n;
    int rc = pool_open(&t->pool, t->options.threads, err);
    if (rc)
        return rc;
    struct parameter *list = parameters_new(t->pass, &n, err);
    rc = list ? 0 : ERROR_MEMORY;
    if (rc == 0 && n == 0)
        rc = error_set(err, ERROR_USAGE, "nothing learns: every weight is frozen or stored in a packed format");
    if (rc == 0)
        rc = optimizer_open(&t->optimizer, list, n, &t->options.optimizer, t->pool, err);
    free(list);
    return rc;
}

int trainer_open(struct trainer **out, struct train_pass *pass, const struct objective *objective,
    const struct trainer_options *options, const struct trainer_watch *watch, struct error *err)
{
    struct trainer *t = calloc(1, sizeof *t);
    int rc = t ? 0 : error_memory(err, sizeof *t, "a trainer");
    if (rc == 0) {
        t->pass = pass;
        t->objective = *objective;
        t->options = *options;
        t->watch = *watch;
        t->saved = UINT64_MAX;
        t->best = (struct checkpoint_best) { .loss = INFINITY };
        rc = open_parts(t, err);
    }
    if (rc) {
        trainer_close(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    optimizer_close(t->optimizer);
    pool_close(t->pool);
    free(t);
}

/* ---- checkpoints ---- */

int trainer_resume(struct trainer *t, uint64_t *step, struct error *err)
{
    const struct checkpoint_identity identity = { t->options.folder, t->options.identity };
    *step = 0;
    int rc = checkpoint_read(&identity, t->optimizer, &t->step, &t->best, err);
    if (rc == 0 && t->step > 0) {
        t->saved = t->step;
        *step = t->step;
    }
    return rc;
}

static int save(struct trainer *t, struct error *err)
{
    const struct trainer_options *o = &t->options;
    const struct checkpoint_identity identity = { o->folder, o->identity };
    if (!o->folder || t->saved == t->step)
        return 0;
    int rc = checkpoint_write(&identity, t->optimizer, t->step, &t->best, o->save, o->save_context, err);
    if (rc)
        return rc;
    t->saved = t->step;
    return checkpoint_prune(o->folder, o->keep, t->best.step, err);
}

/* ---- steps ---- */

static int refuse(const struct trainer *t, const char *what, double value, struct error *err)
{
    struct buffer data = { 0 };
    if (t->objective.describe)
        t->objective.describe(t->objective.context, t->step, &data);
    int rc = error_set(err, ERROR_FORMAT, "step %llu was not made: %s %g%s%.500s", (unsigned long long)t->step + 1,
        what, value, data.used ? "; its data: " : "", data.used ? data.data : "");
    buffer_release(&data);
    return rc;
}

static int check_loss(struct trainer *t, double loss, struct error *err)
{
    double mean = 0;
    if (!isfinite(loss))
        return refuse(t, "its loss is", loss, err);
    for (int i = 0; i < WINDOW; i++)
        mean += t->losses[i] / WINDOW;
    if (t->options.explosion > 0 && t->n_losses >= WINDOW && mean > 0 && loss > mean * t->options.explosion)
        return refuse(t, "its loss explodes, it is", loss, err);
    t->losses[t->n_losses++ % WINDOW] = loss;
    return 0;
}

static int make_step(struct trainer *t, struct step_result *r, struct error *err)
{
    const struct trainer_options *o = &t->options;
    double begun = clock_seconds();
    *r = (struct step_result) { 0 };
    train_pass_clear(t->pass);
    int rc = t->objective.gradients(t->objective.context, t->pass, t->step, r, err);
    if (rc == 0)
        rc = check_loss(t, r->loss, err);
    if (rc)
        return rc;
    r->norm = optimizer_norm(t->optimizer);
    if (!isfinite(r->norm))
        return refuse(t, "the norm of its gradients is", r->norm, err);
    r->lr = schedule_lr(&o->schedule, t->step);
    double scale = o->clip > 0 && r->norm > o->clip ? o->clip / r->norm : 1;
    optimizer_step(t->optimizer, t->step + 1, r->lr, scale);
    r->step = ++t->step;
    r->seconds = clock_seconds() - begun;
    return t->watch.step ? t->watch.step(t->watch.context, r, err) : 0;
}

static int validate(struct trainer *t, struct error *err)
{
    struct step_result r = { .step = t->step };
    double begun = clock_seconds();
    if (!t->objective.validate)
        return 0;
    int rc = t->objective.validate(t->objective.context, t->pass, &r, err);
    if (rc)
        return rc;
    r.step = t->step;
    r.seconds = clock_seconds() - begun;
    if (r.loss < t->best.loss)
        t->best = (struct checkpoint_best) { .loss = r.loss, .step = t->step };
    return t->watch.validated ? t->watch.validated(t->watch.context, &r, err) : 0;
}

static bool due(uint64_t step, uint64_t every, bool last)
{
    return last || (every > 0 && step % every == 0);
}

static int cancel(struct trainer *t, struct error *err)
{
    int rc = save(t, err);
    return rc ? rc : error_set(err, ERROR_CANCELLED, "stopped behind step %llu of %llu", (unsigned long long)t->step,
        (unsigned long long)t->options.schedule.steps);
}

int trainer_run(struct trainer *t, struct error *err)
{
    const struct trainer_options *o = &t->options;
    int rc = 0;
    while (rc == 0 && t->step < o->schedule.steps) {
        struct step_result r;
        if (t->watch.cancelled && t->watch.cancelled(t->watch.context))
            return cancel(t, err);
        rc = make_step(t, &r, err);
        bool last = t->step == o->schedule.steps;
        if (rc == 0 && due(t->step, o->validate_every, last))
            rc = validate(t, err);
        if (rc == 0 && due(t->step, o->checkpoint_every, last))
            rc = save(t, err);
    }
    return rc;
}
