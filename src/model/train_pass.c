/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train_pass.h"

#include "model/adapter_impl.h"
#include "model/block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct train_pass {
    const struct model *model;
    struct train_options options;
    struct arena arena;
    struct blocks blocks;
    struct block_values values; /* of any layer, where no layer's are kept */
    struct global_weights *global; /* the model's, with gradients */
    struct layer_weights *layers;  /* (spec.layers) */
    struct low_rank *beside;       /* (adapter's modules, parts) the adapter's, with gradients */
    int first;                     /* lowest layer that learns; -1: the embedding does; spec.layers: none */
    float *gradients;              /* of all weights */
    size_t n_gradients;
    int32_t *ids, *positions;      /* (tokens_max) */
    struct span *spans;            /* (texts_max) */
    struct kv_layer *kv;           /* (texts_max, spec.layers) */
    int32_t *rows, *targets;       /* (tokens_max) rows that count, and their targets */
    int counted;
    struct value last, normed; /* (logits_max, dim) the residual stream of rows that count, and its norm */
    struct value logits;       /* (logits_max, vocabulary) */
    struct value losses;       /* (logits_max, 1) */
    struct value entropies;    /* (logits_max, 1) */
    float *logprobs, *entropy, *weights; /* (tokens_max) of rows that count */
};

static float *take(struct arena *a, int rows, int64_t width)
{
    return arena_take(a, (size_t)rows, (size_t)width * sizeof(float));
}

static struct value take_value(const struct train_pass *p, struct arena *a, int64_t width)
{
    int rows = p->options.logits_max;
    return (struct value) { .data = take(a, rows, width), .width = (int)width,
        .gradient = take(a, p->options.scores_only ? 0 : rows, width) };
}

/* The frequencies of rope are no parameters. */
static bool learns(const struct weight *w, int role, const struct train_options *o)
{
    const struct format *f = w->experts ? w->experts[0].format : w->tensor.format;
    if (!f || role == ROLE_rope_factors || o->scores_only || o->adapter || (o->frozen && o->frozen[role]))
        return false;
    return f->id == FORMAT_f32 || f->id == FORMAT_f16 || f->id == FORMAT_bf16;
}

static void take_gradient(struct train_pass *p, struct weight *w, const struct weight *from, int role, int layer)
{
    struct role_shape shape = role_shape(&p->model->spec, role, layer);
    size_t matrices = from->experts ? (size_t)p->model->spec.experts : 1;
    if (w)
        *w = *from;
    if (!learns(from, role, &p->options))
        return;
    float *gradient = arena_take(&p->arena, matrices * (size_t)shape.rows, (size_t)shape.cols * sizeof(float));
    if (w)
        w->gradient = gradient;
}

/* The parts of a module have the gradient of A in common. */
static void take_adapter_gradients(struct train_pass *p, size_t i)
{
    const struct adapter_module *m = &p->options.adapter->modules[i];
    struct arena *a = &p->arena;
    bool goes_back = !p->options.scores_only;
    size_t ranks = goes_back ? (size_t)m->matrices * (size_t)m->rank : 0, at = 0;
    float *to_a = arena_take(a, ranks * (size_t)m->cols, sizeof *to_a);
    float *to_magnitude = arena_take(a, goes_back && m->magnitude ? (size_t)m->rows : 0, sizeof *to_magnitude);
    for (int k = 0; k < m->n_parts; at += (size_t)m->part_rows[k++]) {
        float *to_b = arena_take(a, ranks * (size_t)m->part_rows[k], sizeof *to_b);
        if (!p->beside)
            continue;
        struct low_rank *low = &p->beside[i * ADAPTER_PARTS + (size_t)k];
        *low = m->low[k];
        low->next = NULL;
        low->scale = m->scale;
        low->a_gradient = to_a;
        low->b_gradient = to_b;
        low->magnitude_gradient = to_magnitude ? to_magnitude + at : NULL;
        p->layers[m->layer].at[m->roles[k]].low_rank = low;
    }
}

