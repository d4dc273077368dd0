/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/policy.h"

#include "train/objective/deal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_NAME 48

/* An answer on its way from the prompt to a weight for each of its tokens. */
struct answer {
    const struct prompt *prompt;
    const struct completion *said;
    struct buffer text;
    int32_t *ids, *targets; /* (prompt + completion - 1) */
    double reward, advantage;
    bool kept;
};

struct policy {
    const struct prompts *prompts, *held;
    const struct reward *reward;
    const struct tokenizer *tokenizer;
    struct policy_options options;
    struct rollout *rollout;
    uint32_t *order; /* (prompts->n) of the epoch */
    uint64_t epoch;
    int answers;     /* room for so many: prompts of a step times the group */
    struct answer *at;     /* (answers) */
    double *rewards, *parts, *advantages; /* (answers), (answers, reward_parts), (answers) */
    bool *kept, *cut;                     /* (answers) */
    int *of_pass;                         /* (texts_max) which answers */
    struct train_text *texts;             /* (texts_max) */
    float *old;                           /* (tokens_max) */
    char names[REWARD_PARTS_MAX][PART_NAME]; /* "reward_numeric" */
};

static int check_prompts(const struct policy *p, const struct prompts *list, struct error *err)
{
    const struct rollout_options *r = &p->options.rollout;
    for (size_t i = 0; i < list->n; i++)
        if (list->at[i].ids.used + (size_t)r->tokens_max > (size_t)p->options.tokens_max
            || list->at[i].ids.used > (size_t)r->prompt_max)
            return error_set(err, ERROR_LIMIT,
                "prompt %zu has %zu tokens, too many beside %d of an answer in a pass of %d", i,
                list->at[i].ids.used, r->tokens_max, p->options.tokens_max);
    return 0;
}

static int check(const struct policy *p, struct error *err)
{
    const struct policy_options *o = &p->options;
    int rc = grpo_check(&o->grpo, err);
    if (rc == 0 && o->grpo.beta > 0)
        rc = error_set(err, ERROR_UNSUPPORTED,
            "a beta of %g: the distance from a reference model is not measured while answers are rewarded",
            o->grpo.beta);
    if (rc == 0 && (p->prompts->n == 0 || p->prompts->n > UINT32_MAX || o->texts_max < 1))
        rc = error_set(err, ERROR_USAGE, "%zu prompts in passes of %d texts make no sense", p->prompts->n,
            o->texts_max);
    if (rc == 0)
        rc = check_prompts(p, p->prompts, err);
    return rc || !p->held ? rc : check_prompts(p, p->held, err);
}

static int take(struct policy *p, struct error *err)
{
    const struct rollout_options *r = &p->options.rollout;
    size_t n = (size_t)r->prompts_max * (size_t)r->group, text = (size_t)r->prompt_max + (size_t)r->tokens_max;
    size_t parts = (size_t)reward_parts(p->reward);
    p->answers = (int)n;
    p->order = calloc(p->prompts->n, sizeof *p->order);
    p->at = calloc(n, sizeof *p->at);
    p->rewards = calloc(n, sizeof *p->rewards);
    p->parts = calloc(n * (parts + 1), sizeof *p->parts);
    p->advantages = calloc(n, sizeof *p->advantages);
    p->kept = calloc(n, sizeof *p->kept);
    p->cut = calloc(n, sizeof *p->cut);
    p->of_pass = calloc((size_t)p->options.texts_max, sizeof *p->of_pass);
    p->texts = calloc((size_t)p->options.texts_max, sizeof *p->texts);
    p->old = calloc((size_t)p->options.tokens_max, sizeof *p->old);
    bool good = p->order && p->at && p->rewards && p->parts && p->advantages && p->kept && p->cut && p->of_pass
        && p->texts && p->old;
    for (size_t i = 0; good && i < n; i++) {
        p->at[i].ids = malloc(2 * text * sizeof(int32_t));
        good = p->at[i].ids;
        if (good)
            p->at[i].targets = p->at[i].ids + text;
    }
    return good ? 0 : error_memory(err, n * text * sizeof(int32_t), "the answers of a step");
}

