/* SPDX-License-Identifier: Apache-2.0 */
/* The only place where threads are. */
#ifndef WAZN_BACKEND_CPU_PARALLEL_H
#define WAZN_BACKEND_CPU_PARALLEL_H

#include "backend/backend.h"

/* Item `item` of `job`, on thread `thread` of [0, flow threads). */
typedef void parallel_fn(void *job, int item, int thread);

/* Run items [0, items), each once, in any order, on the flow's threads; back when all are done. `work`: about how many
 * multiplications all items cost together; waking threads for little is slower than doing it here. */
void parallel_run(const struct flow *f, int items, double work, parallel_fn *run, void *job);

#endif
