/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny model of tests/golden/data/models, made again from its description: weights come from a generator that
 * tools/golden/models.py has too. Everything here fails the test where it fails. */
#ifndef WAZN_TESTS_GOLDEN_CASE_H
#define WAZN_TESTS_GOLDEN_CASE_H

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

#define CASE_IDS_MAX 4352

struct golden_case {
    char name[64];
    json_t *json;
    const json_t *config; /* as in config.json */
    const json_t *text;   /* the same, or its text_config */
    int32_t ids[CASE_IDS_MAX];
    int n_ids;
};

struct case_tensor {
    const char *name; /* without the prefix of a wrapping model */
    int dims;
    int64_t shape[3]; /* slowest first */
    int64_t count;
    bool mxfp4; /* values that MXFP4 blocks along dimension 1 hold exactly */
    float *data; /* new; case_tensor_release */
};

#define CASE_PATH_MAX 4096
#define CASES_MAX 64
/* The cases of a folder of the repository whose names begin with `start`, by name. Ends the program where there are
 * none, or more than `most`: a test of no cases would pass. */
int case_list(char (*paths)[CASE_PATH_MAX], int most, const char *folder, const char *start);

void case_read(struct golden_case *c, const char *path);
void case_release(struct golden_case *c);

size_t case_tensors(const struct golden_case *c);
void case_tensor_make(struct case_tensor *t, const struct golden_case *c, size_t i);
/* n numbers of the generator, seeded by a name; new. */
uint64_t *case_bits_new(const char *name, int64_t n);
/* By name; false where the model has none. */
bool case_tensor_find(struct case_tensor *t, const struct golden_case *c, const char *name);
void case_tensor_release(struct case_tensor *t);
bool case_is_bf16(const struct golden_case *c);

/* Experts stored (experts, in, out) as new floats (experts, out / step, in) of outputs first, first + step, ... */
float *case_turned_new(const struct case_tensor *t, int first, int step);
/* (rows, columns / step): columns first, first + step, ... */
float *case_picked_new(const struct case_tensor *t, int first, int step);

/* A Hugging Face folder: config.json and safetensors, sharded where the case says so. */
void case_write_folder(const struct golden_case *c, const char *folder);

/* The file ggml's converter would make. Returns why GGUF cannot say what this model is, or NULL. */
const char *case_write_gguf(const struct golden_case *c, const char *path);

#endif
