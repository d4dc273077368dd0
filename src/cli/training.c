/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/training_impl.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/filemap.h"
#include "base/fileout.h"
#include "cli/input.h"
#include "cli/terminal.h"
#include "kernel/kernel.h"
#include "model/arch.h"
#include "publish/publish.h"
#include "train/history.h"
#include "train/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LENGTH 512
#define LOGITS_BYTES ((int64_t)64 << 20) /* of logits held at a time, with their gradients */

double training_real(const struct training *t, enum option_id id, double absent)
{
    return t->args->at[id].set ? t->args->at[id].real : absent;
}

uint64_t training_whole(const struct training *t, enum option_id id, uint64_t absent)
{
    return t->args->at[id].set ? (uint64_t)t->args->at[id].whole : absent;
}

bool training_chosen(const struct training *t, enum option_id id, const char *word)
{
    return t->args->at[id].set && strcmp(t->args->at[id].text, word) == 0;
}

char *training_text_new(const char *text)
{
    char *out = malloc(strlen(text) + 1), *at = out;
    for (; out && *text; text++) {
        bool escaped = text[0] == '\\' && (text[1] == 'n' || text[1] == 't');
        *at++ = !escaped ? *text : text[1] == 'n' ? '\n' : '\t';
        text += escaped;
    }
    if (out)
        *at = '\0';
    return out;
}

int training_path(char out[TRAINING_PATH], const struct training *t, const char *name, struct error *err)
{
    int n = snprintf(out, TRAINING_PATH, "%s/%s", t->folder, name);
    return n > 0 && n < TRAINING_PATH ? 0
        : error_set(err, ERROR_LIMIT, "the path \"%.100s...\" is too long", t->folder);
}

int training_folder(struct training *t, struct error *err)
{
    char path[TRAINING_PATH];
    if (!t->args->at[OPT_output].set)
        return error_set(err, ERROR_USAGE, "a folder for the run is missing: -o FOLDER");
    t->folder = t->args->at[OPT_output].text;
    if (mkdir(t->folder, 0777) != 0 && errno != EEXIST)
        return error_errno(err, errno, "could not make the folder \"%s\"", t->folder);
    int rc = training_path(path, t, "log.jsonl", err);
    if (rc == 0 && file_exists(path) && !t->args->at[OPT_resume].set)
        rc = error_set(err, ERROR_USAGE, "\"%s\" holds a run: --resume goes on with it, or name another folder",
            t->folder);
    return rc;
}

int training_length(const struct training *t)
{
    const struct spec *s = t->l.model ? model_spec(t->l.model) : NULL;
    int most = s && s->context < LENGTH ? s->context : LENGTH;
    return (int)training_whole(t, OPT_length, (uint64_t)most);
}

void training_sizes(struct training *t)
{
    const struct dataset_size *size = dataset_size(t->data);
    int held = t->held_out ? dataset_size(t->held_out)->longest : 0;
    t->longest = size->longest > held ? size->longest : held;
    t->samples = size->samples;
}

/* ---- options ---- */

static int at_most(int64_t a, int64_t b)
{
    return (int)(a < b ? a : b);
}

static int set_pass(struct training *t, struct error *err)
{
    t->narrow = t->args->at[OPT_precision].set ? training_chosen(t, OPT_precision, "bf16")
                                               : (kernels.features & CPU_AVX512_BF16) != 0;
    uint64_t pass = training_whole(t, OPT_pass_tokens, (uint64_t)t->longest);
    uint64_t batch = training_whole(t, OPT_batch_tokens, 4 * pass);
    if (pass < (uint64_t)t->longest)
        return error_set(err, ERROR_USAGE, "--pass-tokens %llu is less than the longest sample's %d tokens",
            (unsigned long long)pass, t->longest);
    if (batch < pass)
        return error_set(err, ERROR_USAGE, "--batch-tokens %llu is less than the %llu tokens of one pass "
            "(--pass-tokens, or the longest sample)", (unsigned long long)batch, (unsigned long long)pass);
    int texts = at_most((int64_t)(pass + 1) / 2, (int64_t)t->samples);
    t->packing = (struct packing_options) { .tokens_max = (int)pass, .texts_max = texts,
        .passes = (int)((batch + pass / 2) / pass), .seed = training_whole(t, OPT_seed, 0), .shuffle = true };
    int64_t logits = LOGITS_BYTES / (2 * (int64_t)sizeof(float) * model_spec(t->l.model)->vocabulary);
    t->pass_options = (struct train_options) { .tokens_max = (int)pass, .texts_max = texts,
        .logits_max = at_most((int64_t)pass, logits < 16 ? 16 : logits),
        .threads = (int)training_whole(t, OPT_threads, (uint64_t)cpu_cores()),
        .checkpoint = t->args->at[OPT_recompute].set, .adapter = t->adapter };
    return 0;
}

