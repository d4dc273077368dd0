/* SPDX-License-Identifier: Apache-2.0 */
/* Every family against transformers: tiny models with odd shapes, made again here, loaded from safetensors and GGUF. */
#include "case.h"
#include "compare.h"
#include "recorded.h"
#include "runner.h"

#include "support.h"

#include "infer/trace.h"
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static char paths[CASES_MAX][CASE_PATH_MAX];
static int n_paths;

static void assert_same(const struct runner *r, const struct golden_case *c, float *have, const float *want,
    const char *what)
{
    size_t n = (size_t)c->n_ids * (size_t)r->spec->vocabulary;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&have[i], &want[i], sizeof *have) != 0)
            fail_msg("%s: logit %zu at position %zu is %.9g instead of %.9g", what, i % (size_t)r->spec->vocabulary,
                i / (size_t)r->spec->vocabulary, (double)have[i], (double)want[i]);
    free(have);
}

/* However the text is cut, whatever shares the batch, with however many threads: the same bits. */
static void check_cuts(const struct runner *r, const struct golden_case *c, const struct format *format,
    const float *whole)
{
    int n = c->n_ids;
    struct cut one_by_one = { .format = format, .threads = 1, .chunk = 1 };
    assert_same(r, c, runner_logits_new(r, c->ids, n, &one_by_one), whole, "token by token");
    struct cut two_threads = { .format = format, .threads = 2, .chunk = n };
    assert_same(r, c, runner_logits_new(r, c->ids, n, &two_threads), whole, "two threads");
    struct cut three_threads = { .format = format, .threads = 3, .chunk = n };
    assert_same(r, c, runner_logits_new(r, c->ids, n, &three_threads), whole, "three threads");
    for (unsigned seed = 1; seed <= 3; seed++) {
        struct cut chunks = { .format = format, .threads = (int)seed, .seed = seed };
        assert_same(r, c, runner_logits_new(r, c->ids, n, &chunks), whole, "random chunks");
    }
    assert_same(r, c, runner_batch_new(r, c->ids, n, 4, format), whole, "four sequences in a batch");
}

static void check_cache_formats(const struct runner *r, const struct golden_case *c)
{
    static const struct format *const kinds[] = { &format_f16, &format_bf16, &format_q8_0 };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct kv_options o = { .format = kinds[i], .context = c->n_ids, .tokens_max = c->n_ids };
        struct cut cut = { .format = kinds[i], .threads = 1, .chunk = c->n_ids };
        if (kv_check(r->spec, &o, NULL) != 0) {
            assert_true(kinds[i] == &format_q8_0 && r->spec->head_dim % 32 != 0);
            continue;
        }
        float *whole = runner_logits_new(r, c->ids, c->n_ids, &cut);
        check_cuts(r, c, kinds[i], whole);
        free(whole);
    }
}

static void check_gguf(const struct golden_case *c, struct worst *worst)
{
    const char *path = test_join(test_folder(), "model.gguf");
    const char *reason = case_write_gguf(c, path);
    struct cut whole = { .format = &format_f32, .threads = 2, .chunk = c->n_ids };
    struct runner_dots kept;
    struct runner r;
    if (reason) {
        printf("    %s: %s\n", c->name, reason);
        return;
    }
    runner_open(&r, path);
    runner_rounding_off(&kept);
    float *logits = runner_logits_new(&r, c->ids, c->n_ids, &whole);
    runner_rounding_on(&kept);
    compare_rows(&r, json_object_get(c->json, "rows"), NULL, logits, REFERENCE_FLOAT32, worst);
    free(logits);
    runner_close(&r);
}

/* Bytes of weights that no token reads: experts not chosen, rows of tables but one. */
static uint64_t bytes_left_out(const struct spec *s, uint64_t value_bytes)
{
    uint64_t values = s->tied ? 0 : (uint64_t)(s->vocabulary - 1) * (uint64_t)s->dim;
    if (s->learned_positions)
        values += (uint64_t)(s->context - 1) * (uint64_t)s->dim;
    for (int i = 0; i < s->layers; i++) {
        uint64_t expert = 3 * (uint64_t)s->dim * (uint64_t)s->expert_ffn;
        if (s->expert_bias)
            expert += 2 * (uint64_t)s->expert_ffn + (uint64_t)s->dim;
        if (s->layer[i].moe)
            values += (uint64_t)(s->experts - s->experts_used) * expert;
    }
    return values * value_bytes;
}