int policy_open(struct policy **out, const struct model *m, const struct prompts *prompts,
    const struct prompts *held_out, const struct reward *reward, const struct tokenizer *t,
    const struct policy_options *options, struct error *err)
{
    struct policy *p = calloc(1, sizeof *p);
    int rc = p ? 0 : error_memory(err, sizeof *p, "a policy");
    if (rc == 0) {
        *p = (struct policy) { .prompts = prompts, .held = held_out, .reward = reward, .tokenizer = t,
            .options = *options, .epoch = UINT64_MAX };
        rc = check(p, err);
    }
    if (rc == 0)
        rc = take(p, err);
    if (rc == 0)
        rc = rollout_open(&p->rollout, m, &options->rollout, err);
    for (int i = 0; rc == 0 && i < reward_parts(reward); i++)
        snprintf(p->names[i], PART_NAME, "reward_%s", reward_part_name(reward, i));
    if (rc) {
        policy_close(p);
        p = NULL;
    }
    *out = p;
    return rc;
}

void policy_close(struct policy *p)
{
    if (!p)
        return;
    rollout_close(p->rollout);
    for (int i = 0; p->at && i < p->answers; i++) {
        buffer_release(&p->at[i].text);
        free(p->at[i].ids);
    }
    free(p->order);
    free(p->at);
    free(p->rewards);
    free(p->parts);
    free(p->advantages);
    free(p->kept);
    free(p->cut);
    free(p->of_pass);
    free(p->texts);
    free(p->old);
    free(p);
}

uint64_t policy_steps(const struct policy *p)
{
    size_t each = (size_t)p->options.rollout.prompts_max;
    return (p->prompts->n + each - 1) / each;
}

/* ---- answers ---- */

static void shuffle(struct policy *p, uint64_t epoch)
{
    if (p->epoch != epoch)
        deal(p->order, p->prompts->n, p->options.seed, epoch);
    p->epoch = epoch;
}

/* What stands in the record, for rewards that compare. */
static struct reward_text text_of(const json_t *record, const char *key)
{
    const char *text = json_text(record, key, "");
    return (struct reward_text) { text, strlen(text) };
}

static int judge(struct policy *p, int n, struct error *err)
{
    struct reward_case *cases = calloc((size_t)n, sizeof *cases);
    struct reward_failures failures = { 0 };
    int rc = cases ? 0 : error_memory(err, (size_t)n * sizeof *cases, "cases to judge");
    for (int i = 0; rc == 0 && i < n; i++) {
        struct answer *a = &p->at[i];
        buffer_clear(&a->text);
        rc = tokenizer_decode(p->tokenizer, a->said->ids, (size_t)a->said->count, false, &a->text, err);
        if (rc == 0)
            rc = buffer_check(&a->text, "an answer", err);
        cases[i] = (struct reward_case) { .prompt = text_of(a->prompt->record, "prompt"),
            .completion = { a->text.data ? a->text.data : "", a->text.used },
            .answer = text_of(a->prompt->record, "answer"), .tokens = a->said->count };
    }
    if (rc == 0)
        rc = reward_run(p->reward, cases, n, NULL, p->rewards, p->parts, &failures, err);
    if (rc == 0 && failures.count == n)
        rc = error_set(err, failures.first.code, "no answer could be judged: %s", failures.first.text);
    free(cases);
    return rc;
}

