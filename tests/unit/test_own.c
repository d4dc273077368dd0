/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of the model's own: how a new model begins, and what stays when a part of it changes its format. */
#include "support.h"

#include "model/model_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char llama[] = "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":300,"
    "\"max_position_embeddings\":32}";
static const char gpt2[] = "{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_layer\":8,\"n_head\":4,\"n_positions\":40,"
    "\"vocab_size\":300,\"initializer_range\":0.5}";
static const char gemma[] = "{\"model_type\":\"gemma3_text\",\"hidden_size\":64,\"intermediate_size\":96,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,\"vocab_size\":300,"
    "\"max_position_embeddings\":32,\"query_pre_attn_scalar\":16,\"sliding_window\":8}";
static const char experts[] = "{\"model_type\":\"qwen3_moe\",\"hidden_size\":64,\"intermediate_size\":96,"
    "\"moe_intermediate_size\":32,\"num_experts\":4,\"num_experts_per_tok\":2,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,\"vocab_size\":300,"
    "\"max_position_embeddings\":32,\"decoder_sparse_step\":1,\"mlp_only_layers\":[],\"norm_topk_prob\":true}";

static struct model *made(const char *config, uint64_t seed)
{
    struct model *m;
    struct error err = { 0 };
    json_t *c = json_loads(config, 0, NULL);
    assert_non_null(c);
    if (model_create(&m, c, seed, &err) != 0)
        fail_msg("%s", err.text);
    json_decref(c);
    return m;
}

/* Mean and deviation of a tensor are those wanted, as far as so many numbers tell. */
static void spread(const struct tensor *t, double deviation)
{
    const float *x = t->data;
    double n = (double)(t->rows * t->cols), sum = 0, squares = 0;
    assert_ptr_equal(t->format, &format_f32);
    for (int64_t i = 0; i < t->rows * t->cols; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    if (!(fabs(sum / n) <= 5 * deviation / sqrt(n)))
        fail_msg("mean %g of numbers with deviation %g", sum / n, deviation);
    if (!(fabs(sqrt(squares / n) / deviation - 1) <= 5 / sqrt(2 * n)))
        fail_msg("deviation %g, expected %g", sqrt(squares / n), deviation);
}

static void constant(const struct tensor *t, float value)
{
    const float *x = t->data;
    assert_ptr_equal(t->format, &format_f32);
    for (int64_t i = 0; i < t->rows * t->cols; i++)
        assert_true(x[i] == value);
}

static void new_models_begin_as_their_families_do(void **state)
{
    (void)state;
    struct model *m = made(llama, 1);
    spread(&m->global.token_embedding.tensor, 0.02);
    spread(&m->global.output.tensor, 0.02);
    spread(&m->layers[1].attn_out.tensor, 0.02);
    spread(&m->layers[1].down.tensor, 0.02);
    constant(&m->layers[0].attn_norm.tensor, 1);
    constant(&m->global.final_norm.tensor, 1);
    assert_null(m->layers[0].q_bias.tensor.format);
    model_close(m);
    m = made(gpt2, 1);
    spread(&m->global.position_table.tensor, 0.5);
    spread(&m->layers[3].q.tensor, 0.5);
    spread(&m->layers[3].attn_out.tensor, 0.5 / 4); /* sqrt(2 * 8) */
    spread(&m->layers[7].down.tensor, 0.5 / 4);
    constant(&m->layers[2].attn_norm.tensor, 1);
    constant(&m->layers[2].attn_norm_bias.tensor, 0);
    constant(&m->layers[2].q_bias.tensor, 0);
    model_close(m);
    m = made(gemma, 1);
    constant(&m->layers[1].attn_norm.tensor, 0); /* which stands for 1 */
    constant(&m->layers[1].q_norm.tensor, 0);
    model_close(m);
    m = made(experts, 1);
    for (int e = 0; e < 4; e++)
        spread(&m->layers[1].expert_down.experts[e], 0.02);
    spread(&m->layers[1].router.tensor, 0.02);
    assert_true(memcmp(m->layers[1].expert_up.experts[0].data, m->layers[1].expert_up.experts[1].data, 64) != 0);
    model_close(m);
}

static bool same(const struct tensor *a, const struct tensor *b)
{
    return a->format == b->format && memcmp(a->data, b->data, tensor_bytes(a)) == 0;
}

static void the_seed_makes_the_weights(void **state)
{
    (void)state;
    struct model *a = made(llama, 9), *b = made(llama, 9), *c = made(llama, 10);
    assert_true(same(&a->layers[1].up.tensor, &b->layers[1].up.tensor));
    assert_true(same(&a->global.token_embedding.tensor, &b->global.token_embedding.tensor));
    assert_false(same(&a->layers[1].up.tensor, &c->layers[1].up.tensor));
    model_close(a);
    model_close(b);
    model_close(c);
}

/* Rounded to bf16 where they learn, untouched where they are frozen. */
static void check_owned(const struct model *m, const struct weight *w, const struct weight *was,
    bool frozen, bool vector)
{
    const struct tensor *t = w->experts ? w->experts : &w->tensor, *from = was->experts ? was->experts : &was->tensor;
    int n = w->experts ? m->spec.experts : 1;
    for (int i = 0; from->format && i < n; i++) {
        assert_true(model_owns(m, t[i].data));
        if (frozen || vector) {
            assert_true(same(&t[i], &from[i]));
            continue;
        }
        assert_ptr_equal(t[i].format, &format_bf16);
        for (int64_t k = 0; k < t[i].rows * t[i].cols; k++) {
            uint16_t rounded;
            format_bf16.encode(&rounded, (const float *)from[i].data + k, NULL, 1);
            assert_int_equal(((const uint16_t *)t[i].data)[k], rounded);
        }
    }
}

static void what_learns_changes_its_format_and_no_number(void **state)
{
    (void)state;
    bool frozen[N_ROLES] = { [ROLE_q] = true, [ROLE_expert_down] = true, [ROLE_token_embedding] = true };
    struct model *m = made(experts, 4), *before = made(experts, 4);
    struct error err = { 0 };
    assert_int_equal(model_own(m, &format_q8_0, NULL, &err), ERROR_USAGE);
    assert_int_equal(model_own(m, &format_bf16, frozen, &err), 0);
    for (int l = 0; l < m->spec.layers; l++)
        for (int r = 0; r < N_LAYER_ROLES; r++) {
            struct role_shape shape = role_shape(&m->spec, r, l);
            check_owned(m, &m->layers[l].at[r], &before->layers[l].at[r], frozen[r], role_is_vector(&shape));
        }
    for (int r = 0; r < N_GLOBAL_ROLES; r++) {
        struct role_shape shape = role_shape(&m->spec, N_LAYER_ROLES + r, 0);
        check_owned(m, &m->global.at[r], &before->global.at[r], frozen[N_LAYER_ROLES + r],
            role_is_vector(&shape));
    }
    struct model_size size;
    model_measure(m, &size);
    assert_int_equal(size.mapped_bytes, 0);
    assert_int_equal(size.copied_bytes, size.format_bytes[FORMAT_f32] + size.format_bytes[FORMAT_bf16]);
    model_close(m);
    model_close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_models_begin_as_their_families_do),
        cmocka_unit_test(the_seed_makes_the_weights),
        cmocka_unit_test(what_learns_changes_its_format_and_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
