/* SPDX-License-Identifier: Apache-2.0 */
#include "train/split.h"

#include "base/random.h"

#include <stdbool.h>
#include <stdlib.h>

static int copy(struct dataset **out, const struct dataset *d, size_t group, const bool *held, bool which,
    struct error *err)
{
    struct dataset_builder *b;
    int rc = dataset_builder_open(&b, err);
    for (size_t i = 0; rc == 0 && i < dataset_size(d)->samples; i++) {
        struct train_text sample;
        if (held[i / group] != which)
            continue;
        dataset_sample(d, i, &sample);
        rc = dataset_builder_add(b, &sample, 0, err);
    }
    if (rc == 0)
        rc = dataset_builder_finish(out, b, err);
    dataset_builder_close(b);
    return rc;
}

/* The first `wanted` of a random order. */
static void choose(bool *held, size_t n, size_t wanted, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    for (size_t left = n, at = 0; wanted > 0; at++, left--)
        if (random_below(&r, (uint32_t)left) < wanted) {
            held[at] = true;
            wanted--;
        }
}

int dataset_split(struct dataset **rest, struct dataset **held, const struct dataset *d, int group, double share,
    uint64_t seed, struct error *err)
{
    size_t n = dataset_size(d)->samples / (size_t)group, wanted = (size_t)(share * (double)n + 0.5);
    bool *chosen = calloc(n + 1, sizeof *chosen);
    *rest = *held = NULL;
    if (!chosen)
        return error_memory(err, n, "the choice of held-out samples");
    if (share > 0 && n > 1 && n <= UINT32_MAX)
        choose(chosen, n, wanted == 0 ? 1 : wanted == n ? n - 1 : wanted, seed);
    int rc = copy(rest, d, (size_t)group, chosen, false, err);
    if (rc == 0 && share > 0 && n > 1)
        rc = copy(held, d, (size_t)group, chosen, true, err);
    if (rc) {
        dataset_close(*rest);
        *rest = NULL;
    }
    free(chosen);
    return rc;
}
