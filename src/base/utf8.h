/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as bytes (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef WAZN_BASE_UTF8_H
#define WAZN_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decode one code point from n > 0 bytes. Returns how many bytes it took (1..4) and sets *point; for a malformed or cut
 * sequence returns the bytes of its longest valid prefix (at least 1) and sets *point to -1. */
int utf8_decode(const char *bytes, size_t n, int32_t *point);

/* Write a code point (0..0x10FFFF, no surrogate); returns 1..4. */
int utf8_encode(char out[4], int32_t point);

/* Bytes at the front that are whole, valid sequences. n: all valid. */
size_t utf8_valid_prefix(const char *bytes, size_t n);

/* Bytes at the end that begin a sequence which more bytes could complete: 0..3. */
size_t utf8_incomplete_tail(const char *bytes, size_t n);

#endif
