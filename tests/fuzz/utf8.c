/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    size_t valid = utf8_valid_prefix(bytes, size);
    assert(valid <= size);
    assert(utf8_incomplete_tail(bytes, size) <= 3);
    for (size_t at = 0; at < size;) {
        int32_t point;
        int n = utf8_decode(bytes + at, size - at, &point);
        assert(n >= 1 && n <= 4 && (size_t)n <= size - at);
        assert(at >= valid || point >= 0);
        if (point >= 0) {
            char again[4];
            assert(utf8_encode(again, point) == n && memcmp(again, bytes + at, (size_t)n) == 0);
        }
        at += (size_t)n;
    }
    return 0;
}
