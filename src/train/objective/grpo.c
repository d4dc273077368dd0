/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/grpo.h"

#include <math.h>
#include <stddef.h>

#define DEVIATION_FLOOR 1e-4 /* added to what rewards are divided by */

int grpo_check(const struct grpo_options *o, struct error *err)
{
    if (!(o->epsilon_low >= 0 && o->epsilon_low <= 1))
        return error_set(err, ERROR_USAGE, "the lower clip is %g, it must lie between 0 and 1", o->epsilon_low);
    if (!(o->epsilon_high >= 0 && o->epsilon_high <= 1e6))
        return error_set(err, ERROR_USAGE, "the upper clip is %g, it must lie between 0 and 1e6", o->epsilon_high);
    if (o->ratio_max != 0 && !(o->ratio_max > 1 + o->epsilon_high && o->ratio_max <= 1e9))
        return error_set(err, ERROR_USAGE, "the bound of ratios is %g, it must be above 1 + the upper clip of %g",
            o->ratio_max, o->epsilon_high);
    if (!(o->beta >= 0 && o->beta <= 1e6))
        return error_set(err, ERROR_USAGE, "beta is %g, it must lie between 0 and 1e6", o->beta);
    if (o->mean == GRPO_MEAN_LENGTH && o->tokens_max < 1)
        return error_set(err, ERROR_USAGE, "a mean over completions of %d tokens makes no sense", o->tokens_max);
    return 0;
}

/* ---- advantages ---- */

static double mean_of(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum / n;
}

/* Of a sample: the squares are divided by n - 1. */
static double deviation_of(const double *x, int n, double mean)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

static bool all_equal(const double *x, int n)
{
    for (int i = 1; i < n; i++)
        if (x[i] != x[0])
            return false;
    return true;
}

void grpo_advantages(const struct grpo_options *o, const struct grpo_rewards *r, double *advantages, bool *kept,
    struct grpo_reward_metrics *metrics)
{
    int all = r->groups * r->group, equal = 0, left = 0;
    double mean = mean_of(r->rewards, all), deviation = deviation_of(r->rewards, all, mean);
    for (int g = 0; g < r->groups; g++) {
        const double *rewards = r->rewards + (size_t)g * (size_t)r->group;
        double middle = mean_of(rewards, r->group), by = 1;
        bool same = all_equal(rewards, r->group);
        if (o->scale != GRPO_SCALE_NONE)
            by = DEVIATION_FLOOR
                + (o->scale == GRPO_SCALE_BATCH ? deviation : deviation_of(rewards, r->group, middle));
        equal += same;
        for (int i = 0; i < r->group; i++) {
            int at = g * r->group + i;
            advantages[at] = same ? 0 : (rewards[i] - middle) / by; /* not what rounding leaves of equals */
            kept[at] = !(o->drop_equal && same) && !(o->mask_cut && r->cut && r->cut[at]);
            left += kept[at];
        }
    }
    *metrics = (struct grpo_reward_metrics) { .mean = mean, .deviation = deviation,
        .equal = (double)equal / r->groups, .kept = (double)left / all };
}

/* ---- the loss ---- */

/* The clipped objective of one ratio, and its derivative by the ratio's logarithm. */
struct gain {
    double value, slope;
    bool low, high; /* clipped there */
};

static struct gain gain_of(const struct grpo_options *o, double ratio, double advantage)
{
    double low = 1 - o->epsilon_low, high = 1 + o->epsilon_high;
    bool bounded = o->ratio_max > 0 && ratio > o->ratio_max, inside = ratio >= low && ratio <= high;
    double clipped = ratio < low ? low : ratio > high ? high : ratio;
    double plain = (bounded ? o->ratio_max : ratio) * advantage, cut = clipped * advantage;
    struct gain g = { .low = ratio < low && advantage < 0, .high = ratio > high && advantage > 0 };
    g.value = plain < cut ? plain : cut;
    if (inside || (plain < cut && !bounded))
        g.slope = ratio * advantage;
    return g;
}

/* What all tokens of one completion have in common. */
struct share {
    const struct grpo_options *o;
    double part;        /* of a token in the loss */
    double metric_part; /* in means over tokens */
    double advantage, ratio; /* ratio: of the sequence */
};

static void weigh_token(const struct share *s, const struct grpo_completions *c, int64_t at, float *weights,
    struct grpo_metrics *m)
{
    double logprob = (double)c->logprobs[at], ratio = s->ratio;
    if (s->o->ratio == GRPO_RATIO_TOKEN)
        ratio = c->old ? exp(logprob - (double)c->old[at]) : 1;
    struct gain g = gain_of(s->o, ratio, s->advantage);
    double loss = -g.value, slope = -g.slope;
    if (c->reference && s->o->beta > 0) { /* k3 (Schulman 2020) */
        double behind = (double)c->reference[at] - logprob, divergence = expm1(behind) - behind;
        loss += s->o->beta * divergence;
        slope -= s->o->beta * expm1(behind);
        m->divergence += s->metric_part * divergence;
    }
    weights[at] = (float)(s->part * slope);
    m->loss += s->part * loss;
    m->entropy += c->entropies ? s->metric_part * (double)c->entropies[at] : 0;
    m->clip_low += s->metric_part * g.low;
    m->clip_high += s->metric_part * g.high;
    m->ratio += s->metric_part * ratio;
}

static double sequence_ratio(const struct grpo_completions *c, int64_t first, int count)
{
    double sum = 0;
    for (int64_t i = first; c->old && i < first + count; i++)
        sum += (double)c->logprobs[i] - (double)c->old[i];
    return exp(sum / count);
}

void grpo_weigh(const struct grpo_options *o, const struct grpo_completions *c, float *weights,
    struct grpo_metrics *metrics)
{
    int64_t completions = 0, tokens = 0, at = 0;
    for (int i = 0; i < c->n; i++)
        if (!c->kept || c->kept[i]) {
            completions++;
            tokens += c->counts[i];
        }
    completions = c->step_completions ? c->step_completions : completions;
    tokens = c->step_tokens ? c->step_tokens : tokens;
    for (int i = 0; i < c->n; at += c->counts[i++]) {
        int count = c->counts[i];
        struct share s = { .o = o, .metric_part = 1 / (double)tokens, .advantage = c->advantages[i] };
        s.part = o->mean == GRPO_MEAN_TOKENS ? 1 / (double)tokens
            : o->mean == GRPO_MEAN_LENGTH    ? 1 / ((double)completions * o->tokens_max)
                                             : 1 / ((double)completions * count);
        if (o->ratio == GRPO_RATIO_SEQUENCE)
            s.ratio = sequence_ratio(c, at, count);
        for (int k = 0; k < count; k++) {
            if (!c->kept || c->kept[i])
                weigh_token(&s, c, at + k, weights, metrics);
            else
                weights[at + k] = 0;
        }
    }
}
