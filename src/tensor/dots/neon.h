/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: what the integer units share on AArch64. */
#ifndef WAZN_TENSOR_DOTS_NEON_H
#define WAZN_TENSOR_DOTS_NEON_H

#include "tensor/dots/tiles.h"

#include <arm_neon.h>
#include <string.h>

/* What functions with SDOT in them ask of the assembler. */
#ifdef __clang__
#define TARGET_DOTPROD __attribute__((target("dotprod")))
#else
#define TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

/* Four partial sums of 16 products, each of two or four neighbours. SDOT is written in assembly because compilers of
 * our range offer its intrinsic only where the whole file may use it. Without it, a product of -128 with at most 127 in
 * magnitude, twice, still fits 16 bits. */
ALWAYS_INLINE int32x4_t add_dot_16(int32x4_t sum, int8x16_t a, int8x16_t b, const int has_dotprod)
{
    if (has_dotprod) {
        __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(a), "w"(b));
        return sum;
    }
    int16x8_t pairs = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vget_high_s8(a), vget_high_s8(b));
    return vpadalq_s16(sum, pairs);
}

ALWAYS_INLINE float load_f16(const uint8_t *at)
{
    __fp16 half;
    memcpy(&half, at, sizeof half);
    return (float)half;
}

#endif
