/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective/preference.h"

#include <math.h>

/* A mean log-probability above this is taken as this: odds of what is certain are infinite. */
#define CERTAIN (-0x1p-24)

int preference_check(const struct preference_options *o, struct error *err)
{
    double least = o->loss == PREFERENCE_ORPO ? 0 : 1e-9;
    if (!(o->beta >= least && o->beta <= 1e6))
        return error_set(err, ERROR_USAGE, "beta is %g, it must lie between %g and 1e6", o->beta, least);
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 0.5))
        return error_set(err, ERROR_USAGE, "label smoothing is %g, it must be at least 0 and below 0.5",
            o->label_smoothing);
    if (o->label_smoothing > 0 && o->loss != PREFERENCE_SIGMOID && o->loss != PREFERENCE_ROBUST)
        return error_set(err, ERROR_USAGE, "label smoothing is for the losses sigmoid and robust");
    return 0;
}

static double log_sigmoid(double z)
{
    return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z));
}

static double sigmoid(double z)
{
    return z < 0 ? exp(z) / (1 + exp(z)) : 1 / (1 + exp(-z));
}

/* log(1 - exp(a)), a < 0, without cancellation (Maechler 2012). */
static double log_rest(double a)
{
    return a < -0.6931471805599453 ? log1p(-exp(a)) : log(-expm1(a));
}

/* One pair: sums of log-probabilities and of tokens. */
struct pair {
    double chosen, rejected;     /* policy, sums */
    double chosen_n, rejected_n; /* tokens */
    double chosen_ratio, rejected_ratio; /* policy - reference, sums */
};

/* A loss and its derivatives by the two sums of log-probabilities. */
struct slope {
    double loss, chosen, rejected;
};

/* Of a loss f(z), z = beta (log-ratio of the chosen - that of the rejected). */
static struct slope margin_slope(const struct preference_options *o, const struct pair *p)
{
    double z = o->beta * (p->chosen_ratio - p->rejected_ratio), e = o->label_smoothing, loss, by_z;
    switch (o->loss) {
    case PREFERENCE_ROBUST:
        loss = (-(1 - e) * log_sigmoid(z) + e * log_sigmoid(-z)) / (1 - 2 * e);
        by_z = (-(1 - e) * sigmoid(-z) - e * sigmoid(z)) / (1 - 2 * e);
        break;
    case PREFERENCE_HINGE:
        loss = z < 1 ? 1 - z : 0;
        by_z = z < 1 ? -1 : 0;
        break;
    default:
        loss = -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z);
        by_z = -(1 - e) * sigmoid(-z) + e * sigmoid(z);
    }
    return (struct slope) { loss, o->beta * by_z, -o->beta * by_z };
}

static struct slope ipo_slope(const struct preference_options *o, const struct pair *p)
{
    double off = p->chosen_ratio / p->chosen_n - p->rejected_ratio / p->rejected_n - 1 / (2 * o->beta);
    return (struct slope) { off * off, 2 * off / p->chosen_n, -2 * off / p->rejected_n };
}

static struct slope orpo_slope(const struct preference_options *o, const struct pair *p, double part,
    struct preference_metrics *m)
{
    double chosen = fmin(p->chosen / p->chosen_n, CERTAIN), rejected = fmin(p->rejected / p->rejected_n, CERTAIN);
    double odds = (chosen - rejected) - (log_rest(chosen) - log_rest(rejected));
    double likelihood = -p->chosen / p->chosen_n, by_odds = -o->beta * sigmoid(-odds);
    double by_chosen = chosen < CERTAIN ? by_odds / -expm1(chosen) : 0;
    double by_rejected = rejected < CERTAIN ? -by_odds / -expm1(rejected) : 0;
    m->likelihood_loss += part * likelihood;
    m->log_odds += part * odds;
    return (struct slope) { likelihood - o->beta * log_sigmoid(odds), (by_chosen - 1) / p->chosen_n,
        by_rejected / p->rejected_n };
}

static double sum(const float *x, int n)
{
    double all = 0;
    for (int i = 0; i < n; i++)
        all += (double)x[i];
    return all;
}

static void note(const struct preference_options *o, const struct pair *p, double loss, double part,
    struct preference_metrics *m)
{
    bool ratios = preference_needs_reference(o);
    double chosen = o->beta * (ratios ? p->chosen_ratio : p->chosen / p->chosen_n);
    double rejected = o->beta * (ratios ? p->rejected_ratio : p->rejected / p->rejected_n);
    m->loss += part * loss;
    m->chosen_reward += part * chosen;
    m->rejected_reward += part * rejected;
    m->margin += part * (chosen - rejected);
    m->accuracy += part * (chosen > rejected);
    m->chosen_logprob += part * p->chosen;
    m->rejected_logprob += part * p->rejected;
}

void preference_weigh(const struct preference_options *o, const struct preference_pairs *p, float *weights,
    struct preference_metrics *metrics)
{
    double part = 1 / (double)(p->step_pairs ? p->step_pairs : p->n);
    const float *at = p->logprobs;
    for (int i = 0; i < p->n; i++) {
        int chosen_n = p->counts[2 * i], rejected_n = p->counts[2 * i + 1];
        struct pair pair = { .chosen = sum(at, chosen_n), .rejected = sum(at + chosen_n, rejected_n),
            .chosen_n = chosen_n, .rejected_n = rejected_n };
        struct slope s;
        if (p->reference) {
            pair.chosen_ratio = pair.chosen - p->reference[2 * i];
            pair.rejected_ratio = pair.rejected - p->reference[2 * i + 1];
        }
        if (o->loss == PREFERENCE_ORPO)
            s = orpo_slope(o, &pair, part, metrics);
        else
            s = o->loss == PREFERENCE_IPO ? ipo_slope(o, &pair) : margin_slope(o, &pair);
        note(o, &pair, s.loss, part, metrics);
        for (int k = 0; k < chosen_n; k++)
            *weights++ = (float)(part * s.chosen);
        for (int k = 0; k < rejected_n; k++)
            *weights++ = (float)(part * s.rejected);
        at += chosen_n + rejected_n;
    }
}
