/* SPDX-License-Identifier: Apache-2.0 */
/* What flow_layout must know of attention. */
#ifndef WAZN_BACKEND_CPU_ATTENTION_IMPL_H
#define WAZN_BACKEND_CPU_ATTENTION_IMPL_H

#include "backend/backend.h"

/* Rows of one span whose queries share each read of keys and values. */
struct attention_tile {
    const struct span *span;
    int row, count;      /* rows of the flow */
    int position;        /* of the first */
    int begin;           /* first position any of them sees */
    int segments;        /* from begin to the last's own position */
};

/* Floats of one thread's scratch; floats that hold the segments of a pass whose tiles are too few for the threads. */
size_t attention_scratch(const struct flow_shape *shape);
size_t attention_partials(const struct flow_shape *shape);

#endif
