/* SPDX-License-Identifier: Apache-2.0 */
/* A model as the tensors of a file to be written: the name tables of arch.h read backwards. It tells which tensors a
 * file of a kind has and gives their rows, from wherever and however the model holds them: fused matrices are put
 * together, interleaved and transposed ones turned, heads permuted, Gemma's 1 added or taken, attached adapters
 * (adapter.h) worked in. */
#ifndef WAZN_MODEL_SAVE_H
#define WAZN_MODEL_SAVE_H

#include "model/model.h"
#include "tensor/tensor.h"

#define SAVED_NAME 256

struct saved_tensor {
    char name[SAVED_NAME];
    int role, layer; /* of its first part; layer: -1 for a global one */
    int parts;       /* weights fused in it */
    int dims;
    int64_t shape[4];             /* slowest first; of the numbers, whatever stores them */
    int64_t rows, cols;           /* all of it as rows of cols numbers */
    bool vector;                  /* of norms, biases, sinks, divisors: never in blocks */
    const struct format *format;  /* the source's; of the widest where parts differ */
    bool mxfp4;                   /* kept as two tensors of bytes, "...blocks" (this name) and "...scales" */
};

struct save;

/* kind: SOURCE_GGUF or SOURCE_SAFETENSORS. mxfp4: experts go into tensors that only hold MXFP4, where the family has
 * such names. config: the one the model was read from. ERROR_UNSUPPORTED where the kind has no name for a weight. The
 * model must outlive it. */
int save_open(struct save **out, const struct model *m, const json_t *config, enum source_kind kind, bool mxfp4,
    struct error *err);
void save_close(struct save *s);

size_t save_count(const struct save *s);
const struct saved_tensor *save_tensor(const struct save *s, size_t i);

/* The numbers that a file of this kind has to be read as. */
const struct spec *save_spec(const struct save *s);

/* Rows [first, first + count) as floats, (count, cols). Columns of a transposed source are decoded block by block: rows
 * in multiples of SAVE_ROWS, from multiples of it, are quickest. `scratch`: save_scratch floats. */
#define SAVE_ROWS 256
void save_decode(const struct save *s, size_t i, int64_t first, int count, float *out, float *scratch);
size_t save_scratch(const struct save *s);
/* Rows lie in the source as they would be written in this format: save_copy needs no floats. */
bool save_copies(const struct save *s, size_t i, const struct format *f);
void save_copy(const struct save *s, size_t i, int64_t first, int count, unsigned char *out);

/* Each row is a column of the source (Conv1D). */
bool save_is_turned(const struct save *s, size_t i);
/* The weight whose input an observer of the pass meets (backend.h) and which is this tensor's input too: its own; for
 * gates and ups of experts, the router's. NULL: none. */
const struct weight *save_observed(const struct save *s, size_t i);

#endif
