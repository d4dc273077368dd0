/* SPDX-License-Identifier: Apache-2.0 */
/* What lies beside the weights of a product (struct low_rank): the same for linear and for experts, whose rows come in
 * groups that meet a matrix each. */
#ifndef WAZN_BACKEND_CPU_LOW_RANK_H
#define WAZN_BACKEND_CPU_LOW_RANK_H

#include "backend/backend.h"
#include "backend/cpu/matmul.h"

struct beside {
    const struct weight *weight;
    int64_t rows, cols;   /* of each of its matrices */
    const int32_t *first; /* (groups + 1): rows [first[g], first[g + 1]) of x and y meet matrix g */
    int groups;
    const float *x; /* (first[groups], cols) */
};

/* Some of what lies beside a weight has a magnitude: a bias then waits until it is stretched. */
bool low_rank_stretches(const struct weight *w);

/* The product with the first A, to be run beside that with W, whose threads it shares: false where there is none, or x
 * is not what it takes. a: room for its tensor. */
bool low_rank_joins(const struct flow *f, const struct weight *w, const struct value *x, struct tensor *a,
    struct matmul *product);
/* y (rows, beside rows) = what all of it makes of y and x. bias: added behind it; NULL: none. joined: low_rank_joins's
 * product was run. */
void low_rank_add(struct flow *f, const struct beside *p, const struct tensor *bias, float *y, bool joined);

/* From the gradient of y to those of x, A and B; a magnitude is low_rank_stretch_backward's. dx may be NULL. weights:
 * also those of A and B; else p->x is not read. */
void low_rank_backward(struct flow *f, const struct beside *p, const float *dy, float *dx, bool weights);

/* Add to the magnitude's gradient; returns, in the flow's scratch, the gradient of what was stretched. One group. */
const float *low_rank_stretch_backward(struct flow *f, const struct beside *p, const float *dy);

/* ---- private to the two files ---- */

/* scale A x into the scratch's `inner`, by x with what is left out (low_rank_dropped). */
void low_rank_inner(struct flow *f, const struct beside *p, const struct low_rank *low, const float *x);
/* x without what is left out: x itself, or the scratch's `dropped`. */
const float *low_rank_dropped(struct flow *f, const struct beside *p, const struct low_rank *low);
/* y += inner B */
void low_rank_outer(struct flow *f, const struct beside *p, const struct low_rank *low, const struct tensor *bias,
    float *y);
bool low_rank_drops(const struct flow *f, const struct low_rank *low);
/* What the inputs [0, n) of a row are multiplied by: 0, or 1 / (1 - dropout). */
void low_rank_mask(float *mask, const struct flow *f, const struct low_rank *low, int64_t row, int first, int n);
/* (rank, columns) of group g, one of a or b, as a tensor. */
struct tensor low_rank_matrix(const struct low_rank *low, const float *all, int group, int64_t columns);

#define BESIDE_COLUMNS 128 /* that one thread takes at a time */
#define MASK_COLUMNS 256

static inline int beside_parts(int64_t columns)
{
    return (int)((columns + BESIDE_COLUMNS - 1) / BESIDE_COLUMNS);
}

#endif
