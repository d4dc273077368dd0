/* SPDX-License-Identifier: Apache-2.0 */
/* What an optimizer moves: a weight that learns, as numbers with their gradient. */
#ifndef WAZN_MODEL_PARAMETER_H
#define WAZN_MODEL_PARAMETER_H

#include "model/role.h"

#include <stddef.h>

enum parameter_kind {
    PARAMETER_MATRIX, /* of a linear inside the blocks */
    PARAMETER_TABLE,  /* embeddings, and the output matrix */
    PARAMETER_VECTOR  /* gains, biases, sinks */
};

#define PARAMETER_NAME 64

struct parameter {
    char name[PARAMETER_NAME];   /* "layers.3.q", "token_embedding" */
    enum parameter_kind kind;
    int64_t matrices, rows, cols; /* matrices: experts; 1 else */
    const struct format *format; /* f32 or bf16 */
    void *data;                  /* (matrices, rows, cols) in that format, writable */
    float *gradient;             /* (matrices, rows, cols) */
};

static inline size_t parameter_count(const struct parameter *p)
{
    return (size_t)p->matrices * (size_t)p->rows * (size_t)p->cols;
}

/* The role's name with its layer, which is ignored for global roles. */
void parameter_name(char out[PARAMETER_NAME], int role, int layer);
enum parameter_kind parameter_kind(int role, const struct role_shape *shape);

#endif
