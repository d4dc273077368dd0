/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters as a user meets them: --adapter and wazn merge. */
#include "program.h"

#include "base/cpu.h"
#include "base/filemap.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "model/adapter.h"
#include "model/train_pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *model(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(&(struct made_model) { .layers = 2, .dim = 256, .ffn = 512, .context = 256,
            .chat = MADE_CHATML });
    return folder;
}

/* Random numbers in all of it: it changes what the model says. */
static void fill(struct adapter *a, const struct model *m)
{
    const struct train_options o = { .tokens_max = 1, .texts_max = 1, .logits_max = 1, .threads = 1, .adapter = a };
    struct train_pass *p;
    struct random r;
    random_seed(&r, 3);
    assert_int_equal(train_pass_open(&p, m, &o, NULL), 0);
    size_t n = train_pass_parameters(p, NULL);
    struct parameter *list = calloc(n, sizeof *list);
    assert_non_null(list);
    train_pass_parameters(p, list);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parameter_count(&list[i]) && list[i].kind == PARAMETER_MATRIX; k++)
            ((float *)list[i].data)[k] = (float)(random_normal(&r) * 0.1);
    free(list);
    train_pass_close(p);
}

static const char *adapter(bool magnitude)
{
    static char paths[2][4096];
    char *path = paths[magnitude];
    const struct adapter_options o = { .rank = 5, .alpha = 5, .targets = "attention,down", .magnitude = magnitude };
    struct error err = { 0 };
    struct source *s;
    struct model *m;
    struct adapter *a;
    if (path[0])
        return path;
    snprintf(path, sizeof paths[0], "%s/adapter", test_folder());
    assert_int_equal(source_open(&s, model(), NULL, NULL, &err), 0);
    assert_int_equal(model_open(&m, s, NULL, &err), 0);
    assert_int_equal(adapter_new(&a, m, source_config(s), &o, 1, &err), 0);
    fill(a, m);
    if (adapter_save(a, path, model(), &err) != 0)
        fail_msg("%s", err.text);
    adapter_close(a);
    model_close(m);
    source_close(s);
    return path;
}

static char *said_new(const char *m, const char *with)
{
    struct program p;
    if (with)
        RUN(&p, 0, NULL, "run", "-m", m, "--raw", "--temp", "0", "-n", "24", "-q", "-t", "2", "--adapter", with,
            "Line");
    else
        RUN(&p, 0, NULL, "run", "-m", m, "--raw", "--temp", "0", "-n", "24", "-q", "-t", "2", "Line");
    char *out = strdup(p.output.data);
    program_release(&p);
    return out;
}

static void models_say_other_things(void **state)
{
    (void)state;
    char scaled[4200];
    char *plain = said_new(model(), NULL), *with = said_new(model(), adapter(false));
    snprintf(scaled, sizeof scaled, "%s:0", adapter(false));
    char *none = said_new(model(), scaled);
    assert_string_equal(plain, none);
    assert_string_not_equal(plain, with);
    free(plain);
    free(with);
    free(none);
}

static void inspect_lists_them(void **state)
{
    (void)state;
    struct program p;
    char scaled[4200];
    snprintf(scaled, sizeof scaled, "%s:-0.5", adapter(true));
    RUN(&p, 0, NULL, "inspect", "-m", model(), "--adapter", adapter(false), "--adapter", scaled, "--json");
    json_t *out = program_json(&p), *list = json_object_get(out, "adapters");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_text(json_array_get(list, 0), "kind", ""), "lora");
    assert_string_equal(json_text(json_array_get(list, 1), "kind", ""), "dora");
    assert_int_equal(json_whole(json_array_get(list, 0), "rank", 0), 5);
    assert_int_equal(json_whole(json_array_get(list, 0), "matrices", 0), 10);
    assert_true(json_real_of(json_array_get(list, 1), "scale", 0) == -0.5);
    assert_string_equal(json_text(json_array_get(list, 0), "beside", ""), "q k v attn_out down");
    json_decref(out);
    program_release(&p);
}

