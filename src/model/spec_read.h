/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a hostile config: every number has a range, errors name the key. Shared by the architecture files. */
#ifndef WAZN_MODEL_SPEC_READ_H
#define WAZN_MODEL_SPEC_READ_H

#include "model/spec.h"

#include <limits.h>
#include <math.h>

#define SPEC_REQUIRED LLONG_MIN /* as `absent`: the key must be there */

/* *out = a member, or `absent` where it is missing or null. ERROR_FORMAT where it is missing though required, of
 * another type, or outside [low, high]. A real is required where `absent` is NAN. */
int spec_whole(int *out, const json_t *c, const char *key, long long absent, long long low, long long high,
    struct error *err);
int spec_real(double *out, const json_t *c, const char *key, double absent, double low, double high, struct error *err);
int spec_flag(bool *out, const json_t *c, const char *key, bool absent, struct error *err);
int spec_float(float *out, const json_t *c, const char *key, double absent, double low, double high, struct error *err);

/* The key is there and says null: "none", where a missing key would mean the family's default. */
bool spec_is_null(const json_t *c, const char *key);

/* What a family's config class assumes where config.json is silent. */
struct spec_defaults {
    int heads;         /* 0: required */
    int kv_heads;      /* 0: as many as heads */
    int head_dim;      /* 0: dim / heads */
    int vocabulary;    /* 0: required */
    int context;
    double norm_eps, rope_base;
    bool tied;
};

/* The keys that all families but GPT-2 share: sizes, norm, context, tying; scales of 1 and 1/sqrt(head_dim). */
int spec_read_common(struct spec *s, const json_t *c, const struct spec_defaults *d, struct error *err);

/* "silu", "gelu_pytorch_tanh", ... under `key`. */
int spec_read_activation(struct spec *s, const json_t *c, const char *key, const char *absent, struct error *err);

/* Which layers see a window where the config has no list `layer_types`: those from layer `first` on, but for every
 * `period`-th (0: no exception). */
struct window_rule {
    int first, period;
};
/* Windows of `window` positions. 0: no layer has one, whatever the rule says; a list that has them is an error. */
int spec_read_windows(struct spec *s, const json_t *c, int window, const struct window_rule *rule, struct error *err);

/* Both forms: `rope_parameters` (one, or keyed by layer type) or `rope_theta` and `rope_scaling`. Call after
 * spec_read_windows. */
int spec_read_ropes(struct spec *s, const json_t *c, double base, struct error *err);
/* One setting from an object with rope_type, factor ...; NULL: unscaled. */
int spec_read_rope(struct spec_rope *r, const struct spec *s, const json_t *c, const json_t *parameters, double base,
    struct error *err);

#endif
