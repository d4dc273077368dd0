/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: the unit of super-blocks of 256 integers in 16 groups of 16, times q8_k. With u the unsigned
 * integers, w = d scale (u - offset) - m min, where a group has its scale and, in some formats, its min:
 *     sum w x = sum over super-blocks of d dx (sum over groups of scale (sum u q - offset sum q))
 *                                       - m dx (sum over groups of min (sum q))
 * Both sums over groups are exact in 32 bits: at most 256 * 63 * 128 * 128 (q6_k). Values are taken 32 at a time, a
 * `part`, 0 to 7. */
#ifndef WAZN_TENSOR_DOTS_SUPER_H
#define WAZN_TENSOR_DOTS_SUPER_H

#include "tensor/block.h"
#include "tensor/dots/tiles.h"
#include "tensor/half.h"

ALWAYS_INLINE size_t super_bytes(const enum format_id id)
{
    switch (id) {
    case FORMAT_q2_k: return sizeof(struct q2_k_block);
    case FORMAT_q3_k: return sizeof(struct q3_k_block);
    case FORMAT_q4_k: return sizeof(struct q4_k_block);
    case FORMAT_q5_k: return sizeof(struct q5_k_block);
    default: return sizeof(struct q6_k_block);
    }
}

ALWAYS_INLINE int super_has_min(const enum format_id id)
{
    return id == FORMAT_q2_k || id == FORMAT_q4_k || id == FORMAT_q5_k;
}

ALWAYS_INLINE int super_offset(const enum format_id id)
{
    return id == FORMAT_q3_k ? 4 : id == FORMAT_q6_k ? 32 : 0;
}

/* The binary16 scale d. */
ALWAYS_INLINE const uint8_t *super_scale(const enum format_id id, const uint8_t *block)
{
    switch (id) {
    case FORMAT_q2_k: return ((const struct q2_k_block *)block)->d;
    case FORMAT_q3_k: return ((const struct q3_k_block *)block)->d;
    case FORMAT_q6_k: return ((const struct q6_k_block *)block)->d;
    default: return block;
    }
}

/* The binary16 scale m of the minima; formats that have them keep it behind d. */
ALWAYS_INLINE const uint8_t *super_min_scale(const enum format_id id, const uint8_t *block)
{
    return super_scale(id, block) + 2;
}

/* k_scales8_unpack four bytes at a time: scales 0..7, then minima 0..7. */
ALWAYS_INLINE void super_scales8(uint32_t out[4], const uint8_t packed[12])
{
    uint32_t a = u32_read(packed), b = u32_read(packed + 4), c = u32_read(packed + 8);
    out[0] = a & 0x3f3f3f3f;
    out[1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    out[2] = b & 0x3f3f3f3f;
    out[3] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
}

/* k_scales16_unpack four bytes at a time: scales 0..15, each 32 too large. */
ALWAYS_INLINE void super_scales16(uint32_t out[4], const uint8_t packed[12])
{
    uint32_t a = u32_read(packed), b = u32_read(packed + 4), c = u32_read(packed + 8);
    out[0] = (a & 0x0f0f0f0f) | (c << 4 & 0x30303030);
    out[1] = (b & 0x0f0f0f0f) | (c << 2 & 0x30303030);
    out[2] = (a >> 4 & 0x0f0f0f0f) | (c & 0x30303030);
    out[3] = (b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030);
}

#define SUPER_FORMATS(X) X(q4_k) X(q6_k) X(q5_k) X(q2_k) X(q3_k)

#endif
