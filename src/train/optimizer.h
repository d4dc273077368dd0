/* SPDX-License-Identifier: Apache-2.0 */
/* What moves the parameters. Masters are float32: where a parameter is bf16 the optimizer keeps the 16 bits that
 * rounding to bf16 leaves out, so that master and parameter together take 4 bytes. Results do not depend on the number
 * of threads. */
#ifndef WAZN_TRAIN_OPTIMIZER_H
#define WAZN_TRAIN_OPTIMIZER_H

#include "base/error.h"
#include "base/pool.h"
#include "file/source.h"
#include "model/parameter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum optimizer_kind {
    /* Loshchilov and Hutter 2019. Vectors do not decay. */
    OPTIMIZER_ADAMW,
    /* Matrices: the momentum (Nesterov's), made nearly orthogonal by five Newton-Schulz steps, times
     * 0.2 sqrt(max(rows, cols)) so that it moves as far as AdamW would with the same rate (Jordan et al. 2024, Liu et
     * al. 2025). Each expert's matrix for itself. Tables and vectors: AdamW. */
    OPTIMIZER_MUON
};

struct optimizer_options {
    enum optimizer_kind kind;
    double beta1, beta2, eps; /* of AdamW: 0.9, 0.95 or 0.999, 1e-8 */
    double momentum;          /* of Muon: 0.95 */
    double weight_decay;      /* of matrices, and of tables where decay_tables; times the learning rate each step */
    bool decay_tables;
};

struct optimizer;

/* The parameters' data and gradients must outlive it; the pool is used in each call. */
int optimizer_open(struct optimizer **out, const struct parameter *parameters, size_t n,
    const struct optimizer_options *options, struct pool *pool, struct error *err);
void optimizer_close(struct optimizer *o);
/* What optimizer_open will take. */
uint64_t optimizer_bytes(const struct parameter *parameters, size_t n, const struct optimizer_options *options,
    int threads);

/* The norm of all gradients together; infinite or NaN where one of them is. */
double optimizer_norm(struct optimizer *o);

/* Step number `step`, from 1 on, with all gradients times `scale` (of clipping; 1 else). */
void optimizer_step(struct optimizer *o, uint64_t step, double lr, double scale);

/* All that a later step depends on, as tensors of a file: "weight.layers.3.q", "rest...", "m...", "v...".
 * Their data may be written to. out: NULL only counts; names: room for their names. */
#define OPTIMIZER_NAME (PARAMETER_NAME + 8)
size_t optimizer_state(const struct optimizer *o, struct file_tensor *out, char (*names)[OPTIMIZER_NAME]);

#endif
