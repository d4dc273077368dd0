/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arch/gemma.h"

int gemma_read(struct spec *s, const json_t *c, const struct gemma_defaults *d, enum source_kind kind,
    struct error *err)
{
    struct window_rule rule = { 0, d->period };
    double query_scalar = 0;
    bool both_ways = false;
    int window = 0;
    double cap_attention = spec_is_null(c, "attn_logit_softcapping") ? 0 : d->cap_attention;
    double cap_logits = spec_is_null(c, "final_logit_softcapping") ? 0 : d->cap_logits;
    int rc = spec_read_common(s, c, &d->common, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_activation", json_text(c, "hidden_act", "gelu_pytorch_tanh"), err);
    if (rc == 0)
        rc = spec_flag(&both_ways, c, "use_bidirectional_attention", false, err);
    if (rc == 0 && both_ways)
        rc = error_set(err, ERROR_UNSUPPORTED,
            "config key \"use_bidirectional_attention\" is true: this is no language model");
    if (rc == 0)
        rc = spec_real(&query_scalar, c, "query_pre_attn_scalar", 256, 1e-3, 1e6, err);
    if (rc == 0)
        rc = spec_float(&s->attention_softcap, c, "attn_logit_softcapping", cap_attention, 0, 1e6, err);
    if (rc == 0)
        rc = spec_float(&s->logit_softcap, c, "final_logit_softcapping", cap_logits, 0, 1e6, err);
    if (rc == 0)
        rc = spec_flag(&s->qkv_bias, c, "attention_bias", false, err);
    if (rc == 0)
        rc = spec_whole(&window, c, "sliding_window", 4096, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_whole(&rule.period, c, "sliding_window_pattern", d->period, 1, SPEC_LAYERS_MAX, err);
    if (rc == 0)
        rc = spec_read_windows(s, c, window, &rule, err);
    s->attention_out_bias = s->qkv_bias;
    s->attention_scale = (float)(1.0 / sqrt(query_scalar));
    s->embedding_scale = (float)sqrt((double)s->dim);
    s->norm_offset = kind == SOURCE_GGUF ? 0.0f : 1.0f;
    s->post_norms = true;
    return rc;
}
