/* SPDX-License-Identifier: Apache-2.0 */
/* From logits to the next token.
 *
 * The chain, in the order of transformers' generation (its logits processors, then its warpers), the two OpenAI
 * penalties behind the repetition penalty as vLLM has them:
 *
 *     logit bias, repetition penalty, frequency and presence penalty, temperature, top-k, top-p, min-p, typical, draw
 *
 * Repetition (Keskar et al. 2019) looks at prompt and answer; frequency and presence at the answer alone. Every
 * filter works on the probabilities of what the filters before it left, and leaves at least one token. Equal logits
 * are ordered by id. Everything is computed in double by one thread: a seed gives the same ids on every machine that
 * gives the same logits. */
#ifndef WAZN_INFER_SAMPLER_H
#define WAZN_INFER_SAMPLER_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* id, key in generation_config.json, off, default, lowest, highest */
#define SAMPLING_SETTINGS(X) \
    X(temperature, "temperature", 1.0, 0.8, 0.0, 100.0) \
    X(top_k, "top_k", 0.0, 40.0, 0.0, 16777216.0) \
    X(top_p, "top_p", 1.0, 0.95, 0.0, 1.0) \
    X(min_p, "min_p", 0.0, 0.05, 0.0, 1.0) \
    X(typical, "typical_p", 1.0, 1.0, 0.0, 1.0) \
    X(repetition_penalty, "repetition_penalty", 1.0, 1.0, 0.01, 100.0) \
    X(presence_penalty, "presence_penalty", 0.0, 0.0, -100.0, 100.0) \
    X(frequency_penalty, "frequency_penalty", 0.0, 0.0, -100.0, 100.0)

enum sampling_setting {
#define X(id, key, off, standard, low, high) SAMPLING_##id,
    SAMPLING_SETTINGS(X)
#undef X
    SAMPLING_COUNT
};

enum sampling_source { SAMPLING_DEFAULT, SAMPLING_MODEL, SAMPLING_USER };

struct logit_bias {
    int32_t id;
    double add; /* -INFINITY: never this token */
};

/* What a person or a model's authors chose, each value with its source. Filled through the functions below. */
struct sampling {
    double at[SAMPLING_COUNT];
    enum sampling_source source[SAMPLING_COUNT];
    uint64_t seed;
    const struct logit_bias *biases; /* borrowed; must outlive samplers opened with it */
    size_t n_biases;
};

const char *sampling_key(enum sampling_setting setting);       /* "top_p" */
double sampling_off(enum sampling_setting setting);            /* the value that changes nothing */
const char *sampling_source_name(enum sampling_source source); /* "default", "generation_config.json" ... */

/* wazn's defaults, then what the model's authors say (generation_config.json, may be NULL). Where they name any
 * setting, those they leave out are off. do_sample false: temperature 0. whole: where they name none all are off, as
 * they advise elsewhere (struct chat_format.samples_whole). ERROR_FORMAT where a value is out of range. */
int sampling_init(struct sampling *s, const json_t *generation, bool whole, struct error *err);
/* The user's word. ERROR_USAGE out of range. */
int sampling_set(struct sampling *s, enum sampling_setting setting, double value, struct error *err);

struct sampler;                              /* one arena: candidates and counts */
uint64_t sampler_bytes(int64_t vocabulary); /* what sampler_open will take */

/* ERROR_USAGE where a bias names an id outside the vocabulary. */
int sampler_open(struct sampler **out, const struct sampling *s, int64_t vocabulary, struct error *err);
void sampler_close(struct sampler *s);

/* Forget what was seen and start the random numbers anew. */
void sampler_reset(struct sampler *s, uint64_t seed);
/* Tell the penalties about tokens of the prompt, and about one of the answer. Ids must be in the vocabulary. */
void sampler_prompt(struct sampler *s, const int32_t *ids, size_t n);
void sampler_accept(struct sampler *s, int32_t id);

/* From here on only tokens of a set are chosen: bit id & 63 of word id / 64, (vocabulary) bits. Borrowed until the next
 * call; NULL: all. */
void sampler_allow(struct sampler *s, const uint64_t *set);

/* The next token from (vocabulary) logits; does not accept it. ERROR_FORMAT where a logit is NaN or +infinity, or where
 * nothing is left to choose from. */
int sampler_choose(struct sampler *s, const float *logits, int32_t *id, struct error *err);

/* What sampler_choose would draw from: ids and probabilities (sum 1), unordered; valid until the next call. */
struct candidate {
    int32_t id;
    double logit;       /* after penalties and temperature, the highest of all subtracted */
    double probability; /* while the chain works: what candidates are ordered by */
};
int sampler_candidates(struct sampler *s, const float *logits, const struct candidate **out, size_t *n,
    struct error *err);

#endif
