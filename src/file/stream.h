/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a regular file from front to back, unpacked where its name ends in .gz or .zst (several members or
 * frames behind each other are one). Nothing is believed: packing that is broken or cut off is an error, so is a file
 * that unpacks to more than STREAM_RATIO times its size (and STREAM_FREE), and one that changes while it is read. */
#ifndef WAZN_FILE_STREAM_H
#define WAZN_FILE_STREAM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define STREAM_RATIO 1100 /* deflate's best is 1032 */
#define STREAM_FREE ((uint64_t)64 << 20)

struct stream;

int stream_open(struct stream **out, const char *path, struct error *err);
void stream_close(struct stream *s);

/* Fill up to n > 0 bytes; *got 0: that was all. ERROR_FORMAT, ERROR_LIMIT and ERROR_IO name the file. */
int stream_read(struct stream *s, void *out, size_t n, size_t *got, struct error *err);

uint64_t stream_done(const struct stream *s); /* bytes of the file, packed as they are, that were read */

#endif
