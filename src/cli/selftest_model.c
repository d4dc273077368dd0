/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filemap.h"
#include "base/random.h"
#include "cli/selftest.h"
#include "cli/terminal.h"
#include "file/safetensors.h"
#include "infer/generate.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- weights ---- */

/* Values that are NaN or infinite in rows [first, ...) of a tensor seen as rows of its last dimension. */
static uint64_t count_broken(const struct file_tensor *f, float *row)
{
    int64_t cols = f->dims > 0 ? f->shape[f->dims - 1] : 1;
    size_t row_bytes = format_row_bytes(f->format, cols);
    uint64_t broken = 0;
    for (uint64_t at = 0; row_bytes > 0 && at + row_bytes <= f->bytes && !interrupt_seen(); at += row_bytes) {
        f->format->decode(row, (const unsigned char *)f->data + at, cols);
        for (int64_t i = 0; i < cols; i++)
            broken += !isfinite(row[i]);
    }
    return broken;
}

static void check_weights(struct selftest *t, const struct source *s)
{
    uint64_t total = 0, done = 0, broken = 0;
    int64_t widest = 1;
    const char *where = "";
    for (size_t i = 0; i < source_tensor_count(s); i++) {
        const struct file_tensor *f = source_tensor(s, i);
        total += f->bytes;
        if (f->dims > 0 && f->shape[f->dims - 1] > widest)
            widest = f->shape[f->dims - 1];
    }
    float *row = malloc((size_t)widest * sizeof *row);
    progress_begin(&t->progress, "looking at the weights", NULL, t->quiet);
    for (size_t i = 0; row && i < source_tensor_count(s) && !interrupt_seen(); i++) {
        const struct file_tensor *f = source_tensor(s, i);
        uint64_t found = f->format && f->bytes ? count_broken(f, row) : 0;
        if (found > 0 && broken == 0)
            where = f->name;
        broken += found;
        done += f->bytes;
        progress_update(&t->progress, done, total);
    }
    progress_end(&t->progress);
    free(row);
    selftest_note(t, row && broken == 0, "weights are finite", "%llu values are not%s%s", (unsigned long long)broken,
        broken ? ", first in " : "", where);
}

/* ---- runs ---- */

enum { PROMPT = 13, ANSWER = 12 };

struct trial {
    int threads, chunk;
    int32_t ids[PROMPT + ANSWER];
    float *logits; /* (vocabulary) behind the prompt */
    int made;
};

static int keep_id(void *context, int32_t id, struct error *err)
{
    struct trial *trial = context;
    (void)err;
    trial->ids[PROMPT + trial->made++] = id;
    return 0;
}

static int run_trial(const struct model *m, struct trial *trial, struct error *err)
{
    const struct spec *spec = model_spec(m);
    struct session_options options = { .context = PROMPT + ANSWER, .chunk = trial->chunk, .threads = trial->threads };
    struct generate_options limits = { .max_tokens = ANSWER };
    struct sampling sampling;
    struct session *session = NULL;
    struct sampler *sampler = NULL;
    struct generation made;
    if (spec->context < options.context)
        return error_set(err, ERROR_UNSUPPORTED, "a context of %d tokens is too short to try", spec->context);
    for (int i = 0; i < PROMPT; i++)
        trial->ids[i] = (int32_t)((1 + (int64_t)i * 7919) % spec->vocabulary);
    int rc = sampling_init(&sampling, NULL, false, err);
    if (rc == 0)
        rc = sampling_set(&sampling, SAMPLING_temperature, 0, err);
    if (rc == 0)
        rc = session_open(&session, m, &options, err);
    if (rc == 0)
        rc = sampler_open(&sampler, &sampling, spec->vocabulary, err);
    if (rc == 0)
        rc = session_sync(session, trial->ids, PROMPT, NULL, err);
    if (rc == 0) {
        memcpy(trial->logits, session_logits(session), (size_t)spec->vocabulary * sizeof *trial->logits);
        rc = generate(session, sampler, &limits, keep_id, trial, &made, err);
    }
    sampler_close(sampler);
    session_close(session);
    return rc;
}

static void check_runs(struct selftest *t, const struct model *m)
{
    const struct { const char *name; int threads, chunk; } tries[] = { { "a first run", t->threads, PROMPT },
        { "the same run again", t->threads, PROMPT }, { "with one thread", 1, PROMPT },
        { "token by token", t->threads, 1 }, { "in pieces of five", t->threads, 5 } };
    size_t bytes = (size_t)model_spec(m)->vocabulary * sizeof(float);
    struct trial first = { .logits = malloc(bytes) }, other = { .logits = malloc(bytes) };
    for (size_t i = 0; first.logits && other.logits && i < sizeof tries / sizeof *tries; i++) {
        struct trial *trial = i == 0 ? &first : &other;
        struct error err = { 0 };
        trial->threads = tries[i].threads;
        trial->chunk = tries[i].chunk;
        trial->made = 0;
        int rc = run_trial(m, trial, &err);
        bool same = rc == 0 && trial->made == first.made && memcmp(trial->ids, first.ids, sizeof first.ids) == 0
            && memcmp(trial->logits, first.logits, bytes) == 0;
        selftest_note(t, same, tries[i].name, "%s", rc ? err.text : same ? "the same logits and ids" : "differs");
    }
    if (!first.logits || !other.logits)
        selftest_note(t, false, "a first run", "no memory");
    free(first.logits);
    free(other.logits);
}

