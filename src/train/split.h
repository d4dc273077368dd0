/* SPDX-License-Identifier: Apache-2.0 */
/* Data parted into what is learned and what is only measured. */
#ifndef WAZN_TRAIN_SPLIT_H
#define WAZN_TRAIN_SPLIT_H

#include "train/dataset.h"

/* *held gets about `share` of the samples of d, *rest the others, in their order; which, follows from seed alone.
 * Samples come in groups of `group` that stay together (2: pairs). At least one group is on either side: *held is NULL
 * where share is 0 or there is one group. The copies know nothing of bytes. */
int dataset_split(struct dataset **rest, struct dataset **held, const struct dataset *d, int group, double share,
    uint64_t seed, struct error *err);

#endif
