/* SPDX-License-Identifier: Apache-2.0 */
/* wazn tune: a model that is there goes on learning, from conversations and texts. */
#include "base/cpu.h"
#include "cli/command.h"
#include "cli/preview.h"
#include "cli/terminal.h"
#include "cli/training.h"
#include "train/render.h"
#include "train/split.h"

#include <stdlib.h>
#include <string.h>

#define LR_FULL 2e-5
#define LR_LORA 2e-4
#define RANK 16
#define VALIDATION 0.02

static int open_model(struct training *t, struct error *err)
{
    int rc = loaded_source(&t->l, t->args, err);
    if (rc == 0)
        rc = loaded_tokenizer(&t->l, err);
    if (rc == 0 && !t->args->at[OPT_raw].set)
        rc = loaded_format(&t->l, err);
    if (rc == 0)
        rc = loaded_model(&t->l, err);
    if (rc)
        return rc;
    uint64_t bytes, all = 0;
    for (size_t i = 0; i < source_file_count(t->l.source); i++) {
        source_file(t->l.source, i, &bytes);
        all += bytes;
    }
    t->identity = json_pack("{s:s, s:O, s:I}", "command", "tune", "config",
        (json_t *)(uintptr_t)source_config(t->l.source), "base_bytes", (json_int_t)all);
    return t->identity ? 0 : error_memory(err, 0, "the description of a run");
}

/* --method lora: what learns stands beside the weights. */
static int open_adapter(struct training *t, struct error *err)
{
    const struct option_value *at = t->args->at;
    int rank = at[OPT_rank].set ? (int)at[OPT_rank].whole : RANK;
    struct adapter_options o = { .rank = rank, .alpha = at[OPT_alpha].set ? at[OPT_alpha].real : 2.0 * rank,
        .rank_stabilized = at[OPT_rslora].set, .magnitude = at[OPT_dora].set,
        .dropout = at[OPT_dropout].set ? at[OPT_dropout].real : 0,
        .targets = at[OPT_targets].set ? at[OPT_targets].text : "all",
        .seed = at[OPT_seed].set ? (uint64_t)at[OPT_seed].whole : 0 };
    if (training_chosen(t, OPT_method, "full")) {
        t->lr = LR_FULL;
        return 0;
    }
    t->lr = LR_LORA;
    int threads = at[OPT_threads].set ? (int)at[OPT_threads].whole : cpu_cores();
    int rc = adapter_new(&t->adapter, t->l.model, source_config(t->l.source), &o, threads, err);
    if (rc == 0)
        rc = adapter_attach(t->adapter, t->l.model, 1, threads, err);
    json_t *settings = json_pack("{s:i, s:f, s:b, s:b, s:f, s:s}", "rank", o.rank, "alpha", o.alpha, "rslora",
        o.rank_stabilized, "dora", o.magnitude, "dropout", o.dropout, "targets", o.targets);
    if (rc == 0 && (!settings || json_object_update(t->identity, settings) != 0))
        rc = error_memory(err, 0, "the description of a run");
    json_decref(settings);
    return rc;
}

/* ---- data ---- */

static enum example_kind kind_of(const struct training *t)
{
    if (t->method == &training_preference)
        return EXAMPLE_PREFERENCE;
    for (int k = EXAMPLE_AUTO; k < EXAMPLE_KINDS; k++)
        if (training_chosen(t, OPT_data_form, example_kind_name((enum example_kind)k)))
            return (enum example_kind)k;
    return EXAMPLE_AUTO;
}

static struct render_options render_of(const struct training *t)
{
    return (struct render_options) { .format = t->l.format, .tokens_max = training_length(t),
        .last_turn = t->args->at[OPT_last_turn].set, .skip_reasoning = t->args->at[OPT_skip_reasoning].set,
        .too_long = training_chosen(t, OPT_too_long, "cut") ? RENDER_CUT
            : training_chosen(t, OPT_too_long, "fail") ? RENDER_FAIL : RENDER_SKIP };
}

