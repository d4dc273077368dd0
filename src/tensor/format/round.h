/* SPDX-License-Identifier: Apache-2.0 */
/* What encoders share: the largest value of a block, reciprocals and roundings that are defined for every float. */
#ifndef WAZN_TENSOR_FORMAT_ROUND_H
#define WAZN_TENSOR_FORMAT_ROUND_H

#include "tensor/half.h"

#include <float.h>
#include <stdint.h>

/* The first value of the largest magnitude, with its sign. A NaN counts as larger than any number, so that what is
 * wrong with the input shows in the scale. */
static inline float block_peak(const float *x, int n)
{
    uint32_t most = 0;
    for (int i = 0; i < n; i++) {
        uint32_t magnitude = bits_from_f32(x[i]) & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    for (int i = 0; i < n; i++)
        if ((bits_from_f32(x[i]) & 0x7fffffffu) == most)
            return x[i];
    return 0.0f;
}

/* 1 / d, or 0 where d is 0, so small that 1 / d overflows, or not finite. */
static inline float scale_inverse(float d)
{
    float inverse = 1.0f / d;
    return inverse >= -FLT_MAX && inverse <= FLT_MAX ? inverse : 0.0f;
}

/* The whole part of x, kept within 0..top; NaN: 0. */
static inline uint8_t level_trunc(float x, int top)
{
    return (uint8_t)(!(x > 0.0f) ? 0 : x >= (float)top ? top : (int)x);
}

/* Nearest whole number, halves away from zero, for |x| < 2^22; NaN: 0. Adding 0.5 would be wrong for the float before
 * 0.5; the difference below is exact. */
static inline int round_away(float x)
{
    float known = x == x ? x : 0.0f;
    int whole = (int)known;
    float part = known - (float)whole;
    return whole + (part >= 0.5f) - (part <= -0.5f);
}

/* Nearest whole number, halves to even, for |x| < 2^22; NaN: 0. In 2^23 + 2^22 + x the unit in the last place is 1. */
static inline int round_even(float x)
{
    float known = x == x ? x : 0.0f;
    return (int)(bits_from_f32(known + 0x1.8p23f) - bits_from_f32(0x1.8p23f));
}

/* Smallest and largest value. Returns 0, or NaN where a value is not finite. */
static inline float block_range(float *least, float *most, const float *x, int n)
{
    float low = x[0], high = x[0], poison = 0.0f;
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        poison += x[i] * 0.0f;
    }
    *least = low;
    *most = high;
    return poison;
}

#endif
