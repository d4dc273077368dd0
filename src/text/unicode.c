/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode.h"

#include "text/unicode_classes.h"

#include <string.h>
#include <utf8proc.h>

#define RUNS (sizeof unicode_runs / sizeof unicode_runs[0])
#define CLASS_BITS 8
#define CLASS_MASK ((1u << CLASS_BITS) - 1)

unsigned unicode_class(int32_t point)
{
    size_t low = 0, high = RUNS; /* the run sought is in [low, high) */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_runs[middle] >> CLASS_BITS <= (uint32_t)point)
            low = middle;
        else
            high = middle;
    }
    return unicode_runs[low] & CLASS_MASK;
}

bool unicode_hidden(int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return true;
    default:
        return false;
    }
}

void unicode_table(unsigned char *table, size_t n)
{
    for (size_t i = 0; i < RUNS; i++) {
        size_t from = unicode_runs[i] >> CLASS_BITS, to = i + 1 < RUNS ? unicode_runs[i + 1] >> CLASS_BITS : 0x110000;
        if (from >= n)
            return;
        memset(table + from, (int)(unicode_runs[i] & CLASS_MASK), (to < n ? to : n) - from);
    }
}
