/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 32: one scale, 4 bits that stand for values denser around zero. */
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/half.h"

static const int8_t values[16] = { IQ4_NL_VALUES };

static void decode(float *out, const void *in, int64_t n)
{
    const struct iq4_nl_block *b = in;
    for (float *y = out; y < out + n; y += 32, b++) {
        float d = f32_from_f16(u16_read(b->d));
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)values[b->q[i] & 15];
            y[i + 16] = d * (float)values[b->q[i] >> 4];
        }
    }
}

const struct format format_iq4_nl = {
    .name = "iq4_nl",
    .id = FORMAT_iq4_nl,
    .block = 32,
    .block_bytes = sizeof(struct iq4_nl_block),
    .encode = NULL,
    .decode = decode,
    .pair = FORMAT_q8_0,
    .dots = iq4_nl_dots,
};