/* Gradients follow each other, so that all of them are one piece of memory. */
static void layout_gradients(struct train_pass *p)
{
    const struct model *m = p->model;
    struct arena *a = &p->arena;
    p->global = arena_take(a, 1, sizeof *p->global);
    p->layers = arena_take(a, (size_t)m->spec.layers, sizeof *p->layers);
    size_t modules = p->options.adapter ? p->options.adapter->n : 0;
    p->beside = arena_take(a, modules * ADAPTER_PARTS, sizeof *p->beside);
    size_t before = a->used;
    p->gradients = a->base ? (float *)(void *)(a->base + before) : NULL;
    for (int r = 0; r < N_GLOBAL_ROLES; r++)
        take_gradient(p, p->global ? &p->global->at[r] : NULL, &m->global.at[r], N_LAYER_ROLES + r, 0);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++)
            take_gradient(p, p->layers ? &p->layers[l].at[r] : NULL, &m->layers[l].at[r], r, l);
    for (size_t i = 0; i < modules; i++)
        take_adapter_gradients(p, i);
    p->n_gradients = (a->used - before) / sizeof(float);
}

/* Where nothing goes back, layers have their values in common, and the keys and values of their texts. */
static void layout_values(struct train_pass *p)
{
    const struct spec *s = &p->model->spec;
    const struct train_options *o = &p->options;
    struct arena *a = &p->arena;
    if (!o->scores_only) {
        values_layout_training(&p->blocks, o->tokens_max, o->checkpoint, a);
        return;
    }
    p->blocks.values = &p->values;
    values_layout(&p->blocks, o->tokens_max, a);
    p->values.k_cache = take(a, o->tokens_max, s->kv_heads * s->head_dim);
    p->values.v_cache = take(a, o->tokens_max, s->kv_heads * s->head_dim);
}

static void train_pass_layout(struct train_pass *p)
{
    const struct spec *s = &p->model->spec;
    const struct train_options *o = &p->options;
    struct flow_shape shape = blocks_shape(p->model, o->tokens_max, o->tokens_max, o->threads);
    struct arena *a = &p->arena;
    shape.training = !o->scores_only;
    for (size_t i = 0; o->adapter && i < o->adapter->n; i++)
        blocks_shape_add(&shape, &o->adapter->modules[i].low[0]);
    layout_gradients(p);
    p->blocks.spec = s;
    p->blocks.global = p->global;
    p->blocks.layers = p->layers;
    flow_layout(&p->blocks.flow, &shape, a);
    p->ids = arena_take(a, (size_t)o->tokens_max, sizeof *p->ids);
    p->positions = arena_take(a, (size_t)o->tokens_max, sizeof *p->positions);
    p->rows = arena_take(a, (size_t)o->tokens_max, sizeof *p->rows);
    p->targets = arena_take(a, (size_t)o->tokens_max, sizeof *p->targets);
    p->spans = arena_take(a, (size_t)o->texts_max, sizeof *p->spans);
    p->kv = arena_take(a, (size_t)o->texts_max * (size_t)s->layers, sizeof *p->kv);
    layout_values(p);
    p->last = take_value(p, a, s->dim);
    p->normed = take_value(p, a, s->dim);
    p->logits = (struct value) { .data = take(a, o->logits_max, s->vocabulary), .width = (int)s->vocabulary };
    p->logits.gradient = p->logits.data;
    if (s->logit_softcap > 0 && !o->scores_only) /* whose backward reads the data */
        p->logits.gradient = take(a, o->logits_max, s->vocabulary);
    p->losses = take_value(p, a, 1);
    p->entropies = take_value(p, a, 1);
    p->logprobs = take(a, o->tokens_max, 1);
    p->entropy = take(a, o->tokens_max, 1);
    p->weights = take(a, o->tokens_max, 1);
}

uint64_t train_pass_bytes(const struct model *m, const struct train_options *options)
{
    struct train_pass measured = { .model = m, .options = *options };
    train_pass_layout(&measured);
    return measured.arena.used;
}

