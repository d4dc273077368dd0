/* SPDX-License-Identifier: Apache-2.0 */
/* One pass of training: packed texts with targets go through the model, a loss and the gradients of all weights that
 * learn come back. The weights themselves stay as they are. The loss is the mean cross entropy (train_pass_run) or
 * anything that follows from the log-probabilities of the targets (train_pass_objective). */
#ifndef WAZN_MODEL_TRAIN_PASS_H
#define WAZN_MODEL_TRAIN_PASS_H

#include "base/arena.h"
#include "base/error.h"
#include "model/adapter.h"
#include "model/model.h"
#include "model/parameter.h"
#include "model/role.h"

struct train_options {
    int tokens_max; /* of all texts of a pass */
    int texts_max;  /* in a pass */
    int logits_max; /* rows whose logits are held at a time; the others wait. Sums over tokens are cut so */
    int threads;
    bool checkpoint; /* keep the residual stream between layers alone and compute what is inside them again on the way
                      * back: the same gradients, bit for bit, in less memory, for one more forward pass */
    const bool *frozen; /* (N_ROLES) roles that do not learn; NULL: none */
    bool scores_only; /* train_pass_score alone will be called: no gradients, the values of one layer at a time */
    struct adapter *adapter; /* of this model: it learns and no weight does; NULL: none. Need not be attached */
};

/* A text of its own: no other text of the pass is seen from it. */
struct train_text {
    const int32_t *ids; /* (count) at positions 0, 1, ... */
    const int32_t *targets; /* (count) what each token should be followed by; TRAIN_SKIP: does not count */
    int count;
};
#define TRAIN_SKIP (-1)

struct train_pass; /* values, gradients, scratch: one arena */

/* Weights stored as f32, f16 or bf16 learn unless frozen; those of other formats are constants, through which gradients
 * pass. ERROR_USAGE for sizes under 1. */
int train_pass_open(struct train_pass **out, const struct model *m, const struct train_options *options,
    struct error *err);
void train_pass_close(struct train_pass *p);
uint64_t train_pass_bytes(const struct model *m, const struct train_options *options); /* what opening will take */

/* Run. *loss = sum over the tokens that count of -log(probability of the target), divided by `counted`: the tokens that
 * count in all passes of one step, 0 for those of this pass. Gradients of *loss are added to what is there. Errors
 * (before anything changes): ids or targets outside the vocabulary, more texts or tokens than prepared for, a text
 * longer than a model's learned positions, no token that counts. */
int train_pass_run(struct train_pass *p, const struct train_text *texts, int n, int64_t counted, double *loss,
    struct error *err);

/* Of the tokens that count, in the order of texts and tokens. Borrowed until the pass is used again. */
struct train_scores {
    int count;
    const float *logprobs;  /* (count) log(probability of the target) */
    const float *entropies; /* (count) of what could have followed, in nats; NULL where not asked for */
};

struct train_scoring {
    float temperature; /* the logits are divided by it; 1: as they are */
    bool entropies;
};

/* Forward only. Errors as above; ERROR_USAGE for a temperature that is not above 0. */
int train_pass_score(struct train_pass *p, const struct train_text *texts, int n, const struct train_scoring *scoring,
    struct train_scores *scores, struct error *err);

/* Any loss of the log-probabilities. Sees those of all tokens of the pass that count and fills weights (count) with the
 * loss's derivative by each. An error ends the call before any gradient has changed. */
struct train_objective {
    struct train_scoring scoring;
    int (*weigh)(void *context, const struct train_scores *scores, float *weights, struct error *err);
    void *context;
};

/* Gradients of the objective's loss are added to what is there. Errors as above, and those of the objective. */
int train_pass_objective(struct train_pass *p, const struct train_text *texts, int n,
    const struct train_objective *objective, struct error *err);

/* All gradients 0, as after opening. */
void train_pass_clear(struct train_pass *p);

/* Passes from here on leave out inputs of the adapter as its dropout and this seed say; 0, as after opening: none.
 * The same seed leaves out the same. */
void train_pass_seed(struct train_pass *p, uint64_t seed);

/* A weight with its gradient (NULL: does not learn); layer is ignored for global roles. tensor.format and experts both
 * NULL: the model has none. */
const struct weight *train_pass_weight(const struct train_pass *p, int role, int layer);

/* All that learns, in a fixed order, into out (NULL: only count): weights that model_own gave memory to, or
 * the adapter's matrices and magnitudes (what parts of a fused matrix have in common once). */
size_t train_pass_parameters(const struct train_pass *p, struct parameter *out);

#endif
