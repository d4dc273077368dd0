/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products over stored weights: what linear and moe are made of. */
#ifndef WAZN_BACKEND_CPU_MATMUL_H
#define WAZN_BACKEND_CPU_MATMUL_H

#include "backend/backend.h"
#include "tensor/format.h"

/* y = x W^T + bias */
struct matmul {
    const struct tensor *w;    /* (rows, cols) */
    const struct tensor *bias; /* its row bias_row has w->rows values; NULL: none */
    int64_t bias_row;
    const float *x; /* (count, cols) */
    float *y;       /* (count, rows) */
    int count;

    /* Filled by matmul_run. */
    dots_fn *dots;                    /* of w; NULL: its rows are decoded and multiplied as f32 */
    const struct dots_panels *panels; /* NULL: rows are multiplied as they lie */
    const struct format *pair;        /* of dots */
    const unsigned char *encoded;     /* x as the dots or panels want it: x itself, or its copy in the scratch */
    size_t encoded_at;                /* where in the scratch */
    size_t encoded_stride;
    int first_row;   /* rows of x to encode in the products before this one */
    int first_chunk; /* chunks of weight rows in the products before this one */
    int chunk_rows;
};

/* Run n products together (n small parts of one step share the threads). They may differ in format and size; x is
 * encoded once for neighbours that have it in common. */
void matmul_run(struct flow *f, struct matmul *products, int n);

#endif
