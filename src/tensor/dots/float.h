/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: the unit of f32, f16 and bf16 weights times f32 activations. Each version keeps as many
 * partial sums of an output as its vectors have lanes, value k going to lane k mod lanes, fused where the
 * instruction set is; the last, incomplete vector is filled with zeros. */
#ifndef WAZN_TENSOR_DOTS_FLOAT_H
#define WAZN_TENSOR_DOTS_FLOAT_H

#include "tensor/dots/tiles.h"
#include "tensor/half.h"

ALWAYS_INLINE int float_bytes(const enum format_id id)
{
    return id == FORMAT_f32 ? 4 : 2;
}

#define FLOAT_FORMATS(X) X(f32) X(f16) X(bf16)

#endif
