/* SPDX-License-Identifier: Apache-2.0 */
#include "publish/encode.h"

#include "base/arena.h"
#include "base/pool.h"


#define ITEM_VALUES 65536 /* numbers one thread encodes at a time */
#define BATCH_BYTES ((size_t)16 << 20) /* encoded between two writes, but at least an item for each thread */

struct encode_batch {
    const struct encode_task *task;
    const struct saved_tensor *about;
    bool copies;
    int item_rows, items; /* rows of an item, items of a batch */
    int64_t rows, first; /* rows of the task, and the first of this batch */
    int count;           /* rows in this batch */
    size_t row_bytes;
    struct arena arena;
    struct pool *pool;
    unsigned char *out;         /* (items * item_rows) encoded rows */
    float *values, *scratch;    /* (threads) of an item's rows, and of save_decode */
    size_t value_count, scratch_count;
    struct encode_loss *losses; /* (items) */
};

static void layout(struct encode_batch *b)
{
    size_t threads = (size_t)b->task->threads, rows = (size_t)b->item_rows;
    b->value_count = (rows + 1) * (size_t)b->about->cols; /* one more: a row decoded again */
    b->scratch_count = save_scratch(b->task->save);
    b->out = arena_take(&b->arena, (size_t)b->items * rows, b->row_bytes);
    b->values = arena_take(&b->arena, threads * b->value_count, sizeof *b->values);
    b->scratch = arena_take(&b->arena, threads * b->scratch_count, sizeof *b->scratch);
    b->losses = arena_take(&b->arena, (size_t)b->items, sizeof *b->losses);
}

static void add_loss(struct encode_loss *loss, const float *value, const float *stored, const float *importance,
    int64_t n)
{
    double error = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = importance ? (double)importance[i] : 1, x = (double)value[i], off = (double)stored[i] - x;
        error += w * off * off;
        square += w * x * x;
    }
    loss->error += error;
    loss->square += square;
}

static void encode_item(void *job, int item, int thread)
{
    struct encode_batch *b = job;
    const struct encode_task *t = b->task;
    int at = item * b->item_rows, count = b->count - at < b->item_rows ? b->count - at : b->item_rows;
    float *values = b->values + (size_t)thread * b->value_count;
    float *scratch = b->scratch + (size_t)thread * b->scratch_count;
    unsigned char *out = b->out + (size_t)at * b->row_bytes;
    int64_t first = b->first + at, cols = b->about->cols;
    b->losses[item] = (struct encode_loss) { 0 };
    if (b->copies) {
        save_copy(t->save, t->tensor, first, count, out);
        return;
    }
    if (t->step <= 1)
        save_decode(t->save, t->tensor, first, count, values, scratch);
    for (int r = 0; r < count && t->step > 1; r++)
        save_decode(t->save, t->tensor, (first + r) * t->step, 1, values + r * cols, scratch);
    for (int r = 0; r < count; r++, out += b->row_bytes) {
        float *stored = values + (int64_t)b->item_rows * cols;
        t->format->encode(out, values + r * cols, t->importance, cols);
        t->format->decode(stored, out, cols);
        add_loss(&b->losses[item], values + r * cols, stored, t->importance, cols);
    }
}

static int run_batch(struct encode_batch *b, struct encode_loss *sum, struct error *err)
{
    const struct encode_task *t = b->task;
    int items = (b->count + b->item_rows - 1) / b->item_rows;
    if (t->cancelled && t->cancelled(t->context))
        return error_set(err, ERROR_CANCELLED, "stopped while encoding \"%s\"", b->about->name);
    pool_run(b->pool, items, encode_item, b);
    for (int i = 0; i < items; i++) {
        sum->error += b->losses[i].error;
        sum->square += b->losses[i].square;
    }
    return t->put ? t->put(t->context, b->first, b->count, b->out, (size_t)b->count * b->row_bytes, err) : 0;
}

int encode_run(const struct encode_task *task, struct encode_loss *loss, struct error *err)
{
    struct encode_batch b = { .task = task, .about = save_tensor(task->save, task->tensor) };
    struct encode_loss sum = { 0 };
    int64_t rows = ITEM_VALUES / b.about->cols;
    b.copies = task->put && save_copies(task->save, task->tensor, task->format);
    b.item_rows = save_is_turned(task->save, task->tensor) ? SAVE_ROWS : rows < 1 ? 1 : (int)rows;
    b.row_bytes = format_row_bytes(task->format, b.about->cols);
    size_t items = BATCH_BYTES / ((size_t)b.item_rows * b.row_bytes);
    b.items = items < (size_t)task->threads ? task->threads : (int)items;
    b.rows = task->rows ? task->rows : b.about->rows;
    layout(&b);
    int rc = arena_reserve(&b.arena, err);
    if (rc) {
        error_in(err, "encoding \"%s\"", b.about->name);
        return rc;
    }
    layout(&b);
    rc = pool_open(&b.pool, task->threads, err);
    for (; rc == 0 && b.first < b.rows; b.first += b.count) {
        int64_t most = (int64_t)b.items * b.item_rows, left = b.rows - b.first;
        b.count = (int)(left < most ? left : most);
        rc = run_batch(&b, &sum, err);
    }
    pool_close(b.pool);
    arena_release(&b.arena);
    if (loss)
        *loss = sum;
    return rc;
}
