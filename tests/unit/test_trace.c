/* SPDX-License-Identifier: Apache-2.0 */
/* Trace files: what was written comes back; what does not fit the model is refused with its name and numbers. */
#include "support.h"

#include "file/safetensors.h"
#include "infer/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 3, DIM = 4, VOCABULARY = 5, LAYERS = 2, PARTS = 5 };

static const struct spec *small_spec(void)
{
    static struct spec s;
    s.layers = LAYERS;
    s.dim = DIM;
    s.vocabulary = VOCABULARY;
    s.context = 8;
    return &s;
}

/* A file as another program may write it; tests change it before it is written. */
struct file {
    int64_t ids[9];
    int32_t narrow[TOKENS];
    float states[LAYERS + 1][9 * DIM], logits[9 * VOCABULARY];
    struct file_tensor parts[PARTS + 1];
    size_t n;
    char path[256];
};

static void make(struct file *f)
{
    static const char *const names[PARTS] = { "ids", "embedding", "layer.0", "layer.1", "logits" };
    memset(f, 0, sizeof *f);
    for (int i = 0; i < TOKENS; i++)
        f->ids[i] = f->narrow[i] = (i * 2) % VOCABULARY;
    for (int i = 0; i < LAYERS + 1; i++)
        for (int k = 0; k < TOKENS * DIM; k++)
            f->states[i][k] = (float)(100 * i + k);
    for (int i = 0; i < PARTS; i++) {
        bool logits = i == PARTS - 1;
        int width = logits ? VOCABULARY : DIM;
        f->parts[i] = (struct file_tensor) { .name = names[i], .type_name = "F32", .dims = 2,
            .shape = { TOKENS, width }, .data = logits ? f->logits : f->states[i > 0 ? i - 1 : 0],
            .bytes = (uint64_t)(TOKENS * width) * sizeof(float) };
    }
    f->parts[0] = (struct file_tensor) { .name = "ids", .type_name = "I64", .dims = 1, .shape = { TOKENS },
        .data = f->ids, .bytes = TOKENS * sizeof f->ids[0] };
    f->n = PARTS;
}

static void save(struct file *f)
{
    struct error err = { 0 };
    snprintf(f->path, sizeof f->path, "%s/trace.safetensors", test_folder());
    if (safetensors_write(f->path, f->parts, f->n, NULL, &err) != 0)
        fail_msg("%s", err.text);
}

static void expect_refusal(struct file *f, int code, const char *says)
{
    struct error err = { 0 };
    struct trace *t;
    save(f);
    assert_int_equal(trace_open(&t, f->path, small_spec(), &err), code);
    assert_null(t);
    if (!strstr(err.text, says) || !strstr(err.text, f->path))
        fail_msg("\"%s\" does not say \"%s\" of \"%s\"", err.text, says, f->path);
}