static uint64_t count_steps(struct training *t)
{
    double epochs = training_real(t, OPT_epochs, 1);
    uint64_t steps = 0;
    for (uint64_t e = 0; e < (uint64_t)epochs; e++)
        steps += t->method->steps(t, e);
    steps += (uint64_t)llround((epochs - floor(epochs)) * (double)t->method->steps(t, (uint64_t)epochs));
    return steps ? steps : 1;
}

static void set_schedule(struct training *t, uint64_t steps)
{
    double lr = training_real(t, OPT_lr, t->lr);
    enum schedule_kind kind = SCHEDULE_COSINE;
    for (int k = 0; k < SCHEDULE_COUNT; k++)
        if (training_chosen(t, OPT_schedule, schedule_name((enum schedule_kind)k)))
            kind = (enum schedule_kind)k;
    t->options.schedule = (struct schedule) { .kind = kind, .lr = lr, .lr_min = training_real(t, OPT_min_lr, lr / 10),
        .warmup = training_whole(t, OPT_warmup, steps / 10 < 100 ? steps / 10 : 100), .decay = (steps + 4) / 5,
        .steps = steps };
}

static int set_options(struct training *t, struct error *err)
{
    if (t->args->at[OPT_steps].set && t->args->at[OPT_epochs].set)
        return error_set(err, ERROR_USAGE, "--steps and --epochs both say how long to train: give one");
    uint64_t steps = t->args->at[OPT_steps].set ? training_whole(t, OPT_steps, 0) : count_steps(t);
    uint64_t tenth = steps / 10 ? steps / 10 : 1;
    set_schedule(t, steps);
    const struct schedule *s = &t->options.schedule;
    if (s->lr_min > s->lr)
        return error_set(err, ERROR_USAGE, "--min-lr %g is above --lr %g", s->lr_min, s->lr);
    if (s->warmup >= steps && steps > 1)
        return error_set(err, ERROR_USAGE, "--warmup %llu leaves nothing of %llu steps", (unsigned long long)s->warmup,
            (unsigned long long)steps);
    t->options.optimizer = (struct optimizer_options) {
        .kind = training_chosen(t, OPT_optimizer, "muon") ? OPTIMIZER_MUON : OPTIMIZER_ADAMW,
        .beta1 = training_real(t, OPT_beta1, 0.9), .beta2 = training_real(t, OPT_beta2, 0.95),
        .eps = training_real(t, OPT_eps, 1e-8), .momentum = training_real(t, OPT_momentum, 0.95),
        .weight_decay = training_real(t, OPT_weight_decay, t->weight_decay),
        .decay_tables = t->args->at[OPT_decay_embeddings].set };
    t->options.clip = training_real(t, OPT_clip, 1);
    t->options.explosion = t->method->explosion;
    t->options.threads = t->pass_options.threads;
    t->options.validate_every = training_whole(t, OPT_validate_every, tenth);
    t->options.checkpoint_every = training_whole(t, OPT_checkpoint_every, tenth);
    t->options.keep = (int)training_whole(t, OPT_keep_checkpoints, 2);
    t->sample_every = training_whole(t, OPT_sample_every, tenth);
    return 0;
}

int training_identify(struct training *t, const char *key, const struct dataset *d, struct error *err)
{
    char text[2 * DATASET_DIGEST + 1];
    for (int i = 0; i < DATASET_DIGEST; i++)
        snprintf(text + 2 * i, 3, "%02x", dataset_digest(d)[i]);
    return json_object_set_new(t->identity, key, json_string(text)) == 0 ? 0
        : error_memory(err, 0, "the description of a run");
}

