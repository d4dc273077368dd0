/* SPDX-License-Identifier: Apache-2.0 */
/* wazn train: a model learns from text, from scratch or from where it stands. */
#include "base/cpu.h"
#include "base/filemap.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "cli/training.h"
#include "train/corpus.h"
#include "train/scratch.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
#define LR 1e-3        /* of a model that has learned nothing */
#define LR_FURTHER 2e-5 /* of one that has */
#define WEIGHT_DECAY 0.1
#define VALIDATION 0.02

/* The folder "start" of the run holds the model as it begins. */
static int begin_model(struct training *t, struct error *err)
{
    const struct option_value *at = t->args->at;
    char start[TRAINING_PATH];
    struct tokenizer *tokenizer = NULL;
    json_t *config = NULL;
    int rc = training_path(start, t, "start", err);
    if (rc || file_exists(start))
        return rc;
    if (!at[OPT_config].set || !at[OPT_tokenizer].set)
        return error_set(err, ERROR_USAGE, "what to train is missing: --config FILE and --tokenizer FILE for a new "
            "model, -m MODEL for one that is there");
    rc = json_read_file_new(&config, at[OPT_config].text, CONFIG_BYTES_MAX, err);
    if (rc == 0)
        rc = tokenizer_open(&tokenizer, at[OPT_tokenizer].text, NULL, err);
    if (rc == 0)
        rc = scratch_write(start, config, tokenizer, at[OPT_seed].set ? (uint64_t)at[OPT_seed].whole : 0, err);
    tokenizer_close(tokenizer);
    json_decref(config);
    return rc;
}

static int open_new(struct training *t, struct error *err)
{
    char start[TRAINING_PATH];
    int rc = begin_model(t, err);
    if (rc == 0)
        rc = training_path(start, t, "start", err);
    if (rc == 0)
        rc = source_open(&t->l.source, start, NULL, NULL, err);
    return rc;
}

/* -m names the model. */
static int open_given(struct training *t, struct error *err)
{
    char start[TRAINING_PATH];
    if (t->args->at[OPT_config].set || t->args->at[OPT_tokenizer].set)
        return error_set(err, ERROR_USAGE, "-m names a model that is there, --config and --tokenizer make a new one: "
            "give one of the two");
    int rc = training_path(start, t, "start", err);
    if (rc == 0 && file_exists(start))
        rc = error_set(err, ERROR_USAGE, "\"%s\" holds a run of a new model: it goes on without -m", t->folder);
    t->lr = LR_FURTHER;
    return rc ? rc : loaded_source(&t->l, t->args, err);
}

/* A part that stays as it is while the rest learns would be a surprise. */
static int check_learns(const struct training *t, struct error *err)
{
    struct model_size size;
    char bytes[32];
    model_measure(t->l.model, &size);
    for (int f = 0; f < FORMAT_COUNT; f++)
        if (size.format_bytes[f] > 0 && formats[f]->block > 1)
            return error_set(err, ERROR_UNSUPPORTED, "\"%s\" stores %s of its weights as %s, which cannot learn; "
                "wazn convert --to bf16 writes it in floats", source_path(t->l.source), terminal_bytes(bytes,
                size.format_bytes[f]), formats[f]->name);
    return 0;
}

static int open_model(struct training *t, struct error *err)
{
    int rc = t->args->at[OPT_model].set ? open_given(t, err) : open_new(t, err);
    if (rc == 0)
        rc = tokenizer_open_source(&t->l.tokenizer, t->l.source, err);
    if (rc == 0)
        rc = loaded_model(&t->l, err);
    if (rc == 0)
        rc = check_learns(t, err);
    if (rc == 0)
        t->identity = json_pack("{s:s, s:O}", "command", "train", "config", (json_t *)(uintptr_t)source_config(
            t->l.source));
    return rc == 0 && !t->identity ? error_memory(err, 0, "the description of a run") : rc;
}

/* ---- data ---- */

static void show_data(const struct training *t, const struct corpus_counts *c)
{
    char a[32], b[32], d[32];
    const struct dataset_size *size = dataset_size(t->data);
    if (t->args->at[OPT_quiet].set)
        return;
    fprintf(stderr, "wazn: data: %llu documents, %s, %s tokens (%.2f bytes each); %zu samples to learn from",
        (unsigned long long)c->documents, terminal_bytes(a, c->bytes), terminal_count(b, c->tokens),
        (double)c->bytes / (double)(c->tokens ? c->tokens : 1), size->samples);
    if (t->held_out)
        fprintf(stderr, ", %s tokens held out", terminal_count(d, dataset_size(t->held_out)->tokens));
    fputc('\n', stderr);
    if (c->single)
        fprintf(stderr, "wazn: %llu texts of one token teach nothing, the first is %s\n",
            (unsigned long long)c->single, c->first_single);
}

