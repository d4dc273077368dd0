/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes from foreign bytes: arithmetic that tells when it wraps. */
#ifndef WAZN_BASE_SIZE_H
#define WAZN_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b, a + b; false (and *out unspecified) where the result does not fit. */
static inline bool size_mul(uint64_t *out, uint64_t a, uint64_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool size_add(uint64_t *out, uint64_t a, uint64_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

/* The next multiple of `unit` (a power of two); wraps to a smaller number only for sizes within unit of 2^64. */
static inline uint64_t size_align(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

#endif
