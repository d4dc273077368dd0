/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tensor/dots: the unit of blocks of 32 integers with one scale, times q8_0 (or q8_1 where blocks have a
 * minimum). With u the unsigned form of the integers, w = d (u - offset) + m:
 *     sum w x = sum over blocks of d dx (sum u q - offset sum q) + m (dx sum q) */
#ifndef WAZN_TENSOR_DOTS_BLOCK32_H
#define WAZN_TENSOR_DOTS_BLOCK32_H

#include "tensor/block.h"
#include "tensor/dots/tiles.h"
#include "tensor/half.h"

/* Stands for mxfp4 in two pieces, which is no format of its own. */
#define FORMAT_mxfp4_split FORMAT_COUNT

ALWAYS_INLINE size_t block32_bytes(const enum format_id id)
{
    switch (id) {
    case FORMAT_q4_0: return sizeof(struct q4_0_block);
    case FORMAT_q4_1: return sizeof(struct q4_1_block);
    case FORMAT_q5_0: return sizeof(struct q5_0_block);
    case FORMAT_q5_1: return sizeof(struct q5_1_block);
    case FORMAT_iq4_nl: return sizeof(struct iq4_nl_block);
    case FORMAT_mxfp4: return sizeof(struct mxfp4_block);
    case FORMAT_mxfp4_split: return sizeof(struct mxfp4_split);
    default: return sizeof(struct q8_0_block);
    }
}

/* Blocks with a minimum, whose activations are q8_1. */
ALWAYS_INLINE int block32_has_min(const enum format_id id)
{
    return id == FORMAT_q4_1 || id == FORMAT_q5_1;
}

ALWAYS_INLINE size_t block32_pair_bytes(const enum format_id id)
{
    return block32_has_min(id) ? sizeof(struct q8_1_block) : sizeof(struct q8_0_block);
}

/* Of formats whose integers are stored unsigned, or as indices of a table of at most 25 neighbouring values. */
ALWAYS_INLINE int block32_offset(const enum format_id id)
{
    switch (id) {
    case FORMAT_q4_0: return 8;
    case FORMAT_q5_0: return 16;
    case FORMAT_mxfp4:
    case FORMAT_mxfp4_split: return 12;
    case FORMAT_q8_0:
    case FORMAT_iq4_nl: return 128;
    default: return 0;
    }
}

/* Block b of the row that w points to, and the block that holds its scale. */
ALWAYS_INLINE const uint8_t *block32_at(const enum format_id id, const uint8_t *w, size_t b)
{
    if (id == FORMAT_mxfp4_split)
        return ((const struct mxfp4_row *)(const void *)w)->q[b].q;
    return w + b * block32_bytes(id);
}

ALWAYS_INLINE const uint8_t *block32_scale_at(const enum format_id id, const uint8_t *w, size_t b)
{
    if (id == FORMAT_mxfp4_split)
        return ((const struct mxfp4_row *)(const void *)w)->scales + b;
    return w + b * block32_bytes(id);
}

ALWAYS_INLINE int block32_is_mxfp4(const enum format_id id)
{
    return id == FORMAT_mxfp4 || id == FORMAT_mxfp4_split;
}

/* The 16 bytes of nibbles of formats that have them. */
ALWAYS_INLINE const uint8_t *block32_nibbles(const enum format_id id, const uint8_t *block)
{
    return block + block32_bytes(id) - 16;
}

ALWAYS_INLINE const uint8_t *block32_fifth_bits(const enum format_id id, const uint8_t *block)
{
    return block32_nibbles(id, block) - 4;
}

#define BLOCK32_BYTE_FORMATS(X) X(q8_0)
#define BLOCK32_NIBBLE_FORMATS(X) X(q4_0) X(mxfp4) X(mxfp4_split) X(q4_1) X(q5_0) X(q5_1) X(iq4_nl)
#define BLOCK32_FORMATS(X) BLOCK32_BYTE_FORMATS(X) BLOCK32_NIBBLE_FORMATS(X)
/* The same, as block32_has_min parts them. */
#define BLOCK32_PLAIN_FORMATS(X) X(q8_0) X(q4_0) X(mxfp4) X(mxfp4_split) X(q5_0) X(iq4_nl)
#define BLOCK32_MIN_FORMATS(X) X(q4_1) X(q5_1)

#endif
