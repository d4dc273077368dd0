/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/low_rank.h"

#include <assert.h>

void linear(struct flow *f, struct value *y, const struct value *x, const struct weight *w, const struct weight *bias)
{
    const struct tensor *add = weight_present(bias) ? &bias->tensor : NULL;
    const bool late = low_rank_stretches(w);
    assert(w->tensor.cols == x->width && w->tensor.rows == y->width);
    struct tensor a;
    struct matmul products[2] = { {
        .w = &w->tensor,
        .bias = late ? NULL : add,
        .x = x->data,
        .y = y->data,
        .count = f->tokens,
    } };
    const bool joined = low_rank_joins(f, w, x, &a, &products[1]);
    if (f->observe)
        f->observe(f->observe_context, w, x, f->tokens);
    matmul_run(f, products, joined ? 2 : 1);
    if (!w->low_rank)
        return;
    const int32_t rows[2] = { 0, f->tokens };
    const struct beside beside = { w, y->width, x->width, rows, 1, x->data };
    low_rank_add(f, &beside, late ? add : NULL, y->data, joined);
}