/* Every weight counted once, and found where it should lie: only what is stored transposed or interleaved is copied. */
static void check_size(const struct runner *r, const struct golden_case *c)
{
    struct model_size size;
    uint64_t values = 0, bytes = 0;
    model_measure(r->model, &size);
    for (size_t i = 0; i < case_tensors(c); i++) {
        struct case_tensor t;
        case_tensor_make(&t, c, i);
        values += (uint64_t)t.count;
        case_tensor_release(&t);
    }
    bytes = values * (case_is_bf16(c) ? 2 : 4);
    assert_int_equal(size.parameters, values);
    assert_int_equal(size.mapped_bytes + size.copied_bytes, bytes);
    assert_int_equal(size.format_bytes[case_is_bf16(c) ? FORMAT_bf16 : FORMAT_f32], bytes);
    assert_true((size.copied_bytes > 0) == (r->spec->norm == NORM_LAYER || r->spec->expert_bias));
    assert_true(size.active < size.parameters || r->spec->tied);
    assert_int_equal(size.active_bytes, bytes - bytes_left_out(r->spec, case_is_bf16(c) ? 2 : 4));
    assert_true(size.layer_active[case_is_bf16(c) ? FORMAT_bf16 : FORMAT_f32] < size.active);
}

/* Products of bf16 weights take activations rounded to bf16. Rounding to steps of at most 2^-7 of each value is off by
 * at most 2^-7 / sqrt(12) of their length; a matrix passes that on, four times in a layer (before q k v, out, gate and
 * up, down) and once before the logits, errors adding as independent ones do. As much again is room for what norms and
 * attention magnify. */
static void check_rounding(const struct runner *r, const struct golden_case *c, const float *rounded,
    const float *exact)
{
    double share = compare_share(rounded, exact, c->n_ids * (int64_t)r->spec->vocabulary);
    double bound = 2 * sqrt(4 * r->spec->layers + 1) * 0x1p-7 / sqrt(12);
    struct recorded run;
    struct runner_dots kept;
    if (!case_is_bf16(c)) {
        assert_true(share == 0 && trace_rounding(r->model, NULL) == 0);
        return;
    }
    printf("%-18s activations of bf16 lose %.5f of the logits, %.5f allowed\n", c->name, share, bound);
    assert_true(share > 0 && share <= bound);
    assert_true(trace_rounding(r->model, NULL) == 0x1p-7);
    runner_rounding_off(&kept);
    recorded_make(&run, r, c);
    runner_rounding_on(&kept);
    recorded_compare(&run, r, 1.05f);
    recorded_release(&run);
}

static void check_case(void **state)
{
    struct golden_case c;
    struct runner r;
    struct runner_dots kept;
    struct worst worst = { 0 }, worst_gguf = { 0 };
    const char *folder = test_folder();
    case_read(&c, *state);
    case_write_folder(&c, folder);
    runner_open(&r, folder);
    struct cut cut = { .format = &format_f32, .threads = 1, .chunk = c.n_ids };
    runner_rounding_off(&kept);
    float *exact = runner_logits_new(&r, c.ids, c.n_ids, &cut);
    compare_rows(&r, json_object_get(c.json, "rows"), NULL, exact, REFERENCE_FLOAT32, &worst);
    runner_rounding_on(&kept);
    float *whole = runner_logits_new(&r, c.ids, c.n_ids, &cut);
    check_rounding(&r, &c, whole, exact);
    check_cuts(&r, &c, &format_f32, whole);
    check_cache_formats(&r, &c);
    check_size(&r, &c);
    check_gguf(&c, &worst_gguf);
    printf("%-18s %-10s worst %6.1f of %6.1f units, GGUF %6.1f\n", c.name, r.spec->arch->name, worst.scaled,
        worst.allowed, worst_gguf.scaled);
    free(exact);
    free(whole);
    runner_close(&r);
    case_release(&c);
}

static void every_family_has_two(void **state)
{
    (void)state;
    for (const struct arch *const *a = archs; *a; a++) {
        int n = 0;
        for (int i = 0; i < n_paths; i++) {
            struct golden_case c;
            case_read(&c, paths[i]);
            const struct arch *of = NULL;
            assert_int_equal(arch_find(&of, c.config, NULL), 0);
            n += of == *a;
            case_release(&c);
        }
        if (n < 2)
            fail_msg("family %s has %d golden models, expected two", (*a)->name, n);
    }
}

int main(void)
{
    static struct CMUnitTest tests[CASES_MAX + 1];
    n_paths = case_list(paths, CASES_MAX, "tests/golden/data/models", "");
    for (int i = 0; i < n_paths; i++)
        tests[i] = (struct CMUnitTest) { .name = strrchr(paths[i], '/') + 1, .test_func = check_case,
            .initial_state = paths[i] };
    tests[n_paths] = (struct CMUnitTest)cmocka_unit_test(every_family_has_two);
    return _cmocka_run_group_tests("models", tests, (size_t)n_paths + 1, NULL, NULL);
}