static int read_data(struct training *t, struct error *err)
{
    const struct option_value *at = t->args->at;
    char *separator = at[OPT_separator].set ? training_text_new(at[OPT_separator].text) : NULL;
    struct corpus_options o = { .separator = separator, .progress = training_show_reading, .context = t };
    struct corpus_data_options d = { .context = training_length(t), .validation = at[OPT_validation].set
        ? at[OPT_validation].real : VALIDATION, .threads = at[OPT_threads].set ? (int)at[OPT_threads].whole
        : cpu_cores() };
    struct corpus_counts counts;
    struct corpus *c = NULL;
    int rc = at[OPT_separator].set && !separator ? error_memory(err, 0, "a separator") : 0;
    progress_begin(&t->progress, "reading the data", NULL, at[OPT_quiet].set);
    if (rc == 0)
        rc = corpus_open(&c, t->args->words, t->args->n_words, &o, err);
    if (rc == 0)
        rc = corpus_datasets(&t->data, &t->held_out, &counts, c, t->l.tokenizer, &d, err);
    progress_end(&t->progress);
    if (rc == 0) {
        show_data(t, &counts);
        training_sizes(t);
    }
    corpus_close(c);
    free(separator);
    return rc;
}

static int run(const struct arguments *args, struct error *err)
{
    struct training t = { .args = args, .l = { .args = args }, .method = &training_likelihood, .lr = LR,
        .weight_decay = WEIGHT_DECAY };
    if (args->n_words == 0)
        return error_set(err, ERROR_USAGE, "data are missing: wazn train --config FILE --tokenizer FILE -o FOLDER "
            "TEXT..., or -m MODEL");
    interrupt_catch();
    int rc = training_folder(&t, err);
    if (rc == 0)
        rc = open_model(&t, err);
    if (rc == 0)
        rc = read_data(&t, err);
    if (rc == 0)
        rc = training_run(&t, err);
    training_close(&t);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_config, OPT_tokenizer, OPT_output, OPT_steps, OPT_epochs,
    OPT_batch_tokens, OPT_pass_tokens, OPT_length, OPT_optimizer, OPT_lr, OPT_min_lr, OPT_schedule, OPT_warmup,
    OPT_weight_decay, OPT_decay_embeddings, OPT_beta1, OPT_beta2, OPT_eps, OPT_momentum, OPT_clip, OPT_precision,
    OPT_recompute, OPT_validation, OPT_validate_every, OPT_checkpoint_every, OPT_keep_checkpoints, OPT_sample_every,
    OPT_sample_prompt, OPT_separator, OPT_resume, OPT_seed, OPT_threads, OPT_cpu, OPT_force, OPT_json, OPT_quiet,
    OPT_COUNT };

static const char *const examples[] = {
    "wazn train --config tiny.json --tokenizer tokenizer.json -o runs/tiny books/",
    "one pass over all .txt, .jsonl, .gz and .zst files of a folder",
    "wazn train --config tiny.json --tokenizer tokenizer.json -o runs/tiny --steps 2000 --lr 1e-3 books.txt.zst",
    "2000 steps; Ctrl-C stops behind the step that runs and keeps it",
    "wazn train -o runs/tiny --steps 2000 --lr 1e-3 --resume books.txt.zst", "go on, with the same options",
    "wazn train -m MODEL -o runs/more --lr 2e-5 papers/", "a model that is there reads on",
    "wazn run -m runs/tiny/model --raw \"Once upon a time\"", "use what has been learned", NULL };

const struct command command_train = {
    .name = "train",
    .summary = "train a model on text, from scratch or further",
    .usage = "--config FILE --tokenizer FILE -o FOLDER TEXT... | -m MODEL -o FOLDER TEXT...",
    .about = "All weights learn. With --config a new model begins (in the folder start), with -m one that is there "
             "goes on, at a lower --lr. The output folder gets a log (log.jsonl), its curves (report.html), "
             "checkpoints, and at the end the model, as a folder that wazn and transformers open.",
    .takes_words = true,
    .takes = takes,
    .examples = examples,
    .run = run,
};
