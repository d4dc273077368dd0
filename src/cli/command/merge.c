/* SPDX-License-Identifier: Apache-2.0 */
/* wazn merge: a model with its adapters worked into its weights. */
#include "cli/command.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/publishing.h"
#include "cli/terminal.h"

#include "base/cpu.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROOF_TOKENS 32
#define PROOF_SEED 1

/* ---- what was written against what it was made from ---- */

struct proof {
    float *logits; /* (tokens, vocabulary) of the base with its adapters */
    size_t width, tokens;
    bool second;
    double largest, highest; /* difference; size of a logit */
};

static int see_row(void *context, size_t index, const float *logits, struct error *err)
{
    struct proof *p = context;
    float *kept = p->logits + index * p->width;
    if (!p->second)
        memcpy(kept, logits, p->width * sizeof *kept);
    for (size_t i = 0; p->second && i < p->width; i++) {
        double off = fabs((double)logits[i] - (double)kept[i]);
        if (!(off <= HUGE_VAL))
            return error_set(err, ERROR_FORMAT, "logit %zu behind token %zu is no number", i, index);
        p->largest = fmax(p->largest, off);
        p->highest = fmax(p->highest, fabs((double)kept[i]));
    }
    return 0;
}

static int evaluate(struct proof *p, const struct model *m, int threads, struct error *err)
{
    int32_t ids[PROOF_TOKENS];
    struct random r;
    struct session *session;
    const struct session_options o = { .kv_format = &format_f32, .context = (int)p->tokens, .threads = threads };
    random_seed(&r, PROOF_SEED);
    for (size_t i = 0; i < p->tokens; i++)
        ids[i] = (int32_t)random_below(&r, (uint32_t)p->width);
    int rc = session_open(&session, m, &o, err);
    if (rc == 0)
        rc = session_each(session, ids, p->tokens, see_row, p, NULL, err);
    session_close(session);
    return rc;
}

static int evaluate_written(struct proof *p, const char *path, int threads, struct error *err)
{
    struct source *s = NULL;
    struct model *m = NULL;
    int rc = source_open(&s, path, NULL, NULL, err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, err);
    p->second = true;
    if (rc == 0)
        rc = evaluate(p, m, threads, err);
    model_close(m);
    source_close(s);
    return rc;
}

static int prove(const struct arguments *args, struct error *err)
{
    struct loaded l = { 0 };
    struct proof p = { .tokens = PROOF_TOKENS };
    const char *path = args->at[OPT_output].text;
    int threads = args->at[OPT_threads].set ? (int)args->at[OPT_threads].whole : cpu_cores();
    int rc = loaded_source(&l, args, err);
    if (rc == 0)
        rc = loaded_model(&l, err);
    if (rc == 0) {
        const struct spec *s = model_spec(l.model);
        p.width = (size_t)s->vocabulary;
        p.tokens = s->context < PROOF_TOKENS ? (size_t)s->context : PROOF_TOKENS;
        p.logits = malloc(p.tokens * p.width * sizeof *p.logits);
        rc = p.logits ? evaluate(&p, l.model, threads, err)
                      : error_memory(err, p.tokens * p.width * sizeof *p.logits, "logits to compare with");
    }
    loaded_close(&l);
    if (rc == 0)
        rc = evaluate_written(&p, path, threads, err);
    free(p.logits);
    if (rc)
        error_in(err, "\"%s\" was written, but not compared", path);
    else if (!args->at[OPT_quiet].set)
        fprintf(stderr, "wazn: logits behind %zu tokens: largest difference from the base with its adapters %.3g, "
            "largest logit %.3g\n", p.tokens, p.largest, p.highest);
    return rc;
}

/* ---- the command ---- */

static int run(const struct arguments *args, struct error *err)
{
    const struct recipe *recipe = NULL;
    if (!args->at[OPT_adapter].set)
        return error_set(err, ERROR_USAGE, "an adapter is missing: wazn merge -m BASE --adapter FOLDER -o OUT");
    int rc = publishing_recipe(&recipe, args, err);
    if (rc == 0)
        rc = publishing_run(args, recipe, err);
    return rc ? rc : prove(args, err);
}

static const enum option_id takes[] = { OPT_model, OPT_adapter, OPT_output, OPT_to, OPT_keep, OPT_calibrate,
    OPT_calibrate_tokens, OPT_tokenizer, OPT_threads, OPT_cpu, OPT_json, OPT_quiet, OPT_COUNT };

static const char *const examples[] = { "wazn merge -m FOLDER --adapter ADAPTER -o MERGED",
    "a folder in the formats of the base", "wazn merge -m model-q4_0.gguf --adapter ADAPTER --to q8_0 -o merged.gguf",
    "more bits for the sums, which do not fall on the base's steps",
    "wazn merge -m FOLDER --adapter STYLE:0.5 --adapter FACTS -o MERGED",
    "two of them, the first half as strong", NULL };

const struct command command_merge = {
    .name = "merge",
    .summary = "write a model with adapters worked into its weights",
    .usage = "-m BASE --adapter FOLDER[:SCALE] -o OUT.gguf|FOLDER",
    .about = "Weights that an adapter lies beside are decoded, added to and stored again in the base's format or in "
             "--to's; the others are copied. What rounding cost is told, with --calibrate on a text of yours, and the "
             "logits of what was written are compared with those of the base with its adapters.",
    .takes = takes,
    .examples = examples,
    .run = run,
};
