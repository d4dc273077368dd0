/* SPDX-License-Identifier: Apache-2.0 */
/* wazn tokenizer train: a vocabulary learned from text. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/training.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/fileout.h"
#include "text/bpe_train.h"
#include "text/save.h"
#include "train/corpus.h"

#include <stdlib.h>
#include <string.h>

#define VOCABULARY 32000
#define FREQUENCY_MIN 2
#define LONGEST 10 /* tokens that the summary shows */

struct learning {
    const struct arguments *args;
    struct corpus *corpus;
    struct bpe_training *training;
    struct tokenizer *tokenizer;
    struct bpe_training_report report;
    struct progress progress;
    struct file_out folder; /* made before anything is learned */
    double begun;
    struct token_view {
        int32_t id;
        size_t n;
    } longest[LONGEST];
    int n_longest;
};

/* Also asks whether to go on. */
static bool show(void *context, uint64_t done, uint64_t total)
{
    struct learning *l = context;
    progress_update(&l->progress, done, total);
    return !interrupt_seen();
}

/* One character is how a byte is spelled in the vocabulary: text could not be written without it. */
static int check_specials(const struct arguments *args, struct error *err)
{
    for (int i = 0; i < args->n_list; i++)
        if (args->list[i][0] && !args->list[i][1])
            return error_set(err, ERROR_USAGE, "special token \"%s\" is a single byte, which text needs",
                args->list[i]);
    return 0;
}

static int open_all(struct learning *l, struct error *err)
{
    const struct arguments *args = l->args;
    const struct option_value *at = args->at;
    char *separator = at[OPT_separator].set ? training_text_new(at[OPT_separator].text) : NULL;
    const struct corpus_options corpus = { .separator = separator, .progress = show, .context = l };
    const struct bpe_training_options training = {
        .pattern = at[OPT_pattern].set ? at[OPT_pattern].text : "gpt2", .digits_apart = at[OPT_digits].set,
        .space = at[OPT_prefix_space].set,
        .vocabulary = at[OPT_vocabulary].set ? (int32_t)at[OPT_vocabulary].whole : VOCABULARY,
        .frequency_min = at[OPT_min_frequency].set ? (uint64_t)at[OPT_min_frequency].whole : FREQUENCY_MIN,
        .length_limit = at[OPT_token_length].set ? (size_t)at[OPT_token_length].whole : 0, .specials = args->list,
        .n_specials = (size_t)args->n_list, .threads = at[OPT_threads].set ? (int)at[OPT_threads].whole : cpu_cores(),
        .memory_max = cpu_memory_available(), .progress = show, .context = l };
    int rc = at[OPT_separator].set && !separator ? error_memory(err, 0, "a separator") : check_specials(args, err);
    if (rc == 0)
        rc = bpe_training_open(&l->training, &training, err);
    if (rc == 0)
        rc = folder_out_open(&l->folder, at[OPT_output].text, err);
    if (rc == 0)
        rc = corpus_open(&l->corpus, args->words + 1, args->n_words - 1, &corpus, err);
    free(separator);
    return rc;
}

static int read_all(struct learning *l, struct error *err)
{
    struct document d;
    int rc;
    progress_begin(&l->progress, "reading and counting", NULL, l->args->at[OPT_quiet].set);
    while ((rc = corpus_next(l->corpus, &d, err)) == 1) {
        rc = bpe_training_add(l->training, d.text, d.n, err);
        if (rc == 0 && interrupt_seen())
            rc = error_set(err, ERROR_CANCELLED, "stopped while reading %s", d.file);
        if (rc)
            break;
    }
    progress_end(&l->progress);
    return rc;
}

static int merge(struct learning *l, struct error *err)
{
    progress_begin(&l->progress, "merging", "tokens", l->args->at[OPT_quiet].set);
    int rc = bpe_training_finish(&l->tokenizer, &l->report, l->training, err);
    progress_end(&l->progress);
    return rc;
}

/* Written beside its place and opened again: it appears whole, and says what was learned. */
static int save(struct learning *l, struct error *err)
{
    struct tokenizer *again = NULL;
    int rc = tokenizer_save_folder(l->tokenizer, l->folder.beside, NULL, err);
    if (rc == 0)
        rc = tokenizer_open(&again, l->folder.beside, NULL, err);
    if (rc == 0)
        rc = tokenizer_same(l->tokenizer, again, err);
    if (rc == 0 && interrupt_seen())
        rc = error_set(err, ERROR_CANCELLED, "stopped before \"%s\" was written", l->folder.path);
    tokenizer_close(again);
    return rc ? rc : folder_out_commit(&l->folder, err);
}

/* The longest first, of equals the one that was learned first. */
static void find_longest(struct learning *l)
{
    for (int32_t id = 0; id < tokenizer_size(l->tokenizer); id++) {
        size_t n;
        int at = l->n_longest;
        tokenizer_piece(l->tokenizer, id, &n);
        if (tokenizer_kind(l->tokenizer, id) == TOKEN_CONTROL)
            continue;
        while (at > 0 && l->longest[at - 1].n < n)
            at--;
        if (at == LONGEST)
            continue;
        l->n_longest += l->n_longest < LONGEST;
        memmove(&l->longest[at + 1], &l->longest[at], (size_t)(l->n_longest - at - 1) * sizeof l->longest[0]);
        l->longest[at] = (struct token_view) { id, n };
    }
}

