/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_BACKEND_CPU_MOE_IMPL_H
#define WAZN_BACKEND_CPU_MOE_IMPL_H

#include "backend/backend.h"

/* The first half of `moe`, up to what its backward starts from. Afterwards the flow's scratch holds: router, logits of
 * each token (softmax_after) or their softmax; chosen, weights and slots; expert_first; slot_x, slot_gate and slot_up,
 * the inputs of each slot and their two products. */
void moe_enter(struct flow *f, const struct value *x, const struct moe_weights *w, const struct moe_shape *shape);

#endif
