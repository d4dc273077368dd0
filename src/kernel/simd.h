/* SPDX-License-Identifier: Apache-2.0 */
/* How one body becomes a version for every instruction set.
 *
 * A body is plain C in which vectors are easy to see: loops without branches over independent values, sums in
 * SIMD_LANES separate lanes, fused multiplications where they are written (fmaf is one instruction in all the sets
 * below). SIMD_VERSIONS inlines it in a function of each set, where the compiler makes vectors of it. So all sets
 * compute the same bits, and a value's result does not depend on whether it fell into a whole vector or into the
 * rest. */
#ifndef WAZN_KERNEL_SIMD_H
#define WAZN_KERNEL_SIMD_H

#include "base/cpu.h"

#include <stdint.h>
#include <string.h>

#define SIMD_LANES 16
#define SIMD_BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define SIMD_VERSIONS(op, parameters, ...) \
    TARGET_AVX512 static void op##_avx512 parameters \
    { \
        op##_body(__VA_ARGS__); \
    } \
    TARGET_AVX2 static void op##_avx2 parameters \
    { \
        op##_body(__VA_ARGS__); \
    }
#define SIMD_LIST(op) { "avx512", CPU_AVX512, op##_avx512 }, { "avx2", CPU_AVX2, op##_avx2 },
#elif defined(__aarch64__)
#define SIMD_VERSIONS(op, parameters, ...) \
    static void op##_neon parameters \
    { \
        op##_body(__VA_ARGS__); \
    }
#define SIMD_LIST(op) { "neon", CPU_NEON, op##_neon },
#else
#define SIMD_VERSIONS(op, parameters, ...)
#define SIMD_LIST(op)
#endif

SIMD_BODY float simd_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

SIMD_BODY uint32_t simd_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The sum, and the largest, of all lanes: half of them onto the other half until one is left. Spelled out, because
 * compilers make slow vector loops of a loop over the halves. */
SIMD_BODY float simd_sum(float *lanes)
{
    for (int i = 0; i < 8; i++)
        lanes[i] += lanes[i + 8];
    for (int i = 0; i < 4; i++)
        lanes[i] += lanes[i + 4];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

SIMD_BODY float simd_larger(float a, float b)
{
    return b > a ? b : a;
}

SIMD_BODY float simd_max(float *lanes)
{
    for (int i = 0; i < 8; i++)
        lanes[i] = simd_larger(lanes[i], lanes[i + 8]);
    for (int i = 0; i < 4; i++)
        lanes[i] = simd_larger(lanes[i], lanes[i + 4]);
    return simd_larger(simd_larger(lanes[0], lanes[2]), simd_larger(lanes[1], lanes[3]));
}

/* e^x within 1.1 units in the last place, subnormal results too; above 88.73 infinity, below -103.98 zero, NaN
 * stays. x = n ln 2 + r, |r| <= ln 2 / 2; a polynomial of degree 6 (minimax, relative error 2^-28) for e^r; 2^n in
 * two factors, each a normal number. Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits. */
SIMD_BODY float simd_exp(float x)
{
    x = x < -110.0f ? -110.0f : x;
    x = x > 90.0f ? 90.0f : x;
    float shifted = __builtin_fmaf(x, 0x1.715476p+0f, 0x1.8p23f);
    float n = shifted - 0x1.8p23f;
    float r = __builtin_fmaf(n, -0x1.62e4p-1f, x);
    r = __builtin_fmaf(n, -0x1.7f7d1cp-20f, r);
    float p = __builtin_fmaf(0x1.6a2164p-10f, r, 0x1.123b94p-7f);
    p = __builtin_fmaf(p, r, 0x1.5558fcp-5f);
    p = __builtin_fmaf(p, r, 0x1.55549p-3f);
    p = __builtin_fmaf(p, r, 0x1.fffffcp-2f);
    p = __builtin_fmaf(p * r, r, r) + 1.0f;
    int32_t exponent = (int32_t)(simd_bits(shifted) - simd_bits(0x1.8p23f));
    int32_t first = exponent >> 1, second = exponent - first;
    p *= simd_from_bits((uint32_t)(first + 127) << 23);
    return p * simd_from_bits((uint32_t)(second + 127) << 23);
}

/* tanh x within 2 units in the last place. Near 0 an odd polynomial (minimax in x^2, relative error 2^-27): there
 * 1 - e^-2x would cancel. */
SIMD_BODY float simd_tanh(float x)
{
    float size = simd_from_bits(simd_bits(x) & 0x7fffffffu), z = x * x;
    float t = simd_exp(-2.0f * size);
    float large = (1.0f - t) / (1.0f + t);
    large = simd_from_bits(simd_bits(large) | (simd_bits(x) & 0x80000000u));
    float p = __builtin_fmaf(-0.005644563f, z, 0.020586522f);
    p = __builtin_fmaf(p, z, -0.053724136f);
    p = __builtin_fmaf(p, z, 0.13331263f);
    p = __builtin_fmaf(p, z, -0.33333275f);
    float small = __builtin_fmaf(p * z, x, x);
    return size < 0.625f ? small : large;
}

#endif
