/* SPDX-License-Identifier: Apache-2.0 */
/* Files that do not hold the model their config describes, files that hold it another way, and what a pass refuses. */
#include "case.h"
#include "runner.h"

#include "support.h"

#include "base/filemap.h"
#include "file/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model's tensors as a list that tests change before it is written. */
#define LIST_MAX 128
struct list {
    struct golden_case c;
    struct case_tensor made[LIST_MAX];
    struct file_tensor tensors[LIST_MAX];
    size_t n;
};

static struct list *list_new(const char *name)
{
    struct list *l = calloc(1, sizeof *l);
    char path[64];
    assert_non_null(l);
    snprintf(path, sizeof path, "tests/golden/data/models/%s.json", name);
    case_read(&l->c, test_repo(path));
    for (l->n = 0; l->n < case_tensors(&l->c); l->n++) {
        struct case_tensor *t = &l->made[l->n];
        assert_true(l->n + 4 < LIST_MAX);
        case_tensor_make(t, &l->c, l->n);
        l->tensors[l->n] = (struct file_tensor) { .name = t->name, .type_name = "F32", .dims = t->dims,
            .data = t->data, .bytes = 4 * (uint64_t)t->count };
        memcpy(l->tensors[l->n].shape, t->shape, sizeof t->shape);
    }
    return l;
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < LIST_MAX; i++)
        free(l->made[i].data);
    case_release(&l->c);
    free(l);
}

static struct file_tensor *list_find(struct list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->tensors[i].name, name) == 0)
            return &l->tensors[i];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

static void list_remove(struct list *l, const char *name)
{
    *list_find(l, name) = l->tensors[--l->n];
}

static void list_add(struct list *l, const char *name, const char *type, const void *data, int rows, int cols)
{
    uint64_t bytes = (uint64_t)(rows ? rows : 1) * (uint64_t)cols * (safetensors_bits(type) / 8);
    l->tensors[l->n++] = (struct file_tensor) { .name = name, .type_name = type, .dims = rows ? 2 : 1,
        .shape = { rows ? rows : cols, cols }, .data = data, .bytes = bytes };
}

