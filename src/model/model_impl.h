/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this floor know of a model. */
#ifndef WAZN_MODEL_MODEL_IMPL_H
#define WAZN_MODEL_MODEL_IMPL_H

#include "base/arena.h"
#include "model/model.h"
#include "model/role.h"

struct model {
    struct spec spec;
    struct global_weights global;
    struct layer_weights *layers; /* (spec.layers), in the arena */
    struct arena arena;           /* the arrays, and weights that had to be re-laid */
    struct arena own;             /* weights that learn (model_own) */
};

/* Bind every weight of m->spec to its tensor in the source and take the arena. Names in `spec` that only the file's
 * tensors decide (GGUF: tied or not, biases) are settled first. */
int model_load(struct model *m, const struct source *s, const struct model_options *options, struct error *err);

/* Numbers in memory that model_own or model_create took: they may be written to. */
bool model_owns(const struct model *m, const void *data);

#endif
