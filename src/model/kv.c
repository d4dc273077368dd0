/* SPDX-License-Identifier: Apache-2.0 */
#include "model/kv.h"

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
    kv->n_layers = spec->layers;
    kv->context = o->context;
    kv->tokens_max = o->tokens_max;
    kv->length = kv->reached = 0;
    kv->layers = arena_take(a, (size_t)spec->layers, sizeof *kv->layers);
    for (int i = 0; i < spec->layers; i++) {
        struct kv_layer l = { .format = o->format, .capacity = capacity_of(&spec->layer[i], o) };
        size_t rows = (size_t)l.capacity * (size_t)spec->kv_heads;
        l.k = arena_take(a, rows, row);
        l.v = arena_take(a, rows, row);
        if (kv->layers)
            kv->layers[i] = l;
    }
}

int kv_reusable(const struct kv *kv, const struct spec *spec, int length)
{
    if (length > kv->length)
        length = kv->length;
    for (int i = 0; i < kv->n_layers; i++) {
        int forgotten = kv->reached - kv->layers[i].capacity; /* positions before this one may be overwritten */
        if (spec->layer[i].window && forgotten > 0 && length - spec->layer[i].window + 1 < forgotten)
            return 0;
    }
    return length;
}
