/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/attention_impl.h"
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/matmul_backward.h"
#include "tensor/block.h"

#include <assert.h>

#define BLOCK_MAX 256 /* values in the largest block of any format */

static int64_t whole_blocks(int64_t n, const struct format *f)
{
    return (n + f->block - 1) / f->block * f->block;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The most bytes a row of n activations takes in any form that weights ask for; f32 rows are used where they are. */
static size_t encoded_row_max(int64_t n)
{
    size_t most = 0;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *pair = formats[formats[i]->pair];
        assert(formats[i]->block <= BLOCK_MAX);
        if (!kernels.dots[i] || pair->id == FORMAT_f32)
            continue;
        most = larger(most, format_row_bytes(pair, whole_blocks(n, pair)));
        if (kernels.panels[i])
            most = larger(most, kernels.panels[i]->column_bytes((int)whole_blocks(n, formats[i])));
    }
    return most;
}

static size_t panel_max(int64_t n)
{
    size_t most = 0;
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (kernels.panels[i])
            most = larger(most, kernels.panels[i]->panel_bytes((int)whole_blocks(n, formats[i])));
    return most;
}

static float *take_per_thread(struct arena *a, const struct flow_shape *shape, size_t count, size_t *stride)
{
    *stride = (count + 15) / 16 * 16; /* a cache line each */
    return arena_take(a, (size_t)shape->threads * *stride, sizeof(float));
}

static void layout_experts(struct flow_scratch *s, const struct flow_shape *shape, struct arena *a)
{
    size_t tokens = (size_t)shape->tokens_max, experts = (size_t)shape->experts;
    size_t slots = tokens * (size_t)shape->experts_used;
    s->router = arena_take(a, tokens * experts, sizeof *s->router);
    s->chosen = arena_take(a, slots, sizeof *s->chosen);
    s->weights = arena_take(a, slots, sizeof *s->weights);
    s->slots = arena_take(a, slots, sizeof *s->slots);
    s->expert_first = arena_take(a, experts + 1, sizeof *s->expert_first);
    s->expert_jobs = arena_take(a, 2 * experts, sizeof *s->expert_jobs);
    s->slot_x = arena_take(a, slots * (size_t)shape->dim, sizeof *s->slot_x);
    s->slot_gate = arena_take(a, slots * (size_t)shape->expert_ffn, sizeof *s->slot_gate);
    s->slot_up = arena_take(a, slots * (size_t)shape->expert_ffn, sizeof *s->slot_up);
}

static void layout_low_rank(struct flow_scratch *s, const struct flow_shape *shape, struct arena *a)
{
    size_t tokens = (size_t)shape->tokens_max, slots = tokens * (size_t)shape->experts_used;
    size_t rows = larger(tokens, slots), rank = (size_t)shape->rank_max;
    size_t taken = larger((size_t)shape->dim, (size_t)shape->expert_ffn), width = (size_t)shape->width_max;
    size_t made = larger(width, (size_t)shape->experts); /* by any linear, the router's too */
    bool drops = shape->training && shape->dropout, stretches = shape->training && shape->magnitudes;
    s->inner = arena_take(a, rows * rank, sizeof(float));
    s->inner_gradient = arena_take(a, shape->training ? rows * rank : 0, sizeof(float));
    s->dropped = arena_take(a, drops ? larger(tokens * width, slots * taken) : 0, sizeof(float));
    s->beside_tensors = arena_take(a, (size_t)shape->experts, sizeof *s->beside_tensors);
    s->stretched = arena_take(a, stretches ? tokens * made : 0, sizeof(float));
}

