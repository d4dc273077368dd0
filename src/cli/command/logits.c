/* SPDX-License-Identifier: Apache-2.0 */
/* wazn logits: what the model says behind every token of a list, as a file other programs read. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include "base/cpu.h"

#include "file/safetensors.h"
#include "infer/trace.h"
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_PASS 64

struct rows {
    float *data; /* (tokens, vocabulary) */
    size_t width;
    size_t tokens, dim, done; /* done: evaluated */
    float *states;            /* for --layers: (layers + 1, tokens, dim), the embedding first; NULL: not kept */
};

static int keep_row(void *context, size_t index, const float *logits, struct error *err)
{
    struct rows *rows = context;
    (void)err;
    memcpy(rows->data + index * rows->width, logits, rows->width * sizeof *logits);
    rows->done = index + 1;
    return 0;
}

static void keep_states(void *context, int layer, float *x, int tokens, int width)
{
    struct rows *rows = context;
    float *to = rows->states + ((size_t)(layer + 1) * rows->tokens + rows->done) * rows->dim;
    memcpy(to, x, (size_t)tokens * (size_t)width * sizeof *x);
}

static int evaluate(struct loaded *l, const struct tokens *ids, struct rows *rows, struct error *err)
{
    progress_begin(&l->progress, "evaluating", "tokens", l->args->at[OPT_quiet].set);
    int rc = session_each(l->session, ids->ids, ids->used, keep_row, rows, &l->watch, err);
    progress_end(&l->progress);
    return rc;
}

static int write_logits(const char *path, const struct rows *rows, struct error *err)
{
    struct file_tensor tensor = { .name = "logits", .type_name = "F32", .format = &format_f32, .dims = 2,
        .shape = { (int64_t)rows->tokens, (int64_t)rows->width }, .data = rows->data,
        .bytes = (uint64_t)rows->tokens * rows->width * sizeof *rows->data };
    return safetensors_write(path, &tensor, 1, NULL, err);
}

static int write_trace(const char *path, const struct loaded *l, const struct tokens *ids, const struct rows *rows,
    struct error *err)
{
    const struct spec *s = model_spec(l->model);
    const float *layers[SPEC_LAYERS_MAX];
    char features[64], made_by[128];
    for (int i = 0; i < s->layers; i++)
        layers[i] = rows->states + (size_t)(i + 1) * rows->tokens * rows->dim;
    cpu_describe(kernels.features, features, sizeof features);
    snprintf(made_by, sizeof made_by, "wazn %s, %s, keys and values %s", WAZN_VERSION, features,
        l->session_options.kv_format->name);
    struct trace_values values = { .tokens = (int)rows->tokens, .ids = ids->ids, .embedding = rows->states,
        .layers = layers, .logits = rows->data, .made_by = made_by };
    return trace_write(path, s, &values, err);
}

static int write_file(const struct loaded *l, const struct tokens *ids, const struct rows *rows, struct error *err)
{
    const char *path = l->args->at[OPT_output].text;
    int rc = rows->states ? write_trace(path, l, ids, rows, err) : write_logits(path, rows, err);
    if (rc == 0 && l->args->at[OPT_json].set)
        return json_print(json_pack("{s:s, s:I, s:I}", "file", path, "tokens", (json_int_t)ids->used, "vocabulary",
                              (json_int_t)rows->width),
            err);
    if (rc == 0 && !l->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: %s: logits (%zu, %zu)%s, float32\n", path, ids->used, rows->width,
            rows->states ? " and what each layer leaves" : "");
    return rc;
}

static int make(struct loaded *l, const struct tokens *ids, struct error *err)
{
    const struct spec *s = model_spec(l->model);
    struct rows rows = { .width = (size_t)s->vocabulary, .tokens = ids->used, .dim = (size_t)s->dim };
    bool layers = l->args->at[OPT_layers].set;
    uint64_t bytes = (uint64_t)ids->used * rows.width * sizeof *rows.data; /* both under 2^31: no overflow */
    uint64_t more = layers ? (uint64_t)ids->used * rows.dim * ((uint64_t)s->layers + 1) * sizeof *rows.states : 0;
    if (ids->used > (size_t)s->context)
        return error_set(err, ERROR_LIMIT, "%zu tokens do not fit the context of %d", ids->used, s->context);
    int rc = loaded_plan(l, (int)ids->used, ROWS_PER_PASS, bytes + more, err);
    if (layers) {
        l->session_options.trace = keep_states;
        l->session_options.trace_context = &rows;
    }
    if (rc == 0)
        rc = loaded_session(l, err);
    if (rc)
        return rc;
    rows.data = malloc(bytes);
    rows.states = layers ? malloc(more) : NULL;
    if (!rows.data || (layers && !rows.states))
        rc = error_memory(err, bytes + more, "the logits");
    if (rc == 0)
        rc = evaluate(l, ids, &rows, err);
    if (rc == 0)
        rc = write_file(l, ids, &rows, err);
    free(rows.states);
    free(rows.data);
    return rc;
}

static int run(const struct arguments *args, struct error *err)
{
    struct loaded l = { 0 };
    struct buffer typed = { 0 };
    struct tokens ids = { 0 };
    if (!args->at[OPT_tokens].set || !args->at[OPT_output].set)
        return error_set(err, ERROR_USAGE, "wazn logits needs --tokens IDS and -o FILE");
    interrupt_catch();
    int rc = text_read(&typed, args->at[OPT_tokens].text, err);
    if (rc == 0)
        rc = ids_read(&ids, typed.data ? typed.data : "", err);
    if (rc == 0 && ids.used == 0)
        rc = error_set(err, ERROR_USAGE, "--tokens names no token");
    if (rc == 0)
        rc = loaded_source(&l, args, err);
    if (rc == 0)
        rc = loaded_model(&l, err);
    if (rc == 0)
        rc = make(&l, &ids, err);
    buffer_release(&typed);
    tokens_release(&ids);
    loaded_close(&l);
    return rc;
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_tokens, OPT_output, OPT_layers, OPT_ctx, OPT_kv,
    OPT_threads, OPT_cpu, OPT_force, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn logits -m MODEL --tokens 1,2,3 -o out.safetensors",
    "row i tells what follows the first i + 1 tokens",
    "wazn tokenize -m MODEL --bos \"Hello\" | wazn logits -m MODEL --tokens - --kv f32 -o out.safetensors",
    "logits of a text, keys and values without rounding",
    "wazn logits -m MODEL --tokens 1,2,3 --layers -o trace.safetensors",
    "every layer too, for wazn selftest --reference on another machine or form of the model", NULL };

const struct command command_logits = {
    .name = "logits",
    .summary = "write the logits behind every token to a safetensors file",
    .usage = "-m MODEL --tokens 1,2,3 -o OUT.safetensors",
    .about = "The file holds one float32 tensor \"logits\" of shape (tokens, vocabulary); with --layers "
             "also \"ids\", \"embedding\" and what each layer leaves, \"layer.N\", (tokens, dim). --tokens - reads "
             "ids from standard input.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
