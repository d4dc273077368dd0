/* SPDX-License-Identifier: Apache-2.0 */
/* The short floating point numbers, converted bit by bit: IEEE 754 binary16, bfloat16, OCP E4M3 (OFP8 1.0, the variant
 * without infinities) and the OCP MX scale E8M0. Every conversion to a shorter type rounds to nearest, ties to even;
 * subnormals are kept both ways; a NaN stays a NaN of the same sign and becomes quiet. Little-endian memory, any
 * alignment. */
#ifndef WAZN_TENSOR_HALF_H
#define WAZN_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t bits_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f32_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t u16_read(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline void u16_write(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline uint32_t u32_read(const uint8_t *bytes)
{
    return u16_read(bytes) | (uint32_t)u16_read(bytes + 2) << 16;
}

static inline void u32_write(uint8_t *bytes, uint32_t value)
{
    u16_write(bytes, (uint16_t)value);
    u16_write(bytes + 2, (uint16_t)(value >> 16));
}

static inline float f32_from_f16(uint16_t h)
{
    uint32_t rest = h & 0x7fffu;
    uint32_t normal = (rest << 13) + (112u << 23);            /* exponent bias 15 becomes 127 */
    uint32_t special = normal + (112u << 23);                 /* exponent 31 becomes 255 */
    uint32_t tiny = bits_from_f32((float)(int)rest * 0x1p-24f); /* exact: zero and subnormals */
    uint32_t quiet = rest > 0x7c00 ? 1u << 22 : 0;
    uint32_t bits = rest < 0x400 ? tiny : rest < 0x7c00 ? normal : special | quiet;
    return f32_from_bits(bits | (uint32_t)(h & 0x8000u) << 16);
}

/* Beyond 65520: infinity. */
static inline uint16_t f16_from_f32(float x)
{
    uint32_t bits = bits_from_f32(x), rest = bits & 0x7fffffffu;
    /* One unit in the last place of 0.5 is the smallest subnormal, 2^-24: the addition rounds. */
    uint32_t tiny = bits_from_f32(f32_from_bits(rest) + 0.5f) - bits_from_f32(0.5f);
    uint32_t normal = (rest - (112u << 23) + 0xfff + ((rest >> 13) & 1)) >> 13;
    uint32_t nan = 0x7e00u | ((rest >> 13) & 0x3ffu);
    uint32_t h = rest < 0x38800000u ? tiny : rest < 0x477ff000u ? normal : rest <= 0x7f800000u ? 0x7c00u : nan;
    return (uint16_t)(h | (bits >> 16 & 0x8000u));
}

static inline float f32_from_bf16(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

/* The bfloat16 in the upper half, something in the lower: vectors of it stay as wide as those of x. */
static inline uint32_t bf16_bits_from_f32(float x)
{
    uint32_t bits = bits_from_f32(x);
    uint32_t nan = bits | 1u << 22;
    uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded;
}

static inline uint16_t bf16_from_f32(float x)
{
    return (uint16_t)(bf16_bits_from_f32(x) >> 16);
}

static inline float f32_from_e4m3(uint8_t e)
{
    uint32_t rest = e & 0x7fu;
    uint32_t normal = (rest << 20) + (120u << 23); /* exponent bias 7 becomes 127 */
    uint32_t tiny = bits_from_f32((float)(int)rest * 0x1p-9f);
    uint32_t bits = rest < 8 ? tiny : rest < 0x7f ? normal : 0x7fc00000u;
    return f32_from_bits(bits | (uint32_t)(e & 0x80u) << 24);
}

/* Beyond the largest, 448, and for infinities: +-448 (OFP8's saturating mode). */
static inline uint8_t e4m3_from_f32(float x)
{
    uint32_t bits = bits_from_f32(x), rest = bits & 0x7fffffffu;
    /* One unit in the last place of 2^14 is the smallest subnormal, 2^-9. */
    uint32_t tiny = bits_from_f32(f32_from_bits(rest) + 0x1p14f) - bits_from_f32(0x1p14f);
    uint32_t normal = (rest - (120u << 23) + 0x7ffff + ((rest >> 20) & 1)) >> 20;
    uint32_t e = rest < 0x3c800000u ? tiny : rest < 0x43e00000u ? normal : rest <= 0x7f800000u ? 0x7eu : 0x7fu;
    return (uint8_t)(e | (bits >> 24 & 0x80u));
}

/* Half of the E8M0 scale, 2^(e - 128), as the doubled E2M1 values of MXFP4 want it. 255 is no NaN here: 2^127. */
static inline float f32_from_e8m0_half(uint8_t e)
{
    return f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

#endif