static int render(struct training *t, struct dataset **out, struct render_counts *counts, const char *const *paths,
    size_t n, struct error *err)
{
    struct examples_options o = { .kind = kind_of(t), .progress = training_show_reading, .context = t };
    struct render_options wanted = render_of(t);
    struct examples *e = NULL;
    progress_begin(&t->progress, "reading the data", NULL, t->args->at[OPT_quiet].set);
    int rc = examples_open(&e, paths, n, &o, err);
    if (rc == 0)
        rc = render_dataset(out, counts, e, t->l.tokenizer, &wanted, err);
    progress_end(&t->progress);
    examples_close(e);
    return rc;
}

/* Prompts and what is right, for rewards. */
static int read_prompts(struct training *t, struct render_counts *counts, struct error *err)
{
    struct examples_options o = { .kind = EXAMPLE_PROMPT, .progress = training_show_reading, .context = t };
    struct render_options wanted = render_of(t);
    struct examples *e = NULL;
    progress_begin(&t->progress, "reading the prompts", NULL, t->args->at[OPT_quiet].set);
    int rc = examples_open(&e, t->args->words, t->args->n_words, &o, err);
    if (rc == 0)
        rc = prompts_read(&t->prompts, counts, e, t->l.tokenizer, &wanted, err);
    progress_end(&t->progress);
    examples_close(e);
    int longest = 0;
    for (size_t i = 0; rc == 0 && i < t->prompts.n; i++)
        longest = (int)t->prompts.at[i].ids.used > longest ? (int)t->prompts.at[i].ids.used : longest;
    t->longest = longest + training_answer_tokens(t);
    t->samples = t->prompts.n;
    if (rc == 0 && !t->args->at[OPT_quiet].set)
        fprintf(stderr, "prompts   %zu, longest %d tokens\n", t->prompts.n, longest);
    return rc;
}

/* All data, then held-out ones from a file of their own, or a share of all. */
static int read_data(struct training *t, struct dataset **all, struct render_counts *counts, struct error *err)
{
    const struct option_value *held = &t->args->at[OPT_held_out], *share = &t->args->at[OPT_validation];
    struct render_counts ignored;
    int rc = render(t, all, counts, t->args->words, t->args->n_words, err);
    if (rc || t->args->at[OPT_preview].set)
        return rc;
    if (held->set && share->set)
        return error_set(err, ERROR_USAGE, "--held-out names the data that are measured, --validation takes a share: "
            "give one");
    if (held->set) {
        t->data = *all;
        *all = NULL;
        return render(t, &t->held_out, &ignored, &held->text, 1, err);
    }
    return dataset_split(&t->data, &t->held_out, *all, t->method == &training_preference ? 2 : 1, share->set
        ? share->real : VALIDATION, 0, err);
}

static int show_preview(const struct training *t, const struct dataset *d, struct error *err)
{
    struct buffer text = { 0 };
    int rc = preview_samples(&text, d, t->l.tokenizer, (size_t)t->args->at[OPT_preview].whole,
        terminal_has_styles(stdout), err);
    if (rc == 0)
        rc = buffer_check(&text, "a preview", err);
    if (rc == 0)
        fwrite(text.data, 1, text.used, stdout);
    buffer_release(&text);
    return rc;
}

static int show_sums(const struct training *t, const struct dataset *d, const struct render_counts *counts,
    struct error *err)
{
    struct buffer text = { 0 };
    if (t->args->at[OPT_quiet].set)
        return 0;
    preview_sums(&text, d, counts);
    int rc = buffer_check(&text, "the sums", err);
    if (rc == 0)
        fwrite(text.data, 1, text.used, stderr);
    buffer_release(&text);
    return rc;
}

static int learn_from_rewards(struct training *t, struct error *err)
{
    struct render_counts counts = { 0 };
    if (t->args->at[OPT_preview].set || t->args->at[OPT_held_out].set)
        return error_set(err, ERROR_USAGE,
            "grpo learns from prompts: there are no samples to preview, and --validation takes a share of them");
    int rc = read_prompts(t, &counts, err);
    if (rc == 0)
        rc = open_adapter(t, err);
    return rc ? rc : training_run(t, err);
}

