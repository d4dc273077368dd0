/* SPDX-License-Identifier: Apache-2.0 */
/* What a text says about how much each column of a weight counts: the mean square of what it is multiplied by. */
#ifndef WAZN_PUBLISH_IMPORTANCE_H
#define WAZN_PUBLISH_IMPORTANCE_H

#include "model/model.h"
#include "publish/watch.h"
#include "tensor/tensor.h"

#include <stddef.h>

struct importance;

/* Run the model over ids and keep the squares. ERROR_CANCELLED. */
int importance_new(struct importance **out, const struct model *m, const int32_t *ids, size_t n, int threads,
    const struct publish_watch *watch, struct error *err);
void importance_close(struct importance *i);

/* (columns of w); NULL: w was not multiplied by anything, or NULL. i may be NULL. */
const float *importance_find(const struct importance *i, const struct weight *w);

#endif