static double told(const struct program *p, const char *before)
{
    const char *at = strstr(p->errors.data, before);
    if (!at)
        fail_msg("\"%s\" is not in \"%s\"", before, p->errors.data);
    return strtod(at + strlen(before), NULL);
}

#define DIFFERENCE "largest difference from the base with its adapters "

static void merged_models_are_the_same(void **state)
{
    (void)state;
    for (int magnitude = 0; magnitude < 2; magnitude++) {
        struct program p;
        char out[4096], gguf[4096];
        snprintf(out, sizeof out, "%s/merged", test_folder());
        snprintf(gguf, sizeof gguf, "%s/merged.gguf", test_folder());
        RUN(&p, 0, NULL, "merge", "-m", model(), "--adapter", adapter(magnitude), "-o", out);
        double largest = told(&p, "largest logit ");
        assert_true(told(&p, DIFFERENCE) < 1e-4 * largest && largest > 0.1);
        program_release(&p);
        char *with = said_new(model(), adapter(magnitude)), *merged = said_new(out, NULL);
        assert_string_equal(with, merged);
        RUN(&p, 0, NULL, "merge", "-m", model(), "--adapter", adapter(magnitude), "--to", "q8_0", "-o", gguf);
        assert_true(told(&p, "relative squared error of a tensor: ") > 1e-6); /* what it loses is told */
        assert_true(told(&p, DIFFERENCE) > 0 && told(&p, DIFFERENCE) < 0.2 * largest);
        program_release(&p);
        free(with);
        free(merged);
    }
}

/* Each in the base's formats: blocks that nothing lies beside are copied, the others rounded again. */
static void merging_into_blocks(void **state)
{
    (void)state;
    struct program p;
    char base[4096], out[4096];
    snprintf(base, sizeof base, "%s/base.gguf", test_folder());
    snprintf(out, sizeof out, "%s/out.gguf", test_folder());
    RUN(&p, 0, NULL, "quantize", "-m", model(), "--to", "q8_0", "-o", base, "-q");
    program_release(&p);
    RUN(&p, 0, NULL, "merge", "-m", base, "--adapter", adapter(false), "-o", out);
    assert_true(told(&p, DIFFERENCE) < 0.2 * told(&p, "largest logit "));
    assert_non_null(strstr(p.errors.data, "relative squared error"));
    program_release(&p);
    RUN(&p, 0, NULL, "inspect", "-m", out, "--json", "-q");
    json_t *report = program_json(&p);
    assert_true(json_whole(json_object_get(json_object_get(report, "formats"), "q8_0"), "tensors", 0) >= 14);
    json_decref(report);
    program_release(&p);
}

static void others_are_refused(void **state)
{
    (void)state;
    struct program p;
    char out[4096];
    const char *other = make_model(&(struct made_model) { .layers = 1, .dim = 256, .ffn = 512, .context = 256 });
    snprintf(out, sizeof out, "%s/merged", test_folder());
    RUN(&p, 2, NULL, "merge", "-m", model(), "-o", out);
    assert_non_null(strstr(p.errors.data, "an adapter is missing"));
    program_release(&p);
    RUN(&p, 2, NULL, "merge", "-m", other, "--adapter", adapter(false), "-o", out);
    assert_non_null(strstr(p.errors.data, "another base"));
    program_release(&p);
    assert_false(file_exists(out));
    RUN(&p, 2, NULL, "run", "-m", model(), "--raw", "--adapter", "nowhere:much", "x");
    assert_non_null(strstr(p.errors.data, "no such folder"));
    program_release(&p);
    RUN(&p, 3, NULL, "run", "-m", model(), "--raw", "--adapter", "nowhere", "x");
    assert_non_null(strstr(p.errors.data, "could not open adapter \"nowhere\""));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_say_other_things),
        cmocka_unit_test(inspect_lists_them),
        cmocka_unit_test(merged_models_are_the_same),
        cmocka_unit_test(merging_into_blocks),
        cmocka_unit_test(others_are_refused),
    };
    kernels_init(cpu_features());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
