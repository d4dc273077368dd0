/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/sampler.h"

#include "base/arena.h"
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Candidates are ordered lazily: filters rarely look beyond the first few of a large vocabulary. candidates[0 .. heap)
 * is a binary heap on `probability`; [heap .. n) holds what was taken from it, the best last. */
struct sampler {
    struct sampling sampling;
    int64_t vocabulary;
    struct random random;
    struct candidate *candidates; /* (vocabulary) */
    size_t n, heap;
    bool heaped;            /* candidates[0 .. heap) has its heap order */
    double *bias;           /* (vocabulary), NULL without biases */
    uint32_t *answer;       /* (vocabulary) times each token came in the answer */
    unsigned char *seen;    /* (vocabulary) in prompt or answer */
    const uint64_t *allowed; /* a set of ids, or NULL: all */
    struct arena arena;
};

static void layout(struct sampler *s, struct arena *a)
{
    size_t n = (size_t)s->vocabulary;
    s->candidates = arena_take(a, n, sizeof *s->candidates);
    s->bias = s->sampling.n_biases ? arena_take(a, n, sizeof *s->bias) : NULL;
    s->answer = arena_take(a, n, sizeof *s->answer);
    s->seen = arena_take(a, n, sizeof *s->seen);
}

uint64_t sampler_bytes(int64_t vocabulary)
{
    struct sampler s = { .vocabulary = vocabulary, .sampling.n_biases = 1 };
    layout(&s, &s.arena);
    return s.arena.used + sizeof s;
}

static int set_biases(struct sampler *s, struct error *err)
{
    for (size_t i = 0; i < s->sampling.n_biases; i++) {
        const struct logit_bias *b = &s->sampling.biases[i];
        if (b->id < 0 || b->id >= s->vocabulary)
            return error_set(err, ERROR_USAGE, "logit bias for token %d, the vocabulary has %lld", b->id,
                (long long)s->vocabulary);
        if (isnan(b->add) || b->add == INFINITY)
            return error_set(err, ERROR_USAGE, "logit bias of token %d is %g", b->id, b->add);
        s->bias[b->id] += b->add;
    }
    return 0;
}

int sampler_open(struct sampler **out, const struct sampling *sampling, int64_t vocabulary, struct error *err)
{
    assert(vocabulary > 0 && vocabulary <= INT32_MAX);
    *out = NULL;
    struct sampler *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, sizeof *s, "a sampler");
    s->sampling = *sampling;
    s->vocabulary = vocabulary;
    layout(s, &s->arena);
    int rc = arena_reserve(&s->arena, err);
    if (rc == 0) {
        layout(s, &s->arena);
        rc = set_biases(s, err);
    }
    if (rc) {
        sampler_close(s);
        return rc;
    }
    random_seed(&s->random, sampling->seed);
    *out = s;
    return 0;
}

void sampler_close(struct sampler *s)
{
    if (!s)
        return;
    arena_release(&s->arena);
    free(s);
}

void sampler_reset(struct sampler *s, uint64_t seed)
{
    memset(s->answer, 0, (size_t)s->vocabulary * sizeof *s->answer);
    memset(s->seen, 0, (size_t)s->vocabulary * sizeof *s->seen);
    random_seed(&s->random, seed);
}

void sampler_prompt(struct sampler *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert(ids[i] >= 0 && ids[i] < s->vocabulary);
        s->seen[ids[i]] = 1;
    }
}

void sampler_accept(struct sampler *s, int32_t id)
{
    sampler_prompt(s, &id, 1);
    s->answer[id]++;
}

void sampler_allow(struct sampler *s, const uint64_t *set)
{
    s->allowed = set;
}

/* The logit of a token after bias and penalties. */
static double penalized(const struct sampler *s, int32_t id, double logit)
{
    const double *at = s->sampling.at;
    if (s->bias)
        logit += s->bias[id];
    if (!s->seen[id])
        return logit;
    double repetition = at[SAMPLING_repetition_penalty];
    if (repetition != 1.0)
        logit = logit > 0 ? logit / repetition : logit * repetition;
    if (s->answer[id])
        logit -= at[SAMPLING_frequency_penalty] * s->answer[id] + at[SAMPLING_presence_penalty];
    return logit;
}

/* Fill the candidates, tokens at -infinity left out; *best is the likeliest, the lowest id of equals. */
static int gather_candidates(struct sampler *s, const float *logits, struct candidate *best, struct error *err)
{
    s->n = 0;
    for (int32_t id = 0; id < s->vocabulary; id++) {
        if (isnan(logits[id]) || logits[id] == INFINITY)
            return error_set(err, ERROR_FORMAT, "could not choose a token: the logit of token %d is %f", id,
                (double)logits[id]);
        if (s->allowed && !(s->allowed[id >> 6] >> (id & 63) & 1))
            continue;
        double logit = penalized(s, id, (double)logits[id]);
        if (logit == -INFINITY)
            continue;
        if (s->n == 0 || logit > best->logit)
            *best = (struct candidate) { id, logit, 1.0 };
        s->candidates[s->n++] = (struct candidate) { id, logit, logit };
    }
    if (s->n == 0)
        return error_set(err, ERROR_FORMAT, "could not choose a token: the logits of all %s are -infinity",
            s->allowed ? "tokens that may come" : "tokens");
    s->heap = s->n;
    s->heaped = false;
    return 0;
}

