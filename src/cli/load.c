/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/filemap.h"
#include "cli/terminal.h"
#include "file/prefetch.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void show_remark(void *context, int level, const char *text)
{
    const struct loaded *l = context;
    if (level >= LOG_WARNING || (level == LOG_INFO && !l->args->at[OPT_quiet].set))
        fprintf(stderr, "wazn: %s\n", text);
}

/* The hub folder of the Hugging Face cache, as its own library finds it. NULL: no home. */
static const char *cache_folder(char *path, size_t size)
{
    const char *hub = getenv("HF_HUB_CACHE"), *root = getenv("HF_HOME"), *home = getenv("HOME");
    if (hub && *hub)
        snprintf(path, size, "%s", hub);
    else if (root && *root)
        snprintf(path, size, "%s/hub", root);
    else if (home && *home)
        snprintf(path, size, "%s/.cache/huggingface/hub", home);
    else
        return NULL;
    return path;
}

static bool is_interrupted(void *context)
{
    (void)context;
    return interrupt_seen();
}

static void show_tokens(void *context, int done, int total)
{
    struct loaded *l = context;
    progress_update(&l->progress, (uint64_t)done, (uint64_t)total);
}

int loaded_source(struct loaded *l, const struct arguments *args, struct error *err)
{
    char cache[4096];
    struct log log = { show_remark, l };
    *l = (struct loaded) { .args = args, .begun = clock_seconds() };
    l->watch = (struct session_watch) { show_tokens, is_interrupted, l };
    if (!args->at[OPT_model].set)
        return error_set(err, ERROR_USAGE, "a model is missing: wazn %s -m MODEL", args->command->name);
    return source_open(&l->source, args->at[OPT_model].text, cache_folder(cache, sizeof cache), &log, err);
}

int loaded_tokenizer(struct loaded *l, struct error *err)
{
    const struct option_value *file = &l->args->at[OPT_tokenizer];
    int rc = file->set ? tokenizer_open(&l->tokenizer, file->text, NULL, err)
                       : tokenizer_open_source(&l->tokenizer, l->source, err);
    malloc_trim(0); /* what parsing needed goes back, so that the plan starts from what stays */
    return rc;
}

int loaded_format(struct loaded *l, struct error *err)
{
    const struct option_value *name = &l->args->at[OPT_chat_format];
    const char *template_text = source_chat_template(l->source);
    if (name->set) {
        struct buffer names = { 0 };
        l->format = chat_format_find(name->text);
        if (l->format)
            return 0;
        chat_format_names(&names);
        int rc = error_set(err, ERROR_USAGE, "there is no chat format \"%s\"; there are %s", name->text,
            names.data ? names.data : "none");
        buffer_release(&names);
        return rc;
    }
    int rc = chat_detect(&l->format, template_text, l->tokenizer, err);
    if (rc == 0 || !template_text) {
        if (rc && err)
            *err = (struct error) { 0 };
        if (rc)
            l->format = NULL;
        return 0;
    }
    error_in(err, "the chat template of %s (--chat-format chooses, --raw goes without)", source_path(l->source));
    return rc;
}

