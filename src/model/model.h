/* SPDX-License-Identifier: Apache-2.0 */
/* A model: a description (spec.h), its weights (role.h), read-only and shared by all sessions. */
#ifndef WAZN_MODEL_MODEL_H
#define WAZN_MODEL_MODEL_H

#include "base/error.h"
#include "base/log.h"
#include "model/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct source;

struct model_options {
    const struct log *log;   /* NULL: silent */
    uint64_t copy_bytes_max; /* more weights than this are not copied: ERROR_LIMIT; 0: any */
};

/* Read the description, bind every weight to its place in the mapped files, check shapes, and that nothing is left
 * over. Weights that no operation can use as they lie are copied. options may be NULL. The source must outlive the
 * model. */
int model_open(struct model **out, const struct source *s, const struct model_options *options, struct error *err);
void model_close(struct model *m);

/* Give what shall learn memory of its own: every weight stored as floats whose role is not frozen ((N_ROLES) of role.h;
 * NULL: none is). Matrices and tables become `format` (f32 or bf16), vectors f32; what is owned and frozen stays as it
 * is. Before sessions and passes open. Copies that the model had to make before are given back one by one; after an
 * error it can only be closed. */
int model_own(struct model *m, const struct format *format, const bool *frozen, struct error *err);

/* A model of this config (config.json's keys) that has learned nothing, in f32, all its weights owned. As transformers
 * begins them: matrices and tables normal with deviation `initializer_range` (0.02), GPT-2's matrices that write to the
 * residual stream divided by sqrt(2 layers); gains 1, biases and divisors 0. The same for the same seed. */
int model_create(struct model **out, const json_t *config, uint64_t seed, struct error *err);

const struct spec *model_spec(const struct model *m);

struct model_size {
    uint64_t parameters, active; /* active: used for one token (all but the experts not chosen, and the input tables) */
    uint64_t mapped_bytes;       /* weights used in place */
    uint64_t copied_bytes;       /* weights that had to be re-laid (transposed, fused), in the model's arena */
    uint64_t format_bytes[FORMAT_COUNT];
    uint64_t active_bytes;               /* weights read for one token; of a table that is no matrix one row */
    uint64_t layer_active[FORMAT_COUNT]; /* of `active`, the layers' matrices: what every token is multiplied by */
};
void model_measure(const struct model *m, struct model_size *size);

#endif
