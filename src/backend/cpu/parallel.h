/* SPDX-License-Identifier: Apache-2.0 */
/* The only place where operations meet threads. */
#ifndef WAZN_BACKEND_CPU_PARALLEL_H
#define WAZN_BACKEND_CPU_PARALLEL_H

#include "backend/backend.h"

typedef pool_fn parallel_fn; /* thread: of [0, flow threads) */

/* Run items [0, items), each once, in any order, on the flow's threads; back when all are done. `work`: about how many
 * multiplications all items cost together; waking threads for little is slower than doing it here. */
void parallel_run(const struct flow *f, int items, double work, parallel_fn *run, void *job);

#endif
