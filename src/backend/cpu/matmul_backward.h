/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of matrix products over stored weights: what those of linear and moe are made of. */
#ifndef WAZN_BACKEND_CPU_MATMUL_BACKWARD_H
#define WAZN_BACKEND_CPU_MATMUL_BACKWARD_H

#include "backend/backend.h"

/* dx += dy W, dw += dy^T x, dbias += sum of dy over its rows. dx, dw and dbias: NULL where not wanted. Products of one
 * run add to different places. */
struct matmul_backward {
    const struct tensor *w; /* (rows, cols) */
    const float *dy;        /* (count, rows) */
    const float *x;         /* (count, cols) */
    float *dx;              /* (count, cols) */
    float *dw;              /* (rows, cols) */
    float *dbias;           /* (rows) */
    int count;

    /* Filled by matmul_backward_run. */
    bool rounded;       /* to bf16: both factors of every product */
    int x_rows, w_rows; /* of a tile of dx, of dw */
    int first_item, x_items, w_items, bias_items;
};

/* Floats of one thread's scratch. */
size_t matmul_backward_scratch(void);

/* Run n products together. Where matmul rounds activations to multiply them (its weights have dots, and those another
 * pair than f32), the factors of both products are rounded to bf16: dy, x, and of W what is not bf16 already; products
 * are exact and sums float32. Else factors are floats. Sums run over the rows of W (for dx) and over those of dy (for
 * dw, dbias) in rising order, of rounded factors two terms at a time, whatever the threads. */
void matmul_backward_run(struct flow *f, struct matmul_backward *products, int n);

#endif
