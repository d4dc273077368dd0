/* SPDX-License-Identifier: Apache-2.0 */
/* What flow_layout must know of attention. */
#ifndef WAZN_BACKEND_CPU_ATTENTION_IMPL_H
#define WAZN_BACKEND_CPU_ATTENTION_IMPL_H

#include "backend/backend.h"

#define ATTENTION_BLOCK 64   /* positions whose keys and values are used together */
#define ATTENTION_QUERIES 32 /* query rows of a tile (a whole group where that is more) */

/* Rows of one span whose queries share each read of keys and values. */
struct attention_tile {
    const struct span *span;
    int row, count;      /* rows of the flow */
    int position;        /* of the first */
    int begin;           /* first position any of them sees */
    int segments;        /* from begin to the last's own position */
};

/* First position a query at `position` sees. */
static inline int attention_first_seen(const struct attention_shape *shape, int position)
{
    return shape->window && position >= shape->window ? position - shape->window + 1 : 0;
}

static inline int attention_rows_max(const struct flow_shape *shape)
{
    int group = shape->heads / shape->kv_heads;
    return group > ATTENTION_QUERIES ? group : ATTENTION_QUERIES;
}

/* Cut the spans into tiles of at most `most` rows, in the flow's scratch; returns how many. */
int attention_cut(const struct flow *f, const struct attention_shape *shape, int most);

/* Floats of one thread's scratch, forward and backward; floats that hold the segments of a pass whose tiles are too few
 * for the threads. */
size_t attention_scratch(const struct flow_shape *shape);
size_t attention_backward_scratch(const struct flow_shape *shape);
size_t attention_partials(const struct flow_shape *shape);

#endif