/* Answers to prompts [first, first + count) of a list, or of the order; judged. Returns the number in *n. */
static int answer(struct policy *p, const struct prompts *list, const uint32_t *order, size_t first, int count,
    uint64_t seed, int *n, struct error *err)
{
    const struct completion *said;
    int group = p->options.rollout.group;
    struct rollout_prompt *asked = calloc((size_t)count, sizeof *asked);
    if (!asked)
        return error_memory(err, (size_t)count * sizeof *asked, "prompts");
    for (int i = 0; i < count; i++) {
        const struct prompt *one = &list->at[order ? order[first + (size_t)i] : first + (size_t)i];
        asked[i] = (struct rollout_prompt) { one->ids.ids, (int)one->ids.used };
        for (int k = 0; k < group; k++)
            p->at[i * group + k].prompt = one;
    }
    int rc = rollout_run(p->rollout, asked, count, seed, NULL, &said, err);
    free(asked);
    *n = count * group;
    for (int i = 0; rc == 0 && i < *n; i++) {
        p->at[i].said = &said[i];
        p->cut[i] = said[i].end == ROLLOUT_LENGTH;
    }
    return rc ? rc : judge(p, *n, err);
}

static void add_metric(struct step_result *out, const char *name, double value)
{
    if (out->n_metrics < STEP_METRICS_MAX)
        out->metrics[out->n_metrics++] = (struct step_metric) { name, value };
}

/* Means over n answers. */
static void add_rewards(const struct policy *p, int n, struct step_result *out)
{
    int parts = reward_parts(p->reward);
    double all = 0, length = 0, cut = 0;
    for (int i = 0; i < n; i++) {
        all += p->rewards[i] / n;
        length += (double)p->at[i].said->count / n;
        cut += p->cut[i] ? 1.0 / n : 0;
    }
    add_metric(out, "reward", all);
    for (int k = 0; parts > 1 && k < parts; k++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += p->parts[i * parts + k] / n;
        add_metric(out, p->names[k], sum);
    }
    add_metric(out, "length", length);
    add_metric(out, "cut", cut);
}

/* ---- learning from them ---- */

struct pass {
    struct policy *p;
    int n; /* answers in it */
    int64_t step_answers, step_tokens;
    struct grpo_metrics *metrics;
    double *difference;
};

static int weigh(void *context, const struct train_scores *scores, float *weights, struct error *err)
{
    const struct pass *pass = context;
    const struct policy *p = pass->p;
    double *advantages = calloc((size_t)pass->n, sizeof *advantages);
    int *counts = calloc((size_t)pass->n, sizeof *counts);
    int rc = advantages && counts ? 0 : error_memory(err, (size_t)pass->n * sizeof *advantages, "a pass");
    for (int i = 0, at = 0; rc == 0 && i < pass->n; i++) {
        const struct answer *a = &p->at[p->of_pass[i]];
        advantages[i] = a->advantage;
        counts[i] = a->said->count;
        for (int k = 0; k < counts[i]; k++, at++) {
            double off = fabs((double)a->said->logprobs[k] - (double)scores->logprobs[at]);
            *pass->difference = fmax(*pass->difference, off);
        }
    }
    const struct grpo_completions c = { .n = pass->n, .counts = counts, .logprobs = scores->logprobs,
        .entropies = scores->entropies, .advantages = advantages, .step_completions = pass->step_answers,
        .step_tokens = pass->step_tokens };
    if (rc == 0)
        grpo_weigh(&p->options.grpo, &c, weights, pass->metrics);
    free(advantages);
    free(counts);
    return rc;
}

/* Ids with the answer's tokens as targets. */
static struct train_text text_from(struct answer *a)
{
    int asked = (int)a->prompt->ids.used, all = asked + a->said->count;
    memcpy(a->ids, a->prompt->ids.ids, (size_t)asked * sizeof *a->ids);
    memcpy(a->ids + asked, a->said->ids, (size_t)a->said->count * sizeof *a->ids);
    for (int i = 0; i + 1 < all; i++)
        a->targets[i] = i + 1 >= asked ? a->ids[i + 1] : TRAIN_SKIP;
    return (struct train_text) { .ids = a->ids, .targets = a->targets, .count = all - 1 };
}