static bool layer_learns(const struct layer_weights *w)
{
    for (int r = 0; r < N_LAYER_ROLES; r++)
        if (w->at[r].gradient || (w->at[r].low_rank && w->at[r].low_rank->a_gradient))
            return true;
    return false;
}

static int first_learning(const struct train_pass *p)
{
    int l = 0;
    if (p->global->token_embedding.gradient || p->global->position_table.gradient)
        return -1;
    while (l < p->model->spec.layers && !layer_learns(&p->layers[l]))
        l++;
    return l;
}

/* Gradients pass through one thing beside a weight: what learns, or else one that is attached. */
static int check_attached(const struct model *m, const struct adapter *a, struct error *err)
{
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++) {
            const struct low_rank *low = m->layers[l].at[r].low_rank;
            if (low && (low->next || (a && (a->attached != m || a->strength < 1 || a->strength > 1))))
                return error_set(err, ERROR_USAGE, "a training pass over a model with other adapters attached, or with "
                    "its own at another scale than 1");
        }
    return 0;
}

static int check_options(const struct model *m, const struct train_options *o, struct error *err)
{
    if (o->adapter && o->adapter->base != m)
        return error_set(err, ERROR_USAGE, "a training pass with the adapter of another model");
    if (o->tokens_max < 1 || o->texts_max < 1 || o->logits_max < 1 || o->threads < 1)
        return error_set(err, ERROR_USAGE,
            "a training pass of %d tokens, %d texts, %d logits and %d threads makes no sense", o->tokens_max,
            o->texts_max, o->logits_max, o->threads);
    return check_attached(m, o->adapter, err);
}

