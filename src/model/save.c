/* SPDX-License-Identifier: Apache-2.0 */
#include "model/save.h"

#include "model/adapter.h"
#include "model/model_impl.h"
#include "model/names.h"
#include "tensor/block.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 3 /* fused under one name */

struct part {
    int role;
    const struct weight *weight; /* NULL: the divisors of a rope, which are computed */
    int64_t outputs, first;      /* its rows (of a vector: values), and where in the whole they begin */
};

struct saved {
    struct saved_tensor about;
    struct part parts[PARTS_MAX];
    int n_parts, expert; /* expert: of a name for each; -1: a stack, or no experts */
    int64_t total;       /* outputs of all parts */
    unsigned stored;     /* enum stored, of the file written */
};

struct save {
    const struct model *model;
    struct spec spec; /* as the kind's reader will see it */
    enum source_kind kind;
    bool mxfp4;
    struct saved *tensors; /* (count) */
    size_t count, capacity;
    int64_t widest; /* columns of any source matrix */
};

/* ---- which tensors there are ---- */

static const struct weight *weight_of(const struct model *m, int role, int layer)
{
    return role < N_LAYER_ROLES ? &m->layers[layer].at[role] : &m->global.at[role - N_LAYER_ROLES];
}

/* The entry a role is written under: the first of its alternatives; MXFP4's own or the others, as wanted. */
static const struct weight_name *entry_of(const struct save *s, int role, const struct weight_name **table)
{
    const struct arch *a = s->spec.arch;
    const struct weight_name *tables[2] = { a->names, NULL };
    if (s->kind == SOURCE_GGUF) {
        tables[0] = a->gguf;
        tables[1] = gguf_names;
    }
    for (int pass = 0; pass < 2; pass++) /* first by the wish, then any */
        for (int t = 0; t < 2; t++)
            for (const struct weight_name *e = tables[t]; e && e->name; e++)
                if (e->role == role && (pass || !(e->stored & STORED_MXFP4) == !s->mxfp4
                        || role_shape(&s->spec, role, 0).kind != ROLE_EXPERTS)) {
                    *table = tables[t];
                    return e;
                }
    return NULL;
}

static struct saved *grow(struct save *s, struct error *err)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        struct saved *tensors = realloc(s->tensors, capacity * sizeof *tensors);
        if (!tensors) {
            error_memory(err, capacity * sizeof *tensors, "a list of tensors");
            return NULL;
        }
        s->tensors = tensors;
        s->capacity = capacity;
    }
    s->tensors[s->count] = (struct saved) { .expert = -1 };
    return &s->tensors[s->count++];
}

static const struct tensor *source_of(const struct saved *t, const struct part *p, int expert)
{
    return p->weight->experts ? &p->weight->experts[t->expert >= 0 ? t->expert : expert] : &p->weight->tensor;
}

static double bits_of(const struct format *f)
{
    return 8.0 * f->block_bytes / f->block;
}

static void add_part(struct save *s, struct saved *t, int role, const struct role_shape *shape, int layer)
{
    bool line = role_is_vector(shape) || shape->kind == ROLE_EXPERT_BIASES;
    struct part *p = &t->parts[t->n_parts++];
    *p = (struct part) { .role = role, .outputs = line ? shape->cols : shape->rows };
    p->first = t->stored & STORED_INTERLEAVED ? t->n_parts - 1 : t->total;
    t->total += p->outputs;
    if (role != ROLE_rope_factors)
        p->weight = weight_of(s->model, role, layer);
    const struct format *f = p->weight ? source_of(t, p, 0)->format : &format_f32;
    if (!t->about.format || bits_of(f) > bits_of(t->about.format))
        t->about.format = f;
    s->widest = shape->cols > s->widest ? shape->cols : s->widest;
}

static void set_shape(struct saved *t, const struct role_shape *shape, int experts)
{
    struct saved_tensor *a = &t->about;
    bool turned = t->stored & STORED_TRANSPOSED, stack = shape->kind == ROLE_EXPERTS && t->expert < 0;
    int n = 0;
    a->vector = role_is_vector(shape) || shape->kind == ROLE_EXPERT_BIASES;
    if (stack)
        a->shape[n++] = experts;
    if (shape->kind == ROLE_EXPERT_BIASES)
        a->shape[n++] = shape->rows;
    else if (!a->vector)
        a->shape[n++] = turned ? shape->cols : t->total;
    a->shape[n++] = a->vector || turned ? t->total : shape->cols;
    a->dims = n;
    a->cols = a->shape[n - 1];
    a->rows = 1;
    for (int i = 0; i + 1 < n; i++)
        a->rows *= a->shape[i];
}

