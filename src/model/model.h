/* SPDX-License-Identifier: Apache-2.0 */
/* A model: a description (spec.h), its weights (role.h), read-only and shared by all sessions. */
#ifndef WAZN_MODEL_MODEL_H
#define WAZN_MODEL_MODEL_H

#include "base/error.h"
#include "base/log.h"
#include "model/spec.h"

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
