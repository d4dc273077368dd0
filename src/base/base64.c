/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <stdint.h>

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ptrdiff_t base64_decode(void *out, const char *text, size_t n)
{
    unsigned char *to = out;
    uint32_t bits = 0;
    size_t padding = 0;
    while (padding < 2 && n && text[n - 1] == '=') {
        n--;
        padding++;
    }
    if (n % 4 == 1 || (padding && (n + padding) % 4))
        return -1;
    for (size_t i = 0; i < n; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) /* 6 bits more, of which 8 are a byte, with 4, 2, 0 left over */
            *to++ = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    return to - (unsigned char *)out;
}
