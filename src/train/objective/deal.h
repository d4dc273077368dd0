/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which an epoch meets what it learns from. */
#ifndef WAZN_TRAIN_OBJECTIVE_DEAL_H
#define WAZN_TRAIN_OBJECTIVE_DEAL_H

#include <stddef.h>
#include <stdint.h>

/* A permutation of 0 .. n - 1 that follows from the seed and the epoch alone. n: at most UINT32_MAX. */
void deal(uint32_t *order, size_t n, uint64_t seed, uint64_t epoch);

#endif
