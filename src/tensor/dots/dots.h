/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of every format's `dots` (tensor/format.h), best first, plain C last.
 *
 * Three units cover all formats, each with one tile per instruction set: `float` (f32 and f16 times f32,
 * bf16 times bf16), `block32` (blocks of 32 integers times q8_0 or q8_1) and `super` (blocks of 256 integers times
 * q8_k). A format adds only how its bytes become integers and scales.
 *
 * In the integer units every version computes the same exact integer sum for each piece of the row that shares one
 * scale (a block of 32; a super-block, with its integer sub-scales), so versions differ only by the order in which
 * float sums are formed. Within one version an output has its own accumulators, walks k in one order and is reduced
 * in one order, whatever tile it falls into. */
#ifndef WAZN_TENSOR_DOTS_DOTS_H
#define WAZN_TENSOR_DOTS_DOTS_H

#include "tensor/format.h"

#define DOTS_FORMATS(X) \
    X(f32) X(f16) X(bf16) X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(q8_0) X(q2_k) X(q3_k) X(q4_k) X(q5_k) X(q6_k) X(iq4_nl) \
    X(mxfp4)

#define X(name) extern const struct dots_version name##_dots[];
DOTS_FORMATS(X)
#undef X

/* mxfp4 in two pieces (tensor/block.h): w is an array of struct mxfp4_row, w_stride bytes from one to the next. The
 * results are those of mxfp4_dots, bit for bit. */
extern const struct dots_version mxfp4_split_dots[];

#endif
