/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at best with a number of threads, measured when asked: the yardstick of whole passes. */
#ifndef WAZN_BACKEND_PEAK_H
#define WAZN_BACKEND_PEAK_H

#include "base/error.h"
#include "tensor/format.h"

/* Bytes a second that all threads together read from memory. Takes PEAK_READ_BYTES while it runs (ERROR_MEMORY). */
#define PEAK_READ_BYTES ((size_t)256 << 20) /* beyond any cache that matters */
int peak_read(double *bytes_per_second, int threads, struct error *err);

/* Multiply-accumulates a second of all threads together, in registers, by the unit that multiplies weights of this
 * format: int8 where activations are encoded to integers, bf16 where the processor multiplies such, else float32. */
int peak_products(double *per_second, const struct format *weights, int threads, struct error *err);

#endif
