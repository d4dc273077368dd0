/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/parallel.h"

#include <assert.h>

#define ENTROPY_COST 16.0 /* an exponential, in multiplications */

struct entropy_job {
    const struct value *loss, *logits;
    const int32_t *targets;
};

static void entropy_row(void *job, int row, int thread)
{
    const struct entropy_job *j = job;
    int n = j->logits->width;
    (void)thread;
    assert(j->targets[row] >= 0 && j->targets[row] < n);
    kernels.cross_entropy(j->loss->data + row, NULL, j->logits->data + (size_t)row * (size_t)n, n, j->targets[row], 0);
}

void cross_entropy(struct flow *f, struct value *loss, const struct value *logits, const int32_t *targets)
{
    struct entropy_job job = { loss, logits, targets };
    assert(loss->width == 1);
    parallel_run(f, f->tokens, ENTROPY_COST * f->tokens * logits->width, entropy_row, &job);
}

static void entropy_backward_row(void *job, int row, int thread)
{
    const struct entropy_job *j = job;
    int n = j->logits->width;
    size_t at = (size_t)row * (size_t)n;
    (void)thread;
    kernels.cross_entropy(NULL, j->logits->gradient + at, j->logits->data + at, n, j->targets[row],
        j->loss->gradient[row]);
}

void cross_entropy_backward(struct flow *f, const struct value *loss, struct value *logits, const int32_t *targets)
{
    struct entropy_job job = { loss, logits, targets };
    parallel_run(f, f->tokens, 2 * ENTROPY_COST * f->tokens * logits->width, entropy_backward_row, &job);
}

static void plain_entropy_row(void *job, int row, int thread)
{
    const struct entropy_job *j = job;
    size_t n = (size_t)j->logits->width;
    (void)thread;
    kernels.entropy(j->loss->data + row, j->logits->data + (size_t)row * n, (int)n);
}

void entropy(struct flow *f, struct value *y, const struct value *logits)
{
    struct entropy_job job = { .loss = y, .logits = logits };
    assert(y->width == 1);
    parallel_run(f, f->tokens, ENTROPY_COST * f->tokens * logits->width, plain_entropy_row, &job);
}