/* FOLDER or FOLDER:SCALE; a folder that is there is no scale. */
static int read_adapter(struct loaded_adapter *a, const char *text, struct error *err)
{
    const char *colon = file_exists(text) ? NULL : strrchr(text, ':');
    char *end = NULL;
    a->scale = colon ? strtod(colon + 1, &end) : 1;
    if (colon && (end == colon + 1 || *end || !isfinite(a->scale)))
        return error_set(err, ERROR_USAGE, "--adapter is \"%s\": there is no such folder, and no number behind the "
            "colon", text);
    int n = snprintf(a->path, sizeof a->path, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
    return n > 0 && (size_t)n < sizeof a->path ? 0 : error_set(err, ERROR_USAGE, "--adapter names no folder");
}

static int open_adapters(struct loaded *l, struct error *err)
{
    const struct option_value *threads = &l->args->at[OPT_threads];
    int rc = 0, n = l->args->n_list;
    if (n == 0)
        return 0;
    l->adapters = calloc((size_t)n, sizeof *l->adapters);
    if (!l->adapters)
        return error_memory(err, (size_t)n * sizeof *l->adapters, "a list of adapters");
    for (int i = 0; rc == 0 && i < n; i++) {
        struct loaded_adapter *a = &l->adapters[l->n_adapters++];
        rc = read_adapter(a, l->args->list[i], err);
        if (rc == 0)
            rc = adapter_open(&a->adapter, l->model, a->path, err);
        if (rc == 0)
            rc = adapter_attach(a->adapter, l->model, a->scale, threads->set ? (int)threads->whole : cpu_cores(), err);
    }
    return rc;
}

int loaded_model(struct loaded *l, struct error *err)
{
    struct log log = { show_remark, l };
    struct model_options o = { &log, l->args->at[OPT_force].set ? 0 : cpu_memory_available() };
    int rc = model_open(&l->model, l->source, &o, err);
    return rc ? rc : open_adapters(l, err);
}

static int read_biases(struct loaded *l, const char *text, struct error *err)
{
    size_t n = 1;
    for (const char *c = text; *c; c++)
        n += *c == ',';
    l->biases = calloc(n, sizeof *l->biases);
    if (!l->biases)
        return error_memory(err, n * sizeof *l->biases, "logit biases");
    l->sampling.biases = l->biases;
    while (*text) {
        char *equals, *end;
        long long id = strtoll(text, &equals, 10);
        double add = *equals == '=' ? strtod(equals + 1, &end) : NAN;
        if (equals == text || *equals != '=' || end == equals + 1 || (*end && *end != ',') || id < 0 || id > INT32_MAX)
            return error_set(err, ERROR_USAGE, "--logit-bias is \"%s\", it must be like 15=-2.5,7=-inf", text);
        l->biases[l->sampling.n_biases++] = (struct logit_bias) { (int32_t)id, add };
        text = *end ? end + 1 : end;
    }
    return 0;
}

static const enum option_id setting_options[SAMPLING_COUNT] = {
    [SAMPLING_temperature] = OPT_temp,
    [SAMPLING_top_k] = OPT_top_k,
    [SAMPLING_top_p] = OPT_top_p,
    [SAMPLING_min_p] = OPT_min_p,
    [SAMPLING_typical] = OPT_typical,
    [SAMPLING_repetition_penalty] = OPT_repetition_penalty,
    [SAMPLING_presence_penalty] = OPT_presence_penalty,
    [SAMPLING_frequency_penalty] = OPT_frequency_penalty,
};

static void add_stop_ids(struct tokens *stops, const json_t *object)
{
    const json_t *ids = object ? json_object_get(object, "eos_token_id") : NULL;
    if (json_is_integer(ids))
        tokens_add(stops, (int32_t)json_integer_value(ids));
    for (size_t i = 0; json_is_array(ids) && i < json_array_size(ids); i++) {
        if (json_is_integer(json_array_get(ids, i)))
            tokens_add(stops, (int32_t)json_integer_value(json_array_get(ids, i)));
    }
}

static int find_stops(struct loaded *l, struct error *err)
{
    int32_t eos = tokenizer_special(l->tokenizer, TOKEN_EOS);
    if (eos >= 0)
        tokens_add(&l->stops, eos);
    add_stop_ids(&l->stops, source_generation(l->source));
    add_stop_ids(&l->stops, source_config(l->source));
    int rc = l->format ? chat_stops(l->format, l->tokenizer, &l->stops, err) : 0;
    return rc ? rc : tokens_check(&l->stops, err);
}

/* Short enough to be typed again. */
static uint64_t new_seed(void)
{
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)(clock_seconds() * 1e6);
    return seed;
}

