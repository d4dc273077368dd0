/* SPDX-License-Identifier: Apache-2.0 */
/* Configs that contradict themselves, ask for what is not there, or carry numbers made to hurt; and what good ones
 * mean. */
#include "support.h"

#include "model/arch.h"
#include "model/spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char llama[] = "{\"model_type\": \"llama\", \"hidden_size\": 48, \"intermediate_size\": 70,"
                            "\"num_hidden_layers\": 3, \"num_attention_heads\": 6, \"num_key_value_heads\": 2,"
                            "\"vocab_size\": 113, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5}";
static const char gpt2[] =
    "{\"model_type\": \"gpt2\", \"n_embd\": 48, \"n_layer\": 3, \"n_head\": 6, \"vocab_size\": 113}";

static const char gpt_oss[] = "{\"model_type\": \"gpt_oss\", \"hidden_size\": 64, \"intermediate_size\": 96,"
                              "\"num_hidden_layers\": 3, \"num_local_experts\": 5, \"num_experts_per_tok\": 3}";

static json_t *parse(const char *text)
{
    json_t *j;
    struct error err = { 0 };
    if (json_read_new(&j, text, strlen(text), "a test", &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return j;
}

static struct spec spec; /* large for a stack */

static int read_changed(const char *base, const char *changes, enum source_kind kind, struct error *err)
{
    json_t *config = parse(base), *change = parse(changes);
    assert_int_equal(json_object_update(config, change), 0);
    int rc = spec_read(&spec, config, kind, err);
    json_decref(change);
    json_decref(config);
    return rc;
}

static void read_good(const char *base, const char *changes)
{
    struct error err = { 0 };
    if (read_changed(base, changes, SOURCE_SAFETENSORS, &err) != 0)
        fail_msg("%s: %s", changes, err.text);
}

struct wrong {
    const char *base, *changes;
    int code;
    const char *says;
};

static const struct wrong wrongs[] = {
    { llama, "{\"model_type\": \"mamba\"}", ERROR_UNSUPPORTED, "model_type \"mamba\"" },
    { llama, "{\"model_type\": 7}", ERROR_UNSUPPORTED, "(missing)" },
    { llama, "{\"num_hidden_layers\": 0}", ERROR_FORMAT, "\"num_hidden_layers\" is 0" },
    { llama, "{\"num_hidden_layers\": 513}", ERROR_FORMAT, "\"num_hidden_layers\" is 513" },
    { llama, "{\"num_hidden_layers\": -1}", ERROR_FORMAT, "\"num_hidden_layers\" is -1" },
    { llama, "{\"num_hidden_layers\": 1e300}", ERROR_FORMAT, "\"num_hidden_layers\" is not a whole number" },
    { llama, "{\"num_hidden_layers\": 2.5}", ERROR_FORMAT, "\"num_hidden_layers\" is not a whole number" },
    { llama, "{\"num_hidden_layers\": \"3\"}", ERROR_FORMAT, "\"num_hidden_layers\" is not a whole number" },
    { llama, "{\"num_hidden_layers\": null}", ERROR_FORMAT, "\"num_hidden_layers\" is missing" },
    { llama, "{\"hidden_size\": 9223372036854775807}", ERROR_FORMAT, "\"hidden_size\" is 9223372036854775807" },
    { llama, "{\"hidden_size\": 49}", ERROR_FORMAT, "hidden_size 49 is not a multiple of num_attention_heads 6" },
    { llama, "{\"num_attention_heads\": 0}", ERROR_FORMAT, "\"num_attention_heads\" is 0" },
    { llama, "{\"num_attention_heads\": [6, 6, 6]}", ERROR_FORMAT, "\"num_attention_heads\" is not a whole number" },
    { llama, "{\"num_key_value_heads\": 4}", ERROR_FORMAT, "6 heads, which is not a multiple of its 4 kv heads" },
    { llama, "{\"num_key_value_heads\": 12}", ERROR_FORMAT, "6 heads, which is not a multiple of its 12 kv heads" },
    { llama, "{\"head_dim\": 7}", ERROR_FORMAT, "head_dim 7 is odd" },
    { llama, "{\"head_dim\": 1025}", ERROR_FORMAT, "\"head_dim\" is 1025" },
    { llama, "{\"num_attention_heads\": 65536, \"head_dim\": 1024}", ERROR_LIMIT, "65536 heads of 1024" },
    { llama, "{\"vocab_size\": 0}", ERROR_FORMAT, "\"vocab_size\" is 0" },
    { llama, "{\"vocab_size\": 4294967296}", ERROR_FORMAT, "\"vocab_size\" is 4294967296" },
    { llama, "{\"rms_norm_eps\": -1e-5}", ERROR_FORMAT, "\"rms_norm_eps\" is -1e-05" },
    { llama, "{\"rms_norm_eps\": \"1e-5\"}", ERROR_FORMAT, "\"rms_norm_eps\" is not a number" },
    { llama, "{\"hidden_act\": \"relu\"}", ERROR_UNSUPPORTED, "\"hidden_act\" is \"relu\"" },
    { llama, "{\"tie_word_embeddings\": 1}", ERROR_FORMAT, "\"tie_word_embeddings\" is not true or false" },
    { llama, "{\"rope_theta\": 0}", ERROR_FORMAT, "\"rope_theta\" is 0" },
    { llama, "{\"rope_theta\": -10000}", ERROR_FORMAT, "\"rope_theta\" is -10000" },
    { llama, "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}}", ERROR_UNSUPPORTED, "\"dynamic\"" },
    { llama, "{\"rope_scaling\": {\"rope_type\": \"longrope\"}}", ERROR_UNSUPPORTED, "\"longrope\"" },
    { llama, "{\"rope_scaling\": {\"type\": \"linear\"}}", ERROR_FORMAT, "\"factor\" is missing" },
    { llama, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", ERROR_FORMAT, "\"factor\" is 0" },
    { llama, "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 1e30}}", ERROR_FORMAT, "\"factor\" is 1e+30" },
    { llama, "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 0}}",
        ERROR_FORMAT, "\"original_max_position_embeddings\" is 0" },
    { llama, "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4,"
             "\"high_freq_factor\": 4}}",
        ERROR_FORMAT, "\"high_freq_factor\" is 4, expected more than low_freq_factor 4" },
    { llama, "{\"partial_rotary_factor\": 0.5}", ERROR_UNSUPPORTED, "\"partial_rotary_factor\" is 0.5" },
    { llama, "{\"quantization_config\": {\"quant_method\": \"gptq\"}}", ERROR_UNSUPPORTED, "\"gptq\"" },
    { llama, "{\"model_type\": \"mistral\", \"sliding_window\": 0}", ERROR_FORMAT, "\"sliding_window\" is 0" },
    { llama, "{\"model_type\": \"qwen2\", \"layer_types\": [\"full_attention\"]}", ERROR_FORMAT,
        "\"layer_types\" has 1 entries, expected a list of 3" },
    { llama, "{\"model_type\": \"qwen2\", \"layer_types\": [\"full_attention\", \"chunked_attention\", 1]}",
        ERROR_UNSUPPORTED, "\"chunked_attention\" for layer 1" },
    { llama, "{\"model_type\": \"qwen2\", \"use_sliding_window\": false, \"layer_types\":"
             "[\"full_attention\", \"full_attention\", \"sliding_attention\"]}",
        ERROR_FORMAT, "sliding_attention for layer 2" },
    { llama, "{\"model_type\": \"mixtral\", \"num_local_experts\": 2, \"num_experts_per_tok\": 3}", ERROR_FORMAT,
        "3 of 2 experts" },
    { llama, "{\"model_type\": \"mixtral\", \"num_local_experts\": 0}", ERROR_FORMAT, "\"num_local_experts\" is 0" },
    { llama, "{\"model_type\": \"qwen3_moe\", \"mlp_only_layers\": [3]}", ERROR_FORMAT, "names layer 3 of 3" },
    { llama, "{\"model_type\": \"qwen3_moe\", \"mlp_only_layers\": [-1]}", ERROR_FORMAT, "names layer -1 of 3" },
    { llama, "{\"model_type\": \"qwen3_moe\", \"decoder_sparse_step\": 0}", ERROR_FORMAT,
        "\"decoder_sparse_step\" is 0" },
    { llama, "{\"model_type\": \"gemma2\", \"query_pre_attn_scalar\": 0}", ERROR_FORMAT,
        "\"query_pre_attn_scalar\" is 0" },
    { llama, "{\"model_type\": \"gemma2\", \"final_logit_softcapping\": -30}", ERROR_FORMAT,
        "\"final_logit_softcapping\" is -30" },
    { llama, "{\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 0}", ERROR_FORMAT,
        "\"sliding_window_pattern\" is 0" },
    { llama, "{\"model_type\": \"gemma3_text\", \"use_bidirectional_attention\": true}", ERROR_UNSUPPORTED,
        "\"use_bidirectional_attention\" is true" },
    { gpt_oss, "{\"num_experts_per_tok\": 6}", ERROR_FORMAT, "6 of 5 experts" },
    { gpt_oss, "{\"num_experts\": 4}", ERROR_FORMAT, "\"num_local_experts\" is 5, but \"num_experts\" is 4" },
    { gpt_oss, "{\"experts_per_token\": 4}", ERROR_FORMAT, "\"num_experts_per_tok\" is 3, but \"experts_per_token\"" },
    { gpt_oss, "{\"hidden_act\": \"gelu_new\"}", ERROR_UNSUPPORTED, "\"hidden_act\" is \"gelu_new\"" },
    { gpt_oss, "{\"swiglu_limit\": 0}", ERROR_FORMAT, "\"swiglu_limit\" is 0" },
    { gpt_oss, "{\"sliding_window\": 0}", ERROR_FORMAT, "\"sliding_window\" is 0" },
    { gpt_oss, "{\"sliding_window\": null, \"layer_types\":"
               "[\"sliding_attention\", \"full_attention\", \"full_attention\"]}",
        ERROR_FORMAT, "sliding_attention for layer 0" },
    { gpt_oss, "{\"layer_types\": [\"full_attention\"]}", ERROR_FORMAT, "\"layer_types\" has 1 entries" },
    { gpt_oss, "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 0}}", ERROR_FORMAT, "\"factor\" is 0" },
    { gpt_oss, "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"beta_fast\": 1, \"beta_slow\": 32}}", ERROR_FORMAT,
        "\"beta_fast\" is 1, expected at least beta_slow 32" },
    { gpt_oss, "{\"rope_parameters\": {\"rope_type\": \"longrope\"}}", ERROR_UNSUPPORTED, "\"longrope\"" },
    { gpt_oss, "{\"initial_context_length\": 268435456}", ERROR_FORMAT, "a context of 2.68435e+08 times 32" },
    { gpt_oss, "{\"quantization_config\": {\"quant_method\": \"gptq\"}}", ERROR_UNSUPPORTED, "\"gptq\"" },
    { gpt2, "{\"n_head\": 7}", ERROR_FORMAT, "\"n_embd\" is 48, which is not a multiple of n_head 7" },
    { gpt2, "{\"n_head\": 0}", ERROR_FORMAT, "\"n_head\" is 0" },
    { gpt2, "{\"n_positions\": 0}", ERROR_FORMAT, "\"n_positions\" is 0" },
    { gpt2, "{\"scale_attn_weights\": false}", ERROR_UNSUPPORTED, "scale_attn_weights" },
    { gpt2, "{\"scale_attn_by_inverse_layer_idx\": true}", ERROR_UNSUPPORTED, "scale_attn_by_inverse_layer_idx" },
    { gpt2, "{\"add_cross_attention\": true}", ERROR_UNSUPPORTED, "add_cross_attention" },
    { gpt2, "{\"activation_function\": \"gelu\"}", ERROR_UNSUPPORTED, "\"activation_function\" is \"gelu\"" },
    { "{}", "{}", ERROR_FORMAT, "there is no config" },
    { "{}", "{\"hidden_size\": 48}", ERROR_UNSUPPORTED, "supported are gpt2, llama, mistral" },
};

static void wrong_configs_say_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct error err = { 0 };
        int rc = read_changed(wrongs[i].base, wrongs[i].changes, SOURCE_SAFETENSORS, &err);
        if (rc != wrongs[i].code || !strstr(err.text, wrongs[i].says))
            fail_msg("%s gave %d \"%s\", expected %d and \"%s\"", wrongs[i].changes, rc, err.text, wrongs[i].code,
                wrongs[i].says);
    }
}