static void files_of_others_are_read(void **state)
{
    (void)state;
    struct file f;
    struct trace *t;
    for (int narrow = 0; narrow < 2; narrow++) {
        make(&f);
        if (narrow) {
            f.parts[0].type_name = "I32";
            f.parts[0].data = f.narrow;
            f.parts[0].bytes = sizeof f.narrow;
            f.parts[1] = f.parts[--f.n]; /* no embedding */
        }
        save(&f);
        assert_int_equal(trace_open(&t, f.path, small_spec(), NULL), 0);
        const struct trace_values *v = trace_values(t);
        assert_int_equal(v->tokens, TOKENS);
        assert_int_equal(v->ids[2], 4);
        assert_true(!v->embedding == (narrow == 1));
        assert_null(v->made_by);
        for (int i = 0; i < LAYERS; i++)
            assert_memory_equal(v->layers[i], f.states[i + 1], TOKENS * DIM * sizeof(float));
        trace_close(t);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct file f;
    struct trace *t;
    struct error err = { 0 };
    const float *layers[LAYERS] = { f.states[1], f.states[2] };
    make(&f);
    struct trace_values v = { .tokens = TOKENS, .ids = f.narrow, .embedding = f.states[0], .layers = layers,
        .logits = f.logits, .made_by = "a test" };
    snprintf(f.path, sizeof f.path, "%s/own.safetensors", test_folder());
    assert_int_equal(trace_write(f.path, small_spec(), &v, &err), 0);
    assert_int_equal(trace_open(&t, f.path, small_spec(), &err), 0);
    assert_string_equal(trace_values(t)->made_by, "a test");
    assert_memory_equal(trace_values(t)->embedding, f.states[0], TOKENS * DIM * sizeof(float));
    assert_memory_equal(trace_values(t)->layers[1], f.states[2], TOKENS * DIM * sizeof(float));
    trace_close(t);
    trace_close(NULL);
}

static void set_tokens(struct file *f, int n)
{
    for (size_t i = 0; i < f->n; i++) {
        f->parts[i].bytes = f->parts[i].bytes / (uint64_t)f->parts[i].shape[0] * (uint64_t)n;
        f->parts[i].shape[0] = n;
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct file f;
    make(&f);
    f.ids[1] = VOCABULARY;
    expect_refusal(&f, ERROR_FORMAT, "token 1 is 5, outside the model's vocabulary of 5");
    f.ids[1] = -1;
    expect_refusal(&f, ERROR_FORMAT, "token 1 is -1");
    f.ids[1] = INT64_MIN;
    expect_refusal(&f, ERROR_FORMAT, "outside the model's vocabulary");
    make(&f);
    set_tokens(&f, 9);
    expect_refusal(&f, ERROR_LIMIT, "9 tokens do not fit the model's context of 8");
    make(&f);
    set_tokens(&f, 0);
    expect_refusal(&f, ERROR_FORMAT, "it has no tokens");
    make(&f);
    f.parts[2].shape[0] = DIM;
    f.parts[2].shape[1] = TOKENS;
    expect_refusal(&f, ERROR_FORMAT, "\"layer.0\" is F32 (4, 3), the model needs F32 (3, 4)");
    make(&f);
    f.parts[4].type_name = "I32";
    expect_refusal(&f, ERROR_FORMAT, "\"logits\" is I32 (3, 5), the model needs F32 (3, 5)");
    make(&f);
    f.parts[3].name = "layer.01";
    expect_refusal(&f, ERROR_FORMAT, "there is no tensor \"layer.1\"");
    make(&f);
    f.parts[f.n] = f.parts[3];
    f.parts[f.n++].name = "layer.2";
    expect_refusal(&f, ERROR_FORMAT, "there is a tensor \"layer.2\", the model has 2 layers");
    make(&f);
    f.parts[0].type_name = "F64";
    expect_refusal(&f, ERROR_FORMAT, "there is no tensor \"ids\" of type I32 or I64");
    make(&f);
    f.n--;
    expect_refusal(&f, ERROR_FORMAT, "there is no tensor \"logits\"");
}

static void bytes_that_are_no_file_are_refused(void **state)
{
    (void)state;
    struct file f;
    struct trace *t;
    struct error err = { 0 };
    make(&f);
    snprintf(f.path, sizeof f.path, "%s/short.safetensors", test_folder());
    test_write(f.path, "\x10\0\0\0\0\0\0\0{\"ids\":", 15);
    assert_int_equal(trace_open(&t, f.path, small_spec(), &err), ERROR_FORMAT);
    assert_null(t);
    assert_int_equal(trace_open(&t, "/nowhere/trace.safetensors", small_spec(), &err), ERROR_NOT_FOUND);
}

static void steps_have_names(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(trace_step_name(text, 0, 2), "embedding");
    assert_string_equal(trace_step_name(text, 1, 2), "layer 0");
    assert_string_equal(trace_step_name(text, 2, 2), "layer 1");
    assert_string_equal(trace_step_name(text, 3, 2), "logits");
    struct trace_step broken = { .share = NAN };
    assert_false(trace_agrees(&broken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_others_are_read),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(bytes_that_are_no_file_are_refused),
        cmocka_unit_test(steps_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