static double bytes_per_token(const struct learning *l)
{
    return l->report.tokens ? (double)l->report.bytes / (double)l->report.tokens : 0;
}

static void report_text(const struct learning *l)
{
    const struct bpe_training_report *r = &l->report;
    struct buffer line = { 0 };
    char bytes[32];
    fprintf(stderr, "wazn: %s: %d tokens, %d merges, from %llu texts of %s with %llu different words; %.3f bytes per "
        "token of them; %.2f s\n", l->args->at[OPT_output].text, (int)tokenizer_size(l->tokenizer), (int)r->merges,
        (unsigned long long)r->texts, terminal_bytes(bytes, r->bytes), (unsigned long long)r->words,
        bytes_per_token(l), clock_seconds() - l->begun);
    for (int i = 0; i < l->n_longest; i++) {
        size_t n;
        const char *piece = tokenizer_piece(l->tokenizer, l->longest[i].id, &n);
        buffer_add_text(&line, i ? ", \"" : "\"");
        terminal_clean(&line, piece, n);
        buffer_add_text(&line, "\"");
    }
    fprintf(stderr, "wazn: longest tokens: %s\n", line.data ? line.data : "none");
    buffer_release(&line);
}

static json_t *report_json(const struct learning *l)
{
    const struct bpe_training_report *r = &l->report;
    json_t *longest = json_array();
    for (int i = 0; i < l->n_longest; i++) {
        size_t n;
        const char *piece = tokenizer_piece(l->tokenizer, l->longest[i].id, &n);
        json_array_append_new(longest, json_pack("{s:i, s:o}", "id", (int)l->longest[i].id, "text",
            json_string_new(piece, n)));
    }
    const char *path = l->args->at[OPT_output].text;
    return json_pack("{s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:o}", "folder",
        json_string_new(path, strlen(path)), "vocabulary", (int)tokenizer_size(l->tokenizer), "merges",
        (int)r->merges, "texts", (json_int_t)r->texts,
        "bytes", (json_int_t)r->bytes, "words", (json_int_t)r->words, "tokens", (json_int_t)r->tokens,
        "bytes_per_token", bytes_per_token(l), "seconds", clock_seconds() - l->begun, "longest", longest);
}

static int check_words(const struct arguments *args, struct error *err)
{
    if (args->n_words == 0 || strcmp(args->words[0], "train") != 0)
        return error_set(err, ERROR_USAGE, "wazn tokenizer %s: there is train: wazn tokenizer train FILE... -o FOLDER",
            args->n_words ? args->words[0] : "needs to know what to do");
    if (args->n_words == 1)
        return error_set(err, ERROR_USAGE, "a text is missing: wazn tokenizer train FILE... -o FOLDER");
    if (!args->at[OPT_output].set)
        return error_set(err, ERROR_USAGE, "an output is missing: wazn tokenizer train FILE... -o FOLDER");
    return 0;
}

static int run(const struct arguments *args, struct error *err)
{
    struct learning l = { .args = args, .folder = { .fd = -1 }, .begun = clock_seconds() };
    int rc = check_words(args, err);
    interrupt_catch();
    if (rc == 0)
        rc = open_all(&l, err);
    if (rc == 0)
        rc = read_all(&l, err);
    if (rc == 0)
        rc = merge(&l, err);
    if (rc == 0)
        rc = save(&l, err);
    if (rc == 0)
        find_longest(&l);
    if (rc == 0 && !args->at[OPT_quiet].set)
        report_text(&l);
    if (rc == 0 && args->at[OPT_json].set)
        rc = json_print(report_json(&l), err);
    folder_out_abort(&l.folder);
    corpus_close(l.corpus);
    bpe_training_close(l.training);
    tokenizer_close(l.tokenizer);
    return rc;
}

static const enum option_id takes[] = { OPT_vocabulary, OPT_pattern, OPT_digits, OPT_prefix_space, OPT_min_frequency,
    OPT_token_length, OPT_special_token, OPT_separator, OPT_threads, OPT_output, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = {
    "wazn tokenizer train books/ --special-token \"<|endoftext|>\" -o tokenizer", "32000 tokens from a folder of texts",
    "wazn tokenizer train a.jsonl.zst b.txt.gz --vocabulary 8192 --pattern llama3 -o tokenizer",
    "small, cut as Llama 3 cuts; of .jsonl the member \"text\" is read", NULL };

const struct command command_tokenizer = {
    .name = "tokenizer",
    .summary = "learn a vocabulary from text",
    .usage = "train FILE... [--vocabulary N] [--pattern NAME] [--special-token TEXT]... -o FOLDER",
    .about = "Byte-level BPE with the merges that Hugging Face tokenizers gives for the same texts. FILE: .txt, .jsonl "
             "or .json, each also packed as .gz or .zst, or a folder of such; they are UTF-8, others are refused. The "
             "output is a folder with tokenizer.json and tokenizer_config.json.",
    .takes_words = true,
    .takes = takes,
    .examples = examples,
    .run = run,
};
