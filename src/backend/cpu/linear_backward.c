/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/low_rank.h"
#include "backend/cpu/matmul_backward.h"

#include <assert.h>

void linear_backward(struct flow *f, const struct value *y, struct value *x, const struct weight *w,
    const struct weight *bias)
{
    const int32_t rows[2] = { 0, f->tokens };
    const struct beside beside = { w, y->width, x->width, rows, 1, x->data };
    assert(w->tensor.cols == x->width && w->tensor.rows == y->width);
    struct matmul_backward product = {
        .w = &w->tensor,
        .dy = y->gradient,
        .x = x->data,
        .dx = x->gradient,
        .dw = w->gradient,
        .dbias = weight_present(bias) ? bias->gradient : NULL,
        .count = f->tokens,
    };
    if (low_rank_stretches(w)) { /* the bias came behind it */
        struct matmul_backward behind = product;
        behind.dx = behind.dw = NULL;
        matmul_backward_run(f, &behind, 1);
        product.dy = low_rank_stretch_backward(f, &beside, y->gradient);
        product.dbias = NULL;
    }
    matmul_backward_run(f, &product, 1);
    if (w->low_rank)
        low_rank_backward(f, &beside, product.dy, x->gradient, true);
}
