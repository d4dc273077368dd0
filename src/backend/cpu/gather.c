/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/cpu/flow_impl.h"

#include <assert.h>
#include <string.h>

void gather(struct flow *f, struct value *y, const struct value *x, const int32_t *rows, int n)
{
    assert(x->width == y->width);
    for (int i = 0; i < n; i++) {
        assert(rows[i] >= 0 && rows[i] < f->tokens);
        memcpy(y->data + (size_t)i * (size_t)y->width, x->data + (size_t)rows[i] * (size_t)x->width,
            (size_t)x->width * sizeof *x->data);
    }
}

void gather_backward(struct flow *f, const struct value *y, struct value *x, const int32_t *rows, int n)
{
    assert(x->width == y->width);
    for (int i = 0; i < n; i++) {
        assert(rows[i] >= 0 && rows[i] < f->tokens);
        kernels.add(x->gradient + (size_t)rows[i] * (size_t)x->width, y->gradient + (size_t)i * (size_t)y->width,
            x->width);
    }
}