static void arrays_are_no_configs(void **state)
{
    (void)state;
    struct error err = { 0 };
    json_t *list = parse("[1]");
    assert_int_equal(spec_read(&spec, list, SOURCE_SAFETENSORS, &err), ERROR_FORMAT);
    assert_int_equal(spec_read(&spec, NULL, SOURCE_GGUF, &err), ERROR_FORMAT);
    json_decref(list);
}

/* What a missing or null sliding_window means differs from family to family. */
static void windows_follow_the_family(void **state)
{
    (void)state;
    read_good(llama, "{\"model_type\": \"mistral\"}");
    assert_int_equal(spec.layer[2].window, 4096);
    read_good(llama, "{\"model_type\": \"mistral\", \"sliding_window\": null}");
    assert_int_equal(spec.layer[2].window, 0);
    read_good(llama, "{\"model_type\": \"mixtral\"}");
    assert_int_equal(spec.layer[0].window, 0);
    read_good(llama, "{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 1}");
    assert_int_equal(spec.layer[0].window, 0);
    assert_int_equal(spec.layer[1].window, 4096);
    read_good(llama, "{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": null}");
    assert_int_equal(spec.layer[2].window, 0);
    read_good(llama, "{\"model_type\": \"gemma2\"}");
    assert_int_equal(spec.layer[0].window, 4096);
    assert_int_equal(spec.layer[1].window, 0);
    read_good(llama, "{\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 12, \"sliding_window\": 512}");
    for (int i = 0; i < 12; i++) {
        assert_int_equal(spec.layer[i].window, i % 6 == 5 ? 0 : 512);
        assert_int_equal(spec.layer[i].rope, i % 6 == 5 ? 0 : 1);
    }
}