/* The tensor that begins with this role: with the roles that follow under the same name. */
static int add_tensor(struct save *s, const struct weight_name *e, int layer, int expert, struct error *err)
{
    struct role_shape shape = role_shape(&s->spec, e->role, layer);
    struct saved *t = grow(s, err);
    if (!t)
        return ERROR_MEMORY;
    t->stored = e->stored;
    t->expert = expert;
    t->about.role = e->role;
    t->about.layer = e->role < N_LAYER_ROLES ? layer : -1;
    t->about.mxfp4 = e->stored & STORED_MXFP4;
    names_expand(t->about.name, e->name, layer, expert);
    for (const struct weight_name *f = e; f->name && strcmp(f->name, e->name) == 0; f++) {
        struct role_shape part = role_shape(&s->spec, f->role, layer);
        if (t->n_parts == PARTS_MAX || !part.wanted)
            return error_set(err, ERROR_UNSUPPORTED, "tensor \"%s\" would hold weights this model has not",
                t->about.name);
        add_part(s, t, f->role, &part, layer);
    }
    t->about.parts = t->n_parts;
    set_shape(t, &shape, s->spec.experts);
    return 0;
}

static int add_role(struct save *s, int role, int layer, struct error *err)
{
    const struct weight_name *table = NULL, *e = entry_of(s, role, &table);
    struct role_shape shape = role_shape(&s->spec, role, layer);
    int rc = 0;
    if (!shape.wanted)
        return 0;
    if (!e)
        return error_set(err, ERROR_UNSUPPORTED, "the weight \"%s\" of a %s model has no name in files of this kind",
            role_name(role), s->spec.arch->name);
    if (e > table && strcmp(e[-1].name, e->name) == 0) /* came with the first part */
        return 0;
    int each = names_per_expert(e->name) ? s->spec.experts : 0;
    for (int x = 0; rc == 0 && x < each; x++)
        rc = add_tensor(s, e, layer, x, err);
    return each || rc ? rc : add_tensor(s, e, layer, -1, err);
}

/* What files of the kind say otherwise: the offset of gains, the order within heads, Llama 3.1's rope as a tensor. */
static int read_spec(struct save *s, const json_t *config, struct error *err)
{
    struct spec *other = malloc(sizeof *other);
    const json_t *inner = json_object_get(config, "text_config");
    const json_t *c = json_is_object(inner) ? inner : config, *rope = json_object_get(c, "rope_parameters");
    if (!other)
        return error_memory(err, sizeof *other, "a model's numbers");
    s->spec = s->model->spec;
    int rc = spec_read(other, config, s->kind, err);
    if (rc == 0) {
        s->spec.norm_offset = other->norm_offset;
        s->spec.rope_interleaved = other->rope_interleaved;
        if (!json_is_object(rope))
            rope = json_object_get(c, "rope_scaling");
        bool llama3 = strcmp(json_text(rope, "rope_type", json_text(rope, "type", "")), "llama3") == 0;
        s->spec.rope_factors = s->kind == SOURCE_GGUF && (llama3 || s->model->spec.rope_factors);
    }
    free(other);
    return rc;
}

