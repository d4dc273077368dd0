/* SPDX-License-Identifier: Apache-2.0 */
/* Reproducible random numbers: xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. */
#ifndef WAZN_BASE_RANDOM_H
#define WAZN_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
double random_unit(struct random *r);                   /* uniform in [0, 1), 53 bits */
uint32_t random_below(struct random *r, uint32_t bound); /* uniform in [0, bound), bound > 0, without bias */
uint64_t random_below_wide(struct random *r, uint64_t bound); /* the same for bounds of 64 bits; another sequence */
double random_normal(struct random *r);                 /* mean 0, variance 1 (Box and Muller, one of the pair) */

#endif
