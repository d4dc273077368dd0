/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter: matrices of low rank beside some weights of a model, its base, which stays as it is (tensor.h says what
 * they do). Read and written as PEFT does it: adapter_config.json and adapter_model.safetensors in a folder. */
#ifndef WAZN_MODEL_ADAPTER_H
#define WAZN_MODEL_ADAPTER_H

#include "base/error.h"
#include "base/json.h"
#include "model/model.h"
#include "model/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adapter;

#define ADAPTER_RANK_MAX 4096

struct adapter_options {
    int rank;
    double alpha;           /* what is added is scaled by alpha / rank */
    bool rank_stabilized;   /* by alpha / sqrt(rank) (Kalajdzievski 2023) */
    bool magnitude;         /* DoRA (Liu et al. 2024); not of experts */
    double dropout;         /* while training */
    const char *targets;    /* "attention", "mlp", "experts", "all", roles of role.h, or several: "q,v,mlp" */
    uint64_t seed;
};

/* A new one that changes nothing yet: A as PEFT begins it, uniform within 1 / sqrt(columns), B zero, magnitudes the
 * lengths of the base's rows. What families store as one matrix has one A. config: the one the base was read from.
 * ERROR_USAGE for targets the base has not, ERROR_UNSUPPORTED for embeddings and outputs. */
int adapter_new(struct adapter **out, const struct model *base, const json_t *config,
    const struct adapter_options *options, int threads, struct error *err);

/* Read one for this base. ERROR_USAGE where it was made for another; ERROR_UNSUPPORTED for what it has beside LoRA,
 * rsLoRA and DoRA; ERROR_FORMAT. */
int adapter_open(struct adapter **out, const struct model *base, const char *folder, struct error *err);

/* Write a new folder. base: a name or path of the base for people and PEFT. */
int adapter_save(const struct adapter *a, const char *folder, const char *base, struct error *err);

/* Where it is attached it must outlive whatever uses that model; then it is detached. */
void adapter_close(struct adapter *a);

/* From here on the model, its base, computes with it, times `scale`, behind those attached before; passes opened
 * before this must not be used any more. Once for each adapter. */
int adapter_attach(struct adapter *a, struct model *m, double scale, int threads, struct error *err);

/* What is attached has learned since: its rows, where it has magnitudes, are as long as they are now. */
int adapter_refresh(struct adapter *a, int threads, struct error *err);

struct adapter_about {
    int rank;             /* the largest */
    double alpha, dropout;
    bool rank_stabilized, magnitude;
    size_t modules;       /* matrices (fused ones, or all experts of a layer, are one) it lies beside */
    uint64_t parameters, bytes;
    bool roles[N_ROLES];  /* it lies beside some weight of this role */
};
void adapter_describe(const struct adapter *a, struct adapter_about *about);

/* Columns [first, first + n) of row `row` of a weight's matrix `expert`, decoded in x, as they are with what lies
 * beside it. */
void adapter_apply(const struct weight *w, int expert, int64_t row, int64_t first, int64_t n, float *x);

/* What a base is told by, whatever format its matrices are in: SHA-256 of its sizes and the gains of its norms. */
#define ADAPTER_BASE_SIZE 65
int adapter_base(char text[ADAPTER_BASE_SIZE], const struct model *m, struct error *err);

#endif
