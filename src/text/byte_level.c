/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level spelling (GPT-2): printable bytes of Latin-1 stand for themselves, the other 68 in rising order for
 * U+0100 and up, so that vocabularies are text without blanks. */
#include "text/bpe.h"

#include "base/utf8.h"

#include <string.h>

static bool stands_for_itself(int32_t point)
{
    return (point >= 33 && point <= 126) || (point >= 161 && point <= 172) || (point >= 174 && point <= 255);
}

/* The byte that U+0100 + k stands for: 0..32, 127..160, 173. */
static int nth_other(int32_t k)
{
    return k <= 32 ? k : k <= 66 ? k - 33 + 127 : 173;
}

ptrdiff_t byte_level_decode(char *out, const char *text, size_t n)
{
    const unsigned char *u = (const unsigned char *)text;
    ptrdiff_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t point = u[i];
        if (point > 32 && point < 127) {
            out[bytes++] = (char)point;
            continue;
        }
        if (point >= 0x80) {
            if (u[i] < 0xc2 || u[i] > 0xc5 || i + 1 == n || (u[i + 1] & 0xc0) != 0x80)
                return -1;
            point = (u[i] & 0x1f) << 6 | (u[i + 1] & 0x3f);
            i++;
        }
        if (point >= 0x100 && point < 0x100 + 68)
            point = nth_other(point - 0x100);
        else if (!stands_for_itself(point))
            return -1;
        out[bytes++] = (char)point;
    }
    return bytes;
}

size_t byte_level_encode(char *out, const char *bytes, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t point = (unsigned char)bytes[i];
        if (!stands_for_itself(point))
            point = 0x100 + (point <= 32 ? point : point == 173 ? 67 : point - 127 + 33);
        used += (size_t)utf8_encode(out + used, point);
    }
    return used;
}
