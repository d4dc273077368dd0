/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/training.h"

#include <stdlib.h>
#include <string.h>

#define GROUP 8      /* answers to a prompt */
#define PROMPTS 8    /* of a step */
#define SEQUENCES 16 /* answers that grow together */

/* Which of the words of a choice was given; 0: the first, or none. */
static int choice(const struct training *t, enum option_id id, const char *const *words)
{
    for (int i = 0; t->args->at[id].set && words[i]; i++)
        if (strcmp(t->args->at[id].text, words[i]) == 0)
            return i;
    return 0;
}

static struct grpo_options grpo_of(const struct training *t)
{
    static const char *const scales[] = { "group", "batch", "none", NULL };
    static const char *const means[] = { "completions", "tokens", "length", NULL };
    static const char *const ratios[] = { "token", "sequence", NULL };
    return (struct grpo_options) { .scale = (enum grpo_scale)choice(t, OPT_advantage, scales),
        .mean = (enum grpo_mean)choice(t, OPT_token_mean, means),
        .ratio = (enum grpo_ratio)choice(t, OPT_ratio, ratios), .epsilon_low = training_real(t, OPT_epsilon_low, 0.2),
        .epsilon_high = training_real(t, OPT_epsilon_high, 0.2), .beta = training_real(t, OPT_beta, 0),
        .drop_equal = t->args->at[OPT_drop_equal].set, .mask_cut = t->args->at[OPT_mask_cut].set,
        .tokens_max = training_answer_tokens(t) };
}

int training_answer_tokens(const struct training *t)
{
    return (int)training_whole(t, OPT_max_tokens, 128);
}

static int set_sampling(struct training *t, struct rollout_options *o, struct error *err)
{
    int32_t eos = tokenizer_special(t->l.tokenizer, TOKEN_EOS);
    int rc = sampling_init(&o->sampling, NULL, true, err);
    if (rc == 0)
        rc = sampling_set(&o->sampling, SAMPLING_temperature, training_real(t, OPT_temp, 1), err);
    for (int i = 0; rc == 0 && i < SAMPLING_COUNT; i++)
        if (i != SAMPLING_temperature)
            rc = sampling_set(&o->sampling, (enum sampling_setting)i, sampling_off((enum sampling_setting)i), err);
    if (rc == 0 && t->l.format)
        rc = chat_stops(t->l.format, t->l.tokenizer, &t->l.stops, err);
    else if (eos >= 0)
        tokens_add(&t->l.stops, eos);
    o->stops = t->l.stops.ids;
    o->n_stops = t->l.stops.used;
    return rc ? rc : tokens_check(&t->l.stops, err);
}

static int identify(struct training *t, const struct policy_options *o, struct error *err)
{
    const struct grpo_options *g = &o->grpo;
    json_t *settings = json_pack("{s:s, s:i, s:i, s:i, s:f, s:i, s:i, s:i, s:f, s:f, s:b, s:b, s:I}", "reward",
        t->args->at[OPT_reward].text, "prompts", o->rollout.prompts_max, "group", o->rollout.group, "answer_tokens",
        o->rollout.tokens_max, "temperature", o->rollout.sampling.at[SAMPLING_temperature], "advantage", (int)g->scale,
        "token_mean", (int)g->mean, "ratio", (int)g->ratio, "epsilon_low", g->epsilon_low, "epsilon_high",
        g->epsilon_high, "drop_equal", g->drop_equal, "mask_cut", g->mask_cut, "questions",
        (json_int_t)t->prompts.n);
    int rc = settings && json_object_update(t->identity, settings) == 0 ? 0
        : error_memory(err, 0, "the description of a run");
    json_decref(settings);
    return rc;
}

/* The last prompts are held out. */
static void split(struct training *t)
{
    size_t n = t->prompts.n, held = (size_t)(training_real(t, OPT_validation, 0.02) * (double)n + 0.5);
    if (held == 0 && n > 1 && training_real(t, OPT_validation, 0.02) > 0)
        held = 1;
    t->learned_prompts = (struct prompts) { .at = t->prompts.at, .n = n - held };
    t->held_prompts = (struct prompts) { .at = t->prompts.at + (n - held), .n = held };
}

static int open_policy(struct training *t, struct error *err)
{
    const struct option_value *spec = &t->args->at[OPT_reward];
    struct policy_options o = { .grpo = grpo_of(t), .tokens_max = t->packing.tokens_max,
        .texts_max = t->packing.texts_max, .seed = t->packing.seed,
        .rollout = { .prompts_max = (int)training_whole(t, OPT_prompts, PROMPTS),
            .group = (int)training_whole(t, OPT_group, GROUP),
            .prompt_max = t->longest - training_answer_tokens(t), .tokens_max = training_answer_tokens(t),
            .threads = t->pass_options.threads } };
    int answers = o.rollout.prompts_max * o.rollout.group;
    o.rollout.sequences = answers < SEQUENCES ? answers : SEQUENCES;
    if (!spec->set)
        return error_set(err, ERROR_USAGE, "what is rewarded is missing: --reward exact, numeric, format ...");
    int rc = reward_open(&t->reward, spec->text, strlen(spec->text), err);
    if (rc == 0)
        rc = set_sampling(t, &o.rollout, err);
    if (rc == 0)
        rc = identify(t, &o, err);
    split(t);
    if (rc == 0)
        rc = policy_open(&t->policy, t->l.model, &t->learned_prompts, t->held_prompts.n ? &t->held_prompts : NULL,
            t->reward, t->l.tokenizer, &o, err);
    if (rc == 0)
        t->objective = policy_objective(t->policy);
    return rc;
}

static uint64_t steps(struct training *t, uint64_t epoch)
{
    (void)epoch;
    return policy_steps(t->policy);
}

const struct training_method training_policy = { "policy", open_policy, steps, 0 };
