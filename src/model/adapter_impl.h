/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of an adapter share. */
#ifndef WAZN_MODEL_ADAPTER_IMPL_H
#define WAZN_MODEL_ADAPTER_IMPL_H

#include "base/arena.h"
#include "model/adapter.h"
#include "model/model_impl.h"
#include "model/names.h"
#include "model/parameter.h"

#define ADAPTER_PARTS 3
#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"

/* One A with its B: beside a matrix, or beside what is fused in one (q, k and v of GPT-2), of all experts together. */
struct adapter_module {
    char name[NAME_SIZE]; /* as transformers calls the module; of a stack of experts the parameter */
    const char *pattern;  /* the table's name for it; for each expert one where it has a second "%d" */
    const char *plain, *nested; /* of its prefix (arch.h); NULL: none */
    int layer, n_parts, roles[ADAPTER_PARTS];
    int64_t part_rows[ADAPTER_PARTS];
    bool interleaved;     /* the parts' outputs take turns */
    bool turned;          /* the base is stored (columns, rows) */
    bool stacked, each;   /* experts: of one parameter; a module for each */
    int matrices;         /* experts; 1 else */
    int64_t rows, cols;   /* of all parts */
    int rank;
    double alpha;
    float scale;          /* that alpha and rank make */
    float *a, *b[ADAPTER_PARTS], *magnitude; /* as in struct low_rank; magnitude: of part after part */
    struct low_rank low[ADAPTER_PARTS];
};

struct adapter {
    const struct model *base;
    struct model *attached; /* NULL: not */
    double strength;        /* what it was attached with */
    struct arena arena;     /* all numbers */
    struct adapter_module *modules; /* (n) */
    size_t n;
    int rank;
    double alpha, dropout;
    bool rank_stabilized, magnitude;
};

/* All modules of a model that something can lie beside, new: those that new adapters take first. wrapped: the base lies
 * inside a model that does more than text. */
int adapter_modules_new(struct adapter_module **out, size_t *n, const struct model *m, bool wrapped, struct error *err);
/* Of `name` the expert's own, where there is one for each. */
void adapter_module_name(char out[NAME_SIZE], const struct adapter_module *m, int expert);
/* Put the prefix that its plain or its nested names have in front. */
void adapter_module_nest(struct adapter_module *m, const char *plain, const char *nested);
/* Both stacks of a layer's experts are wrapped in PEFT, gates and ups inside: "mlp.experts.base_layer". out: what the
 * names of the tensors begin with. */
void adapter_module_stem(char out[NAME_SIZE], const struct adapter_module *m, int expert, bool inside);

/* Numbers and what operations see. Ranks and alphas are set. */
int adapter_reserve(struct adapter *a, struct error *err);
struct weight *adapter_weight(struct model *m, const struct adapter_module *module, int part);
/* What learns of it, into out (NULL: only count); beside: (n, ADAPTER_PARTS), with gradients. B lies transposed. */
size_t adapter_parameters(const struct adapter *a, const struct low_rank *beside, struct parameter *out);
/* Where output `row` of the file's B, expert and rank k, lies; and output `row` of its magnitude. */
float *adapter_b_at(const struct adapter *a, const struct adapter_module *m, int64_t row, int expert, int k);
float *adapter_magnitude_at(const struct adapter *a, const struct adapter_module *m, int64_t row);

/* adapter_config.c: what the config says. */
struct adapter_config {
    json_t *json; /* the caller releases it */
    int rank;
    double alpha, dropout;
    bool rank_stabilized, magnitude;
};
int adapter_config_read(struct adapter_config *out, const char *path, struct error *err);
/* Rank and alpha of a module by the patterns. */
int adapter_config_module(const struct adapter_config *c, struct adapter_module *m, struct error *err);
/* The config names this parameter of experts among its targets. */
bool adapter_config_targets(const struct adapter_config *c, const char *parameter);
int adapter_config_new(json_t **out, const struct adapter *a, const char *base, struct error *err);

#endif