static void layout_training(struct flow_scratch *s, const struct flow_shape *shape, struct arena *a)
{
    size_t tokens = (size_t)shape->tokens_max, width = (size_t)shape->width_max;
    size_t parts = (tokens + PARTIAL_TOKENS - 1) / PARTIAL_TOKENS;
    size_t slots = tokens * (size_t)shape->experts_used, inner = slots * (size_t)shape->expert_ffn;
    size_t each = larger(matmul_backward_scratch(), attention_backward_scratch(shape));
    s->gain_parts = arena_take(a, parts * width, sizeof(float));
    s->bias_parts = arena_take(a, parts * width, sizeof(float));
    s->query_dots = arena_take(a, tokens * (size_t)shape->heads, sizeof(float));
    s->backward = take_per_thread(a, shape, each, &s->backward_stride);
    s->expert_backward_jobs = arena_take(a, (size_t)shape->experts, sizeof *s->expert_backward_jobs);
    s->router_gradient = arena_take(a, tokens * (size_t)shape->experts, sizeof(float));
    s->slot_dy = arena_take(a, slots * (size_t)shape->dim, sizeof(float));
    s->slot_act = arena_take(a, inner, sizeof(float));
    s->slot_dact = arena_take(a, inner, sizeof(float));
    s->slot_dgate = arena_take(a, inner, sizeof(float));
    s->slot_dup = arena_take(a, inner, sizeof(float));
}

void flow_layout(struct flow *f, const struct flow_shape *shape, struct arena *a)
{
    struct flow_scratch s = { .shape = *shape };
    struct flow_scratch *place = arena_take(a, 1, sizeof s);
    size_t width = (size_t)shape->width_max, tokens = (size_t)shape->tokens_max;
    size_t widest = width; /* with what experts take */

    assert(shape->threads >= 1 && shape->tokens_max >= 1);
    s.encoded_bytes = tokens * encoded_row_max(shape->width_max);
    if (shape->experts) {
        size_t taken = larger((size_t)shape->dim, (size_t)shape->expert_ffn);
        size_t slots = tokens * (size_t)shape->experts_used;
        s.encoded_bytes = larger(s.encoded_bytes, slots * encoded_row_max((int64_t)taken));
        widest = larger(width, taken);
        layout_experts(&s, shape, a);
    }
    s.encoded_bytes += ENCODED_ALIGN * (size_t)(1 + shape->experts); /* each product's begin so */
    s.encoded = arena_take(a, s.encoded_bytes, 1);
    s.gain = arena_take(a, width + 2 * BLOCK_MAX, sizeof *s.gain);
    s.bias = arena_take(a, width + 2 * BLOCK_MAX, sizeof *s.bias);
    s.sinks = arena_take(a, (size_t)shape->heads + 2 * BLOCK_MAX, sizeof *s.sinks);
    s.tiles = arena_take(a, tokens, sizeof *s.tiles);
    s.partials = arena_take(a, attention_partials(shape), sizeof *s.partials);
    s.rows = take_per_thread(a, shape, DECODED_ROWS * widest, &s.rows_stride);
    s.panel = take_per_thread(a, shape, panel_max((int64_t)widest) / sizeof(float), &s.panel_stride);
    s.part = take_per_thread(a, shape, PART_MAX + 2 * BLOCK_MAX, &s.part_stride);
    s.attention = take_per_thread(a, shape, attention_scratch(shape), &s.attention_stride);
    if (shape->rank_max)
        layout_low_rank(&s, shape, a);
    if (shape->training)
        layout_training(&s, shape, a);

    f->threads = shape->threads;
    f->scratch = place;
    if (place)
        *place = s;
}

const float *tensor_part(const struct tensor *t, int64_t row, int64_t first, int64_t n, float *buffer)
{
    const unsigned char *data = tensor_row(t, row);
    int64_t block = t->format->block;
    if (t->format->id == FORMAT_f32 && (uintptr_t)data % sizeof(float) == 0)
        return (const float *)(const void *)data + first;
    int64_t start = first / block * block, end = (first + n + block - 1) / block * block;
    kernels.decode(t->format, buffer, data + format_row_bytes(t->format, start), end - start);
    return buffer + (first - start);
}

void tensor_decode_rows(float *out, const struct tensor *t, int64_t first, int rows)
{
    for (int r = 0; r < rows; r++, out += t->cols) {
        if (t->scales)
            mxfp4_split_decode(out, tensor_row(t, first + r), tensor_row_scales(t, first + r), t->cols);
        else
            kernels.decode(t->format, out, tensor_row(t, first + r), t->cols);
    }
}
