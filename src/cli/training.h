/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that train share: from a model, data and the options to steps that are shown, logged and kept. */
#ifndef WAZN_CLI_TRAINING_H
#define WAZN_CLI_TRAINING_H

#include "cli/load.h"
#include "model/adapter.h"
#include "train/log.h"
#include "train/objective/likelihood.h"
#include "train/objective/pairs.h"
#include "train/objective/policy.h"
#include "train/trainer.h"

struct training;

/* What is learned. */
struct training_method {
    const char *name;
    /* Fill t->objective. The sizes of passes and steps are set, the weights are those of the start. */
    int (*open)(struct training *t, struct error *err);
    uint64_t (*steps)(struct training *t, uint64_t epoch); /* of that epoch */
    double explosion; /* see trainer_options: losses that may be anything have 0 */
};

extern const struct training_method training_likelihood; /* of t->data; t->held_out is measured */
extern const struct training_method training_preference; /* of the same: chosen, rejected, chosen ... */
extern const struct training_method training_policy; /* from rewards of answers to t->prompts */

#define TRAINING_PATH 4096

struct training {
    const struct arguments *args;
    struct loaded l;                    /* source, tokenizer, format (of samples; NULL: none), model */
    const struct training_method *method;
    struct dataset *data, *held_out;    /* held_out: NULL, or what is measured now and then */
    struct prompts prompts;             /* that are answered */
    int longest;                        /* tokens of the longest text that will be learned from */
    size_t samples;                     /* such texts */
    struct adapter *adapter;            /* that alone learns; NULL: all weights do */
    double lr, weight_decay;            /* where the options say nothing */
    json_t *identity;                   /* of the run; the caller puts in what the model and the data are */
    const char *folder;                 /* of the run; training_folder sets it */
    /* Made by training_run: */
    bool narrow;                        /* products in bf16 */
    struct packing_options packing;
    struct likelihood likelihood;
    struct pairs *pairs;
    struct prompts learned_prompts, held_prompts; /* parts of prompts */
    struct reward *reward;
    struct policy *policy;
    struct objective objective;
    struct train_options pass_options;
    struct trainer_options options;
    uint64_t sample_every;
    struct train_pass *pass;
    struct trainer *trainer;
    struct train_log *log;
    struct progress progress;
    char label[128];                    /* of the progress */
    double last, validated;             /* losses of the last step, of the last validation; NAN before */
    double loss, begun, drawn, before;  /* loss: smoothed; before: seconds of the runs this goes on from */
    int64_t tokens;                     /* seen by all of them */
};

/* What an option was given, or `absent`; whether a choice was this word. */
double training_real(const struct training *t, enum option_id id, double absent);
uint64_t training_whole(const struct training *t, enum option_id id, uint64_t absent);
bool training_chosen(const struct training *t, enum option_id id, const char *word);

/* As readers of data call them: context is the training. Bytes on the progress bar; false where Ctrl-C was pressed. */
bool training_show_reading(void *context, uint64_t done, uint64_t total);
bool training_is_stopped(void *context);

/* Text that options give with \n and \t in it; new, the caller frees it. */
char *training_text_new(const char *text);

/* PATH of a file in the run's folder. */
int training_path(char out[TRAINING_PATH], const struct training *t, const char *name, struct error *err);

/* --output, which is made where it is not there; ERROR_USAGE where a run is in it and --resume is not given. */
int training_folder(struct training *t, struct error *err);

/* Samples are at most so long: --length, or 512, or what the model holds. */
int training_length(const struct training *t);

/* t->longest and t->samples from t->data and t->held_out. */
void training_sizes(struct training *t);

/* Put the digest of data under a key of t->identity. */
int training_identify(struct training *t, const char *key, const struct dataset *d, struct error *err);

/* Of an answer that is sampled, at most: --max-tokens. */
int training_answer_tokens(const struct training *t);

/* The whole run. Afterwards what was learned stands in its folder: "model", or "adapter". */
int training_run(struct training *t, struct error *err);
void training_close(struct training *t);

#endif
