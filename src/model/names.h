/* SPDX-License-Identifier: Apache-2.0 */
/* What a role is called in the file at hand: the tables of arch.h read forwards. Private to loading and saving. */
#ifndef WAZN_MODEL_NAMES_H
#define WAZN_MODEL_NAMES_H

#include "base/map.h"
#include "file/source.h"
#include "model/arch.h"

#define NAME_SIZE 256

struct loader {
    const struct source *source;
    struct model *model;
    struct map index; /* name: place in the source's list */
    bool *used;       /* (tensors) */
};

/* Where a role's numbers lie in a file's tensor. */
struct place {
    const struct weight_name *entry;
    char name[NAME_SIZE];
    int64_t first, total; /* outputs before this role's in a fused tensor, and all of them */
    int64_t step;         /* from one of this role's outputs to the next: 1, or the number of parts that take turns */
};

/* Place of a tensor in the source's list; -1: not there. */
int64_t names_index(const struct loader *in, const char *name);
/* The same by the name a table gives it, which may lie inside a model that wraps this one; `name` becomes what it is
 * called there. */
int64_t names_find(const struct loader *in, char name[NAME_SIZE]);
/* "%d" of a table's name replaced by the layer, then the expert. Not printf: the pattern is not a literal. */
void names_expand(char out[NAME_SIZE], const char *pattern, int layer, int expert);
/* The pattern names one tensor for each expert. */
bool names_per_expert(const char *pattern);
/* Where a role's weight is (its first expert's). ERROR_FORMAT where the file has none of its names. */
int names_place(const struct loader *in, int role, int layer, struct place *at, struct error *err);
/* A tensor that may be left over: a buffer, a tied output saved nevertheless, a part that does not concern text. */
bool names_ignored(const struct loader *in, const char *name);

#endif