static void null_caps_are_none(void **state)
{
    (void)state;
    read_good(llama, "{\"model_type\": \"gemma2\"}");
    assert_true(spec.attention_softcap == 50.0f && spec.logit_softcap == 30.0f);
    read_good(
        llama, "{\"model_type\": \"gemma2\", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": null}");
    assert_true(spec.attention_softcap == 0.0f && spec.logit_softcap == 0.0f);
}

/* A Gemma 3 that also sees says little about its text part: the class's own numbers hold. */
static void nested_text_configs_use_the_class(void **state)
{
    (void)state;
    read_good("{\"model_type\": \"gemma3\"}",
        "{\"text_config\": {\"hidden_size\": 2560, \"intermediate_size\": 10240, \"num_hidden_layers\": 34,"
        "\"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}, \"sliding_window\": 1024}}");
    assert_int_equal(spec.heads, 8);
    assert_int_equal(spec.kv_heads, 4);
    assert_int_equal(spec.head_dim, 256);
    assert_int_equal(spec.vocabulary, 262208);
    assert_true(spec.tied && spec.head_norms && spec.post_norms);
    assert_true(spec.attention_scale == 0.0625f && spec.norm_offset == 1.0f);
    assert_true(spec.ropes[0].inverse_frequency[0] == 0.125 && spec.ropes[1].inverse_frequency[0] == 1.0);
}

