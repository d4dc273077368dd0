/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

/* What may follow a lead byte: how many continuation bytes, and the range of the first of them. */
struct lead {
    int more;
    unsigned char low, high;
};

static struct lead lead_of(unsigned char c)
{
    if (c >= 0xc2 && c <= 0xdf)
        return (struct lead) { 1, 0x80, 0xbf };
    if (c == 0xe0)
        return (struct lead) { 2, 0xa0, 0xbf };
    if (c == 0xed)
        return (struct lead) { 2, 0x80, 0x9f };
    if (c >= 0xe1 && c <= 0xef)
        return (struct lead) { 2, 0x80, 0xbf };
    if (c == 0xf0)
        return (struct lead) { 3, 0x90, 0xbf };
    if (c >= 0xf1 && c <= 0xf3)
        return (struct lead) { 3, 0x80, 0xbf };
    if (c == 0xf4)
        return (struct lead) { 3, 0x80, 0x8f };
    return (struct lead) { 0, 0, 0 };
}

/* Bytes of the sequence at `bytes` that are well formed, up to its full length; *full is that length (0: bad lead). */
static int well_formed(const char *bytes, size_t n, int *full)
{
    const unsigned char *u = (const unsigned char *)bytes;
    if (u[0] < 0x80) {
        *full = 1;
        return 1;
    }
    struct lead lead = lead_of(u[0]);
    *full = lead.more ? lead.more + 1 : 0;
    int good = 1;
    while (good <= lead.more && (size_t)good < n) {
        unsigned char low = good == 1 ? lead.low : 0x80, high = good == 1 ? lead.high : 0xbf;
        if (u[good] < low || u[good] > high)
            break;
        good++;
    }
    return good;
}

int utf8_decode(const char *bytes, size_t n, int32_t *point)
{
    const unsigned char *u = (const unsigned char *)bytes;
    int full, good = well_formed(bytes, n, &full);
    if (good != full) {
        *point = -1;
        return good;
    }
    switch (full) {
    case 1:
        *point = u[0];
        break;
    case 2:
        *point = (u[0] & 0x1f) << 6 | (u[1] & 0x3f);
        break;
    case 3:
        *point = (u[0] & 0x0f) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f);
        break;
    default:
        *point = (u[0] & 0x07) << 18 | (u[1] & 0x3f) << 12 | (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
        break;
    }
    return full;
}

int utf8_encode(char out[4], int32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

size_t utf8_valid_prefix(const char *bytes, size_t n)
{
    size_t at = 0;
    while (at < n) {
        int full, good = well_formed(bytes + at, n - at, &full);
        if (good != full)
            break;
        at += (size_t)full;
    }
    return at;
}

size_t utf8_incomplete_tail(const char *bytes, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        int full, good = well_formed(bytes + n - back, back, &full);
        if (((unsigned char)bytes[n - back] & 0xc0) == 0x80)
            continue;
        return full > good && (size_t)good == back ? back : 0;
    }
    return 0;
}
