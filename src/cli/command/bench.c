/* SPDX-License-Identifier: Apache-2.0 */
/* wazn bench: how fast a model runs here, beside what the machine could do at best. Each round measures the machine
 * just before it measures the model, since both move with the clock and with what else runs. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include "backend/peak.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/random.h"
#include "infer/batch.h"
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT_USUAL 512
#define GENERATED_USUAL 128
#define BATCH_USUAL 16
#define ROUNDS_USUAL 3
#define ROUNDS_MAX 1000

enum series { PREFILL, DECODE, BATCH_DECODE, BANDWIDTH, BANDWIDTH_SHARE, PEAK, PEAK_SHARE, SERIES_COUNT };

struct bench {
    struct loaded l;
    struct session_watch watch;
    struct batch *batch;
    int prompt, generated, depth, sequences, steps, rounds;
    int32_t *ids; /* random tokens, as many as any measurement takes */
    int64_t vocabulary;
    struct model_size size;
    double bytes_per_token; /* what generating one reads: weights, and keys and values at the depth */
    uint64_t peak_rss;
    uint64_t done, total; /* tokens, for the progress */
    int round;            /* -1: warming up */
    double at[SERIES_COUNT][ROUNDS_MAX]; /* a value a round */
};

struct summary {
    double median, best, spread; /* spread: from the least to the most, as a share of the median */
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct summary summarize(const struct bench *b, enum series which)
{
    double sorted[ROUNDS_MAX];
    const int n = b->rounds;
    memcpy(sorted, b->at[which], (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    return (struct summary) { median, sorted[n - 1], median > 0 ? (sorted[n - 1] - sorted[0]) / median : 0 };
}

/* ---- measuring ---- */

static int is_stopped(const struct bench *b, struct error *err)
{
    return b->watch.cancelled(b->watch.context) ? error_set(err, ERROR_CANCELLED, "stopped while measuring") : 0;
}

static void advance(struct bench *b, int tokens)
{
    b->done += (uint64_t)tokens;
    progress_update(&b->l.progress, b->done, b->total);
}

static void note(struct bench *b, enum series which, double value)
{
    if (b->round >= 0)
        b->at[which][b->round] = value;
}

/* Of a prompt's token at best: its products with the layers' matrices, each in its unit. */
static int least_seconds_of_token(double *seconds, const struct bench *b, struct error *err)
{
    int rc = 0;
    *seconds = 0;
    for (int i = 0; rc == 0 && i < FORMAT_COUNT; i++) {
        double peak = 1;
        if (b->size.layer_active[i] == 0)
            continue;
        rc = peak_products(&peak, formats[i], b->l.session_options.threads, err);
        *seconds += (double)b->size.layer_active[i] / peak;
    }
    return rc;
}

static int measure_prefill(struct bench *b, struct error *err)
{
    double best = 1;
    int rc = b->round >= 0 ? least_seconds_of_token(&best, b, err) : 0;
    if (rc)
        return rc;
    b->ids[0] = (int32_t)((b->ids[0] + 1) % b->vocabulary); /* nothing of the cache can be used again */
    double begun = clock_seconds();
    rc = session_sync(b->l.session, b->ids, (size_t)b->prompt, &b->watch, err);
    double seconds = clock_seconds() - begun;
    note(b, PREFILL, b->prompt / seconds);
    note(b, PEAK, 1 / best);
    note(b, PEAK_SHARE, best * b->prompt / seconds);
    advance(b, b->prompt);
    return rc;
}

static int measure_decode(struct bench *b, struct error *err)
{
    const int n = b->round >= 0 ? b->generated : 1, before = b->depth ? b->depth : 1;
    double bandwidth = 1, seconds = 0;
    int rc = session_sync(b->l.session, b->ids, (size_t)before, &b->watch, err);
    if (b->round < 0)
        advance(b, b->depth);
    if (rc == 0 && b->round >= 0)
        rc = peak_read(&bandwidth, b->l.session_options.threads, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        double begun = clock_seconds();
        rc = session_push(b->l.session, b->ids[before + i], err);
        seconds += clock_seconds() - begun;
        advance(b, 1);
        if (rc == 0)
            rc = is_stopped(b, err);
    }
    if (b->round < 0) /* everything was used by now, and the probe's own memory was not */
        b->peak_rss = cpu_peak_rss();
    note(b, DECODE, n / seconds);
    note(b, BANDWIDTH, bandwidth);
    note(b, BANDWIDTH_SHARE, n * b->bytes_per_token / seconds / bandwidth);
    return rc;
}

static int measure_batch(struct bench *b, struct error *err)
{
    const int n = b->round >= 0 ? b->steps : 1;
    double seconds = 0;
    int rc = 0;
    batch_clear(b->batch);
    for (int i = 0; rc == 0 && i < n; i++) {
        double begun = clock_seconds();
        rc = batch_push(b->batch, b->ids + i % 8, err); /* other tokens each step, so that other experts are chosen */
        seconds += clock_seconds() - begun;
        advance(b, b->sequences);
        if (rc == 0)
            rc = is_stopped(b, err);
    }
    note(b, BATCH_DECODE, n * b->sequences / seconds);
    return rc;
}

/* A round that is not counted, then those that are. */
static int measure_rounds(struct bench *b, int (*measure_round)(struct bench *b, struct error *err), struct error *err)
{
    int rc = 0;
    for (b->round = -1; rc == 0 && b->round < b->rounds; b->round++)
        rc = measure_round(b, err);
    return rc;
}

/* Decoding comes last: what it finds in the cache stays there from round to round. */
static int measure(struct bench *b, struct error *err)
{
    b->total = (uint64_t)(b->rounds + 1) * (uint64_t)b->prompt + (uint64_t)b->depth + 1 + (uint64_t)b->sequences
        + (uint64_t)b->rounds * (uint64_t)(b->generated + b->steps * b->sequences);
    progress_begin(&b->l.progress, "measuring", "tokens", b->l.args->at[OPT_quiet].set);
    int rc = measure_rounds(b, measure_prefill, err);
    if (rc == 0 && b->batch)
        rc = measure_rounds(b, measure_batch, err);
    if (rc == 0)
        rc = measure_rounds(b, measure_decode, err);
    progress_end(&b->l.progress);
    return rc;
}

/* ---- what to measure ---- */

static int least(long long a, long long b)
{
    return (int)(a < b ? a : b);
}

static int choose_sizes(struct bench *b, struct error *err)
{
    const struct option_value *at = b->l.args->at;
    const int context = model_spec(b->l.model)->context;
    b->vocabulary = model_spec(b->l.model)->vocabulary;
    b->depth = (int)at[OPT_depth].whole;
    b->rounds = at[OPT_rounds].set ? (int)at[OPT_rounds].whole : ROUNDS_USUAL;
    b->prompt = at[OPT_prompt_tokens].set ? (int)at[OPT_prompt_tokens].whole : least(PROMPT_USUAL, context);
    const int before = b->depth ? b->depth : 1;
    b->generated = at[OPT_max_tokens].set ? (int)at[OPT_max_tokens].whole : least(GENERATED_USUAL, context - before);
    if (b->generated < 1 && before < context)
        return error_set(err, ERROR_USAGE, "-n is %d, there must be a token to measure", b->generated);
    if (b->prompt > context || (long long)before + b->generated > context || before >= context)
        return error_set(err, ERROR_USAGE,
            "prompts of %d tokens and %d generated behind %d pass the %d that the model was made for", b->prompt,
            b->generated, before, context);
    b->sequences = at[OPT_batch].set ? (int)at[OPT_batch].whole : BATCH_USUAL;
    b->steps = b->sequences ? (b->generated + b->sequences - 1) / b->sequences : 0;
    return 0;
}

/* Random: the experts that real text chooses are many, too. */
static int make_ids(struct bench *b, struct error *err)
{
    size_t n = (size_t)b->prompt + (size_t)b->depth + 1 + (size_t)b->generated + (size_t)b->sequences + 8;
    struct random r;
    b->ids = malloc(n * sizeof *b->ids);
    if (!b->ids)
        return error_memory(err, n * sizeof *b->ids, "the tokens to measure with");
    random_seed(&r, 1);
    for (size_t i = 0; i < n; i++)
        b->ids[i] = (int32_t)random_below(&r, (uint32_t)b->vocabulary);
    return 0;
}

static void count_bytes(struct bench *b)
{
    double kv = 0;
    for (int i = 0; i < b->generated; i++)
        kv += (double)kv_read_bytes(model_spec(b->l.model), b->l.session_options.kv_format, b->depth + i);
    b->bytes_per_token = (double)b->size.active_bytes + kv / b->generated;
}

static int open_model(struct bench *b, struct error *err)
{
    struct loaded *l = &b->l;
    const int wanted = (b->depth ? b->depth : 1) + b->generated;
    struct batch_options o = { .sequences = b->sequences, .context = b->steps };
    model_measure(l->model, &b->size);
    int rc = loaded_plan(l, b->prompt > wanted ? b->prompt : wanted, 1, 0, err);
    if (rc)
        return rc;
    o.kv_format = l->session_options.kv_format;
    o.threads = l->session_options.threads;
    if (o.sequences > 0)
        rc = loaded_plan(l, l->session_options.context, 1, batch_bytes(l->model, &o), err);
    if (rc == 0)
        rc = loaded_session(l, err);
    if (rc == 0 && o.sequences > 0)
        rc = batch_open(&b->batch, l->model, &o, err);
    count_bytes(b);
    return rc;
}

/* ---- telling ---- */

static json_t *summary_json(const struct bench *b, enum series which)
{
    struct summary s = summarize(b, which);
    return json_pack("{s:f, s:f, s:f}", "median", s.median, "best", s.best, "spread", s.spread);
}

static int print_json(const struct bench *b, struct error *err)
{
    const struct session_options *o = &b->l.session_options;
    char features[64];
    cpu_describe(kernels.features, features, sizeof features);
    const char *path = source_path(b->l.source);
    json_t *out = json_pack("{s:o, s:s, s:i, s:s, s:i, s:i, s:i, s:i, s:i}", "model",
        json_string_new(path, strlen(path)), "processor", features, "threads", o->threads, "kv_format",
        o->kv_format->name, "prompt_tokens", b->prompt, "generated_tokens", b->generated, "depth", b->depth, "batch",
        b->sequences, "rounds", b->rounds);
    json_t *rates = json_pack("{s:f, s:f, s:f, s:f, s:o, s:o}", "prefill_tokens_per_second",
        summarize(b, PREFILL).median, "decode_tokens_per_second", summarize(b, DECODE).median, "read_bandwidth_share",
        summarize(b, BANDWIDTH_SHARE).median, "arithmetic_peak_share", summarize(b, PEAK_SHARE).median, "prefill",
        summary_json(b, PREFILL), "decode", summary_json(b, DECODE));
    if (b->batch)
        json_object_update_new(rates, json_pack("{s:f, s:o}", "batch_decode_tokens_per_second",
            summarize(b, BATCH_DECODE).median, "batch_decode", summary_json(b, BATCH_DECODE)));
    json_t *rest = json_pack("{s:I, s:f, s:f, s:f, s:I, s:I}", "bytes_per_token", (json_int_t)b->bytes_per_token,
        "read_bytes_per_second", summarize(b, BANDWIDTH).median, "peak_prefill_tokens_per_second",
        summarize(b, PEAK).median, "load_seconds", b->l.seconds, "planned_bytes", (json_int_t)b->l.plan.total,
        "peak_rss_bytes", (json_int_t)b->peak_rss);
    json_object_update_new(out, rates);
    json_object_update_new(out, rest);
    return json_print(out, err);
}

static void print_rate(const char *name, struct summary s, const char *share_of, double share)
{
    printf("%-10s %12.2f %12.2f %7.1f%%", name, s.median, s.best, 100 * s.spread);
    if (share_of)
        printf("   %.2f of %s", share, share_of);
    putchar('\n');
}

static void print_text(const struct bench *b)
{
    char planned[32], peak[32], bytes[32], bandwidth[32], least_rate[96], most_read[96];
    snprintf(least_rate, sizeof least_rate, "the arithmetic peak (%.1f tokens/s)", summarize(b, PEAK).median);
    snprintf(most_read, sizeof most_read, "the read bandwidth (%s a token, %s/s)",
        terminal_bytes(bytes, (uint64_t)b->bytes_per_token),
        terminal_bytes(bandwidth, (uint64_t)summarize(b, BANDWIDTH).median));
    printf("%d threads; prompts of %d tokens; %d generated behind %d; %d rounds\n", b->l.session_options.threads,
        b->prompt, b->generated, b->depth, b->rounds);
    printf("%-10s %12s %12s %8s\n", "tokens/s", "median", "best", "spread");
    print_rate("prefill", summarize(b, PREFILL), least_rate, summarize(b, PEAK_SHARE).median);
    print_rate("decode", summarize(b, DECODE), most_read, summarize(b, BANDWIDTH_SHARE).median);
    if (b->batch) {
        char name[32];
        snprintf(name, sizeof name, "batch %d", b->sequences);
        print_rate(name, summarize(b, BATCH_DECODE), NULL, 0);
    }
    printf("memory: planned %s, peak %s; loaded in %.2f s\n", terminal_bytes(planned, b->l.plan.total),
        terminal_bytes(peak, b->peak_rss), b->l.seconds);
}

/* ---- the command ---- */

static void show_pass(void *context, int done, int total)
{
    struct bench *b = context;
    (void)total;
    progress_update(&b->l.progress, b->done + (uint64_t)done, b->total);
}

static int run(const struct arguments *args, struct error *err)
{
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        return error_memory(err, sizeof *b, "the measurements");
    interrupt_catch();
    int rc = loaded_source(&b->l, args, err);
    b->watch = (struct session_watch) { show_pass, b->l.watch.cancelled, b };
    if (rc == 0)
        rc = loaded_model(&b->l, err);
    if (rc == 0)
        rc = choose_sizes(b, err);
    if (rc == 0)
        rc = make_ids(b, err);
    if (rc == 0)
        rc = open_model(b, err);
    if (rc == 0)
        rc = measure(b, err);
    if (rc == 0 && args->at[OPT_json].set)
        rc = print_json(b, err);
    else if (rc == 0)
        print_text(b);
    batch_close(b->batch);
    loaded_close(&b->l);
    free(b->ids);
    free(b);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_prompt_tokens, OPT_max_tokens, OPT_depth,
    OPT_batch, OPT_rounds, OPT_threads, OPT_kv, OPT_cpu, OPT_force, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn bench -m MODEL", "512 tokens read, 128 generated, three times",
    "wazn bench -m MODEL -t 1 --depth 4096", "one thread, behind a long text", "wazn bench -m MODEL -b 64 -r 9 --json",
    "a large batch, more rounds, for scripts", NULL };

const struct command command_bench = {
    .name = "bench",
    .summary = "measure a model's speed against what this machine can do",
    .usage = "-m MODEL [-p N] [-n N] [--depth N] [-b N] [-t N] [-r N] [--json]",
    .about = "prefill: tokens a second of a prompt. decode: of one sequence, -n tokens (128) one after the other. "
             "batch: of several together, -n tokens in all. Medians of the rounds, the best one, and the spread "
             "(slowest to fastest, as a share of the median).\n"
             "Before each round the machine itself is measured: what its threads read from memory, and what they can "
             "multiply. The shares say how near the model comes. Run it where nothing else does.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