static bool is_before(const struct candidate *a, const struct candidate *b)
{
    return a->probability > b->probability || (a->probability == b->probability && a->id < b->id);
}

static void sift_down(struct candidate *c, size_t n, size_t i)
{
    struct candidate moved = c[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(&c[child + 1], &c[child]))
            child++;
        if (!is_before(&c[child], &moved))
            break;
        c[i] = c[child];
    }
    c[i] = moved;
}

/* Candidate number `i` (0: the best), i < s->n. */
static const struct candidate *best_at(struct sampler *s, size_t i)
{
    struct candidate *c = s->candidates;
    if (!s->heaped) {
        for (size_t k = s->heap / 2; k-- > 0;)
            sift_down(c, s->heap, k);
        s->heaped = true;
    }
    while (s->n - s->heap <= i) {
        struct candidate top = c[0];
        s->heap--;
        c[0] = c[s->heap];
        c[s->heap] = top;
        if (s->heap > 1)
            sift_down(c, s->heap, 0);
    }
    return &c[s->n - 1 - i];
}

/* Keep the best m > 0; they stay in order. */
static void keep_best(struct sampler *s, size_t m)
{
    best_at(s, m - 1);
    memmove(s->candidates, s->candidates + s->n - m, m * sizeof *s->candidates);
    s->n = m;
    s->heap = 0;
}

/* From here on the order is another one. */
static void reorder(struct sampler *s)
{
    s->heap = s->n;
    s->heaped = false;
}

static double weight_sum(const struct sampler *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += exp(s->candidates[i].logit);
    return sum;
}

static void filter_top_p(struct sampler *s, double p)
{
    double enough = p * weight_sum(s), sum = 0;
    size_t m = 0;
    while (m < s->n && (m == 0 || sum < enough))
        sum += exp(best_at(s, m++)->logit);
    keep_best(s, m);
}

static void filter_min_p(struct sampler *s, double p)
{
    double least = log(p); /* the best logit is 0 */
    size_t m = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->candidates[i].logit >= least)
            s->candidates[m++] = s->candidates[i];
    }
    s->n = m;
    reorder(s);
}

/* Locally typical sampling (Meister et al. 2022): the tokens whose surprise is nearest the entropy. As in transformers,
 * tokens exactly as near as the last one stay too. */
static void filter_typical(struct sampler *s, double p)
{
    double sum = weight_sum(s), log_sum = log(sum), entropy = 0, mass = 0;
    for (size_t i = 0; i < s->n; i++) {
        double log_p = s->candidates[i].logit - log_sum;
        if (log_p > -INFINITY)
            entropy -= exp(log_p) * log_p;
    }
    for (size_t i = 0; i < s->n; i++)
        s->candidates[i].probability = -fabs(log_sum - s->candidates[i].logit - entropy);
    reorder(s);
    size_t m = 0;
    double last = 0;
    while (m < s->n && (m == 0 || mass < p * sum || best_at(s, m)->probability == last)) {
        const struct candidate *c = best_at(s, m++);
        mass += exp(c->logit);
        last = c->probability;
    }
    keep_best(s, m);
    for (size_t i = 0; i < m; i++)
        s->candidates[i].probability = s->candidates[i].logit;
    reorder(s);
}

/* The chain behind the penalties; leaves probabilities. */
static void filter(struct sampler *s, double best)
{
    const double *at = s->sampling.at;
    for (size_t i = 0; i < s->n; i++) {
        struct candidate *c = &s->candidates[i];
        /* Subtract first: a tiny temperature cannot overflow. */
        c->logit = (c->logit - best) / at[SAMPLING_temperature];
        c->probability = c->logit;
    }
    if (at[SAMPLING_top_k] > 0 && at[SAMPLING_top_k] < (double)s->n)
        keep_best(s, (size_t)at[SAMPLING_top_k]);
    if (at[SAMPLING_top_p] < 1)
        filter_top_p(s, at[SAMPLING_top_p]);
    if (at[SAMPLING_min_p] > 0)
        filter_min_p(s, at[SAMPLING_min_p]);
    if (at[SAMPLING_typical] < 1)
        filter_typical(s, at[SAMPLING_typical]);
    double sum = weight_sum(s);
    for (size_t i = 0; i < s->n; i++)
        s->candidates[i].probability = exp(s->candidates[i].logit) / sum;
}

int sampler_candidates(struct sampler *s, const float *logits, const struct candidate **out, size_t *n,
    struct error *err)
{
    struct candidate best;
    int rc = gather_candidates(s, logits, &best, err);
    if (rc)
        return rc;
    if (s->sampling.at[SAMPLING_temperature] == 0) {
        best.logit = 0;
        s->candidates[0] = best;
        s->n = 1;
    } else {
        filter(s, best.logit);
    }
    *out = s->candidates;
    *n = s->n;
    return 0;
}

int sampler_choose(struct sampler *s, const float *logits, int32_t *id, struct error *err)
{
    const struct candidate *c;
    size_t n;
    int rc = sampler_candidates(s, logits, &c, &n, err);
    if (rc)
        return rc;
    double left = n > 1 ? random_unit(&s->random) : 0;
    *id = c[0].id;
    for (size_t i = 0; i < n; i++) {
        if (c[i].probability == 0)
            continue;
        *id = c[i].id; /* the last with any probability, where rounding leaves a rest */
        left -= c[i].probability;
        if (left < 0)
            break;
    }
    return 0;
}
