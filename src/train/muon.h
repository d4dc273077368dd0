/* SPDX-License-Identifier: Apache-2.0 */
/* Muon (Jordan et al. 2024): optimizer.h says what it does. */
#ifndef WAZN_TRAIN_MUON_H
#define WAZN_TRAIN_MUON_H

#include "base/arena.h"
#include "base/pool.h"
#include "train/optimizer_impl.h"

struct muon;

/* Room for the largest of the matrices; twice, as arena.h says. */
struct muon *muon_layout(const struct parameter *parameters, size_t n, int threads, struct arena *a);

struct muon_options {
    double momentum, lr, keep, scale; /* keep: 1 - lr * weight decay; scale: of the gradients */
};
void muon_step(struct muon *m, const struct slot *s, struct pool *pool, const struct muon_options *options);

#endif
