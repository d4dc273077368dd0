/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor is a view: a matrix of stored numbers that somebody else owns (a mapped file, an arena). */
#ifndef WAZN_TENSOR_TENSOR_H
#define WAZN_TENSOR_TENSOR_H

#include "tensor/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tensor {
    const struct format *format; /* NULL: no tensor here */
    int64_t rows, cols;          /* a vector is 1 x cols. cols is a multiple of format->block */
    const void *data;            /* row-major; rows follow each other without gaps */
};

static inline size_t tensor_row_bytes(const struct tensor *t)
{
    return format_row_bytes(t->format, t->cols);
}

static inline size_t tensor_bytes(const struct tensor *t)
{
    return (size_t)t->rows * tensor_row_bytes(t);
}

static inline const void *tensor_row(const struct tensor *t, int64_t row)
{
    return (const unsigned char *)t->data + (size_t)row * tensor_row_bytes(t);
}

/* One weight of a model, as operations see it. Absent weights have tensor.format == NULL. */
struct weight {
    struct tensor tensor;
    const struct tensor *experts; /* (expert count) for roles with one matrix per expert, else NULL */
};

static inline bool weight_present(const struct weight *w)
{
    return w && w->tensor.format;
}

#endif
