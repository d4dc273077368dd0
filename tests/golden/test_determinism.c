/* SPDX-License-Identifier: Apache-2.0 */
/* The same logits, bit for bit, for any number of threads, tokens to a pass and sequences to a batch: models of odd
 * shapes in every kind of storage, on every level of the processor. */
#include "case.h"
#include "runner.h"

#include "support.h"

#include "base/cpu.h"
#include "infer/batch.h"
#include "kernel/kernel.h"
#include "publish/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 19, VOCABULARY = 301, EXPERTS = 3, USED = 2, PATH_MAX_HERE = 4096 };

/* Rows end within blocks of four, within panels and tiles; experts get a few tokens each. */
struct kind {
    const char *name, *recipe, *rules; /* of publish */
    int dim, heads, kv_heads, ffn;
};

static const struct kind kinds[] = {
    { "bf16", "bf16", "", 90, 9, 3, 118 },
    { "f16", "f16", "", 90, 9, 3, 118 },
    { "q8_0", "q8_0", "", 288, 9, 3, 352 },
    { "q4_0", "q4_0", "", 288, 9, 3, 352 },
    { "q4_k_m", "q4_k_m", "", 256, 8, 2, 1280 },
    { "mxfp4 experts", "q8_0", "expert_*=mxfp4", 288, 9, 3, 352 },
};

static void add_tensor(json_t *list, const char *name, int rows, int cols, int exponent, double base)
{
    json_t *shape = rows ? json_pack("[i, i]", rows, cols) : json_pack("[i]", cols);
    assert_int_equal(json_array_append_new(list, json_pack("[s, o, i, f]", name, shape, exponent, base)), 0);
}

static void add_layer(json_t *list, const struct kind *k, int layer)
{
    static const char *const parts[] = { "w1", "w2", "w3" };
    const int kv = k->dim / k->heads * k->kv_heads;
    char name[128];
#define ADD(text, rows, cols, exponent, base) \
    snprintf(name, sizeof name, "model.layers.%d." text, layer); \
    add_tensor(list, name, rows, cols, exponent, base)
    ADD("input_layernorm.weight", 0, k->dim, 7, 1.0);
    ADD("post_attention_layernorm.weight", 0, k->dim, 7, 1.0);
    ADD("self_attn.q_proj.weight", k->dim, k->dim, 10, 0.0);
    ADD("self_attn.k_proj.weight", kv, k->dim, 10, 0.0);
    ADD("self_attn.v_proj.weight", kv, k->dim, 10, 0.0);
    ADD("self_attn.o_proj.weight", k->dim, k->dim, 10, 0.0);
    ADD("block_sparse_moe.gate.weight", EXPERTS, k->dim, 7, 0.0);
#undef ADD
    for (int e = 0; e < EXPERTS; e++)
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.experts.%d.%s.weight", layer, e, parts[i]);
            add_tensor(list, name, i == 1 ? k->dim : k->ffn, i == 1 ? k->ffn : k->dim, 10, 0.0);
        }
}

/* The description of a Mixtral of this shape, as tests/golden/data/models has them. */
static void write_case(const struct kind *k, const char *path)
{
    json_t *tensors = json_array();
    add_tensor(tensors, "lm_head.weight", VOCABULARY, k->dim, 9, 0.0);
    add_tensor(tensors, "model.embed_tokens.weight", VOCABULARY, k->dim, 7, 0.0);
    add_tensor(tensors, "model.norm.weight", 0, k->dim, 7, 1.0);
    for (int layer = 0; layer < 2; layer++)
        add_layer(tensors, k, layer);
    json_t *config = json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:f, s:b, s:i, s:i}",
        "model_type", "mixtral", "architectures", "MixtralForCausalLM", "hidden_size", k->dim, "intermediate_size",
        k->ffn, "num_hidden_layers", 2, "num_attention_heads", k->heads, "num_key_value_heads", k->kv_heads,
        "vocab_size", VOCABULARY, "max_position_embeddings", 64, "rms_norm_eps", 1e-5, "hidden_act", "silu",
        "rope_theta", 10000.0, "tie_word_embeddings", 0, "num_local_experts", EXPERTS, "num_experts_per_tok", USED);
    json_t *whole = json_pack("{s:o, s:i, s:o}", "config", config, "length", TOKENS, "tensors", tensors);
    assert_non_null(whole);
    assert_int_equal(json_dump_file(whole, path, 0), 0);
    json_decref(whole);
}

