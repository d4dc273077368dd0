/* SPDX-License-Identifier: Apache-2.0 */
#include "model/spec.h"

#include "model/arch.h"

#include <math.h>
#include <string.h>

#define WIDTH_MAX (1 << 24) /* of any matrix: heads * head_dim, fused or not */

/* Weights stored in a way of their own (GPTQ, AWQ, FP8 with scales beside): their tensors are not the model's. */
static int check_quantization(const json_t *c, struct error *err)
{
    const json_t *q = json_object_get(c, "quantization_config");
    if (!json_is_object(q) || strcmp(json_text(q, "quant_method", ""), "mxfp4") == 0) /* MXFP4 is a format */
        return 0;
    return error_set(err, ERROR_UNSUPPORTED, "config asks for quantization method \"%s\", which is not supported",
        json_text(q, "quant_method", "(unnamed)"));
}

int spec_read(struct spec *s, const json_t *config, enum source_kind kind, struct error *err)
{
    const json_t *inner = json_object_get(config, "text_config"); /* the language part of a model that also sees */
    memset(s, 0, sizeof *s);
    if (!json_is_object(config) || json_object_size(config) == 0)
        return error_set(err, ERROR_FORMAT, "there is no config: this file holds no model's numbers");
    int rc = arch_find(&s->arch, config, err);
    if (rc == 0)
        rc = check_quantization(config, err);
    if (rc == 0)
        rc = s->arch->read(s, json_is_object(inner) ? inner : config, kind, err);
    if (rc == 0)
        rc = spec_check(s, err);
    if (rc && s->arch)
        error_in(err, "could not read the numbers of a %s model", s->arch->name);
    return rc;
}

static int check_sizes(const struct spec *s, struct error *err)
{
    if (s->layers < 1 || s->layers > SPEC_LAYERS_MAX)
        return error_set(err, ERROR_LIMIT, "config has %d layers, expected 1 to %d", s->layers, SPEC_LAYERS_MAX);
    if (s->dim < 1 || s->heads < 1 || s->kv_heads < 1 || s->head_dim < 1 || s->vocabulary < 1 || s->context < 1)
        return error_set(err, ERROR_FORMAT,
            "config has a size under 1: width %d, heads %d, kv heads %d, head_dim %d, vocabulary %lld, context %d",
            s->dim, s->heads, s->kv_heads, s->head_dim, (long long)s->vocabulary, s->context);
    if (s->heads % s->kv_heads != 0)
        return error_set(err, ERROR_FORMAT, "config has %d heads, which is not a multiple of its %d kv heads", s->heads,
            s->kv_heads);
    if ((int64_t)s->heads * s->head_dim > WIDTH_MAX)
        return error_set(err, ERROR_LIMIT, "config has %d heads of %d, more than %d wide together", s->heads,
            s->head_dim, WIDTH_MAX);
    return 0;
}

static int check_layers(const struct spec *s, struct error *err)
{
    for (int i = 0; i < s->layers; i++) {
        const struct spec_layer *l = &s->layer[i];
        if (l->window < 0)
            return error_set(err, ERROR_FORMAT, "layer %d has a window of %d positions", i, l->window);
        if (l->rope >= 0 && s->ropes[l->rope].dims % 2 != 0)
            return error_set(err, ERROR_FORMAT, "head_dim %d is odd, rotary positions need pairs", s->head_dim);
        if (l->moe && (s->experts < 1 || s->experts_used < 1 || s->experts_used > s->experts || s->expert_ffn < 1))
            return error_set(err, ERROR_FORMAT, "config uses %d of %d experts of width %d", s->experts_used,
                s->experts, s->expert_ffn);
        if (!l->moe && s->ffn < 1)
            return error_set(err, ERROR_FORMAT, "config has a feed-forward width of %d", s->ffn);
    }
    return 0;
}

static int check_numbers(const struct spec *s, struct error *err)
{
    const float positive[] = { s->embedding_scale, s->attention_scale };
    const float at_least_0[] = { s->norm_eps, s->norm_offset, s->attention_softcap, s->logit_softcap };
    bool fine = true;
    for (size_t i = 0; i < sizeof positive / sizeof positive[0]; i++)
        fine = fine && isfinite(positive[i]) && positive[i] > 0;
    for (size_t i = 0; i < sizeof at_least_0 / sizeof at_least_0[0]; i++)
        fine = fine && isfinite(at_least_0[i]) && at_least_0[i] >= 0;
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < s->ropes[r].dims / 2; i++)
            fine = fine && isfinite(s->ropes[r].inverse_frequency[i]) && s->ropes[r].inverse_frequency[i] >= 0;
    if (fine)
        return 0;
    return error_set(err, ERROR_FORMAT,
        "config gives numbers out of range: embedding scale %g, attention scale %g, norm eps %g, soft caps %g and %g",
        (double)s->embedding_scale, (double)s->attention_scale, (double)s->norm_eps, (double)s->attention_softcap,
        (double)s->logit_softcap);
}

int spec_check(const struct spec *s, struct error *err)
{
    int rc = check_sizes(s, err);
    if (rc == 0)
        rc = check_layers(s, err);
    if (rc == 0)
        rc = check_numbers(s, err);
    return rc;
}
