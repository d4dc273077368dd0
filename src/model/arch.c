/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include "base/buffer.h"

#include <string.h>

const struct arch *const archs[] = {
#define X(name) &arch_##name,
    ARCHS(X)
#undef X
    NULL
};

/* GGUF calls a role the same in all families; the few exceptions stand in the family's own table. */
const struct weight_name gguf_names[] = {
    { ROLE_token_embedding, "token_embd.weight", STORED_PLAIN },
    { ROLE_position_table, "position_embd.weight", STORED_PLAIN },
    { ROLE_rope_factors, "rope_freqs.weight", STORED_PLAIN },
    { ROLE_final_norm, "output_norm.weight", STORED_PLAIN },
    { ROLE_final_norm_bias, "output_norm.bias", STORED_PLAIN },
    { ROLE_output, "output.weight", STORED_PLAIN },
    { ROLE_attn_norm, "blk.%d.attn_norm.weight", STORED_PLAIN },
    { ROLE_attn_norm_bias, "blk.%d.attn_norm.bias", STORED_PLAIN },
    { ROLE_q, "blk.%d.attn_q.weight", STORED_PLAIN },
    { ROLE_k, "blk.%d.attn_k.weight", STORED_PLAIN },
    { ROLE_v, "blk.%d.attn_v.weight", STORED_PLAIN },
    { ROLE_q_bias, "blk.%d.attn_q.bias", STORED_PLAIN },
    { ROLE_k_bias, "blk.%d.attn_k.bias", STORED_PLAIN },
    { ROLE_v_bias, "blk.%d.attn_v.bias", STORED_PLAIN },
    { ROLE_q_norm, "blk.%d.attn_q_norm.weight", STORED_PLAIN },
    { ROLE_k_norm, "blk.%d.attn_k_norm.weight", STORED_PLAIN },
    { ROLE_attn_out, "blk.%d.attn_output.weight", STORED_PLAIN },
    { ROLE_attn_out_bias, "blk.%d.attn_output.bias", STORED_PLAIN },
    { ROLE_attn_post_norm, "blk.%d.post_attention_norm.weight", STORED_PLAIN },
    { ROLE_mlp_norm, "blk.%d.ffn_norm.weight", STORED_PLAIN },
    { ROLE_mlp_norm_bias, "blk.%d.ffn_norm.bias", STORED_PLAIN },
    { ROLE_gate, "blk.%d.ffn_gate.weight", STORED_PLAIN },
    { ROLE_gate_bias, "blk.%d.ffn_gate.bias", STORED_PLAIN },
    { ROLE_up, "blk.%d.ffn_up.weight", STORED_PLAIN },
    { ROLE_up_bias, "blk.%d.ffn_up.bias", STORED_PLAIN },
    { ROLE_down, "blk.%d.ffn_down.weight", STORED_PLAIN },
    { ROLE_down_bias, "blk.%d.ffn_down.bias", STORED_PLAIN },
    { ROLE_router, "blk.%d.ffn_gate_inp.weight", STORED_PLAIN },
    { ROLE_expert_gate, "blk.%d.ffn_gate_exps.weight", STORED_PLAIN },
    { ROLE_expert_up, "blk.%d.ffn_up_exps.weight", STORED_PLAIN },
    { ROLE_expert_down, "blk.%d.ffn_down_exps.weight", STORED_PLAIN },
    { ROLE_expert_gate, "blk.%d.ffn_gate.%d.weight", STORED_PLAIN }, /* Mixtral files of 2023 */
    { ROLE_expert_up, "blk.%d.ffn_up.%d.weight", STORED_PLAIN },
    { ROLE_expert_down, "blk.%d.ffn_down.%d.weight", STORED_PLAIN },
    { ROLE_mlp_post_norm, "blk.%d.post_ffw_norm.weight", STORED_PLAIN },
    END_OF_NAMES
};

/* Buffers older writers saved though they follow from the config. */
const char *const ignored_everywhere[] = {
    "model.layers.%d.self_attn.rotary_emb.inv_freq",
    "model.rotary_emb.inv_freq",
    NULL
};

static bool named(const struct arch *a, const char *model_type, const char *class_name)
{
    for (const char *const *t = a->model_types; model_type && *t; t++)
        if (strcmp(*t, model_type) == 0)
            return true;
    return !model_type && class_name && strcmp(a->class_name, class_name) == 0;
}

int arch_find(const struct arch **out, const json_t *config, struct error *err)
{
    const char *model_type = json_text(config, "model_type", NULL);
    const char *class_name = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    if (!model_type && !class_name && json_object_get(config, "rope_ntk_alpha"))
        model_type = "gpt_oss"; /* only OpenAI's own config.json has this key, and it names no type */
    struct buffer known = { 0 };
    for (const struct arch *const *a = archs; *a; a++) {
        if (named(*a, model_type, class_name)) {
            *out = *a;
            return 0;
        }
    }
    for (const struct arch *const *a = archs; *a; a++)
        buffer_printf(&known, "%s%s", a == archs ? "" : ", ", (*a)->name);
    int rc = error_set(err, ERROR_UNSUPPORTED, "model_type \"%s\" is not supported; supported are %s",
        model_type ? model_type : class_name ? class_name : "(missing)", known.data ? known.data : "");
    buffer_release(&known);
    return rc;
}
