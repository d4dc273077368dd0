/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"

#include <assert.h>

void linear(struct flow *f, struct value *y, const struct value *x, const struct weight *w, const struct weight *bias)
{
    assert(w->tensor.cols == x->width && w->tensor.rows == y->width);
    struct matmul product = {
        .w = &w->tensor,
        .bias = weight_present(bias) ? &bias->tensor : NULL,
        .x = x->data,
        .y = y->data,
        .count = f->tokens,
    };
    if (f->observe)
        f->observe(f->observe_context, w, x, f->tokens);
    matmul_run(f, &product, 1);
}
