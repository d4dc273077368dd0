/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor of a model on its way into a file: a few rows at a time on all threads, so that memory does not depend on
 * its size. */
#ifndef WAZN_PUBLISH_ENCODE_H
#define WAZN_PUBLISH_ENCODE_H

#include "model/save.h"

#include <stdbool.h>

/* What storing in fewer bits lost: sums over a tensor, each column counted by its importance. Added up in a fixed
 * order, whatever the number of threads. */
struct encode_loss {
    double error, square; /* of (stored - value)^2, of value^2 */
};

struct encode_task {
    const struct save *save;
    size_t tensor;
    const struct format *format;
    const float *importance; /* (cols), or NULL */
    int64_t rows;            /* only rows 0, step, 2 step ...: so many of them; 0: all, one after the other */
    int64_t step;
    int threads;
    /* Encoded rows, `count` from `first` on, in order. MXFP4 always in blocks. NULL: only the loss is wanted. */
    int (*put)(void *context, int64_t first, int count, const void *bytes, size_t size, struct error *err);
    bool (*cancelled)(void *context); /* may be NULL */
    void *context;
};

/* loss: NULL, or what it costs (0 where rows are copied). ERROR_CANCELLED; what `put` says; ERROR_MEMORY. */
int encode_run(const struct encode_task *task, struct encode_loss *loss, struct error *err);

#endif