static void writers_of_files_change_numbers(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_int_equal(read_changed(llama, "{}", SOURCE_GGUF, &err), 0);
    assert_true(spec.rope_interleaved);
    assert_int_equal(read_changed(llama, "{}", SOURCE_LLAMA2C, &err), 0);
    assert_true(spec.rope_interleaved);
    assert_int_equal(read_changed(llama, "{\"model_type\": \"qwen3\"}", SOURCE_GGUF, &err), 0);
    assert_false(spec.rope_interleaved);
    assert_int_equal(read_changed(llama, "{\"model_type\": \"gemma2\"}", SOURCE_GGUF, &err), 0);
    assert_true(spec.norm_offset == 0.0f);
}

/* Published check values of gpt-oss's rope (base 150000, 64 wide, factor 32 over 4096, bounds left real). */
static void yarn_gives_the_published_values(void **state)
{
    (void)state;
    static const struct {
        int pair;
        double value;
    } known[] = { { 8, 0.0508132748 }, { 9, 0.0317056962 }, { 12, 0.00679495949 }, { 17, 0.000129318701 },
        { 18, 3.83088124e-05 }, { 31, 3.02351143e-07 } };
    read_good(llama, "{\"head_dim\": 64, \"rope_theta\": 150000, \"rope_scaling\": {\"rope_type\": \"yarn\","
                     "\"factor\": 32.0, \"beta_fast\": 32.0, \"beta_slow\": 1.0, \"truncate\": false,"
                     "\"original_max_position_embeddings\": 4096}}");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(fabs(spec.ropes[0].inverse_frequency[known[i].pair] / known[i].value - 1) < 1e-8);
    assert_true(fabs((double)spec.ropes[0].magnitude - 1.3465735902799727) < 1e-7);
}

