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
    const void *data;            /* row-major */
    int skip;                    /* rows of others between two of ours: 1 where those of two matrices take turns */
    /* MXFP4 in two pieces, as safetensors hold it: data are the nibbles alone (struct mxfp4_split of tensor/block.h),
     * here is a scale for each 32 of them. NULL: not so stored. */
    const uint8_t *scales;
};

static inline size_t tensor_row_bytes(const struct tensor *t)
{
    return format_row_bytes(t->format, t->cols);
}

static inline size_t tensor_bytes(const struct tensor *t)
{
    return (size_t)t->rows * tensor_row_bytes(t);
}

/* Bytes from one row's start to the next. */
static inline size_t tensor_stride(const struct tensor *t)
{
    return (t->scales ? (size_t)(t->cols / 2) : tensor_row_bytes(t)) * (size_t)(1 + t->skip);
}

static inline const void *tensor_row(const struct tensor *t, int64_t row)
{
    return (const unsigned char *)t->data + (size_t)row * tensor_stride(t);
}

/* NULL where the scales lie in the blocks. */
static inline const uint8_t *tensor_row_scales(const struct tensor *t, int64_t row)
{
    return t->scales ? t->scales + (size_t)row * (size_t)(t->cols / 32) * (size_t)(1 + t->skip) : NULL;
}

/* A matrix of low rank beside a weight W of (rows, cols), which then stands for W + scale B A (Hu et al. 2021); with a
 * magnitude, each row of that is stretched to the length the magnitude says (Liu et al. 2024). Of experts each has its
 * own A and B, and none a magnitude. Several weights may have one A, and then one gradient of it, in common. */
struct low_rank {
    const struct low_rank *next; /* one more, which takes what this one made for W; NULL: the last */
    int rank;
    float scale;
    const float *a; /* (matrices, rank, cols) */
    const float *b; /* (matrices, rank, rows): B transposed */
    const float *magnitude; /* (rows); NULL: rows are as long as they come */
    float *norms; /* (rows) lengths of the rows of W + scale B A; beside a magnitude. Constants for the backward */
    float dropout; /* share of the inputs of A that are left out while training; the others grow by 1 / (1 - dropout) */
    uint64_t key;  /* of its dropout: others leave out others */
    float *a_gradient, *b_gradient, *magnitude_gradient; /* shaped as the above; NULL: frozen. Then next is NULL */
};

/* One weight of a model, as operations see it. Absent weights have tensor.format == NULL. */
struct weight {
    struct tensor tensor;
    const struct tensor *experts; /* (expert count) for roles with one matrix per expert, else NULL */
    /* (rows, cols), for experts (expert count, rows, cols); NULL: frozen. Of a const weight too a gradient may grow. */
    float *gradient;
    const struct low_rank *low_rank; /* of matrices of a linear and of experts; NULL: none */
};

static inline bool weight_present(const struct weight *w)
{
    return w && w->tensor.format;
}

#endif