/* Kept answers from *next on, until one does not fit. */
static void fill(struct policy *p, struct pass *pass, int n, int *next, struct step_result *out)
{
    int used = 0;
    pass->n = 0;
    for (; *next < n && pass->n < p->options.texts_max; ++*next) {
        struct answer *a = &p->at[*next];
        int tokens = (int)a->prompt->ids.used + a->said->count - 1;
        if (!a->kept)
            continue;
        if (used + tokens > p->options.tokens_max)
            break;
        used += tokens;
        p->of_pass[pass->n] = *next;
        p->texts[pass->n++] = text_from(a);
        out->counted += a->said->count;
    }
    out->tokens += used;
}

static int learn(struct policy *p, struct train_pass *t, int n, struct step_result *out, struct error *err)
{
    double temperature = p->options.rollout.sampling.at[SAMPLING_temperature], difference = 0;
    struct grpo_metrics metrics = { 0 };
    struct pass pass = { .p = p, .metrics = &metrics, .difference = &difference };
    const struct train_objective objective = { .scoring = { .temperature = temperature > 0 ? (float)temperature : 1,
        .entropies = true }, .weigh = weigh, .context = &pass };
    int rc = 0;
    for (int i = 0; i < n; i++)
        if (p->at[i].kept) {
            pass.step_answers++;
            pass.step_tokens += p->at[i].said->count;
        }
    train_pass_seed(t, 0); /* what was sampled without dropout is learned without */
    for (int next = 0; rc == 0 && next < n;) {
        fill(p, &pass, n, &next, out);
        if (pass.n > 0)
            rc = train_pass_objective(t, p->texts, pass.n, &objective, err);
    }
    out->loss = metrics.loss;
    add_metric(out, "entropy", metrics.entropy);
    add_metric(out, "sampling_difference", difference);
    return rc;
}

static int gradients(void *context, struct train_pass *t, uint64_t step, struct step_result *out, struct error *err)
{
    struct policy *p = context;
    const struct rollout_options *r = &p->options.rollout;
    uint64_t steps = policy_steps(p);
    size_t first = (size_t)(step % steps) * (size_t)r->prompts_max, left = p->prompts->n - first;
    int count = left < (size_t)r->prompts_max ? (int)left : r->prompts_max, n = 0;
    struct grpo_reward_metrics metrics;
    out->epoch = step / steps;
    shuffle(p, out->epoch);
    int rc = answer(p, p->prompts, p->order, first, count, p->options.seed * 0x9e3779b97f4a7c15u + step + 1, &n, err);
    if (rc)
        return rc;
    const struct grpo_rewards rewards = { .groups = count, .group = r->group, .rewards = p->rewards, .cut = p->cut };
    grpo_advantages(&p->options.grpo, &rewards, p->advantages, p->kept, &metrics);
    for (int i = 0; i < n; i++) {
        p->at[i].advantage = p->advantages[i];
        p->at[i].kept = p->kept[i];
    }
    add_rewards(p, n, out);
    add_metric(out, "reward_deviation", metrics.deviation);
    add_metric(out, "equal", metrics.equal);
    return learn(p, t, n, out, err);
}

/* Always with the same random numbers. */
static int validate(void *context, struct train_pass *t, struct step_result *out, struct error *err)
{
    struct policy *p = context;
    int each = p->options.rollout.prompts_max, rc = 0;
    double sum = 0, length = 0;
    size_t answers = 0;
    (void)t;
    for (size_t first = 0; rc == 0 && first < p->held->n; first += (size_t)each) {
        size_t left = p->held->n - first;
        int n = 0;
        rc = answer(p, p->held, NULL, first, left < (size_t)each ? (int)left : each, ~(uint64_t)first, &n, err);
        for (int i = 0; rc == 0 && i < n; i++, answers++) {
            sum += p->rewards[i];
            length += p->at[i].said->count;
        }
    }
    if (rc == 0) {
        out->loss = -sum / (double)answers;
        add_metric(out, "reward", sum / (double)answers);
        add_metric(out, "length", length / (double)answers);
    }
    return rc;
}

struct objective policy_objective(struct policy *p)
{
    return (struct objective) { .gradients = gradients, .validate = p->held ? validate : NULL, .context = p };
}
