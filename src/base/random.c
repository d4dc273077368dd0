/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void random_seed(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->state[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t random_next(struct random *r)
{
    uint64_t *s = r->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

uint32_t random_below(struct random *r, uint32_t bound)
{
    uint64_t limit = (UINT64_C(1) << 32) / bound * bound;
    uint64_t x;
    do
        x = random_next(r) >> 32;
    while (x >= limit);
    return (uint32_t)(x % bound);
}

uint64_t random_below_wide(struct random *r, uint64_t bound)
{
    uint64_t excess = (UINT64_MAX % bound + 1) % bound; /* 2^64 modulo bound: the numbers at the top that would bias */
    uint64_t x;
    do
        x = random_next(r);
    while (x > UINT64_MAX - excess);
    return x % bound;
}

double random_normal(struct random *r)
{
    double u = 1.0 - random_unit(r); /* in (0, 1]: the logarithm is finite */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * random_unit(r));
}