int loaded_sampling(struct loaded *l, struct error *err)
{
    const struct option_value *at = l->args->at;
    l->samples = true;
    int rc = sampling_init(&l->sampling, source_generation(l->source), l->format && l->format->samples_whole,
        err);
    for (int i = 0; rc == 0 && i < SAMPLING_COUNT; i++) {
        if (at[setting_options[i]].set)
            rc = sampling_set(&l->sampling, (enum sampling_setting)i, at[setting_options[i]].real, err);
    }
    if (rc == 0 && at[OPT_logit_bias].set)
        rc = read_biases(l, at[OPT_logit_bias].text, err);
    l->sampling.seed = at[OPT_seed].set ? (uint64_t)at[OPT_seed].whole : new_seed();
    return rc ? rc : find_stops(l, err);
}

#define SCHEMA_BYTES_MAX (16u << 20)

int loaded_schema(struct loaded *l, struct error *err)
{
    const struct option_value *file = &l->args->at[OPT_json_schema];
    if (!file->set)
        return 0;
    int rc = json_read_file_new(&l->schema, file->text, SCHEMA_BYTES_MAX, err);
    if (rc == 0)
        rc = grammar_open(&l->grammar, l->schema, err);
    if (rc)
        error_in(err, "could not use the schema \"%s\"", file->text);
    return rc;
}

const char *loaded_setting_source(const struct loaded *l, enum sampling_source source)
{
    return source == SAMPLING_MODEL && source_gguf(l->source) ? "general.sampling" : sampling_source_name(source);
}

/* The settings that do something, each with where it comes from. */
static void show_sampling(const struct loaded *l)
{
    const struct sampling *s = &l->sampling;
    const char *before = "wazn: sampling: ";
    if (l->args->at[OPT_quiet].set)
        return;
    for (int i = 0; i < SAMPLING_COUNT; i++) {
        bool greedy = s->at[SAMPLING_temperature] == 0;
        bool filters = i >= SAMPLING_top_k && i <= SAMPLING_typical;
        if ((i != SAMPLING_temperature && s->at[i] == sampling_off((enum sampling_setting)i)) || (greedy && filters))
            continue;
        fprintf(stderr, "%s%s %g (%s)", before, sampling_key((enum sampling_setting)i), s->at[i],
            loaded_setting_source(l, s->source[i]));
        before = ", ";
    }
    fputc('\n', stderr);
}

static void show_plan(const struct loaded *l)
{
    char a[32], b[32], c[32], d[32], e[32], f[32];
    const struct plan *p = &l->plan;
    const struct format *kv = l->session_options.kv_format;
    if (l->args->at[OPT_quiet].set)
        return;
    fprintf(stderr,
        "wazn: plan: weights %s + keys and values (%s, %d tokens) %s + scratch %s + program and tokenizer %s = %s; "
        "%s available\n",
        terminal_bytes(a, p->weights_mapped + p->weights_copied), kv->name, p->context, terminal_bytes(b, p->kv),
        terminal_bytes(c, p->scratch), terminal_bytes(d, p->process), terminal_bytes(e, p->total),
        p->available ? terminal_bytes(f, p->available) : "an unknown amount");
}

int loaded_plan(struct loaded *l, int wanted, int logits, uint64_t reserved, struct error *err)
{
    const struct option_value *at = l->args->at;
    const struct spec *spec = model_spec(l->model);
    struct session_options *o = &l->session_options;
    struct plan_process process = { .resident = cpu_rss(), .peak = cpu_peak_rss(), .reserved = reserved,
        .available = cpu_memory_available() };
    int threads = at[OPT_threads].set ? (int)at[OPT_threads].whole : cpu_cores();
    const struct format *unless_told = at[OPT_layers].set ? &format_f32 : &format_f16;
    *o = (struct session_options) { .kv_format = at[OPT_kv].set ? format_find(at[OPT_kv].text) : unless_told,
        .context = at[OPT_ctx].set ? (int)at[OPT_ctx].whole : wanted ? wanted : PLAN_CONTEXT, .threads = threads,
        .marks = l->marks };
    if (o->context > spec->context && at[OPT_ctx].set)
        return error_set(err, ERROR_USAGE, "--ctx is %d, the model was made for at most %d tokens", o->context,
            spec->context);
    if (o->context > spec->context)
        o->context = spec->context;
    o->logits = logits < o->context ? logits : o->context;
    if (!at[OPT_ctx].set && !wanted)
        o->context = plan_context(l->model, o, o->context, process.available);
    plan_make(&l->plan, l->model, o, &process);
    return 0;
}

