/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_FILE_DIGEST_H
#define WAZN_FILE_DIGEST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_TEXT_SIZE 65

/* SHA-256 of a file in lower-case hexadecimal. progress (may be NULL) is called now and then with the bytes done
 * and the file's size; false from it stops with ERROR_CANCELLED. */
int digest_file(char text[DIGEST_TEXT_SIZE], const char *path, bool (*progress)(void *context, uint64_t done,
    uint64_t total), void *context, struct error *err);
/* The same of n bytes in memory. */
int digest_bytes(char text[DIGEST_TEXT_SIZE], const void *data, size_t n, struct error *err);

#endif
