/* SPDX-License-Identifier: Apache-2.0 */
/* Every family's tiny model converted by the publish floor: to GGUF, held against what ggml's converter makes
 * (case_gguf.c, which shares nothing with it), and back to a folder, held against the first one, bit by bit. */
#include "case.h"
#include "compare.h"
#include "runner.h"

#include "support.h"

#include "base/filemap.h"
#include "publish/publish.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>



/* The experts' values are MXFP4's; the folder of the case holds them decoded. */
static int write_model(const char *from, const char *to, bool mxfp4, struct error *err)
{
    struct runner r;
    struct publish_report report;
    struct keep_rule rules[KEEP_RULES_MAX];
    struct publish_options o = { .path = to, .rules = rules, .threads = 2 };
    assert_int_equal(keep_read(rules, &o.n_rules, mxfp4 ? "expert_*=mxfp4" : "", err), 0);
    runner_open(&r, from);
    int rc = publish(&report, r.source, r.model, NULL, &o, err);
    runner_close(&r);
    return rc;
}

static void must_write(const char *from, const char *to, bool mxfp4)
{
    struct error err = { 0 };
    if (write_model(from, to, mxfp4, &err))
        fail_msg("%s", err.text);
}

static float *decoded_new(const struct file_tensor *t, int64_t *count)
{
    *count = (int64_t)(t->bytes / (uint64_t)t->format->block_bytes) * t->format->block;
    float *out = malloc((size_t)*count * sizeof *out);
    assert_non_null(out);
    t->format->decode(out, t->data, *count);
    return out;
}

static void same_shape(const struct file_tensor *a, const struct file_tensor *b)
{
    assert_int_equal(a->dims, b->dims);
    for (int i = 0; i < a->dims; i++)
        assert_int_equal(a->shape[i], b->shape[i]);
}

/* Each tensor of `reference` is in `have` with the same numbers, and nothing else is. */
static void same_numbers(const char *have, const char *reference)
{
    struct runner a, b;
    runner_open(&a, have);
    runner_open(&b, reference);
    assert_int_equal(source_tensor_count(a.source), source_tensor_count(b.source));
    for (size_t i = 0; i < source_tensor_count(b.source); i++) {
        const struct file_tensor *y = source_tensor(b.source, i), *x = source_find(a.source, y->name);
        int64_t n, m;
        if (!x)
            fail_msg("tensor \"%s\" is missing", y->name);
        same_shape(x, y);
        float *p = decoded_new(x, &n), *q = decoded_new(y, &m);
        assert_int_equal(n, m);
        double allowed = strcmp(y->name, "rope_freqs.weight") == 0 ? 2e-7 : 0; /* computed another way */
        for (int64_t k = 0; k < n; k++)
            if (!(fabs((double)p[k] - (double)q[k]) <= allowed * fabs((double)q[k])))
                fail_msg("tensor \"%s\": number %lld is %.9g instead of %.9g", y->name, (long long)k, (double)p[k],
                    (double)q[k]);
        free(p);
        free(q);
    }
    runner_close(&a);
    runner_close(&b);
}

/* The same bytes under the same names. */
static void same_bytes(const char *have, const char *want)
{
    struct runner a, b;
    runner_open(&a, have);
    runner_open(&b, want);
    assert_int_equal(source_tensor_count(a.source), source_tensor_count(b.source));
    for (size_t i = 0; i < source_tensor_count(b.source); i++) {
        const struct file_tensor *y = source_tensor(b.source, i), *x = source_find(a.source, y->name);
        if (!x && strncmp(y->name, "transformer.", 12) == 0)
            x = source_find(a.source, y->name + 12);
        if (!x)
            fail_msg("tensor \"%s\" is missing", y->name);
        same_shape(x, y);
        assert_string_equal(x->type_name, y->type_name);
        assert_int_equal(x->bytes, y->bytes);
        if (memcmp(x->data, y->data, (size_t)y->bytes) != 0)
            fail_msg("tensor \"%s\" has other bytes", y->name);
    }
    runner_close(&a);
    runner_close(&b);
}

