/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/training.h"

static int open_packings(struct training *t, struct error *err)
{
    struct packing_options held = t->packing;
    int rc = packing_open(&t->likelihood.packing, t->data, &t->packing, err);
    held.passes = 1;
    held.shuffle = false;
    if (rc == 0 && t->held_out)
        rc = packing_open(&t->likelihood.held_out, t->held_out, &held, err);
    if (rc == 0)
        rc = training_identify(t, "data", t->data, err);
    if (rc == 0 && t->held_out)
        rc = training_identify(t, "held_out", t->held_out, err);
    t->likelihood.held = t->held_out;
    t->likelihood.seed = t->packing.seed;
    t->objective = likelihood_objective(&t->likelihood);
    return rc;
}

static uint64_t steps(struct training *t, uint64_t epoch)
{
    return packing_steps(t->likelihood.packing, epoch);
}

const struct training_method training_likelihood = { "likelihood", open_packings, steps, 4 };
