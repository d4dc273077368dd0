/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF metadata as config.json: what each family's keys become. */
#include "support.h"

#include "file/source_impl.h"
#include "make_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One key: "name u:8" (uint32), "f:0.5" (float32), "s:text", "i:1,2" (array of int32), "b:1,0" (array of bool). */
static void add_key(struct make_gguf *m, const char *line)
{
    char name[128];
    int n = 0;
    assert_int_equal(sscanf(line, "%127s %n", name, &n), 1);
    const char *value = line + n + 2;
    uint64_t count = 1;
    for (const char *c = value; *c; c++)
        count += *c == ',';
    switch (line[n]) {
    case 'u':
        make_whole(m, name, GGUF_UINT32, strtol(value, NULL, 10));
        return;
    case 'f':
        make_real(m, name, strtof(value, NULL));
        return;
    case 's':
        make_text(m, name, value);
        return;
    default:
        make_array(m, name, line[n] == 'i' ? GGUF_INT32 : GGUF_BOOL, count);
        for (char *end; count > 0; count--, value = end + 1)
            make_number(&m->keys, (uint64_t)strtol(value, &end, 10), line[n] == 'i' ? 4 : 1);
    }
}

struct family {
    const char *keys[20];
    const char *tensors[4]; /* "name:rows" */
    const char *config;     /* or, for a refusal, words of the error */
};

static int read_family(const struct family *f, json_t **config, struct error *e)
{
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    struct table t = { 0 };
    struct gguf *g;
    for (int i = 0; i < 20 && f->keys[i]; i++)
        add_key(&m, f->keys[i]);
    for (int i = 0; i < 4 && f->tensors[i]; i++) {
        char name[64];
        uint64_t rows = 1;
        sscanf(f->tensors[i], "%63[^:]:%lu", name, &rows);
        make_f32(&m, name, 2, (uint64_t[]) { 4, rows });
    }
    make_gguf_end(&m, &b);
    if (gguf_read(&g, b.data, b.used, "made.gguf", &t, e) != 0)
        fail_msg("%s", e->text);
    int rc = gguf_config_new(config, g, &t, e);
    gguf_close(g);
    table_release(&t);
    buffer_release(&b);
    return rc;
}

#define COMMON(a) \
    "general.architecture s:" a, a ".context_length u:64", a ".embedding_length u:32", a ".block_count u:4", \
        a ".feed_forward_length u:96", a ".attention.head_count u:4"
#define RMS(a) a ".attention.layer_norm_rms_epsilon f:0.5"
#define COMMON_CONFIG \
    "'max_position_embeddings':64,'hidden_size':32,'num_hidden_layers':4,'num_attention_heads':4,'rms_norm_eps':0.5,"

