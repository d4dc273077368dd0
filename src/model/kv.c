/* SPDX-License-Identifier: Apache-2.0 */
#include "model/kv.h"

#include <string.h>

int kv_check(const struct spec *spec, const struct kv_options *o, struct error *err)
{
    const struct format *f = o->format;
    if (o->context < 1 || o->tokens_max < 1)
        return error_set(err, ERROR_USAGE, "a kv cache of %d positions for passes of %d tokens makes no sense",
            o->context, o->tokens_max);
    if (f != &format_f32 && f != &format_f16 && f != &format_bf16 && f != &format_q8_0)
        return error_set(err, ERROR_UNSUPPORTED, "a kv cache cannot be stored as %s, but as f32, f16, bf16 or q8_0",
            f->name);
    if (spec->head_dim % f->block != 0)
        return error_set(err, ERROR_UNSUPPORTED,
            "a kv cache of this model cannot be stored as %s: its heads of %d are not a multiple of the block of %d",
            f->name, spec->head_dim, f->block);
    if (spec->learned_positions && o->context > spec->context)
        return error_set(err, ERROR_LIMIT, "a context of %d was asked for, but this model knows only %d positions",
            o->context, spec->context);
    return 0;
}

/* A ring keeps its window and the tokens of a pass, which are stored before the first of them looks back. */
static int capacity_of(const struct spec_layer *l, const struct kv_options *o)
{
    int64_t ring = (int64_t)l->window + o->tokens_max;
    return l->window && ring < o->context ? (int)ring : o->context;
}

void kv_layout(struct kv *kv, const struct spec *spec, const struct kv_options *o, struct arena *a)
{
    size_t row = format_row_bytes(o->format, spec->head_dim);
    kv->format = o->format;
    kv->n_layers = spec->layers;
    kv->context = o->context;
    kv->tokens_max = o->tokens_max;
    kv->length = kv->kept_from = kv->ring = 0;
    kv->layers = arena_take(a, (size_t)spec->layers, sizeof *kv->layers);
    for (int i = 0; i < spec->layers; i++) {
        struct kv_layer l = { .format = o->format, .capacity = capacity_of(&spec->layer[i], o) };
        size_t rows = (size_t)l.capacity * (size_t)spec->kv_heads;
        if (l.capacity < o->context && (kv->ring == 0 || l.capacity < kv->ring))
            kv->ring = l.capacity;
        l.k = arena_take(a, rows, row);
        l.v = arena_take(a, rows, row);
        if (kv->layers)
            kv->layers[i] = l;
    }
}

static bool is_ring(const struct kv *kv, int layer)
{
    return kv->layers[layer].capacity < kv->context;
}

int kv_reusable(const struct kv *kv, const struct spec *spec, int length)
{
    if (length > kv->length)
        length = kv->length;
    for (int i = 0; i < kv->n_layers; i++)
        if (is_ring(kv, i) && kv->kept_from > 0 && length - spec->layer[i].window + 1 < kv->kept_from)
            return 0;
    return length;
}

void kv_cut(struct kv *kv, int length)
{
    kv->length = length;
    if (length == 0)
        kv->kept_from = 0;
}

void kv_grow(struct kv *kv, int tokens)
{
    kv->length += tokens;
    if (kv->ring > 0 && kv->length - kv->ring > kv->kept_from)
        kv->kept_from = kv->length - kv->ring;
}

void kv_copy(struct kv *to, const struct kv *from, const struct spec *spec)
{
    size_t row = format_row_bytes(from->format, spec->head_dim);
    for (int i = 0; i < from->n_layers; i++) {
        const struct kv_layer *a = &from->layers[i], *b = &to->layers[i];
        size_t head = (size_t)a->capacity * row;
        size_t used = from->length < a->capacity ? (size_t)from->length * row : head;
        for (size_t h = 0; h < (size_t)spec->kv_heads; h++) {
            memcpy(b->k + h * head, a->k + h * head, used);
            memcpy(b->v + h * head, a->v + h * head, used);
        }
    }
    to->length = from->length;
    to->kept_from = from->kept_from;
}

/* ---- marks ---- */

void kv_mark_layout(struct kv_mark *m, const struct kv *kv, const struct spec *spec, struct arena *a)
{
    size_t bytes = 0, row = format_row_bytes(kv->format, spec->head_dim);
    for (int i = 0; i < spec->layers; i++) {
        const struct spec_layer *l = &spec->layer[i];
        struct kv_options o = { .context = kv->context, .tokens_max = kv->tokens_max };
        if (capacity_of(l, &o) < kv->context)
            bytes += 2 * (size_t)spec->kv_heads * (size_t)(l->window - 1) * row;
    }
    m->length = -1;
    m->rows = arena_take(a, bytes, 1);
}

/* Copy the rows of one head's positions [first, last) between the ring and a list; returns the list's end. */
static unsigned char *copy_head(unsigned char *head, int capacity, unsigned char *list, int first, int last, size_t row,
    bool save)
{
    for (int p = first; p < last; p++, list += row) {
        unsigned char *slot = head + (size_t)(p % capacity) * row;
        memcpy(save ? list : slot, save ? slot : list, row);
    }
    return list;
}

static void copy_rings(const struct kv_mark *m, const struct kv *kv, const struct spec *spec, bool save)
{
    unsigned char *list = m->rows;
    size_t row = format_row_bytes(kv->format, spec->head_dim);
    for (int i = 0; i < kv->n_layers; i++) {
        const struct kv_layer *l = &kv->layers[i];
        int first = m->length - spec->layer[i].window + 1;
        if (!is_ring(kv, i))
            continue;
        if (first < 0)
            first = 0;
        for (int h = 0; h < spec->kv_heads; h++) {
            size_t head = (size_t)h * (size_t)l->capacity * row;
            list = copy_head(l->k + head, l->capacity, list, first, m->length, row, save);
            list = copy_head(l->v + head, l->capacity, list, first, m->length, row, save);
        }
    }
}

void kv_mark_save(struct kv_mark *m, const struct kv *kv, const struct spec *spec)
{
    m->length = kv->length;
    copy_rings(m, kv, spec, true);
}

/* Of the rings only what the widest window sees is back. */
void kv_mark_restore(const struct kv_mark *m, struct kv *kv, const struct spec *spec)
{
    copy_rings(m, kv, spec, false);
    kv->length = m->length;
    kv->kept_from = 0;
    for (int i = 0; i < kv->n_layers; i++) {
        int first = m->length - spec->layer[i].window + 1;
        if (is_ring(kv, i) && first > kv->kept_from)
            kv->kept_from = first;
    }
}

uint64_t kv_read_bytes(const struct spec *spec, const struct format *format, int length)
{
    const uint64_t position = 2 * (uint64_t)spec->kv_heads * format_row_bytes(format, spec->head_dim);
    uint64_t bytes = 0;
    for (int i = 0; i < spec->layers; i++) {
        int window = spec->layer[i].window, seen = length + 1;
        bytes += position * (uint64_t)(window && window < seen ? window : seen);
    }
    return bytes;
}
