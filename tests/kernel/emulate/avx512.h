/* SPDX-License-Identifier: Apache-2.0 */
/* Included before each source by script/check-avx512: AVX-512 by way of AVX2. From here on an intrinsic of 512 bits is
 * a call of SIMDe's portable version of it, and target attributes, whose instructions this processor need not have,
 * vanish. What SIMDe 0.7.4 lacks is below, lane by lane after the operations of Intel's intrinsics guide. An intrinsic
 * that neither has does not compile: the compiler's own cannot be inlined without the attribute. */
#ifndef WAZN_TESTS_KERNEL_EMULATE_AVX512_H
#define WAZN_TESTS_KERNEL_EMULATE_AVX512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <stdint.h>

union emulated {
    __m512 ps;
    __m512i si512;
    __m256 ps256[2];
    __m256i si256[2];
    float f32[16];
    int32_t i32[16];
    uint32_t u32[16];
    uint16_t u16[32];
};

union emulated_half {
    __m256i si256;
    uint16_t u16[16];
    uint8_t u8[32];
};

#define EMULATED static inline __attribute__((unused))

/* FOR j := 0 to 15: dst[32j+31:32j] := Convert_Int32_To_FP32(a[32j+31:32j]) */
EMULATED __m512 emulated_cvtepi32_ps(__m512i a)
{
    union emulated from = {.si512 = a}, to;
    for (int j = 0; j < 16; j++)
        to.f32[j] = (float)from.i32[j];
    return to.ps;
}

/* FOR j := 0 to 15: dst[32j+31:32j] := ZeroExtend32(a[16j+15:16j]) */
EMULATED __m512i emulated_cvtepu16_epi32(__m256i a)
{
    union emulated_half from = {.si256 = a};
    union emulated to;
    for (int j = 0; j < 16; j++)
        to.u32[j] = from.u16[j];
    return to.si512;
}

/* FOR j := 0 to 15: dst[32j+31:32j] := ZeroExtend32(a[8j+7:8j]) */
EMULATED __m512i emulated_cvtepu8_epi32(__m128i a)
{
    uint8_t from[16];
    union emulated to;
    _mm_storeu_si128((__m128i *)(void *)from, a);
    for (int j = 0; j < 16; j++)
        to.u32[j] = from[j];
    return to.si512;
}

/* FOR j := 0 to 31: dst[16j+15:16j] := ZeroExtend16(a[8j+7:8j]) */
EMULATED __m512i emulated_cvtepu8_epi16(__m256i a)
{
    union emulated_half from = {.si256 = a};
    union emulated to;
    for (int j = 0; j < 32; j++)
        to.u16[j] = from.u8[j];
    return to.si512;
}

/* FOR j := 0 to 15: dst[32j+31:32j] := Convert_FP16_To_FP32(a[16j+15:16j]); F16C has it for eight lanes. */
EMULATED __m512 emulated_cvtph_ps(__m256i a)
{
    union emulated to;
    to.ps256[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(a));
    to.ps256[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1));
    return to.ps;
}

/* CASE imm8[0] OF 0: dst[255:0] := a[255:0]; 1: dst[255:0] := a[511:256] */
EMULATED __m256 emulated_extractf32x8_ps(__m512 a, int imm8)
{
    union emulated from = {.ps = a};
    return from.ps256[imm8 & 1];
}

/* dst[255:0] := a[255:0]; dst[511:256] := 0 */
EMULATED __m512i emulated_zextsi256_si512(__m256i a)
{
    union emulated to = {.u32 = {0}};
    to.si256[0] = a;
    return to.si512;
}

/* FOR j := 0 to 15: dst[32j+31:32j] := SignExtend32(a[32j+31:32j] >> imm8), imm8 below 32 */
EMULATED __m512i emulated_srai_epi32(__m512i a, unsigned imm8)
{
    union emulated from = {.si512 = a}, to;
    for (int j = 0; j < 16; j++)
        to.i32[j] = from.i32[j] >> imm8;
    return to.si512;
}

#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu8_epi16
#undef _mm512_cvtph_ps
#undef _mm512_extractf32x8_ps
#undef _mm512_zextsi256_si512
#undef _mm512_srai_epi32
#undef _cvtu64_mask64
#define _mm512_cvtepi32_ps(a) emulated_cvtepi32_ps(a)
#define _mm512_cvtepu16_epi32(a) emulated_cvtepu16_epi32(a)
#define _mm512_cvtepu8_epi32(a) emulated_cvtepu8_epi32(a)
#define _mm512_cvtepu8_epi16(a) emulated_cvtepu8_epi16(a)
#define _mm512_cvtph_ps(a) emulated_cvtph_ps(a)
#define _mm512_extractf32x8_ps(a, imm8) emulated_extractf32x8_ps(a, imm8)
#define _mm512_srai_epi32(a, imm8) emulated_srai_epi32(a, imm8)
#define _mm512_zextsi256_si512(a) emulated_zextsi256_si512(a)
/* SIMDe has these, by their own names only. */
#undef _mm512_shuffle_i64x2
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_i64x2(a, b, imm8) simde_mm512_shuffle_i64x2(a, b, imm8)
#define _mm512_shuffle_f32x4(a, b, imm8) simde_mm512_shuffle_f32x4(a, b, imm8)
#define _cvtu64_mask64(a) ((simde__mmask64)(a)) /* k := a[63:0] */

#define target(...) /* __attribute__((target("..."))) becomes __attribute__(()) */

#endif