static bool show_bytes(void *context, uint64_t done, uint64_t total)
{
    struct loaded *l = context;
    progress_update(&l->progress, done, total);
    return !interrupt_seen();
}

/* Copied weights are in memory already, and their pages of the file will not be read again. */
static int read_weights(struct loaded *l, struct error *err)
{
    if (l->plan.weights_copied > 0)
        return 0;
    progress_begin(&l->progress, "reading the weights", NULL, l->args->at[OPT_quiet].set);
    int rc = source_prefetch(l->source, show_bytes, l, err);
    progress_end(&l->progress);
    return rc;
}

/* What the sampler and what steers it need. Rows of the output that pad the vocabulary have no text: they are not
 * chosen from. */
static int open_sampling(struct loaded *l, struct error *err)
{
    int64_t vocabulary = model_spec(l->model)->vocabulary;
    if (tokenizer_size(l->tokenizer) < vocabulary)
        vocabulary = tokenizer_size(l->tokenizer);
    int rc = sampler_open(&l->sampler, &l->sampling, vocabulary, err);
    if (rc == 0 && l->grammar)
        rc = constraint_open(&l->constraint, l->grammar, l->tokenizer, vocabulary, l->stops.ids, l->stops.used, err);
    if (rc == 0 && l->format && !l->args->at[OPT_free_headers].set)
        rc = chat_grammar_open(&l->headers, l->format, l->tokenizer, (int32_t)vocabulary, &l->request, err);
    struct guide_options guide = { l->headers, l->constraint, l->budget, vocabulary };
    return rc ? rc : guide_open(&l->guide, &guide, err);
}

/* With --force: reading everything first would push out what was read before. */
static void warn_too_large(const struct loaded *l)
{
    char needs[32], has[32];
    const struct plan *p = &l->plan;
    fprintf(stderr,
        "wazn: this takes %s of memory and %s is available: weights are read from the file as they are used, again and "
        "again, at the speed of the disk\n",
        terminal_bytes(needs, p->weights_mapped + p->kv + p->scratch), terminal_bytes(has, p->available));
}

int loaded_session(struct loaded *l, struct error *err)
{
    show_plan(l);
    if (l->samples)
        show_sampling(l);
    int rc = l->args->at[OPT_force].set ? 0 : plan_check(&l->plan, l->model, &l->session_options, err);
    if (rc == 0)
        rc = session_open(&l->session, l->model, &l->session_options, err);
    if (rc == 0 && l->samples)
        rc = open_sampling(l, err);
    if (rc == 0 && !plan_fits(&l->plan))
        warn_too_large(l);
    else if (rc == 0)
        rc = read_weights(l, err);
    l->seconds = clock_seconds() - l->begun;
    return rc;
}

void loaded_close(struct loaded *l)
{
    guide_close(l->guide);
    chat_grammar_close(l->headers);
    constraint_close(l->constraint);
    grammar_close(l->grammar);
    json_decref(l->schema);
    sampler_close(l->sampler);
    session_close(l->session);
    for (int i = 0; i < l->n_adapters; i++)
        adapter_close(l->adapters[i].adapter);
    free(l->adapters);
    model_close(l->model);
    tokenizer_close(l->tokenizer);
    source_close(l->source);
    tokens_release(&l->stops);
    free(l->biases);
    *l = (struct loaded) { 0 };
}
