/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses a format, the rest are its blocks: decode them, encode what came out, decode again. */
#include "tensor/format.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct format *f = formats[data[0] % FORMAT_COUNT];
    size_t blocks = (size - 1) / (size_t)f->block_bytes, bytes = blocks * (size_t)f->block_bytes;
    int64_t n = (int64_t)blocks * f->block;
    void *in = malloc(bytes + 1); /* activation blocks are aligned, and those of files may be */
    float *x = malloc((size_t)n * sizeof *x + 1), *again = malloc((size_t)n * sizeof *again + 1);
    assert(in && x && again);
    memcpy(in, data + 1, bytes);
    f->decode(x, in, n);
    if (f->encode) {
        f->encode(in, x, data[0] & 128 ? x : NULL, n);
        f->decode(again, in, n);
        for (int64_t i = 0; f->block == 1 && i < n; i++) /* what one value says, it says again */
            assert(again[i] == x[i] || (isnan(x[i]) && isnan(again[i])));
    }
    free(in);
    free(x);
    free(again);
    return 0;
}