void selftest_model(struct selftest *t, const struct source *s, const struct model *m)
{
    check_weights(t, s);
    check_runs(t, m);
}

/* ---- a made model ---- */

static const char made_config[] = "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
    "\"hidden_size\": 48, \"intermediate_size\": 80, \"num_hidden_layers\": 2, \"num_attention_heads\": 6, "
    "\"num_key_value_heads\": 2, \"head_dim\": 8, \"vocab_size\": 101, \"max_position_embeddings\": 64, "
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", \"tie_word_embeddings\": false}";

static const struct {
    const char *name;
    int rows, cols; /* rows 0: a vector */
} made_weights[] = {
    { "model.embed_tokens.weight", 101, 48 }, { "model.norm.weight", 0, 48 }, { "lm_head.weight", 101, 48 },
    { "model.layers.%d.input_layernorm.weight", 0, 48 }, { "model.layers.%d.post_attention_layernorm.weight", 0, 48 },
    { "model.layers.%d.self_attn.q_proj.weight", 48, 48 }, { "model.layers.%d.self_attn.k_proj.weight", 16, 48 },
    { "model.layers.%d.self_attn.v_proj.weight", 16, 48 }, { "model.layers.%d.self_attn.o_proj.weight", 48, 48 },
    { "model.layers.%d.mlp.gate_proj.weight", 80, 48 }, { "model.layers.%d.mlp.up_proj.weight", 80, 48 },
    { "model.layers.%d.mlp.down_proj.weight", 48, 80 },
};

enum { MADE_GLOBAL = 3, MADE_KINDS = sizeof made_weights / sizeof *made_weights, MADE_LAYERS = 2,
    MADE_TENSORS = MADE_GLOBAL + (MADE_KINDS - MADE_GLOBAL) * MADE_LAYERS, MADE_VALUES = 101 * 48 };

struct made {
    struct file_tensor tensors[MADE_TENSORS];
    char names[MADE_TENSORS][64];
    float values[MADE_TENSORS][MADE_VALUES];
};

static void make_tensor(struct made *made, int i, int kind, int layer, struct random *r)
{
    int rows = made_weights[kind].rows, cols = made_weights[kind].cols, n = rows ? rows * cols : cols;
    const char *percent = strstr(made_weights[kind].name, "%d");
    if (percent)
        snprintf(made->names[i], sizeof made->names[i], "%.*s%d%s", (int)(percent - made_weights[kind].name),
            made_weights[kind].name, layer, percent + 2);
    else
        snprintf(made->names[i], sizeof made->names[i], "%s", made_weights[kind].name);
    for (int k = 0; k < n; k++)
        made->values[i][k] = rows ? (float)(0.2 * random_normal(r)) : 1.0f + (float)(0.1 * random_normal(r));
    made->tensors[i] = (struct file_tensor) { .name = made->names[i], .type_name = "F32", .format = &format_f32,
        .dims = rows ? 2 : 1, .shape = { rows ? rows : cols, cols }, .data = made->values[i],
        .bytes = (uint64_t)n * sizeof(float) };
}

static int write_made(const char *folder, struct error *err)
{
    char path[256];
    struct random r;
    struct made *made = calloc(1, sizeof *made);
    if (!made)
        return error_memory(err, sizeof *made, "a made model");
    random_seed(&r, 17);
    for (int i = 0; i < MADE_TENSORS; i++) {
        int behind = i - MADE_GLOBAL, kinds = MADE_KINDS - MADE_GLOBAL;
        make_tensor(made, i, i < MADE_GLOBAL ? i : MADE_GLOBAL + behind % kinds, behind / kinds, &r);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    int rc = safetensors_write(path, made->tensors, MADE_TENSORS, NULL, err);
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (rc == 0)
        rc = file_write(path, made_config, sizeof made_config - 1, err);
    free(made);
    return rc;
}

static void remove_made(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    rmdir(folder);
}

void selftest_made_model(struct selftest *t)
{
    char folder[] = "/tmp/wazn-selftest-XXXXXX";
    struct error err = { 0 };
    struct source *s = NULL;
    struct model *m = NULL;
    if (!mkdtemp(folder)) {
        selftest_note(t, false, "a made model opens", "no folder can be made in /tmp");
        return;
    }
    int rc = write_made(folder, &err);
    if (rc == 0)
        rc = source_open(&s, folder, NULL, NULL, &err);
    if (rc == 0)
        rc = model_open(&m, s, NULL, &err);
    selftest_note(t, rc == 0, "a made model opens", "%s", rc ? err.text : "a llama of two layers");
    if (rc == 0)
        selftest_model(t, s, m);
    model_close(m);
    source_close(s);
    remove_made(folder);
}