static const struct family families[] = {
    { { COMMON("gpt2"), "gpt2.attention.layer_norm_epsilon f:0.25", "tokenizer.ggml.bos_token_id u:7" },
        { "token_embd.weight:11" },
        "{'model_type':'gpt2','activation_function':'gelu_new','n_positions':64,'n_embd':32,'n_layer':4,'n_inner':96,"
        "'n_head':4,'layer_norm_epsilon':0.25,'vocab_size':11,'tie_word_embeddings':true,'bos_token_id':7}" },
    { { COMMON("llama"), RMS("llama"), "llama.attention.head_count_kv u:2", "llama.vocab_size u:99",
          "llama.rope.freq_base f:500000", "llama.rope.dimension_count u:8", "tokenizer.ggml.eos_token_id u:2" },
        { "token_embd.weight:11", "output.weight:11", "blk.0.attn_q.bias:1" },
        "{'model_type':'llama','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':96,'num_key_value_heads':2,"
        "'vocab_size':11,'tie_word_embeddings':false,'attention_bias':true,'mlp_bias':false,'rope_theta':500000.0,"
        "'eos_token_id':2}" },
    /* Mistral and Mixtral files say llama; layers that agree become one number */
    { { COMMON("llama"), RMS("llama"), "llama.attention.head_count_kv i:2,2,2,2", "llama.expert_count u:8",
          "llama.expert_used_count u:2", "llama.rope.dimension_count u:4", "llama.vocab_size u:99",
          "llama.rope.scaling.type s:linear", "llama.rope.scaling.factor f:4" },
        { NULL },
        "{'model_type':'mixtral','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':96,'num_key_value_heads':2,"
        "'num_local_experts':8,'num_experts_per_tok':2,'vocab_size':99,'rope_theta':10000.0,"
        "'partial_rotary_factor':0.5,'rope_scaling':{'rope_type':'linear','factor':4.0}}" },
    { { COMMON("qwen2"), RMS("qwen2"), "qwen2.attention.head_count_kv i:2,1,2,1", "qwen2.rope.scaling.type s:none" },
        { NULL },
        "{'model_type':'qwen2','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':96,"
        "'num_key_value_heads':[2,1,2,1],'rope_theta':10000.0}" },
    { { COMMON("qwen3"), RMS("qwen3"), "qwen3.attention.key_length u:12", "qwen3.attention.value_length u:12",
          "qwen3.rope.scaling.type s:yarn", "qwen3.rope.scaling.factor f:4",
          "qwen3.rope.scaling.original_context_length u:32", "qwen3.rope.scaling.yarn_beta_fast f:16" },
        { "token_embd.weight:11" },
        "{'model_type':'qwen3','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':96,'head_dim':12,"
        "'vocab_size':11,'tie_word_embeddings':true,'attention_bias':false,'rope_theta':10000.0,'rope_scaling':"
        "{'rope_type':'yarn','factor':4.0,'original_max_position_embeddings':32,'beta_fast':16.0,'beta_slow':1.0}}" },
    { { COMMON("qwen3moe"), RMS("qwen3moe"), "qwen3moe.expert_count u:6", "qwen3moe.expert_used_count u:2",
          "qwen3moe.expert_feed_forward_length u:24" },
        { NULL },
        "{'model_type':'qwen3_moe','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':96,'num_experts':6,"
        "'num_experts_per_tok':2,'moe_intermediate_size':24,'norm_topk_prob':true,'decoder_sparse_step':1,"
        "'mlp_only_layers':[],'rope_theta':10000.0}" },
    { { COMMON("gemma2"), RMS("gemma2"), "gemma2.attention.key_length u:16", "gemma2.attention.value_length u:16",
          "gemma2.attention.sliding_window u:8", "gemma2.attn_logit_softcapping f:50",
          "gemma2.final_logit_softcapping f:30" },
        { NULL },
        "{'model_type':'gemma2','hidden_activation':'gelu_pytorch_tanh'," COMMON_CONFIG "'intermediate_size':96,"
        "'head_dim':16,'sliding_window':8,'attn_logit_softcapping':50.0,'final_logit_softcapping':30.0,"
        "'query_pre_attn_scalar':16,'rope_theta':10000.0,'layer_types':['sliding_attention','full_attention',"
        "'sliding_attention','full_attention']}" },
    { { COMMON("gemma3"), RMS("gemma3"), "gemma3.attention.key_length u:16", "gemma3.attention.sliding_window u:8",
          "gemma3.attention.sliding_window_pattern b:1,0,0,1", "gemma3.rope.freq_base f:1000000",
          "gemma3.attention.scale f:0.5", "gemma3.rope.scaling.type s:linear", "gemma3.rope.scaling.factor f:8" },
        { NULL },
        "{'model_type':'gemma3_text','hidden_activation':'gelu_pytorch_tanh'," COMMON_CONFIG "'intermediate_size':96,"
        "'head_dim':16,'sliding_window':8,'query_pre_attn_scalar':4.0,'rope_theta':1000000.0,"
        "'rope_local_base_freq':10000.0,'rope_scaling':{'rope_type':'linear','factor':8.0},'layer_types':"
        "['sliding_attention','full_attention','full_attention','sliding_attention']}" },
    { { COMMON("gpt-oss"), RMS("gpt-oss"), "gpt-oss.expert_feed_forward_length u:48", "gpt-oss.expert_count u:4",
          "gpt-oss.expert_used_count u:2", "gpt-oss.attention.sliding_window u:8", "gpt-oss.rope.scaling.type s:yarn",
          "gpt-oss.rope.scaling.factor f:32", "gpt-oss.rope.scaling.original_context_length u:4096" },
        { NULL },
        "{'model_type':'gpt_oss','hidden_act':'silu'," COMMON_CONFIG "'intermediate_size':48,'num_local_experts':4,"
        "'num_experts_per_tok':2,'sliding_window':8,'swiglu_limit':7.0,'rope_theta':10000.0,'rope_scaling':"
        "{'rope_type':'yarn','factor':32.0,'original_max_position_embeddings':4096,'beta_fast':32.0,'beta_slow':1.0,"
        "'truncate':false},'layer_types':['sliding_attention','full_attention','sliding_attention',"
        "'full_attention']}" },
    { { "general.architecture s:mamba", "mamba.block_count u:4" }, { NULL }, "{'model_type':'mamba'}" },
    { { "general.name s:nothing" }, { NULL }, "{}" },
};