int save_open(struct save **out, const struct model *m, const json_t *config, enum source_kind kind, bool mxfp4,
    struct error *err)
{
    *out = NULL;
    struct save *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "a model to save");
    s->model = m;
    s->kind = kind;
    s->mxfp4 = mxfp4;
    int rc = read_spec(s, config, err);
    for (int r = N_LAYER_ROLES; rc == 0 && r < N_ROLES; r++)
        rc = add_role(s, r, 0, err);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; rc == 0 && r < N_LAYER_ROLES; r++)
            rc = add_role(s, r, l, err);
    if (rc) {
        save_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void save_close(struct save *s)
{
    if (!s)
        return;
    free(s->tensors);
    free(s);
}

size_t save_count(const struct save *s)
{
    return s->count;
}

const struct saved_tensor *save_tensor(const struct save *s, size_t i)
{
    return &s->tensors[i].about;
}

const struct spec *save_spec(const struct save *s)
{
    return &s->spec;
}

bool save_is_turned(const struct save *s, size_t i)
{
    return s->tensors[i].stored & STORED_TRANSPOSED;
}

const struct weight *save_observed(const struct save *s, size_t i)
{
    const struct saved *t = &s->tensors[i];
    if (t->about.role == ROLE_expert_gate || t->about.role == ROLE_expert_up)
        return weight_of(s->model, ROLE_router, t->about.layer);
    return t->stored & STORED_TRANSPOSED ? NULL : t->parts[0].weight;
}

/* ---- their numbers ---- */

static void decode_row(const struct tensor *t, int64_t row, float *out)
{
    if (t->scales)
        mxfp4_split_decode(out, tensor_row(t, row), tensor_row_scales(t, row), t->cols);
    else
        t->format->decode(out, tensor_row(t, row), t->cols);
}

/* Columns [first, first + n) of a row; first is a multiple of every block. */
static void decode_columns(const struct tensor *t, int64_t row, int64_t first, int64_t n, float *out, float *scratch)
{
    if (t->scales || n % t->format->block != 0) {
        decode_row(t, row, scratch);
        memcpy(out, scratch + first, (size_t)n * sizeof *out);
        return;
    }
    const unsigned char *data = tensor_row(t, row);
    t->format->decode(out, data + format_row_bytes(t->format, first), n);
}

/* The part an output belongs to, and which of the part's it is. */
static const struct part *find_part(const struct save *s, const struct saved *t, int64_t output, int64_t *within)
{
    const struct part *p = &t->parts[0];
    if (t->stored & STORED_INTERLEAVED) {
        p = &t->parts[output % t->n_parts];
        *within = output / t->n_parts;
    } else {
        while (p + 1 < t->parts + t->n_parts && output >= p[1].first)
            p++;
        *within = output - p->first;
    }
    *within = role_output(&s->model->spec, p->role, s->spec.rope_interleaved, *within);
    return p;
}

static void divisors(const struct save *s, float *out)
{
    const struct spec_rope *r = &s->model->spec.ropes[0];
    for (int i = 0; i < r->dims / 2; i++)
        out[i] = (float)(pow(r->base, -2.0 * i / r->dims) / r->inverse_frequency[i]);
}

static void decode_vector(const struct save *s, const struct saved *t, int64_t row, float *out, float *scratch)
{
    float shift = s->model->spec.norm_offset - s->spec.norm_offset;
    int step = t->stored & STORED_INTERLEAVED ? t->n_parts : 1;
    if (t->parts[0].role == ROLE_rope_factors) {
        divisors(s, out);
        return;
    }
    for (int i = 0; i < t->n_parts; i++) {
        const struct part *p = &t->parts[i];
        float add = role_shape(&s->spec, p->role, 0).kind == ROLE_GAIN ? shift : 0.0f;
        decode_row(&p->weight->tensor, row, scratch);
        for (int64_t c = 0; c < p->outputs; c++)
            out[p->first + c * step] = add
                + scratch[role_output(&s->model->spec, p->role, s->spec.rope_interleaved, c)];
    }
}

/* Rows that are columns of the source, of one matrix of a stack. */
static void decode_turned(const struct save *s, const struct saved *t, int expert, int64_t first, int count, float *out,
    float *scratch)
{
    float *columns = scratch + s->widest;
    for (int64_t output = 0; output < t->total; output++) {
        int64_t within;
        const struct part *p = find_part(s, t, output, &within);
        decode_columns(source_of(t, p, expert), within, first, count, columns, scratch);
        adapter_apply(p->weight, t->expert >= 0 ? t->expert : expert, within, first, count, columns);
        for (int r = 0; r < count; r++)
            out[r * t->total + output] = columns[r];
    }
}

void save_decode(const struct save *s, size_t i, int64_t first, int count, float *out, float *scratch)
{
    const struct saved *t = &s->tensors[i];
    bool turned = t->stored & STORED_TRANSPOSED && !t->about.vector;
    int64_t per = turned ? t->about.shape[t->about.dims - 2] : t->total; /* rows of one matrix of a stack */
    for (int done = 0; done < count;) {
        int64_t row = first + done, at = row % per;
        if (t->about.vector) {
            decode_vector(s, t, row, out + done * t->about.cols, scratch);
            done++;
        } else if (turned) {
            int64_t edge = (at / SAVE_ROWS + 1) * SAVE_ROWS, end = edge < per ? edge : per;
            int some = end - at < count - done ? (int)(end - at) : count - done;
            decode_turned(s, t, (int)(row / per), at, some, out + done * t->about.cols, scratch);
            done += some;
        } else {
            int64_t within;
            const struct part *p = find_part(s, t, at, &within);
            int expert = t->expert >= 0 ? t->expert : (int)(row / per);
            decode_row(source_of(t, p, expert), within, out + done * t->about.cols);
            adapter_apply(p->weight, expert, within, 0, t->about.cols, out + done * t->about.cols);
            done++;
        }
    }
}

size_t save_scratch(const struct save *s)
{
    return (size_t)s->widest + SAVE_ROWS;
}

bool save_copies(const struct save *s, size_t i, const struct format *f)
{
    const struct saved *t = &s->tensors[i];
    bool same = !t->about.vector && !(t->stored & STORED_TRANSPOSED);
    for (int k = 0; same && k < t->n_parts; k++) {
        same = !t->parts[k].weight->low_rank;
        int n = t->parts[k].weight->experts && t->expert < 0 ? s->spec.experts : 1;
        for (int e = 0; same && e < n; e++)
            same = source_of(t, &t->parts[k], e)->format == f;
    }
    return same;
}

void save_copy(const struct save *s, size_t i, int64_t first, int count, unsigned char *out)
{
    const struct saved *t = &s->tensors[i];
    for (int64_t row = first; row < first + count; row++) {
        int64_t within;
        const struct part *p = find_part(s, t, row % t->total, &within);
        const struct tensor *from = source_of(t, p, (int)(row / t->total));
        size_t bytes = tensor_row_bytes(from);
        if (from->scales)
            mxfp4_join((struct mxfp4_block *)(void *)out, tensor_row(from, within), tensor_row_scales(from, within),
                from->cols);
        else
            memcpy(out, tensor_row(from, within), bytes);
        out += bytes;
    }
}