/* YaRN as the vendor's own code has it, whose bounds stay real numbers, out of every form of the config. */
static void gpt_oss_turns_as_its_vendor_says(void **state)
{
    (void)state;
    static const struct {
        int pair;
        double inverse_frequency;
    } known[] = { { 8, 0.0508132748 }, { 9, 0.0317056962 }, { 12, 0.00679495949 }, { 17, 0.000129318701 },
        { 18, 3.83088124e-05 }, { 31, 3.02351143e-07 } };
    static const char *const forms[] = { "{}", /* the defaults are the published models' */
        "{\"rope_theta\": 150000, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 32.0}}",
        "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 32.0, \"rope_theta\": 150000.0,"
        "\"truncate\": false}}",
        "{\"rope_scaling_factor\": 32.0, \"rope_ntk_alpha\": 1.0, \"rope_ntk_beta\": 32.0,"
        "\"initial_context_length\": 4096, \"rope_theta\": 150000}" };
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        read_good(gpt_oss, forms[f]);
        assert_int_equal(spec.context, 131072);
        assert_true(fabs((double)spec.ropes[0].magnitude - 1.3465735902799727) < 1e-7);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            double have = spec.ropes[0].inverse_frequency[known[i].pair], want = known[i].inverse_frequency;
            assert_true(fabs(have - want) < 1e-7 * want);
        }
        for (int l = 0; l < spec.layers; l++)
            assert_int_equal(spec.layer[l].window, l % 2 ? 0 : 128);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_configs_say_what_is_wrong),
        cmocka_unit_test(arrays_are_no_configs),
        cmocka_unit_test(windows_follow_the_family),
        cmocka_unit_test(null_caps_are_none),
        cmocka_unit_test(nested_text_configs_use_the_class),
        cmocka_unit_test(writers_of_files_change_numbers),
        cmocka_unit_test(yarn_gives_the_published_values),
        cmocka_unit_test(gpt_oss_turns_as_its_vendor_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
