/* SPDX-License-Identifier: Apache-2.0 */
/* A model run over a text in windows that each start empty, some tokens at a time: what calibrating and measuring are
 * made of. */
#ifndef WAZN_PUBLISH_WINDOWS_H
#define WAZN_PUBLISH_WINDOWS_H

#include "base/arena.h"
#include "model/pass.h"

#define WINDOWS_WINDOW 512 /* tokens that see each other */
#define WINDOWS_STEP 32    /* tokens in one pass; rows of logits held */

struct windows {
    const struct model *model;
    struct kv kv;
    struct arena arena;
    struct pass *pass;
};

/* observe: NULL, or as in pass_options. */
int windows_open(struct windows *r, const struct model *m, int threads,
    void (*observe)(void *context, const struct weight *w, const struct value *x, int tokens), void *context,
    struct error *err);
void windows_close(struct windows *r);

/* Evaluate tokens [at, at + return value) of a text: up to WINDOWS_STEP, never over the end of a window. Call with at
 * from 0, raised by what was returned in *count. Row i of windows_logits speaks of what follows token at + i. */
int windows_step(struct windows *r, const int32_t *ids, size_t n, size_t at, int *count, struct error *err);
const float *windows_logits(const struct windows *r, int row);

#endif
