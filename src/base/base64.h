/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, section 4) as tokenizer files use it. */
#ifndef WAZN_BASE_BASE64_H
#define WAZN_BASE_BASE64_H

#include <stddef.h>

/* Most bytes that n characters stand for. */
#define BASE64_BYTES(n) ((n) / 4 * 3 + 3)

/* Decode n characters, padding optional, into `out` (BASE64_BYTES(n), may be the text itself). Returns the bytes, or -1
 * where a character or the length is not base64. */
ptrdiff_t base64_decode(void *out, const char *text, size_t n);

#endif