/* A GGUF of the kind, and the ids of its case. */
static void write_model(const struct kind *k, char *to, int32_t *ids)
{
    struct golden_case c;
    struct runner r;
    struct publish_report report;
    struct keep_rule rules[KEEP_RULES_MAX];
    struct error err = { 0 };
    char path[PATH_MAX_HERE];
    const char *folder = test_folder();
    snprintf(path, sizeof path, "%s/determinism.json", test_folder());
    snprintf(to, PATH_MAX_HERE, "%s/model.gguf", test_folder());
    write_case(k, path);
    case_read(&c, path);
    case_write_folder(&c, folder);
    memcpy(ids, c.ids, TOKENS * sizeof *ids);
    case_release(&c);
    runner_open(&r, folder);
    struct publish_options o = { .path = to, .recipe = recipe_find(k->recipe), .rules = rules, .threads = 2 };
    assert_non_null(o.recipe);
    assert_int_equal(keep_read(rules, &o.n_rules, k->rules, &err), 0);
    if (publish(&report, r.source, r.model, NULL, &o, &err) != 0)
        fail_msg("%s: %s", k->name, err.text);
    runner_close(&r);
}

/* The last of `sequences` gets the ids, the others the same ids from elsewhere on. */
static void check_batch(const struct runner *r, const int32_t *ids, const float *expected, int sequences, int threads,
    const char *what)
{
    const struct batch_options o = { .kv_format = &format_f16, .sequences = sequences, .context = TOKENS,
        .threads = threads };
    struct batch *b;
    struct error err = { 0 };
    if (batch_open(&b, r->model, &o, &err) != 0)
        fail_msg("%s", err.text);
    for (int step = 0; step < TOKENS; step++) {
        int32_t next[16];
        for (int i = 0; i < sequences; i++)
            next[i] = ids[(step + sequences - 1 - i) % TOKENS];
        assert_int_equal(batch_push(b, next, &err), 0);
        if (memcmp(batch_logits(b, sequences - 1), expected + step * VOCABULARY, VOCABULARY * sizeof(float)) != 0)
            fail_msg("%s: %d sequences, %d threads: token %d differs", what, sequences, threads, step);
    }
    batch_close(b);
}

static void check_level(const struct runner *r, const int32_t *ids, const char *what)
{
    static const int threads[] = { 1, 2, 4 }, sizes[] = { 1, 7, 16 };
    float *expected = runner_logits_new(r, ids, TOKENS, &(struct cut) { .format = &format_f16, .threads = 1,
        .chunk = 1 });
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const struct cut cut = { .format = &format_f16, .threads = threads[t], .chunk = sizes[s] };
            float *have = runner_logits_new(r, ids, TOKENS, &cut);
            if (memcmp(have, expected, TOKENS * VOCABULARY * sizeof *have) != 0)
                fail_msg("%s: passes of %d tokens on %d threads differ", what, sizes[s], threads[t]);
            free(have);
            check_batch(r, ids, expected, sizes[s], threads[t], what);
        }
    free(expected);
}

static void logits_do_not_depend_on_company(void **state)
{
    static const char *const levels[] = { "best", "avx2", "neon", "c" };
    const struct kind *k = *state;
    char path[PATH_MAX_HERE], what[64];
    int32_t ids[TOKENS];
    struct runner r;
    write_model(k, path, ids);
    runner_open(&r, path);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        unsigned features;
        assert_int_equal(cpu_level(levels[i], &features), 0);
        snprintf(what, sizeof what, "%s, %s", k->name, levels[i]);
        kernels_init(features);
        check_level(&r, ids, what);
    }
    runner_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[sizeof kinds / sizeof *kinds];
    const size_t count = sizeof kinds / sizeof *kinds;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest) { kinds[i].name, logits_do_not_depend_on_company, NULL, NULL,
            (void *)(uintptr_t)&kinds[i] };
    return _cmocka_run_group_tests("determinism", tests, count, NULL, NULL);
}
