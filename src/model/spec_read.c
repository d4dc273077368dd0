/* SPDX-License-Identifier: Apache-2.0 */
#include "model/spec_read.h"

#include <string.h>

#define DIM_MAX (1 << 20)
#define VOCABULARY_MAX (1 << 24)
#define CONTEXT_MAX (1 << 28)

static const json_t *member(const json_t *c, const char *key)
{
    const json_t *v = json_object_get(c, key);
    return json_is_null(v) ? NULL : v;
}

int spec_whole(int *out, const json_t *c, const char *key, long long absent, long long low, long long high,
    struct error *err)
{
    long long value = absent;
    const json_t *v = member(c, key);
    if (!v && absent == SPEC_REQUIRED)
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is missing", key);
    if (v) {
        value = json_whole(c, key, LLONG_MIN);
        if (value == LLONG_MIN)
            return error_set(err, ERROR_FORMAT, "config key \"%s\" is not a whole number", key);
    }
    if (v && (value < low || value > high))
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is %lld, expected %lld to %lld", key, value, low, high);
    *out = (int)value;
    return 0;
}

int spec_real(double *out, const json_t *c, const char *key, double absent, double low, double high, struct error *err)
{
    const json_t *v = member(c, key);
    if (!v && isnan(absent))
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is missing", key);
    if (v && !json_is_number(v))
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is not a number", key);
    double value = v ? json_number_value(v) : absent;
    if (v && !(value >= low && value <= high))
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is %g, expected %g to %g", key, value, low, high);
    *out = value;
    return 0;
}

int spec_float(float *out, const json_t *c, const char *key, double absent, double low, double high, struct error *err)
{
    double value = 0;
    int rc = spec_real(&value, c, key, absent, low, high, err);
    *out = (float)value;
    return rc;
}

int spec_flag(bool *out, const json_t *c, const char *key, bool absent, struct error *err)
{
    const json_t *v = member(c, key);
    if (v && !json_is_boolean(v))
        return error_set(err, ERROR_FORMAT, "config key \"%s\" is not true or false", key);
    *out = v ? json_is_true(v) : absent;
    return 0;
}

bool spec_is_null(const json_t *c, const char *key)
{
    return json_is_null(json_object_get(c, key));
}

int spec_read_activation(struct spec *s, const json_t *c, const char *key, const char *absent, struct error *err)
{
    static const struct {
        const char *name;
        enum activation kind;
    } known[] = { { "silu", ACT_SILU }, { "swish", ACT_SILU }, { "gelu_new", ACT_GELU_TANH },
        { "gelu_pytorch_tanh", ACT_GELU_TANH }, { "gelu_fast", ACT_GELU_TANH } };
    const char *name = json_text(c, key, absent);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0) {
            s->activation.kind = known[i].kind;
            return 0;
        }
    return error_set(err, ERROR_UNSUPPORTED, "config key \"%s\" is \"%s\", an activation that is not supported", key,
        name);
}

static int read_heads(struct spec *s, const json_t *c, const struct spec_defaults *d, struct error *err)
{
    int rc = spec_whole(&s->heads, c, "num_attention_heads", d->heads ? d->heads : SPEC_REQUIRED, 1, DIM_MAX, err);
    if (rc == 0)
        rc = spec_whole(&s->kv_heads, c, "num_key_value_heads", d->kv_heads ? d->kv_heads : s->heads, 1, DIM_MAX, err);
    if (rc == 0)
        rc = spec_whole(&s->head_dim, c, "head_dim", d->head_dim, 1, SPEC_ROPE_DIMS_MAX, err);
    if (rc || s->head_dim)
        return rc;
    if (s->dim % s->heads != 0)
        return error_set(err, ERROR_FORMAT,
            "config gives no head_dim, and hidden_size %d is not a multiple of num_attention_heads %d", s->dim,
            s->heads);
    s->head_dim = s->dim / s->heads;
    return 0;
}

int spec_read_common(struct spec *s, const json_t *c, const struct spec_defaults *d, struct error *err)
{
    int vocabulary = 0;
    int rc = spec_whole(&s->layers, c, "num_hidden_layers", SPEC_REQUIRED, 1, SPEC_LAYERS_MAX, err);
    if (rc == 0)
        rc = spec_whole(&s->dim, c, "hidden_size", SPEC_REQUIRED, 1, DIM_MAX, err);
    if (rc == 0)
        rc = read_heads(s, c, d, err);
    if (rc == 0)
        rc = spec_whole(&s->ffn, c, "intermediate_size", SPEC_REQUIRED, 1, DIM_MAX, err);
    if (rc == 0)
        rc = spec_whole(&vocabulary, c, "vocab_size", d->vocabulary ? d->vocabulary : SPEC_REQUIRED, 1, VOCABULARY_MAX,
            err);
    if (rc == 0)
        rc = spec_whole(&s->context, c, "max_position_embeddings", d->context, 1, CONTEXT_MAX, err);
    if (rc == 0)
        rc = spec_float(&s->norm_eps, c, "rms_norm_eps", d->norm_eps, 0, 1, err);
    if (rc == 0)
        rc = spec_flag(&s->tied, c, "tie_word_embeddings", d->tied, err);
    s->vocabulary = vocabulary;
    s->norm = NORM_RMS;
    s->ffn_gate = true;
    s->embedding_scale = 1.0f;
    s->attention_scale = (float)(1.0 / sqrt((double)s->head_dim));
    return rc;
}

static int read_layer_types(bool *slides, const struct spec *s, const json_t *types, struct error *err)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)s->layers)
        return error_set(err, ERROR_FORMAT, "config key \"layer_types\" has %zu entries, expected a list of %d layers",
            json_array_size(types), s->layers);
    for (int i = 0; i < s->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (!type || (strcmp(type, "sliding_attention") != 0 && strcmp(type, "full_attention") != 0))
            return error_set(err, ERROR_UNSUPPORTED,
                "config key \"layer_types\" has \"%s\" for layer %d, expected full_attention or sliding_attention",
                type ? type : "(no text)", i);
        slides[i] = type[0] == 's';
    }
    return 0;
}

int spec_read_windows(struct spec *s, const json_t *c, int window, const struct window_rule *rule, struct error *err)
{
    bool slides[SPEC_LAYERS_MAX];
    const json_t *types = member(c, "layer_types");
    for (int i = 0; i < s->layers; i++)
        slides[i] = window && i >= rule->first && (rule->period == 0 || (i + 1) % rule->period != 0);
    int rc = types ? read_layer_types(slides, s, types, err) : 0;
    for (int i = 0; rc == 0 && i < s->layers; i++) {
        if (slides[i] && window == 0)
            rc = error_set(err, ERROR_FORMAT,
                "config says sliding_attention for layer %d, but its sliding_window is absent or switched off", i);
        s->layer[i].window = slides[i] ? window : 0;
    }
    return rc;
}
