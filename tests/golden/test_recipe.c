/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes against llama.cpp's quantizer (tools/golden/recipes.py), tensor by tensor, on models that hold only zeros. */
#include "runner.h"

#include "support.h"

#include "base/fileout.h"
#include "file/gguf_write.h"
#include "model/role.h"
#include "publish/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENSORS_MAX 512

static void must(int rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

/* A GGUF with the tensors of a case, as long as it has to be; what is not written reads as zeros. */
static void write_zeros(const char *path, const json_t *config, const json_t *tensors)
{
    struct gguf_out o = { 0 };
    struct buffer header = { 0 };
    struct file_out f;
    struct error err = { 0 };
    uint64_t place;
    const char *name;
    json_t *shape, *whole = json_deep_copy(config);
    long long heads = json_whole(config, "num_attention_heads", 0);
    if (heads)
        json_object_set_new(whole, "head_dim", json_integer(json_whole(config, "hidden_size", 0) / heads));
    must(gguf_put_config(&o, whole, &err), &err);
    json_object_foreach((json_t *)(uintptr_t)tensors, name, shape)
    {
        int64_t dims[4];
        int n = (int)json_array_size(shape);
        assert_true(n >= 1 && n <= 4);
        for (int i = 0; i < n; i++)
            dims[i] = json_integer_value(json_array_get(shape, (size_t)i));
        must(gguf_put_tensor(&o, name, n, dims, &format_f32, &place, &err), &err);
    }
    must(gguf_out_header(&o, &header, &err), &err);
    must(file_out_open(&f, path, header.used + o.data_bytes, &err), &err);
    must(file_out_write(&f, 0, header.data, header.used, &err), &err);
    must(file_out_commit(&f, &err), &err);
    buffer_release(&header);
    gguf_out_release(&o);
    json_decref(whole);
}

static const struct format *format_of(const struct save *s, const struct format *const *chosen, const char *name)
{
    for (size_t i = 0; i < save_count(s); i++)
        if (strcmp(save_tensor(s, i)->name, name) == 0)
            return chosen[i];
    fail_msg("there is no tensor \"%s\"", name);
    return NULL;
}

static void check_recipe(const struct save *s, const char *recipe, const json_t *tensors, const char *types)
{
    const struct format *chosen[TENSORS_MAX];
    const struct recipe *r = recipe_find(recipe);
    struct error err = { 0 };
    const char *name;
    json_t *shape;
    assert_non_null(r);
    assert_true(save_count(s) <= TENSORS_MAX);
    assert_int_equal(save_count(s), json_object_size(tensors));
    must(recipe_apply(chosen, s, SOURCE_GGUF, r, NULL, 0, false, &err), &err);
    json_object_foreach((json_t *)(uintptr_t)tensors, name, shape)
    {
        size_t n = strcspn(types, " ");
        const struct format *f = format_of(s, chosen, name);
        if (strlen(f->name) != n || memcmp(f->name, types, n) != 0)
            fail_msg("%s: tensor \"%s\" is %s, llama.cpp has %.*s", recipe, name, f->name, (int)n, types);
        types += n + (types[n] == ' ');
    }
    assert_int_equal(*types, '\0');
}

static void tensors_get_llama_cpps_formats(void **state)
{
    (void)state;
    json_t *golden = NULL, *entry, *types;
    struct error err = { 0 };
    size_t i;
    const char *recipe;
    int checked = 0;
    must(json_read_file_new(&golden, test_repo("tests/golden/data/recipes.json"), 8 << 20, &err), &err);
    json_array_foreach(golden, i, entry)
    {
        const char *path = test_join(test_folder(), "zeros.gguf");
        const json_t *tensors = json_object_get(entry, "tensors");
        struct runner r;
        struct save *s;
        write_zeros(path, json_object_get(entry, "config"), tensors);
        runner_open(&r, path);
        must(save_open(&s, r.model, source_config(r.source), SOURCE_GGUF, false, &err), &err);
        json_object_foreach(json_object_get(entry, "types"), recipe, types)
        {
            check_recipe(s, recipe, tensors, json_string_value(types));
            checked++;
        }
        save_close(s);
        runner_close(&r);
    }
    assert_true(checked > 80);
    json_decref(golden);
}

static void rules_are_read_and_matched(void **state)
{
    (void)state;
    struct keep_rule rules[KEEP_RULES_MAX];
    struct error err = { 0 };
    size_t n;
    struct saved_tensor t = { .name = "blk.12.attn_v.weight", .role = ROLE_v };
    static const struct {
        const char *pattern;
        bool matches;
    } cases[] = { { "v", true }, { "q", false }, { "blk.12.*", true }, { "blk.1.*", false }, { "*attn_v*", true },
        { "*", true }, { "blk.*.attn_?.weight", false }, { "*weight*x", false }, { "blk.12.attn_v.weight", true },
        { "blk.12.attn_v.weigh", false }, { "**v**", true } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(keep_read(rules, &n, cases[i].pattern, &err), 0);
        assert_int_equal(n, 1);
        assert_null(rules[0].format);
        if (keep_matches(&rules[0], &t) != cases[i].matches)
            fail_msg("pattern %s", cases[i].pattern);
    }
    assert_int_equal(keep_read(rules, &n, "output=Q8_0,blk.0.*,v=f32", &err), 0);
    assert_int_equal(n, 3);
    assert_ptr_equal(rules[0].format, &format_q8_0);
    assert_ptr_equal(rules[2].format, &format_f32);
    static const char *const wrong[] = { "=q8_0", ",", "a=,b", "a=nothing", "a=q8_0_and_more_text", "a=q8_k" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(keep_read(rules, &n, wrong[i], &err), ERROR_USAGE);
    t.vector = true; /* of vectors no rule speaks */
    assert_int_equal(keep_read(rules, &n, "*", &err), 0);
    assert_false(keep_matches(&rules[0], &t));
}

static void small_blocks_stay(void **state)
{
    (void)state;
    assert_ptr_equal(format_that_fits(&format_q4_k, 512), &format_q4_k);
    assert_ptr_equal(format_that_fits(&format_q4_k, 288), &format_q5_0);
    assert_ptr_equal(format_that_fits(&format_q6_k, 96), &format_q8_0);
    assert_ptr_equal(format_that_fits(&format_q6_k, 100), &format_f16);
    assert_ptr_equal(format_that_fits(&format_mxfp4, 172), &format_f16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_get_llama_cpps_formats),
        cmocka_unit_test(rules_are_read_and_matched),
        cmocka_unit_test(small_blocks_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