static void check_logits(const struct golden_case *c, const char *path)
{
    struct cut whole = { .format = &format_f32, .threads = 1, .chunk = c->n_ids };
    struct worst worst = { 0 };
    struct runner_dots kept;
    struct runner r;
    runner_open(&r, path);
    runner_rounding_off(&kept);
    float *logits = runner_logits_new(&r, c->ids, c->n_ids, &whole);
    runner_rounding_on(&kept);
    compare_rows(&r, json_object_get(c->json, "rows"), NULL, logits, REFERENCE_FLOAT32, &worst);
    free(logits);
    runner_close(&r);
}

/* Multiplied as they lie, MXFP4 weights give other roundings than the reference's floats, the same in both files. */
static void same_logits(const struct golden_case *c, const char *one, const char *other)
{
    struct cut whole = { .format = &format_f32, .threads = 1, .chunk = c->n_ids };
    struct runner a, b;
    runner_open(&a, one);
    runner_open(&b, other);
    float *x = runner_logits_new(&a, c->ids, c->n_ids, &whole), *y = runner_logits_new(&b, c->ids, c->n_ids, &whole);
    assert_memory_equal(x, y, (size_t)c->n_ids * (size_t)a.spec->vocabulary * sizeof *x);
    free(x);
    free(y);
    runner_close(&a);
    runner_close(&b);
}

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void check_case(void **state)
{
    struct golden_case c;
    struct error err = { 0 };
    const char *out = test_folder();
    char folder[4096], gguf[4096], back[4096], again[4096], reference[4096];
    case_read(&c, *state);
    snprintf(folder, sizeof folder, "%s/folder", out);
    assert_int_equal(mkdir(folder, 0777), 0);
    case_write_folder(&c, folder);
    snprintf(gguf, sizeof gguf, "%s/model.gguf", out);
    snprintf(reference, sizeof reference, "%s/reference.gguf", out);
    snprintf(back, sizeof back, "%s/back", out);
    snprintf(again, sizeof again, "%s/again.gguf", out);
    struct case_tensor experts;
    bool mxfp4 = false, nested = strstr(c.name, "nested") != NULL;
    if (case_tensor_find(&experts, &c, "model.layers.0.mlp.experts.down_proj")) {
        mxfp4 = experts.mxfp4;
        case_tensor_release(&experts);
    }
    const char *reason = case_write_gguf(&c, reference);
    if (reason) {
        /* what GGUF cannot say is refused by name, and nothing is left */
        assert_int_equal(write_model(folder, gguf, false, &err), ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "this kind of file cannot say what the model is"));
        assert_int_equal(entries(out), 3);
        printf("    %-18s %s\n", c.name, strrchr(err.text, ':') + 2);
        case_release(&c);
        return;
    }
    must_write(folder, gguf, mxfp4);
    same_numbers(gguf, reference);
    must_write(gguf, back, false);
    if (mxfp4) {
        same_logits(&c, gguf, back);
    } else {
        check_logits(&c, gguf);
        check_logits(&c, back);
    }
    must_write(back, again, false);
    same_bytes(again, gguf);
    if (!mxfp4 && !nested) /* there the form is another: MXFP4's blocks, the language part alone */
        same_bytes(back, folder);
    printf("    %-18s same\n", c.name);
    case_release(&c);
}

int main(void)
{
    static char paths[2 * CASES_MAX][CASE_PATH_MAX];
    struct CMUnitTest tests[2 * CASES_MAX];
    int all = case_list(paths, CASES_MAX, "tests/golden/data/models", ""), n = 0;
    all += case_list(paths + all, CASES_MAX, "tests/golden/data/gpt_oss", "");
    for (; n < all; n++)
        tests[n] = (struct CMUnitTest) { strrchr(paths[n], '/') + 1, check_case, NULL, NULL, paths[n] };
    return _cmocka_run_group_tests("publish", tests, (size_t)n, NULL, NULL);
}
