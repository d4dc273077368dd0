/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_BACKEND_CPU_ACT_IMPL_H
#define WAZN_BACKEND_CPU_ACT_IMPL_H

#include "backend/backend.h"

/* `act` on any number of rows; up may be NULL. */
void act_rows(struct flow *f, float *y, const float *gate, const float *up, int rows, int width, enum activation kind);

#endif
