/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

struct embed_job {
    const struct flow *f;
    struct value *y;
    const struct tensor *table;
    float scale;
};

static void embed_token(void *job, int token, int thread)
{
    const struct embed_job *j = job;
    float *y = j->y->data + (size_t)token * (size_t)j->y->width;
    int32_t id = j->f->ids[token];
    (void)thread;
    assert(id >= 0 && id < j->table->rows);
    kernels.decode(j->table->format, y, tensor_row(j->table, id), j->table->cols);
    if (j->scale != 1)
        for (int i = 0; i < j->y->width; i++)
            y[i] *= j->scale;
}

void embed(struct flow *f, struct value *y, const struct weight *table, float scale)
{
    struct embed_job job = { f, y, &table->tensor, scale };
    assert(table->tensor.cols == y->width);
    parallel_run(f, f->tokens, (double)f->tokens * y->width, embed_token, &job);
}

static void embed_position(void *job, int token, int thread)
{
    const struct embed_job *j = job;
    const struct flow_scratch *s = j->f->scratch;
    int32_t position = j->f->positions[token];
    assert(position >= 0 && position < j->table->rows);
    const float *row = tensor_part(j->table, position, 0, j->table->cols, scratch_of(s->rows, s->rows_stride, thread));
    kernels.add(j->y->data + (size_t)token * (size_t)j->y->width, row, j->y->width);
}

void embed_positions(struct flow *f, struct value *y, const struct weight *table)
{
    struct embed_job job = { f, y, &table->tensor, 1 };
    assert(table->tensor.cols == y->width);
    parallel_run(f, f->tokens, (double)f->tokens * y->width, embed_position, &job);
}

#define STRIP 64 /* columns of a table that one thread adds to */

struct backward_job {
    const struct value *y;
    const struct weight *table;
    const int32_t *rows; /* (tokens) of the table */
    int tokens;
    float scale;
};

/* One strip of columns of all tokens, in their order: a row that several tokens share is summed in one way. */
static void backward_strip(void *job, int item, int thread)
{
    const struct backward_job *j = job;
    int width = j->y->width, first = item * STRIP, n = width - first < STRIP ? width - first : STRIP;
    (void)thread;
    for (int t = 0; t < j->tokens; t++)
        kernels.mix(j->table->gradient + (size_t)j->rows[t] * (size_t)width + first, 0, &j->scale, 0, 0,
            j->y->gradient + (size_t)t * (size_t)width + first, 0, 1, 1, n);
}

static void table_backward(struct flow *f, const struct value *y, const struct weight *table, const int32_t *rows,
    float scale)
{
    struct backward_job job = { y, table, rows, f->tokens, scale };
    assert(table->tensor.cols == y->width);
    if (table->gradient)
        parallel_run(f, (y->width + STRIP - 1) / STRIP, (double)f->tokens * y->width, backward_strip, &job);
}

void embed_backward(struct flow *f, const struct value *y, const struct weight *table, float scale)
{
    table_backward(f, y, table, f->ids, scale);
}

void embed_positions_backward(struct flow *f, const struct value *y, const struct weight *table)
{
    table_backward(f, y, table, f->positions, 1);
}