static const char *list_write(struct list *l)
{
    const char *folder = test_folder();
    struct error err = { 0 };
    char *config = json_dumps(l->c.config, 0);
    test_write(test_join(folder, "config.json"), config, strlen(config));
    free(config);
    if (safetensors_write(test_join(folder, "model.safetensors"), l->tensors, l->n, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return folder;
}

static void refused(struct list *l, int code, const char *says)
{
    struct source *s;
    struct model *m;
    struct error err = { 0 };
    const char *folder = list_write(l);
    assert_int_equal(source_open(&s, folder, NULL, NULL, &err), 0);
    int rc = model_open(&m, s, NULL, &err);
    if (rc != code || !strstr(err.text, says) || !strstr(err.text, folder))
        fail_msg("gave %d \"%s\", expected %d and \"%s\"", rc, err.text, code, says);
    assert_null(m);
    source_close(s);
    list_free(l);
}

static float *logits_of(struct list *l, const char *folder)
{
    struct runner r;
    struct cut cut = { .format = &format_f32, .threads = 1, .chunk = l->c.n_ids };
    runner_open(&r, folder);
    float *logits = runner_logits_new(&r, l->c.ids, l->c.n_ids, &cut);
    runner_close(&r);
    return logits;
}

/* The changed files hold the same model. */
static void same_as(const char *name, struct list *l)
{
    struct list *plain = list_new(name);
    float *want = logits_of(plain, list_write(plain)), *have = logits_of(l, list_write(l));
    size_t vocabulary = (size_t)json_whole(l->c.config, "vocab_size", 0);
    assert_memory_equal(have, want, (size_t)l->c.n_ids * vocabulary * sizeof *have);
    free(want);
    free(have);
    list_free(plain);
    list_free(l);
}

static void missing_wrong_and_spare_tensors(void **state)
{
    (void)state;
    static const float zeros[64 * 64];
    struct list *l = list_new("llama_grouped");
    list_remove(l, "model.layers.1.self_attn.k_proj.weight");
    refused(l, ERROR_FORMAT, "tensor \"model.layers.1.self_attn.k_proj.weight\" is missing");
    l = list_new("llama_grouped");
    list_find(l, "model.layers.2.mlp.down_proj.weight")->shape[0] = 70;
    list_find(l, "model.layers.2.mlp.down_proj.weight")->shape[1] = 48;
    refused(l, ERROR_FORMAT, "\"model.layers.2.mlp.down_proj.weight\" has shape (70, 48), expected (48, 70)");
    l = list_new("llama_grouped");
    json_object_set_new(json_object_get(l->c.json, "config"), "vocab_size", json_integer(114));
    refused(l, ERROR_FORMAT, "\"model.embed_tokens.weight\" has shape (113, 48), expected (114, 48)");
    l = list_new("llama_grouped");
    list_add(l, "model.layers.0.self_attn.q_proj.bias", "F32", zeros, 0, 60);
    list_add(l, "model.layers.0.self_attn.k_proj.bias", "F32", zeros, 0, 20);
    refused(l, ERROR_FORMAT, "2 tensors are no part of a llama model with this config; the first is "
                             "\"model.layers.0.self_attn.k_proj.bias\"");
    l = list_new("llama_grouped");
    json_object_set_new(json_object_get(l->c.json, "config"), "attention_bias", json_true());
    refused(l, ERROR_FORMAT, "tensor \"model.layers.0.self_attn.q_proj.bias\" is missing");
    l = list_new("llama_grouped");
    json_object_set_new(json_object_get(l->c.json, "config"), "tie_word_embeddings", json_false());
    refused(l, ERROR_FORMAT, "tensor \"lm_head.weight\" is missing");
    l = list_new("llama_grouped");
    list_find(l, "model.norm.weight")->type_name = "I32";
    refused(l, ERROR_UNSUPPORTED, "\"model.norm.weight\" is stored as I32, which nothing here computes with");
    l = list_new("mixtral");
    list_remove(l, "model.layers.1.block_sparse_moe.experts.4.w2.weight");
    refused(l, ERROR_FORMAT, "tensor \"model.layers.1.block_sparse_moe.experts.4.w2.weight\" is missing");
    l = list_new("mixtral");
    json_object_set_new(json_object_get(l->c.json, "config"), "num_local_experts", json_integer(4));
    refused(l, ERROR_FORMAT, "\"model.layers.0.block_sparse_moe.gate.weight\" has shape (5, 48), expected (4, 48)");
}

static void known_buffers_are_passed_over(void **state)
{
    (void)state;
    static const float zeros[128 * 48];
    struct list *l = list_new("llama_grouped");
    list_add(l, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", zeros, 0, 5);
    list_add(l, "lm_head.weight", "F32", zeros, 113, 48); /* tied: the embedding counts */
    same_as("llama_grouped", l);
    l = list_new("gpt2_tied");
    list_add(l, "transformer.h.0.attn.bias", "U8", zeros, 50, 50);
    list_add(l, "transformer.h.1.attn.masked_bias", "F32", zeros, 0, 1);
    same_as("gpt2_tied", l);
}

/* The rows of several tensors behind each other under a new name. */
static void fuse(struct list *l, const char *name, const char *const *parts, int n)
{
    struct case_tensor *spare = &l->made[LIST_MAX - 1]; /* keeps the joined data for list_free */
    int64_t rows = 0, cols = 1, at = 0;
    bool vector = false;
    for (int i = 0; i < n; i++) {
        const struct file_tensor *t = list_find(l, parts[i]);
        vector = t->dims == 1;
        cols = vector ? 1 : t->shape[1];
        rows += t->shape[0];
    }
    while (spare->data)
        spare--;
    spare->data = malloc((size_t)(rows * cols) * sizeof(float));
    assert_non_null(spare->data);
    for (int i = 0; i < n; i++) {
        const struct file_tensor *t = list_find(l, parts[i]);
        memcpy(spare->data + at, t->data, t->bytes);
        at += t->shape[0] * cols;
        list_remove(l, parts[i]);
    }
    list_add(l, name, "F32", spare->data, vector ? 0 : (int)rows, vector ? (int)rows : (int)cols);
}

static void fused_matrices_are_cut(void **state)
{
    (void)state;
    static const char *const qkv[] = { "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight" };
    static const char *const gate_up[] = { "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight" };
    static const char *const biases[] = { "model.layers.1.self_attn.q_proj.bias",
        "model.layers.1.self_attn.k_proj.bias", "model.layers.1.self_attn.v_proj.bias" };
    struct list *l = list_new("llama_biases");
    fuse(l, "model.layers.1.self_attn.qkv_proj.weight", qkv, 3);
    fuse(l, "model.layers.1.self_attn.qkv_proj.bias", biases, 3);
    fuse(l, "model.layers.0.mlp.gate_up_proj.weight", gate_up, 2);
    same_as("llama_biases", l);
}

static void gpt2_may_lie_bare(void **state)
{
    (void)state;
    struct list *l = list_new("gpt2_tied");
    for (size_t i = 0; i < l->n; i++)
        l->tensors[i].name += strlen("transformer.");
    same_as("gpt2_tied", l);
}

/* A header of odd length puts every number at an odd address. */
/* GPT-2's matrices are stored transposed: whoever has no room for the copies learns it before they are made. */
static void copies_without_room_are_refused(void **state)
{
    (void)state;
    struct list *l = list_new("gpt2_tied");
    struct source *s;
    struct model *m;
    struct model_size size;
    struct error err = { 0 };
    assert_int_equal(source_open(&s, list_write(l), NULL, NULL, &err), 0);
    assert_int_equal(model_open(&m, s, NULL, &err), 0);
    model_measure(m, &size);
    assert_true(size.copied_bytes > 0);
    model_close(m);
    struct model_options o = { .copy_bytes_max = size.copied_bytes - 1 };
    assert_int_equal(model_open(&m, s, &o, &err), ERROR_LIMIT);
    assert_null(m);
    assert_non_null(strstr(err.text, "laid anew"));
    o.copy_bytes_max = 2 * size.copied_bytes + 65536; /* tables of weights and padding are counted too */
    assert_int_equal(model_open(&m, s, &o, &err), 0);
    model_close(m);
    source_close(s);
    list_free(l);
}

static void numbers_at_odd_addresses_are_read(void **state)
{
    (void)state;
    struct list *l = list_new("llama_grouped");
    const char *folder = list_write(l), *path = test_join(folder, "model.safetensors");
    struct error err = { 0 };
    char *bytes, *moved;
    size_t n;
    float *want = logits_of(l, folder);
    assert_int_equal(file_read_new(&bytes, &n, path, 1 << 24, &err), 0);
    uint64_t header;
    memcpy(&header, bytes, 8);
    moved = malloc(n + 1);
    assert_non_null(moved);
    memcpy(moved, bytes, 8 + header);
    moved[8 + header] = ' ';
    memcpy(moved + 8 + header + 1, bytes + 8 + header, n - 8 - header);
    header++;
    memcpy(moved, &header, 8);
    test_write(path, moved, n + 1);
    float *have = logits_of(l, folder);
    assert_memory_equal(have, want, (size_t)l->c.n_ids * 113 * sizeof *have);
    free(want);
    free(have);
    free(bytes);
    free(moved);
    list_free(l);
}

static void passes_refuse_what_they_cannot_do(void **state)
{
    (void)state;
    struct list *l = list_new("mistral_window");
    struct runner r;
    struct pass *p;
    struct kv kv;
    struct arena arena = { 0 };
    struct error err = { 0 };
    struct kv_options kv_options = { .format = &format_f16, .context = 20, .tokens_max = 6 };
    struct pass_options options = { .tokens_max = 8, .logits_max = 4, .context_max = 18, .threads = 1 };
    runner_open(&r, list_write(l));
    assert_int_equal(pass_open(&p, r.model, &(struct pass_options) { 0 }, &err), ERROR_USAGE);
    assert_int_equal(pass_open(&p, r.model, &options, &err), 0);
    kv_layout(&kv, r.spec, &kv_options, &arena);
    assert_int_equal(arena_reserve(&arena, &err), 0);
    kv_layout(&kv, r.spec, &kv_options, &arena);
    struct pass_sequence q = { .kv = &kv, .ids = l->c.ids, .count = 0 };
    assert_int_equal(pass_run(p, &q, 1, &err), ERROR_USAGE);
    q.count = 7;
    assert_int_equal(pass_run(p, &q, 1, &err), ERROR_LIMIT); /* more than the cache's tokens_max */
    q.count = 5;
    q.all_logits = true;
    assert_int_equal(pass_run(p, &q, 1, &err), ERROR_LIMIT); /* more logits than prepared */
    const int32_t outside[] = { 1, 113 }, negative[] = { -1 };
    assert_int_equal(pass_run(p, &(struct pass_sequence) { .kv = &kv, .ids = outside, .count = 2 }, 1, &err),
        ERROR_USAGE);
    assert_non_null(strstr(err.text, "113, outside the vocabulary of 113"));
    assert_int_equal(pass_run(p, &(struct pass_sequence) { .kv = &kv, .ids = negative, .count = 1 }, 1, &err),
        ERROR_USAGE);
    assert_int_equal(kv.length, 0);
    q.all_logits = false;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pass_run(p, &q, 1, &err), 0);
    assert_int_equal(pass_run(p, &q, 1, &err), ERROR_LIMIT); /* 20 positions, the pass knows 18 */
    assert_int_equal(kv.length, 15);
    pass_close(p);
    arena_release(&arena);
    runner_close(&r);
    list_free(l);
}

/* Whatever kv_reusable allows gives the logits of a fresh cache; what rings have forgotten is not allowed. */
static void caches_are_cut_back_only_where_they_remember(void **state)
{
    (void)state;
    struct list *l = list_new("mistral_window"); /* window 7 */
    struct runner r;
    struct pass *p;
    struct kv kv;
    struct arena arena = { 0 };
    struct error err = { 0 };
    struct kv_options kv_options = { .format = &format_f32, .context = 40, .tokens_max = 4 };
    struct pass_options options = { .tokens_max = 4, .logits_max = 1, .context_max = 40, .threads = 1 };
    struct cut cut = { .format = &format_f32, .threads = 1, .chunk = 40 };
    int cuts = 0, refusals = 0;
    runner_open(&r, list_write(l));
    float *want = runner_logits_new(&r, l->c.ids, l->c.n_ids, &cut);
    assert_int_equal(pass_open(&p, r.model, &options, &err), 0);
    for (int back = 0; back <= 12; back++) {
        kv_layout(&kv, r.spec, &kv_options, &arena);
        assert_int_equal(arena_reserve(&arena, &err), 0);
        kv_layout(&kv, r.spec, &kv_options, &arena);
        for (int again = 0; again < 3; again++) { /* forth, back, forth, back a little, forth */
            int length = 24 + again - back;
            if (again) {
                int kept = kv_reusable(&kv, r.spec, length);
                assert_true(kept == length || kept == 0);
                kept ? cuts++ : refusals++;
                kv_cut(&kv, kept);
            }
            while (kv.length < 28) {
                struct pass_sequence q = { .kv = &kv, .ids = l->c.ids + kv.length, .count = 28 - kv.length };
                q.count = q.count < 4 ? q.count : 4;
                assert_int_equal(pass_run(p, &q, 1, &err), 0);
                assert_memory_equal(pass_logits(p, 0), want + (kv.length - 1) * r.spec->vocabulary,
                    (size_t)r.spec->vocabulary * sizeof *want);
            }
        }
        arena_release(&arena);
    }
    assert_true(cuts >= 3 && refusals >= 3);
    free(want);
    pass_close(p);
    runner_close(&r);
    list_free(l);
}

static void caches_refuse_odd_formats(void **state)
{
    (void)state;
    struct list *l = list_new("gpt2_tied");
    struct runner r;
    struct error err = { 0 };
    runner_open(&r, list_write(l));
    struct kv_options o = { .format = &format_q8_0, .context = 10, .tokens_max = 4 };
    assert_int_equal(kv_check(r.spec, &o, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "heads of 14 are not a multiple of the block of 32"));
    o.format = &format_q4_0;
    assert_int_equal(kv_check(r.spec, &o, &err), ERROR_UNSUPPORTED);
    o.format = &format_f16;
    o.context = 51;
    assert_int_equal(kv_check(r.spec, &o, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "knows only 50 positions"));
    o.context = 0;
    assert_int_equal(kv_check(r.spec, &o, &err), ERROR_USAGE);
    runner_close(&r);
    list_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_wrong_and_spare_tensors),
        cmocka_unit_test(known_buffers_are_passed_over),
        cmocka_unit_test(fused_matrices_are_cut),
        cmocka_unit_test(gpt2_may_lie_bare),
        cmocka_unit_test(copies_without_room_are_refused),
        cmocka_unit_test(numbers_at_odd_addresses_are_read),
        cmocka_unit_test(passes_refuse_what_they_cannot_do),
        cmocka_unit_test(caches_are_cut_back_only_where_they_remember),
        cmocka_unit_test(caches_refuse_odd_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
