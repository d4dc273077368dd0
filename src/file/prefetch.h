/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_FILE_PREFETCH_H
#define WAZN_FILE_PREFETCH_H

#include "file/source.h"

#include <stdbool.h>

/* Bring every tensor into memory now rather than page by page while the first tokens wait: one long read, with progress
 * to show, and from then on the resident size is what the plan says. progress (may be NULL) gets bytes; false from it
 * stops with ERROR_CANCELLED. ERROR_IO where the system cannot read the file. */
int source_prefetch(const struct source *s, bool (*progress)(void *context, uint64_t done, uint64_t total),
    void *context, struct error *err);

#endif
