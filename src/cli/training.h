/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that train share: from a model, data and the options to steps that are shown, logged and kept. */
#ifndef WAZN_CLI_TRAINING_H
#define WAZN_CLI_TRAINING_H

#include "cli/load.h"
#include "train/log.h"
#include "train/objective/likelihood.h"
#include "train/trainer.h"

#define TRAINING_PATH 4096

struct training {
    const struct arguments *args;
    struct loaded l;                    /* source, tokenizer, model */
    struct dataset *data, *held_out;    /* held_out: NULL, or what is measured now and then */
    double lr, weight_decay;            /* where the options say nothing */
    json_t *identity;                   /* of the run; the caller puts in what the model and the method are */
    /* Made by training_run: */
    const char *folder;                 /* of the run */
    bool narrow;                        /* products in bf16 */
    struct packing_options packing;
    struct likelihood likelihood;
    struct train_options pass_options;
    struct trainer_options options;
    uint64_t sample_every;
    struct train_pass *pass;
    struct trainer *trainer;
    struct train_log *log;
    struct progress progress;
    char label[128];                    /* of the progress */
    double loss, begun, drawn, before;  /* before: seconds of the runs that this one goes on from */
    int64_t tokens;                     /* seen by all of them */
};

/* Text that options give with \n and \t in it; new, the caller frees it. */
char *training_text_new(const char *text);

/* PATH of a file in the run's folder. */
int training_path(char out[TRAINING_PATH], const struct training *t, const char *name, struct error *err);

/* --output, which is made where it is not there; ERROR_USAGE where a run is in it and --resume is not given. */
int training_folder(struct training *t, struct error *err);

/* Samples are at most so long: --length, or 512, or what the model holds. */
int training_length(const struct training *t);

/* The whole run. Afterwards the model stands in "model" in its folder. */
int training_run(struct training *t, struct error *err);
void training_close(struct training *t);

#endif
