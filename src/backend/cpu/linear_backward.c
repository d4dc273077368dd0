/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"
#include "backend/cpu/matmul_backward.h"

#include <assert.h>

void linear_backward(struct flow *f, const struct value *y, struct value *x, const struct weight *w,
    const struct weight *bias)
{
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
    matmul_backward_run(f, &product, 1);
}
