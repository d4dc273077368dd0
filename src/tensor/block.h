/* SPDX-License-Identifier: Apache-2.0 */
/* How the blocks of the quantized formats lie in memory (GGUF's layouts, little endian). Members are bytes, so a block
 * may start at any address; the scales are read with u16_read of tensor/half.h. */
#ifndef WAZN_TENSOR_BLOCK_H
#define WAZN_TENSOR_BLOCK_H

#include <stdint.h>

/* In the blocks of 32, value i < 16 is the low and value i + 16 the high nibble of q[i]; bit i of `high`, a
 * little-endian word, is the fifth bit of value i. d and m are binary16. */
struct q4_0_block { /* d (q - 8) */
    uint8_t d[2], q[16];
};
struct q4_1_block { /* d q + m */
    uint8_t d[2], m[2], q[16];
};
struct q5_0_block { /* d (q - 16) */
    uint8_t d[2], high[4], q[16];
};
struct q5_1_block { /* d q + m */
    uint8_t d[2], m[2], high[4], q[16];
};
struct q8_0_block { /* d q */
    uint8_t d[2];
    int8_t q[32];
};
struct iq4_nl_block { /* d iq4_nl_values[q] */
    uint8_t d[2], q[16];
};
struct mxfp4_block { /* 2^(e - 128) mxfp4_values[q] */
    uint8_t e, q[16];
};
/* The same as gpt-oss's safetensors hold it: scales in a tensor of their own, value 2 i is the low and 2 i + 1 the high
 * nibble of q[i]. */
struct mxfp4_split {
    uint8_t q[16];
};
struct mxfp4_row { /* a row of them */
    const struct mxfp4_split *q;
    const uint8_t *scales;
};
/* n values, a multiple of 32, with their n / 32 scales. */
void mxfp4_split_decode(float *out, const void *q, const uint8_t *scales, int64_t n);
/* The same numbers from one form to the other, n a multiple of 32: bits are moved, none is lost. */
void mxfp4_join(struct mxfp4_block *out, const void *q, const uint8_t *scales, int64_t n);
void mxfp4_split(void *q, uint8_t *scales, const struct mxfp4_block *in, int64_t n);

/* In the blocks of 256, d and m (the scale of the minima) are binary16. */
struct q2_k_block { /* 16 sub-blocks of 16: d (scales & 15) q - m (scales >> 4) */
    uint8_t scales[16], q[64], d[2], m[2];
};
struct q3_k_block { /* 16 sub-blocks of 16: d (scale - 32) (q - 4), scales packed by k_scales16 */
    uint8_t high[32], q[64], scales[12], d[2];
};
struct q4_k_block { /* 8 sub-blocks of 32: d scale q - m min, scales and minima packed by k_scales8 */
    uint8_t d[2], m[2], scales[12], q[128];
};
struct q5_k_block { /* as q4_k, with a fifth bit */
    uint8_t d[2], m[2], scales[12], high[32], q[128];
};
struct q6_k_block { /* 16 sub-blocks of 16: d scale (q - 32) */
    uint8_t low[128], high[64];
    int8_t scales[16];
    uint8_t d[2];
};

/* Activations, in memory only: aligned as their floats want. */
struct q8_1_block { /* d q */
    float d, sum; /* sum: d times the sum of q */
    int8_t q[32];
};
struct q8_k_block { /* d q */
    float d;
    int8_t q[256];
    int16_t sums[16]; /* of q, 16 at a time */
};

/* What a nibble of iq4_nl stands for, and of mxfp4 (E2M1, doubled to make them whole). */
#define IQ4_NL_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define MXFP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* Eight 6-bit scales and minima from 12 bytes: 0..3 hold scales 0..3, 4..7 minima 0..3; 8..11 hold the low nibbles of
 * scales and minima 4..7, whose upper two bits are those of bytes 0..3 and 4..7. */
static inline void k_scales8_unpack(uint8_t scales[8], uint8_t mins[8], const uint8_t packed[12])
{
    for (int i = 0; i < 4; i++) {
        scales[i] = packed[i] & 63;
        mins[i] = packed[i + 4] & 63;
        scales[i + 4] = (uint8_t)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        mins[i + 4] = (uint8_t)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

static inline void k_scales8_pack(uint8_t packed[12], const uint8_t scales[8], const uint8_t mins[8])
{
    for (int i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scales[i] | scales[i + 4] >> 4 << 6);
        packed[i + 4] = (uint8_t)(mins[i] | mins[i + 4] >> 4 << 6);
        packed[i + 8] = (uint8_t)((scales[i + 4] & 15) | (mins[i + 4] & 15) << 4);
    }
}

/* Sixteen 6-bit scales from 12 bytes: 0..7 hold the low nibbles of scales 0..7 (low) and 8..15 (high); bits 2k and
 * 2k + 1 of byte 8 + i are the upper bits of scale 4k + i. */
static inline void k_scales16_unpack(uint8_t scales[16], const uint8_t packed[12])
{
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
        scales[i] = (uint8_t)(low | (packed[8 + i % 4] >> (i / 4 * 2) & 3) << 4);
    }
}

static inline void k_scales16_pack(uint8_t packed[12], const uint8_t scales[16])
{
    for (int i = 0; i < 8; i++)
        packed[i] = (uint8_t)((scales[i] & 15) | (scales[i + 8] & 15) << 4);
    for (int i = 0; i < 4; i++)
        packed[8 + i] = (uint8_t)(scales[i] >> 4 | scales[i + 4] >> 4 << 2 | scales[i + 8] >> 4 << 4 |
            scales[i + 12] >> 4 << 6);
}

#endif
