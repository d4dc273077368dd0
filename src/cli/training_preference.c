/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/training.h"

#include <string.h>

#define PAIRS 8     /* of a step */
#define BETA 0.1    /* DPO's temperature, ORPO's lambda */

static enum preference_loss loss_of(const struct training *t)
{
    static const char *const names[] = { "sigmoid", "robust", "hinge", "ipo" };
    const struct option_value *at = t->args->at;
    if (at[OPT_objective].set && strcmp(at[OPT_objective].text, "orpo") == 0)
        return PREFERENCE_ORPO;
    for (int i = 0; at[OPT_preference_loss].set && i < 4; i++)
        if (strcmp(at[OPT_preference_loss].text, names[i]) == 0)
            return (enum preference_loss)(PREFERENCE_SIGMOID + i);
    return PREFERENCE_SIGMOID;
}

static void show_progress(void *context, int done, int total)
{
    struct training *t = context;
    progress_update(&t->progress, (uint64_t)done, (uint64_t)total);
}

static int ask_reference(struct training *t, struct error *err)
{
    const struct train_options *pass = &t->pass_options;
    const struct reference_options o = { .tokens_max = pass->tokens_max, .texts_max = pass->texts_max,
        .logits_max = pass->logits_max, .threads = pass->threads };
    const struct session_watch watch = { show_progress, training_is_stopped, t };
    progress_begin(&t->progress, "asking the reference", "texts", t->args->at[OPT_quiet].set);
    int rc = pairs_reference(t->pairs, t->l.model, &o, &watch, err);
    progress_end(&t->progress);
    return rc;
}

static int identify(struct training *t, const struct pairs_options *o, struct error *err)
{
    const struct preference_options *p = &o->preference;
    json_t *settings = json_pack("{s:i, s:f, s:f, s:i}", "preference_loss", (int)p->loss, "beta", p->beta,
        "label_smoothing", p->label_smoothing, "pairs", o->pairs);
    int rc = settings && json_object_update(t->identity, settings) == 0 ? 0
        : error_memory(err, 0, "the description of a run");
    json_decref(settings);
    if (rc == 0)
        rc = training_identify(t, "data", t->data, err);
    if (rc == 0 && t->held_out)
        rc = training_identify(t, "held_out", t->held_out, err);
    return rc;
}

static int open_pairs(struct training *t, struct error *err)
{
    const struct option_value *at = t->args->at;
    struct pairs_options o = { .tokens_max = t->packing.tokens_max, .texts_max = t->packing.texts_max,
        .pairs = at[OPT_pairs].set ? (int)at[OPT_pairs].whole : PAIRS, .seed = t->packing.seed,
        .preference = { .loss = loss_of(t), .beta = at[OPT_beta].set ? at[OPT_beta].real : BETA,
            .label_smoothing = at[OPT_label_smoothing].set ? at[OPT_label_smoothing].real : 0 } };
    int rc = pairs_open(&t->pairs, t->data, t->held_out, &o, err);
    if (rc == 0)
        rc = identify(t, &o, err);
    if (rc == 0)
        rc = ask_reference(t, err);
    if (rc == 0)
        t->objective = pairs_objective(t->pairs);
    return rc;
}

static uint64_t steps(struct training *t, uint64_t epoch)
{
    (void)epoch;
    return pairs_steps(t->pairs);
}

const struct training_method training_preference = { "preference", open_pairs, steps, 4 };