/* Everything that a step depends on. */
static int fill_identity(struct training *t, struct error *err)
{
    const struct trainer_options *o = &t->options;
    const struct optimizer_options *p = &o->optimizer;
    json_t *settings = json_pack(
        "{s:I, s:s, s:f, s:f, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:i, s:i, s:I, s:s}", "steps",
        (json_int_t)o->schedule.steps, "schedule", schedule_name(o->schedule.kind), "lr", o->schedule.lr,
        "min_lr", o->schedule.lr_min, "warmup", (json_int_t)o->schedule.warmup, "optimizer",
        p->kind == OPTIMIZER_MUON ? "muon" : "adamw", "weight_decay", p->weight_decay, "beta1", p->beta1, "beta2",
        p->beta2, "eps", p->eps, "momentum", p->momentum, "decay_embeddings", p->decay_tables, "clip", o->clip,
        "pass_tokens", t->packing.tokens_max, "passes", t->packing.passes, "seed", (json_int_t)t->packing.seed,
        "precision", t->narrow ? "bf16" : "f32");
    if (!settings || json_object_update(t->identity, settings) != 0) {
        json_decref(settings);
        return error_memory(err, 0, "the description of a run");
    }
    json_decref(settings);
    t->options.identity = t->identity;
    t->options.folder = t->folder;
    return 0;
}

/* ---- memory ---- */

static void show_plan(const struct training *t, uint64_t pass, uint64_t optimizer)
{
    char a[32], b[32], c[32], d[32], e[32], f[32];
    struct model_size size;
    uint64_t learning = 0, available = cpu_memory_available();
    struct parameter *list = calloc(train_pass_parameters(t->pass, NULL) + 1, sizeof *list);
    size_t n = list ? train_pass_parameters(t->pass, list) : 0;
    for (size_t i = 0; i < n; i++)
        learning += parameter_count(&list[i]) * sizeof(float);
    free(list);
    model_measure(t->l.model, &size);
    fprintf(stderr, "wazn: memory: weights %s (mapped) + %s (in memory), gradients %s, optimizer %s, activations and "
        "logits %s; %s available\n", terminal_bytes(a, size.mapped_bytes), terminal_bytes(b, size.copied_bytes),
        terminal_bytes(c, learning), terminal_bytes(d, optimizer), terminal_bytes(e, pass - learning),
        available ? terminal_bytes(f, available) : "an unknown amount");
}

static int check_memory(const struct training *t, uint64_t more, struct error *err)
{
    char a[32], b[32];
    uint64_t available = cpu_memory_available();
    if (available == 0 || more <= available || t->args->at[OPT_force].set)
        return 0;
    return error_set(err, ERROR_LIMIT, "the run takes %s more and %s is available: fewer --pass-tokens or --recompute "
        "take less, --force goes on", terminal_bytes(a, more), terminal_bytes(b, available));
}

static int open_trainer(struct training *t, struct error *err)
{
    const struct trainer_watch watch = training_watch(t);
    uint64_t pass = train_pass_bytes(t->l.model, &t->pass_options);
    int rc = train_pass_open(&t->pass, t->l.model, &t->pass_options, err);
    if (rc)
        return rc;
    uint64_t optimizer = trainer_bytes(t->pass, &t->options);
    if (!t->args->at[OPT_quiet].set)
        show_plan(t, pass, optimizer);
    rc = check_memory(t, pass + optimizer, err);
    if (rc == 0)
        rc = trainer_open(&t->trainer, t->pass, &t->objective, &t->options, &watch, err);
    return rc;
}

/* ---- the run ---- */

static int publish_model(void *context, const char *folder, struct error *err)
{
    struct training *t = context;
    struct publish_options o = { .path = folder, .threads = t->options.threads };
    struct publish_report report;
    return publish(&report, t->l.source, t->l.model, t->l.tokenizer, &o, err);
}

static int save_adapter(void *context, const char *folder, struct error *err)
{
    const struct training *t = context;
    return adapter_save(t->adapter, folder, source_path(t->l.source), err);
}

/* Seconds and tokens of the steps that were made before. */
static int read_past(struct training *t, const char *path, uint64_t step, struct error *err)
{
    struct history h;
    if (step == 0 || !file_exists(path))
        return 0;
    int rc = history_read(&h, path, err);
    const struct series *seconds = rc ? NULL : history_find(&h, "seconds", false);
    const struct series *tokens = rc ? NULL : history_find(&h, "tokens", false);
    for (size_t i = 0; seconds && i < seconds->n && seconds->step[i] <= (double)step; i++)
        t->before = seconds->value[i];
    for (size_t i = 0; tokens && i < tokens->n && tokens->step[i] <= (double)step; i++)
        t->tokens = (int64_t)tokens->value[i];
    if (rc == 0)
        history_release(&h);
    return rc;
}

