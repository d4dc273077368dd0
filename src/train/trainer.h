/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of training: an objective fills gradients, their norm is clipped, the optimizer moves what learns; now and
 * then the loss is measured on held-out data and a checkpoint is written. What is learned is the objective's business,
 * what is shown the watcher's. */
#ifndef WAZN_TRAIN_TRAINER_H
#define WAZN_TRAIN_TRAINER_H

#include "base/buffer.h"
#include "base/json.h"
#include "model/train_pass.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <stdbool.h>
#include <stdint.h>

#define STEP_METRICS_MAX 24

/* What a step was, in numbers; an objective fills the first part. */
struct step_result {
    double loss;
    uint64_t epoch;
    int64_t tokens, counted; /* seen, and those with a target */
    struct step_metric {
        const char *name;
        double value;
    } metrics[STEP_METRICS_MAX]; /* what else the objective has to say */
    int n_metrics;
    /* The trainer's: */
    uint64_t step; /* done so far, this one included */
    double lr, norm; /* norm: of the gradients, before clipping */
    double seconds;
};

struct objective {
    /* Step `step`, from 0 on: all its passes' gradients into the pass, which is cleared. */
    int (*gradients)(void *context, struct train_pass *p, uint64_t step, struct step_result *out, struct error *err);
    /* The loss on held-out data; NULL: there is none. */
    int (*validate)(void *context, struct train_pass *p, struct step_result *out, struct error *err);
    /* Append which data the step saw, for errors; may be NULL. */
    void (*describe)(void *context, uint64_t step, struct buffer *out);
    void *context;
};

struct trainer_options {
    struct schedule schedule; /* its steps are the run's */
    struct optimizer_options optimizer;
    double clip;              /* largest norm of all gradients together; 0: not clipped */
    double explosion;         /* stop where the loss passes so many times its mean over the last steps; 0: never */
    int threads;
    uint64_t validate_every, checkpoint_every; /* steps; 0: only at the end */
    const char *folder;       /* of checkpoints; NULL: none are written */
    int keep;                 /* checkpoints kept: the last ones, and the one of the best validation */
    const json_t *identity;   /* an object: what must be the same for a run to go on (options, digests); NULL: none */
    /* Write what has been learned as people use it, a model or an adapter, into a new folder inside a checkpoint. */
    int (*save)(void *context, const char *folder, struct error *err);
    void *save_context;
};

/* Members may be NULL. An error of a call ends the run. */
struct trainer_watch {
    int (*step)(void *context, const struct step_result *r, struct error *err);
    int (*validated)(void *context, const struct step_result *r, struct error *err);
    bool (*cancelled)(void *context);
    void *context;
};

struct trainer;

/* The pass must have been opened on a model whose learning weights are its own (model_own). Both outlive it. */
int trainer_open(struct trainer **out, struct train_pass *pass, const struct objective *objective,
    const struct trainer_options *options, const struct trainer_watch *watch, struct error *err);
void trainer_close(struct trainer *t);
uint64_t trainer_bytes(const struct train_pass *pass, const struct trainer_options *options); /* what opening takes */

/* Go on from the newest complete checkpoint of the folder; *step: steps done so far, 0 where there is none. What is
 * half-written is taken away. ERROR_USAGE names what differs from the run that wrote it. Weights of frozen roles are
 * those of the model. */
int trainer_resume(struct trainer *t, uint64_t *step, struct error *err);

/* All steps that are left. ERROR_CANCELLED: the step was finished and a checkpoint written. A loss that is no number or
 * explodes, or gradients that are not finite: ERROR_FORMAT names the step and its data; nothing was changed by it, and
 * checkpoints stay as they are. */
int trainer_run(struct trainer *t, struct error *err);

#endif