static void families_become_config(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        struct error e = { 0 };
        json_t *config, *expected;
        char *text = strdup(families[i].config);
        assert_non_null(text);
        for (char *c = text; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        assert_int_equal(json_read_new(&expected, text, strlen(text), "the expectation", &e), 0);
        if (read_family(&families[i], &config, &e) != 0)
            fail_msg("%s: %s", families[i].keys[0], e.text);
        if (!json_equal(config, expected)) {
            char *got = json_dumps(config, 0);
            fail_msg("%s: got %s, expected %s", families[i].keys[0], got, text);
        }
        json_decref(config);
        json_decref(expected);
        free(text);
    }
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct family wrong[] = {
        { { "general.name s:x" }, { "w:1" }, "general.architecture" },
        { { "general.architecture s:llama", "llama.block_count s:4" }, { NULL }, "\"llama.block_count\"" },
        { { "general.architecture s:llama", "llama.block_count i:4" }, { NULL }, "array of type int32" },
        { { "general.architecture s:llama", "llama.rope.freq_base s:x" }, { NULL }, "type string, expected a finite" },
        { { "general.architecture s:llama", "llama.rope.freq_base f:nan" }, { NULL }, "expected a finite number" },
        { { "general.architecture s:llama", "llama.attention.head_count f:1" }, { NULL }, "head_count" },
        { { "general.architecture s:llama", "llama.attention.key_length u:8", "llama.attention.value_length u:4" },
            { NULL }, "key_length is 8, attention.value_length 4" },
        { { "general.architecture s:gemma3", "gemma3.block_count u:1000000", "gemma3.attention.sliding_window u:8" },
            { NULL }, "1000000 layers, the limit is 65536" },
        { { "general.architecture s:gemma3", "gemma3.block_count u:3", "gemma3.attention.sliding_window u:8",
              "gemma3.attention.sliding_window_pattern b:1,0" },
            { NULL }, "sliding_window_pattern" },
        { { "general.architecture s:gemma3", "gemma3.block_count u:3", "gemma3.attention.sliding_window u:8",
              "gemma3.attention.sliding_window_pattern u:0" },
            { NULL }, "sliding_window_pattern" },
        { { "general.architecture s:\xff" }, { NULL }, "UTF-8" },
        { { "general.architecture s:llama", "llama.rope.scaling.type s:\xff" }, { NULL }, "rope.scaling.type" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error e = { 0 };
        json_t *config;
        if (read_family(&wrong[i], &config, &e) == 0)
            fail_msg("%s was accepted", wrong[i].config);
        assert_null(config);
        if (!strstr(e.text, wrong[i].config))
            fail_msg("\"%s\" does not say \"%s\"", e.text, wrong[i].config);
    }
}

static void generation_is_found(void **state)
{
    (void)state;
    struct make_gguf m = { 0 };
    struct buffer b = { 0 };
    struct error e = { 0 };
    struct gguf *g;
    json_t *o;
    add_key(&m, "general.sampling.temp f:0.5");
    add_key(&m, "general.sampling.top_k u:20");
    add_key(&m, "general.sampling.top_p f:nan");
    add_key(&m, "general.sampling.min_p s:x");
    add_key(&m, "general.sampling.penalty_repeat f:1.25");
    add_key(&m, "tokenizer.ggml.eos_token_id u:3");
    add_key(&m, "tokenizer.ggml.eot_token_id u:5");
    add_key(&m, "tokenizer.ggml.eom_token_id u:3");
    make_gguf_end(&m, &b);
    assert_int_equal(gguf_read(&g, b.data, b.used, "made.gguf", NULL, &e), 0);
    assert_int_equal(gguf_generation_new(&o, g, &e), 0);
    json_t *expected = json_pack("{s:f, s:i, s:f, s:[i, i], s:b}", "temperature", 0.5, "top_k", 20,
        "repetition_penalty", 1.25, "eos_token_id", 3, 5, "do_sample", 1);
    assert_true(json_equal(o, expected));
    json_decref(expected);
    json_decref(o);
    gguf_close(g);
    buffer_clear(&b);
    make_gguf_end(&m, &b);
    assert_int_equal(gguf_read(&g, b.data, b.used, "made.gguf", NULL, &e), 0);
    assert_int_equal(gguf_generation_new(&o, g, &e), 0);
    assert_null(o);
    gguf_close(g);
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_become_config),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(generation_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
