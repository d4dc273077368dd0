/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

static void decode_c(const struct format *format, float *y, const void *x, int64_t n)
{
    format->decode(y, x, n);
}

static void encode_c(const struct format *format, void *y, const float *x, int64_t n)
{
    format->encode(y, x, NULL, n);
}

const struct decode_version decode_versions[] = {
    { "c", 0, decode_c },
};

const struct encode_version encode_versions[] = {
    { "c", 0, encode_c },
};
