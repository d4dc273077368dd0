/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of character a code point is, in the version of Unicode that tiktoken and Hugging Face tokenizers use. */
#ifndef WAZN_TEXT_UNICODE_H
#define WAZN_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unicode_class {
    UNICODE_UPPER = 1 << 0,  /* Lu, Lt */
    UNICODE_LOWER = 1 << 1,  /* Ll */
    UNICODE_OTHER = 1 << 2,  /* Lm, Lo */
    UNICODE_MARK = 1 << 3,   /* M */
    UNICODE_NUMBER = 1 << 4, /* N */
    UNICODE_SPACE = 1 << 5,  /* White_Space */
    UNICODE_WORD = 1 << 6,   /* letters, marks, decimal digits, connectors: \w of UTS 18 */
    UNICODE_OLD_NFC = 1 << 7, /* newer than the Unicode of tokenizers' NFC, which leaves it alone; utf8proc does not */
    UNICODE_LETTER = UNICODE_UPPER | UNICODE_LOWER | UNICODE_OTHER
};

/* Bits of the class; 0 for all other characters. */
unsigned unicode_class(int32_t point);

/* Shows nothing by itself, or changes how its neighbours are shown: controls, format characters (marks of direction,
 * joiners, tags), separators of lines and paragraphs, and code points without a character. */
bool unicode_hidden(int32_t point);

/* The classes of the characters below n, one byte each. */
void unicode_table(unsigned char *table, size_t n);

#endif
