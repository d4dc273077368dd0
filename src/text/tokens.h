/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of token ids. Like struct buffer: out of memory is remembered, asked for once. */
#ifndef WAZN_TEXT_TOKENS_H
#define WAZN_TEXT_TOKENS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokens {
    int32_t *ids;
    size_t used, capacity;
    bool failed;
};

void tokens_add(struct tokens *t, int32_t id);
int32_t *tokens_room(struct tokens *t, size_t n); /* room for n more, NULL when failed; the caller raises used */
void tokens_clear(struct tokens *t);
int tokens_check(const struct tokens *t, struct error *err); /* 0 or ERROR_MEMORY */
void tokens_release(struct tokens *t);

#endif
