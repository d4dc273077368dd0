/* SPDX-License-Identifier: Apache-2.0 */
/* selftest --reference: a model agrees with itself, and the layer that was damaged is the one that is named. */
#include "program.h"

#include "base/filemap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYERS 5
#define IDS "72,101,108,108,111,32,119,111,114,108,100,33,10,84,104,105,115,32,105,115,32,97,32,116,101,115,116,46," \
    "32,0,255,256,257,258,1,2,3,5,8,13,21,34,55,89,144,233"

static const char *model(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(&(struct made_model) { .layers = LAYERS, .dim = 64, .ffn = 96, .context = 64 });
    return folder;
}

static const char *weights_path(void)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/model.safetensors", model());
    return path;
}

static const char *reference(void)
{
    static char path[256];
    struct program p;
    if (*path)
        return path;
    snprintf(path, sizeof path, "%s/trace.safetensors", test_folder());
    RUN(&p, 0, NULL, "logits", "-m", model(), "--tokens", IDS, "--layers", "-o", path);
    assert_non_null(strstr(p.errors.data, "logits (46, 259) and what each layer leaves"));
    program_release(&p);
    return path;
}

/* Where the data of a tensor begins in a safetensors file. */
static off_t data_offset(const char *path, const char *tensor)
{
    struct filemap f;
    json_t *header;
    uint64_t length;
    assert_int_equal(filemap_open(&f, path, NULL), 0);
    memcpy(&length, f.data, sizeof length);
    assert_int_equal(json_read_new(&header, (const char *)f.data + 8, length, "header", NULL), 0);
    const json_t *offsets = json_object_get(json_object_get(header, tensor), "data_offsets");
    assert_int_equal(json_array_size(offsets), 2);
    off_t at = (off_t)(8 + length) + (off_t)json_integer_value(json_array_get(offsets, 0));
    json_decref(header);
    filemap_close(&f);
    return at;
}

/* Put another number into a tensor in the file; returns what it was. */
static float change(const char *path, const char *tensor, int i, float to)
{
    off_t at = data_offset(path, tensor) + (off_t)i * (off_t)sizeof(float);
    float was;
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &was, sizeof was, at), sizeof was);
    assert_int_equal(pwrite(file, &to, sizeof to, at), sizeof to);
    close(file);
    return was;
}

static json_t *compare(int status)
{
    struct program p;
    RUN(&p, status, NULL, "selftest", "-m", model(), "--reference", reference(), "--json");
    json_t *out = program_json(&p);
    program_release(&p);
    return out;
}

static void a_model_agrees_with_itself(void **state)
{
    (void)state;
    json_t *out = compare(0);
    const json_t *r = json_object_get(out, "reference"), *steps = json_object_get(r, "steps"), *s;
    size_t i;
    assert_true(json_is_null(json_object_get(r, "first")));
    assert_int_equal(json_whole(r, "tokens", -1), 46);
    assert_string_equal(json_text(r, "activations", ""), "float32");
    assert_int_equal(strncmp(json_text(r, "made_by", ""), "wazn ", 5), 0);
    assert_int_equal(json_array_size(steps), LAYERS + 2);
    json_array_foreach(steps, i, s)
    {
        assert_true(json_real_of(s, "own", -1) == 0 && json_real_of(s, "carried", -1) == 0);
        assert_true(json_real_of(s, "allowed", -1) > 0 && json_real_of(s, "allowed", -1) < 1e-4);
    }
    json_decref(out);
}

/* The damage shows behind that step, not before it, and the steps behind it are right by themselves. */
static void expect_named(const char *tensor, int element, float to, int step, const char *name)
{
    const char *weights = weights_path();
    float was = change(weights, tensor, element, to);
    json_t *out = compare(5);
    const json_t *r = json_object_get(out, "reference"), *steps = json_object_get(r, "steps"), *s;
    size_t i;
    assert_string_equal(json_text(r, "first", ""), name);
    json_array_foreach(steps, i, s)
    {
        bool carries = json_real_of(s, "carried", -1) > 0, differs = !json_flag(s, "agrees", true);
        if (carries != ((int)i >= step) || differs != ((int)i == step))
            fail_msg("%s changed: %s carries %d, differs %d", tensor, json_text(s, "step", ""), carries, differs);
    }
    json_decref(out);
    change(weights, tensor, element, was);
}

static void the_damaged_layer_is_named(void **state)
{
    (void)state;
    static const char *const kinds[] = { "self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
        "mlp.down_proj" };
    for (int layer = 0; layer < LAYERS; layer++) {
        char tensor[80], name[32];
        snprintf(tensor, sizeof tensor, "model.layers.%d.%s.weight", layer, kinds[layer]);
        snprintf(name, sizeof name, "layer %d", layer);
        expect_named(tensor, 1000, 0.25f, layer + 1, name);
    }
    expect_named("model.embed_tokens.weight", 'e' * 64 + 5, 0.25f, 0, "embedding");
    expect_named("model.norm.weight", 3, 1.25f, LAYERS + 1, "logits");
}

/* The words for people say the same. */
static void the_table_names_it(void **state)
{
    (void)state;
    const char *weights = weights_path(), *tensor = "model.layers.3.mlp.up_proj.weight";
    struct program p;
    float was = change(weights, tensor, 77, -0.5f);
    RUN(&p, 5, NULL, "selftest", "-m", model(), "--reference", reference(), "-q");
    assert_non_null(strstr(p.output.data, "\nlayer 3 "));
    assert_non_null(strstr(p.output.data, "DIFFERS"));
    assert_non_null(strstr(p.output.data, "layer 3 is the first to differ, most at token "));
    assert_non_null(strstr(p.errors.data, "1 of 8 checks failed"));
    program_release(&p);
    change(weights, tensor, 77, was);
    RUN(&p, 0, NULL, "selftest", "-m", model(), "--reference", reference());
    assert_non_null(strstr(p.output.data, "float32, as the reference has them"));
    assert_non_null(strstr(p.output.data, "5 layers and the logits agree"));
    assert_non_null(strstr(p.output.data, "8 passed, 0 failed"));
    program_release(&p);
}

static void a_wrong_reference_is_refused(void **state)
{
    (void)state;
    struct program p;
    const char *other = make_model(&(struct made_model) { .layers = LAYERS + 1, .dim = 64, .ffn = 96, .context = 64 });
    RUN(&p, 5, NULL, "selftest", "-m", other, "--reference", reference());
    assert_non_null(strstr(p.errors.data, "there is no tensor \"layer.5\""));
    program_release(&p);
    RUN(&p, 3, NULL, "selftest", "-m", model(), "--reference", "/nowhere/trace.safetensors");
    program_release(&p);
    RUN(&p, 5, NULL, "selftest", "-m", model(), "--reference", test_join(model(), "config.json"));
    program_release(&p);
    RUN(&p, 2, NULL, "selftest", "--reference", reference());
    assert_non_null(strstr(p.errors.data, "--reference needs a model"));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_agrees_with_itself),
        cmocka_unit_test(the_damaged_layer_is_named),
        cmocka_unit_test(the_table_names_it),
        cmocka_unit_test(a_wrong_reference_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
