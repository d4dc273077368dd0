/* SPDX-License-Identifier: Apache-2.0 */
/* Training samples as a person sees them before anything is learned: token by token, what is learned told apart. */
#ifndef WAZN_CLI_PREVIEW_H
#define WAZN_CLI_PREVIEW_H

#include "base/buffer.h"
#include "train/render.h"

/* Append the first n samples. Tokens are parted by │, learned ones green (colour) or between ⟦ and ⟧. Each token stands
 * in an isolate of its own, so that right-to-left text stays in its place; characters that one does not see, or that
 * turn text around, are shown as <U+NNNN>, control characters as \xNN. */
int preview_samples(struct buffer *out, const struct dataset *d, const struct tokenizer *t, size_t n, bool colour,
    struct error *err);
/* Append the sums: samples, tokens, what is learned, the longest; and who was left out. counts may be NULL. */
void preview_sums(struct buffer *out, const struct dataset *d, const struct render_counts *counts);

#endif