int train_pass_open(struct train_pass **out, const struct model *m, const struct train_options *o, struct error *err)
{
    *out = NULL;
    int rc = check_options(m, o, err);
    if (rc)
        return rc;
    struct train_pass *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, sizeof *p, "a training pass");
    p->model = m;
    p->options = *o;
    train_pass_layout(p);
    rc = arena_reserve(&p->arena, err);
    if (rc) {
        error_in(err, "could not prepare training passes of %d tokens", o->tokens_max);
        free(p);
        return rc;
    }
    arena_use_large_pages(&p->arena);
    train_pass_layout(p);
    p->first = first_learning(p);
    rc = pool_open(&p->blocks.flow.pool, o->threads, err);
    if (rc) {
        train_pass_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void train_pass_close(struct train_pass *p)
{
    if (!p)
        return;
    pool_close(p->blocks.flow.pool);
    arena_release(&p->arena);
    free(p);
}

void train_pass_clear(struct train_pass *p)
{
    clear(&p->blocks.flow, p->gradients, p->n_gradients);
}

void train_pass_seed(struct train_pass *p, uint64_t seed)
{
    p->blocks.flow.dropout_seed = p->options.scores_only ? 0 : seed;
}

const struct weight *train_pass_weight(const struct train_pass *p, int role, int layer)
{
    return role < N_LAYER_ROLES ? &p->layers[layer].at[role] : &p->global->at[role - N_LAYER_ROLES];
}

static void fill_parameter(struct parameter *out, const struct spec *s, const struct weight *w, int role, int layer)
{
    struct role_shape shape = role_shape(s, role, layer);
    const struct tensor *first = w->experts ? w->experts : &w->tensor;
    *out = (struct parameter) { .kind = parameter_kind(role, &shape), .matrices = w->experts ? s->experts : 1,
        .rows = shape.rows, .cols = shape.cols, .format = first->format, .data = (void *)(uintptr_t)first->data,
        .gradient = w->gradient };
    parameter_name(out->name, role, layer);
}

size_t train_pass_parameters(const struct train_pass *p, struct parameter *out)
{
    size_t n = 0;
    for (int role = 0; role < N_ROLES; role++)
        for (int l = 0; l < (role < N_LAYER_ROLES ? p->model->spec.layers : 1); l++) {
            const struct weight *w = train_pass_weight(p, role, l);
            if (!w->gradient || !model_owns(p->model, w->experts ? w->experts->data : w->tensor.data))
                continue;
            if (out)
                fill_parameter(&out[n], &p->model->spec, w, role, l);
            n++;
        }
    if (p->options.adapter)
        n += adapter_parameters(p->options.adapter, p->beside, out ? out + n : NULL);
    return n;
}

static int check_text(const struct train_pass *p, const struct train_text *t, int i, struct error *err)
{
    const struct spec *s = &p->model->spec;
    if (t->count < 1)
        return error_set(err, ERROR_USAGE, "text %d of a training pass has %d tokens", i, t->count);
    if (s->learned_positions && t->count > s->context)
        return error_set(err, ERROR_LIMIT, "text %d has %d tokens, the model %d learned positions", i, t->count,
            s->context);
    for (int k = 0; k < t->count; k++) {
        if (t->ids[k] < 0 || t->ids[k] >= s->vocabulary)
            return error_set(err, ERROR_USAGE, "token %d of text %d is %d, outside the vocabulary of %lld", k, i,
                (int)t->ids[k], (long long)s->vocabulary);
        if (t->targets[k] != TRAIN_SKIP && (t->targets[k] < 0 || t->targets[k] >= s->vocabulary))
            return error_set(err, ERROR_USAGE, "target %d of text %d is %d, outside the vocabulary of %lld", k, i,
                (int)t->targets[k], (long long)s->vocabulary);
    }
    return 0;
}

static int check_texts(const struct train_pass *p, const struct train_text *texts, int n, int64_t counted,
    struct error *err)
{
    int64_t tokens = 0, counting = 0;
    if (n < 1 || n > p->options.texts_max)
        return error_set(err, ERROR_LIMIT, "a training pass of %d texts, %d are prepared for", n,
            p->options.texts_max);
    for (int i = 0; i < n; i++) {
        int rc = check_text(p, &texts[i], i, err);
        if (rc)
            return rc;
        tokens += texts[i].count;
        for (int k = 0; k < texts[i].count; k++)
            counting += texts[i].targets[k] != TRAIN_SKIP;
    }
    if (tokens > p->options.tokens_max)
        return error_set(err, ERROR_LIMIT, "a training pass of %lld tokens is longer than the %d prepared for",
            (long long)tokens, p->options.tokens_max);
    if (counting == 0)
        return error_set(err, ERROR_USAGE, "none of the %lld tokens of a training pass counts", (long long)tokens);
    if (counted != 0 && counted < counting)
        return error_set(err, ERROR_USAGE, "%lld tokens of a training pass count, more than the %lld of its step",
            (long long)counting, (long long)counted);
    return 0;
}

/* A text's keys and values lie in the layers' caches where its rows lie in the flow. */
static void place_text(struct train_pass *p, int text, int first, int count)
{
    const struct spec *s = &p->model->spec;
    struct kv_layer *kv = &p->kv[(size_t)text * (size_t)s->layers];
    size_t at = (size_t)first * (size_t)s->head_dim;
    for (int l = 0; l < s->layers; l++) {
        const struct block_values *v = block_values(&p->blocks, l);
        kv[l] = (struct kv_layer) { .format = &format_f32, .capacity = p->options.tokens_max,
            .k = (unsigned char *)(v->k_cache + at), .v = (unsigned char *)(v->v_cache + at),
            .k_gradient = v->k_gradient ? v->k_gradient + at : NULL,
            .v_gradient = v->v_gradient ? v->v_gradient + at : NULL };
    }
    p->spans[text] = (struct span) { .first = first, .count = count, .position = 0, .layers = kv };
}

static void fill_flow(struct train_pass *p, const struct train_text *texts, int n)
{
    struct flow *f = &p->blocks.flow;
    f->tokens = p->counted = 0;
    for (int i = 0; i < n; i++) {
        place_text(p, i, f->tokens, texts[i].count);
        for (int k = 0; k < texts[i].count; k++, f->tokens++) {
            p->ids[f->tokens] = texts[i].ids[k];
            p->positions[f->tokens] = k;
            if (texts[i].targets[k] == TRAIN_SKIP)
                continue;
            p->targets[p->counted] = texts[i].targets[k];
            p->rows[p->counted++] = f->tokens;
        }
    }
    f->ids = p->ids;
    f->positions = p->positions;
    f->spans = p->spans;
    f->n_spans = n;
}

static void clear_rows(const struct flow *f, struct value *v, int rows)
{
    clear(f, v->gradient, (size_t)rows * (size_t)v->width);
}

/* ---- the head: from the residual stream behind the last layer to `count` counting rows from `first` on ---- */

static const struct weight *output_of(const struct train_pass *p)
{
    return p->model->spec.tied ? &p->global->token_embedding : &p->global->output;
}

static struct norm_shape norm_of(const struct spec *s)
{
    return (struct norm_shape) { .kind = s->norm, .eps = s->norm_eps, .offset = s->norm_offset, .groups = 1 };
}

static int rows_from(const struct train_pass *p, int first)
{
    return p->counted - first < p->options.logits_max ? p->counted - first : p->options.logits_max;
}

/* To the losses. While it works the flow is these rows. */
static void head_forward(struct train_pass *p, int first, int count, const struct train_scoring *scoring)
{
    const struct spec *s = &p->model->spec;
    const struct global_weights *w = p->global;
    struct norm_shape whole = norm_of(s);
    struct value *x = &block_values(&p->blocks, s->layers - 1)->x_out;
    struct flow *f = &p->blocks.flow;
    int tokens = f->tokens;

    gather(f, &p->last, x, p->rows + first, count);
    f->tokens = count;
    norm(f, &p->normed, &p->last, &w->final_norm, &w->final_norm_bias, &whole);
    linear(f, &p->logits, &p->normed, output_of(p), NULL);
    if (s->logit_softcap > 0)
        softcap(f, &p->logits, count, s->logit_softcap);
    temper(f, &p->logits, count, scoring->temperature);
    cross_entropy(f, &p->losses, &p->logits, p->targets + first);
    if (scoring->entropies)
        entropy(f, &p->entropies, &p->logits);
    f->tokens = tokens;
}

/* From the gradients of the losses. The head's forward of these rows was the last. */
static void head_backward(struct train_pass *p, int first, int count, const struct train_scoring *scoring)
{
    const struct spec *s = &p->model->spec;
    const struct global_weights *w = p->global;
    struct norm_shape whole = norm_of(s);
    struct flow *f = &p->blocks.flow;
    int tokens = f->tokens;

    clear_rows(f, &p->normed, count);
    clear_rows(f, &p->last, count);
    f->tokens = count;
    cross_entropy_backward(f, &p->losses, &p->logits, p->targets + first);
    temper_backward(f, &p->logits, count, scoring->temperature);
    if (s->logit_softcap > 0) /* what it made is divided by now */
        softcap_backward(f, &p->logits, count, s->logit_softcap / scoring->temperature);
    linear_backward(f, &p->logits, &p->normed, output_of(p), NULL);
    norm_backward(f, &p->normed, &p->last, &w->final_norm, &w->final_norm_bias, &whole);
    f->tokens = tokens;
    gather_backward(f, &p->last, &block_values(&p->blocks, s->layers - 1)->x_out, p->rows + first, count);
}

/* ---- the pass ---- */

/* The lengths of the rows that magnitudes stretch change with every step. */
static void measure_rows(struct train_pass *p)
{
    for (int l = 0; p->options.adapter && p->options.adapter->magnitude && l < p->model->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++)
            if (p->layers[l].at[r].low_rank && p->layers[l].at[r].low_rank->magnitude)
                low_rank_norms(&p->blocks.flow, &p->layers[l].at[r], p->layers[l].at[r].low_rank);
}

static void forward(struct train_pass *p)
{
    measure_rows(p);
    blocks_embed(&p->blocks);
    for (int l = 0; l < p->model->spec.layers; l++)
        block_forward(&p->blocks, l);
}

/* From the gradient of the last residual stream to all others. */
static void backward(struct train_pass *p)
{
    const int layers = p->model->spec.layers;
    for (int l = layers - 1; l >= p->first && l >= 0; l--) {
        if (p->options.checkpoint && l < layers - 1) /* those of the last are still there */
            block_forward(&p->blocks, l);
        block_backward(&p->blocks, l);
    }
    if (p->first < 0)
        blocks_embed_backward(&p->blocks);
}

static void clear_stream(struct train_pass *p)
{
    clear_rows(&p->blocks.flow, &block_values(&p->blocks, p->model->spec.layers - 1)->x_out, p->blocks.flow.tokens);
}

static int check_learns(const struct train_pass *p, struct error *err)
{
    return p->options.scores_only ? error_set(err, ERROR_USAGE, "a training pass that only scores has no gradients")
                                  : 0;
}

/* Each chunk of rows goes forward and back at once: its logits are made only once. */
int train_pass_run(struct train_pass *p, const struct train_text *texts, int n, int64_t counted, double *loss,
    struct error *err)
{
    const struct train_scoring plain = { .temperature = 1 };
    int rc = check_learns(p, err);
    if (rc == 0)
        rc = check_texts(p, texts, n, counted, err);
    if (rc)
        return rc;
    fill_flow(p, texts, n);
    double all = counted ? (double)counted : (double)p->counted, sum = 0;
    forward(p);
    clear_stream(p);
    for (int first = 0; first < p->counted; first += p->options.logits_max) {
        int count = rows_from(p, first);
        head_forward(p, first, count, &plain);
        for (int i = 0; i < count; i++) {
            sum += (double)p->losses.data[i];
            p->losses.gradient[i] = (float)(1 / all);
        }
        head_backward(p, first, count, &plain);
    }
    backward(p);
    *loss = sum / all;
    return 0;
}

int train_pass_score(struct train_pass *p, const struct train_text *texts, int n, const struct train_scoring *scoring,
    struct train_scores *scores, struct error *err)
{
    int rc = check_texts(p, texts, n, 0, err);
    if (rc)
        return rc;
    if (!(scoring->temperature > 0) || isinf(scoring->temperature))
        return error_set(err, ERROR_USAGE, "log-probabilities at a temperature of %g make no sense",
            (double)scoring->temperature);
    fill_flow(p, texts, n);
    forward(p);
    for (int first = 0; first < p->counted; first += p->options.logits_max) {
        int count = rows_from(p, first);
        head_forward(p, first, count, scoring);
        for (int i = 0; i < count; i++)
            p->logprobs[first + i] = -p->losses.data[i];
        if (scoring->entropies)
            memcpy(p->entropy + first, p->entropies.data, (size_t)count * sizeof *p->entropy);
    }
    *scores = (struct train_scores) { .count = p->counted, .logprobs = p->logprobs,
        .entropies = scoring->entropies ? p->entropy : NULL };
    return 0;
}

/* The loss couples tokens, so logits are made twice, but where all of them fit at once. */
int train_pass_objective(struct train_pass *p, const struct train_text *texts, int n,
    const struct train_objective *objective, struct error *err)
{
    const struct train_scoring again = { .temperature = objective->scoring.temperature };
    struct train_scores scores;
    int rc = check_learns(p, err);
    if (rc == 0)
        rc = train_pass_score(p, texts, n, &objective->scoring, &scores, err);
    if (rc == 0)
        rc = objective->weigh(objective->context, &scores, p->weights, err);
    if (rc)
        return rc;
    clear_stream(p);
    for (int first = 0; first < p->counted; first += p->options.logits_max) {
        int count = rows_from(p, first);
        if (count < p->counted)
            head_forward(p, first, count, &again);
        for (int i = 0; i < count; i++)
            p->losses.gradient[i] = -p->weights[first + i];
        head_backward(p, first, count, &again);
    }
    backward(p);
    return 0;
}
