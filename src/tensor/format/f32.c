/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE 754 binary32, as it is. */
#include "tensor/dots/dots.h"
#include "tensor/format.h"

#include <string.h>

static void encode(void *out, const float *in, const float *importance, int64_t n)
{
    (void)importance;
    memcpy(out, in, (size_t)n * sizeof *in);
}

static void decode(float *out, const void *in, int64_t n)
{
    memcpy(out, in, (size_t)n * sizeof *out);
}

const struct format format_f32 = {
    .name = "f32",
    .id = FORMAT_f32,
    .block = 1,
    .block_bytes = 4,
    .encode = encode,
    .decode = decode,
    .pair = FORMAT_f32,
    .dots = f32_dots,
};
