/* SPDX-License-Identifier: Apache-2.0 */
/* wazn logits: what the model says behind every token of a list, as a file other programs read. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/terminal.h"

#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_PASS 64

struct rows {
    float *data; /* (tokens, vocabulary) */
    size_t width;
};

static int keep_row(void *context, size_t index, const float *logits, struct error *err)
{
    struct rows *rows = context;
    (void)err;
    memcpy(rows->data + index * rows->width, logits, rows->width * sizeof *logits);
    return 0;
}

static int evaluate(struct loaded *l, const struct tokens *ids, struct rows *rows, struct error *err)
{
    progress_begin(&l->progress, "evaluating", "tokens", l->args->at[OPT_quiet].set);
    int rc = session_each(l->session, ids->ids, ids->used, keep_row, rows, &l->watch, err);
    progress_end(&l->progress);
    return rc;
}

static int write_file(const struct loaded *l, const struct tokens *ids, const struct rows *rows, struct error *err)
{
    const char *path = l->args->at[OPT_output].text;
    struct file_tensor tensor = { .name = "logits", .type_name = "F32", .format = &format_f32, .dims = 2,
        .shape = { (int64_t)ids->used, (int64_t)rows->width }, .data = rows->data,
        .bytes = (uint64_t)ids->used * rows->width * sizeof *rows->data };
    int rc = safetensors_write(path, &tensor, 1, NULL, err);
    if (rc == 0 && l->args->at[OPT_json].set)
        return json_print(json_pack("{s:s, s:I, s:I}", "file", path, "tokens", (json_int_t)ids->used, "vocabulary",
                              (json_int_t)rows->width),
            err);
    if (rc == 0 && !l->args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: %s: logits (%zu, %zu), float32\n", path, ids->used, rows->width);
    return rc;
}

static int make(struct loaded *l, const struct tokens *ids, struct error *err)
{
    struct rows rows = { .width = (size_t)model_spec(l->model)->vocabulary };
    uint64_t bytes = (uint64_t)ids->used * rows.width * sizeof *rows.data; /* both under 2^31: no overflow */
    if (ids->used > (size_t)model_spec(l->model)->context)
        return error_set(err, ERROR_LIMIT, "%zu tokens do not fit the context of %d", ids->used,
            model_spec(l->model)->context);
    int rc = loaded_plan(l, (int)ids->used, ROWS_PER_PASS, bytes, err);
    if (rc == 0)
        rc = loaded_session(l, err);
    if (rc)
        return rc;
    rows.data = malloc(bytes);
    if (!rows.data)
        return error_memory(err, bytes, "the logits");
    rc = evaluate(l, ids, &rows, err);
    if (rc == 0)
        rc = write_file(l, ids, &rows, err);
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

static const enum option_id takes[] = { OPT_model, OPT_tokens, OPT_output, OPT_ctx, OPT_kv, OPT_threads, OPT_cpu,
    OPT_force, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn logits -m MODEL --tokens 1,2,3 -o out.safetensors",
    "row i tells what follows the first i + 1 tokens",
    "wazn tokenize -m MODEL --bos \"Hello\" | wazn logits -m MODEL --tokens - --kv f32 -o out.safetensors",
    "logits of a text, keys and values without rounding", NULL };

const struct command command_logits = {
    .name = "logits",
    .summary = "write the logits behind every token to a safetensors file",
    .usage = "-m MODEL --tokens 1,2,3 -o OUT.safetensors",
    .about = "The file holds one float32 tensor \"logits\" of shape (tokens, vocabulary). --tokens - reads ids from "
             "standard input.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