static int learn(struct training *t, struct error *err)
{
    struct dataset *all = NULL;
    struct render_counts counts = { 0 };
    if (t->method == &training_policy)
        return learn_from_rewards(t, err);
    int rc = read_data(t, &all, &counts, err);
    if (rc == 0)
        rc = show_sums(t, all ? all : t->data, &counts, err);
    if (rc == 0 && t->args->at[OPT_preview].set)
        rc = show_preview(t, all, err);
    dataset_close(all);
    if (rc || t->args->at[OPT_preview].set)
        return rc;
    training_sizes(t);
    if (t->method == &training_preference)
        t->longest *= 2; /* both of a pair */
    rc = open_adapter(t, err);
    return rc ? rc : training_run(t, err);
}

static int run(const struct arguments *args, struct error *err)
{
    struct training t = { .args = args, .l = { .args = args }, .method = &training_likelihood };
    if (args->n_words == 0)
        return error_set(err, ERROR_USAGE, "data are missing: wazn tune -m MODEL -o FOLDER DATA...");
    if (training_chosen(&t, OPT_objective, "dpo") || training_chosen(&t, OPT_objective, "orpo"))
        t.method = &training_preference;
    else if (training_chosen(&t, OPT_objective, "grpo"))
        t.method = &training_policy;
    interrupt_catch();
    int rc = args->at[OPT_preview].set ? 0 : training_folder(&t, err);
    if (rc == 0)
        rc = open_model(&t, err);
    if (rc == 0)
        rc = learn(&t, err);
    training_close(&t);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_tokenizer, OPT_chat_format, OPT_raw, OPT_output,
    OPT_objective, OPT_preference_loss, OPT_beta, OPT_label_smoothing, OPT_pairs, OPT_reward, OPT_group,
    OPT_prompts, OPT_max_tokens, OPT_temp, OPT_advantage, OPT_token_mean, OPT_ratio, OPT_epsilon_low,
    OPT_epsilon_high, OPT_drop_equal, OPT_mask_cut, OPT_method,
    OPT_rank, OPT_alpha, OPT_targets, OPT_rslora, OPT_dora, OPT_dropout, OPT_preview,
    OPT_data_form, OPT_length, OPT_too_long, OPT_last_turn, OPT_skip_reasoning, OPT_held_out, OPT_validation,
    OPT_steps, OPT_epochs, OPT_batch_tokens, OPT_pass_tokens, OPT_optimizer, OPT_lr, OPT_min_lr, OPT_schedule,
    OPT_warmup, OPT_weight_decay, OPT_decay_embeddings, OPT_beta1, OPT_beta2, OPT_eps, OPT_momentum, OPT_clip,
    OPT_precision, OPT_recompute, OPT_validate_every, OPT_checkpoint_every, OPT_keep_checkpoints, OPT_sample_every,
    OPT_sample_prompt, OPT_resume, OPT_seed, OPT_threads, OPT_cpu, OPT_force, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn tune -m MODEL --preview 2 chats.jsonl",
    "see two samples, and which of their tokens would be learned",
    "wazn tune -m MODEL -o runs/mine chats.jsonl", "learn what the assistant says in them, in an adapter",
    "wazn chat -m MODEL --adapter runs/mine/adapter", "talk to what came of it",
    "wazn tune -m MODEL -o runs/better --objective dpo pairs.jsonl",
    "prefer the chosen answers: records with chosen and rejected",
    "wazn tune -m MODEL -o runs/right --objective grpo --reward numeric --max-tokens 200 questions.jsonl",
    "learn to be right: records with prompt and answer",
    "wazn tune -m MODEL -o runs/style --method full --raw --epochs 3 texts.jsonl",
    "all weights, as texts go on: records with \"text\"", NULL };

const struct command command_tune = {
    .name = "tune",
    .summary = "train a model further, on conversations and texts",
    .usage = "-m MODEL -o FOLDER DATA...",
    .about = "Data are .jsonl or .json files, packed or not, of conversations (messages; ShareGPT's and Alpaca's forms "
             "too), of prompt and completion, or of text. They are written in the model's own chat format, and what "
             "the assistant says is learned. The output folder gets a log, its curves (report.html), checkpoints, and "
             "at the end the adapter, as PEFT has them, or the model.",
    .takes_words = true,
    .takes = takes,
    .examples = examples,
    .run = run,
};
