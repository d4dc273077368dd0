/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/deal.h"

#include "base/random.h"

/* Fisher and Yates. */
void deal(uint32_t *order, size_t n, uint64_t seed, uint64_t epoch)
{
    struct random r;
    random_seed(&r, seed ^ (epoch + 1) * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t k = random_below(&r, (uint32_t)i);
        uint32_t other = order[k];
        order[k] = order[i - 1];
        order[i - 1] = other;
    }
}
