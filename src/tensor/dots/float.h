/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: the unit of f32 and f16 weights times f32 activations and of bf16 weights times bf16
 * activations. Each version keeps as many partial sums of an output as its vectors have lanes, value k going to lane
 * k mod lanes, fused where the instruction set is; the last, incomplete vector is filled with zeros. The version with
 * instructions of its own for bf16 is in float_bf16_avx512.c.
 *
 * On x86 one column does not ask for weights ahead: measured on Zen 5, hardware alone fetches a tile's streams a fifth
 * faster than with prefetches among its reads. */
#ifndef WAZN_TENSOR_DOTS_FLOAT_H
#define WAZN_TENSOR_DOTS_FLOAT_H

#include "tensor/dots/tiles.h"
#include "tensor/half.h"

ALWAYS_INLINE size_t float_bytes(const enum format_id id)
{
    return id == FORMAT_f32 ? 4 : 2;
}

/* What activations are. */
ALWAYS_INLINE enum format_id float_pair(const enum format_id id)
{
    return id == FORMAT_bf16 ? FORMAT_bf16 : FORMAT_f32;
}

dots_fn bf16_dots_avx512_bf16, bf16_dots_avx512_bf16_one, bf16_dots_avx512_bf16_more;

#define FLOAT_FORMATS(X) X(f32) X(f16) X(bf16)

#endif
