/* SPDX-License-Identifier: Apache-2.0 */
/* Frequencies of rotary positions. Plain: base^(-2i / dims) (Su et al. 2021). Scaled: linear (Chen et al. 2023), llama3
 * (Llama 3.1's published rule), yarn (Peng et al. 2023, as config.json states it). */
#include "model/spec_read.h"

#include <string.h>

#define TWO_PI 6.283185307179586
#define FACTOR_MAX 1e6
#define POSITIONS_MAX 1e9

static int scale_linear(struct spec_rope *r, const json_t *p, struct error *err)
{
    double factor = 1;
    int rc = spec_real(&factor, p, "factor", NAN, 1e-3, FACTOR_MAX, err);
    for (int i = 0; rc == 0 && i < r->dims / 2; i++)
        r->inverse_frequency[i] /= factor;
    return rc;
}

/* Long waves are slowed by the factor, short ones stay, those between are blended. */
static int scale_llama3(struct spec_rope *r, const json_t *p, double positions, struct error *err)
{
    double factor = 1, low = 1, high = 4;
    int rc = spec_real(&factor, p, "factor", NAN, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&low, p, "low_freq_factor", NAN, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&high, p, "high_freq_factor", NAN, 1e-3, FACTOR_MAX, err);
    if (rc == 0 && !(high > low))
        rc = error_set(err, ERROR_FORMAT,
            "config key \"high_freq_factor\" is %g, expected more than low_freq_factor %g", high, low);
    for (int i = 0; rc == 0 && i < r->dims / 2; i++) {
        double f = r->inverse_frequency[i], wave = TWO_PI / f;
        double kept = (positions / wave - low) / (high - low);
        if (wave > positions / low)
            f /= factor;
        else if (wave >= positions / high)
            f = (1 - kept) * f / factor + kept * f;
        r->inverse_frequency[i] = f;
    }
    return rc;
}

struct yarn {
    double factor, beta_fast, beta_slow, attention_factor, mscale, mscale_all;
    bool truncate;
};

static double yarn_magnitude(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static int read_yarn(struct yarn *y, const json_t *p, double factor, struct error *err)
{
    int rc = spec_real(&y->factor, p, "factor", factor, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&y->beta_fast, p, "beta_fast", 32, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&y->beta_slow, p, "beta_slow", 1, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&y->attention_factor, p, "attention_factor", 0, 1e-3, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&y->mscale, p, "mscale", 0, 0, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_real(&y->mscale_all, p, "mscale_all_dim", 0, 0, FACTOR_MAX, err);
    if (rc == 0)
        rc = spec_flag(&y->truncate, p, "truncate", true, err);
    return rc;
}

/* Pairs that turn more than beta_fast times within the original context stay, those under beta_slow are slowed. */
static int scale_yarn(struct spec_rope *r, const json_t *p, double positions, double context, struct error *err)
{
    struct yarn y = { 0 };
    int rc = read_yarn(&y, p, context / positions, err);
    if (rc == 0 && y.beta_fast < y.beta_slow)
        rc = error_set(err, ERROR_FORMAT, "config key \"beta_fast\" is %g, expected at least beta_slow %g", y.beta_fast,
            y.beta_slow);
    if (rc)
        return rc;
    double low = r->dims * log(positions / (y.beta_fast * TWO_PI)) / (2 * log(r->base));
    double high = r->dims * log(positions / (y.beta_slow * TWO_PI)) / (2 * log(r->base));
    if (y.truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, r->dims - 1);
    if (low == high)
        high += 0.001;
    for (int i = 0; i < r->dims / 2; i++) {
        double slowed = fmin(fmax((i - low) / (high - low), 0), 1);
        r->inverse_frequency[i] *= slowed / y.factor + (1 - slowed);
    }
    double magnitude = y.attention_factor;
    if (magnitude == 0 && y.mscale > 0 && y.mscale_all > 0)
        magnitude = yarn_magnitude(y.factor, y.mscale) / yarn_magnitude(y.factor, y.mscale_all);
    else if (magnitude == 0)
        magnitude = yarn_magnitude(y.factor, 1);
    r->magnitude = (float)magnitude;
    return 0;
}

/* The context before scaling: beside the other parameters, or (rarely) at the top of the config. */
static int read_positions(double *out, const struct spec *s, const json_t *c, const json_t *p, struct error *err)
{
    static const char key[] = "original_max_position_embeddings";
    double inner = s->context;
    int rc = spec_real(&inner, p, key, s->context, 1, POSITIONS_MAX, err);
    return rc ? rc : spec_real(out, c, key, inner, 1, POSITIONS_MAX, err);
}

int spec_read_rope(struct spec_rope *r, const struct spec *s, const json_t *c, const json_t *p, double base,
    struct error *err)
{
    double rotated = 1, positions = 0;
    const char *type = json_text(p, "rope_type", json_text(p, "type", "default"));
    int rc = spec_real(&r->base, p, "rope_theta", base, 1.0001, 1e15, err);
    if (rc == 0)
        rc = spec_real(&rotated, p, "partial_rotary_factor", json_real_of(c, "partial_rotary_factor", 1), 0, 1, err);
    if (rc == 0 && rotated != 1)
        rc = error_set(err, ERROR_UNSUPPORTED,
            "config key \"partial_rotary_factor\" is %g: only whole heads rotate here", rotated);
    if (rc == 0)
        rc = read_positions(&positions, s, c, p, err);
    if (rc)
        return rc;
    r->dims = s->head_dim;
    r->magnitude = 1;
    for (int i = 0; i < r->dims / 2; i++)
        r->inverse_frequency[i] = pow(r->base, -2.0 * i / r->dims);
    if (strcmp(type, "default") == 0)
        return 0;
    if (strcmp(type, "linear") == 0)
        return scale_linear(r, p, err);
    if (strcmp(type, "llama3") == 0)
        return scale_llama3(r, p, positions, err);
    if (strcmp(type, "yarn") == 0)
        return scale_yarn(r, p, positions, s->context, err);
    return error_set(err, ERROR_UNSUPPORTED,
        "config asks for rope scaling \"%s\"; supported are default, linear, llama3 and yarn", type);
}

int spec_read_ropes(struct spec *s, const json_t *c, double base, struct error *err)
{
    const json_t *p = json_object_get(c, "rope_parameters");
    const json_t *full = json_object_get(p, "full_attention"), *sliding = json_object_get(p, "sliding_attention");
    int rc = spec_real(&base, c, "rope_theta", base, 1.0001, 1e15, err);
    if (!json_is_object(p))
        p = json_object_get(c, "rope_scaling");
    if (rc == 0)
        rc = spec_read_rope(&s->ropes[0], s, c, json_is_object(full) ? full : p, base, err);
    if (rc == 0 && json_is_object(sliding))
        rc = spec_read_rope(&s->ropes[1], s, c, sliding, base, err);
    for (int i = 0; i < s->layers; i++)
        s->layer[i].rope = s->layer[i].window && s->ropes[1].dims ? 1 : 0;
    return rc;
}