static json_t *run_line_new(const struct training *t)
{
    struct model_size size;
    model_measure(t->l.model, &size);
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "type", "run", "name", t->folder, "model",
        model_spec(t->l.model)->arch->name, "objective", t->method->name, "parameters", (json_int_t)size.parameters,
        "samples", (json_int_t)t->samples);
    if (line && t->data)
        json_object_set_new(line, "tokens", json_integer((json_int_t)dataset_size(t->data)->tokens));
    if (line && t->data)
        json_object_set_new(line, "tokens_learned", json_integer((json_int_t)dataset_size(t->data)->counted));
    if (line)
        json_object_set(line, "options", t->identity);
    return line;
}

static int begin(struct training *t, struct error *err)
{
    char path[TRAINING_PATH];
    uint64_t step = 0;
    int rc = training_path(path, t, "log.jsonl", err);
    if (rc == 0 && t->args->at[OPT_resume].set)
        rc = trainer_resume(t->trainer, &step, err);
    if (rc == 0)
        rc = read_past(t, path, step, err);
    if (rc == 0)
        rc = train_log_open(&t->log, path, run_line_new(t), step, err);
    if (rc == 0 && step > 0 && !t->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: going on behind step %llu of %llu\n", (unsigned long long)step,
            (unsigned long long)t->options.schedule.steps);
    return rc;
}

/* what: "model" or "adapter". */
static int print_result(const struct training *t, const char *what, const char *path, struct error *err)
{
    json_t *o = json_pack("{s:o, s:o, s:I, s:I, s:f}", "folder", json_string_new(t->folder, strlen(t->folder)), what,
        json_string_new(path, strlen(path)), "steps", (json_int_t)t->options.schedule.steps, "tokens",
        (json_int_t)t->tokens, "seconds", t->before + clock_seconds() - t->begun);
    if (o && isfinite(t->last)) /* a run that had ended before has none */
        json_object_set_new(o, "loss", json_real(t->last));
    if (o && isfinite(t->validated))
        json_object_set_new(o, "validation_loss", json_real(t->validated));
    return json_print(o, err);
}

/* Under its final name. One of an earlier, shorter try is replaced. */
static int finish(struct training *t, struct error *err)
{
    char path[TRAINING_PATH];
    const char *what = t->adapter ? "adapter" : "model";
    int rc = training_path(path, t, what, err);
    if (rc == 0)
        rc = folder_remove(path, err);
    if (rc == 0)
        rc = t->options.save(t, path, err);
    if (rc == 0 && !t->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: the %s is in %s, the curves are in %s/report.html\n", what, path, t->folder);
    return rc || !t->args->at[OPT_json].set ? rc : print_result(t, what, path, err);
}

static int run(struct training *t, struct error *err)
{
    struct error why = { 0 };
    int rc = begin(t, err);
    if (rc)
        return rc;
    t->begun = t->drawn = clock_seconds();
    t->last = t->validated = NAN;
    progress_begin(&t->progress, t->label, "steps", t->args->at[OPT_quiet].set);
    rc = trainer_run(t->trainer, &why);
    progress_end(&t->progress);
    const char *reason = rc == 0 ? "The run has ended" : rc == ERROR_CANCELLED ? "Stopped by hand" : why.text;
    int rc_log = train_log_line(t->log, json_pack("{s:s, s:s}", "type", "end", "reason", reason), NULL);
    training_report(t);
    if (rc == ERROR_CANCELLED)
        return error_set(err, rc, "%s; the same command with --resume goes on", why.text);
    if (rc)
        return error_set(err, rc, "%s", why.text);
    return rc_log ? rc_log : finish(t, err);
}

int training_run(struct training *t, struct error *err)
{
    t->options.save = t->adapter ? save_adapter : publish_model;
    t->options.save_context = t;
    int rc = set_pass(t, err);
    if (rc == 0 && !t->adapter)
        rc = model_own(t->l.model, t->narrow ? &format_bf16 : &format_f32, NULL, err);
    if (rc == 0)
        rc = t->method->open(t, err);
    if (rc == 0)
        rc = set_options(t, err);
    if (rc == 0)
        rc = fill_identity(t, err);
    if (rc == 0)
        rc = open_trainer(t, err);
    return rc ? rc : run(t, err);
}

void training_close(struct training *t)
{
    train_log_close(t->log);
    trainer_close(t->trainer);
    train_pass_close(t->pass);
    adapter_close(t->adapter);
    packing_close(t->likelihood.packing);
    packing_close(t->likelihood.held_out);
    pairs_close(t->pairs);
    policy_close(t->policy);
    reward_close(t->reward);
    prompts_release(&t->prompts);
    dataset_close(t->data);
    dataset_close(t->held_out);
    json_decref(t->identity);
    loaded_close(&t->l);
}
