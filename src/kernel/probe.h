/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at best, on one thread: the yardstick that kernels are measured by. Each probe does a known
 * amount of work; the caller takes the time, at its own places, so that probe and kernel can take turns. */
#ifndef WAZN_KERNEL_PROBE_H
#define WAZN_KERNEL_PROBE_H

#include "tensor/format.h"

#include <stddef.h>
#include <stdint.h>

/* Reads size bytes (a multiple of 256, 64-byte aligned) once; returns something that depends on all of them. */
uint64_t probe_read(const void *data, size_t size);

/* Runs `rounds` rounds of independent multiply-accumulates in registers, with the best instructions among `features`
 * (enum cpu_feature), and returns how many were done. pair: what activations are encoded to. f32: float32 by float32
 * into float32; bf16: bf16 by bf16 into float32, where the processor has an instruction for it, else as f32; others:
 * int8 by int8 into int32. */
double probe_products(enum format_id pair, long rounds, unsigned features);

#endif
