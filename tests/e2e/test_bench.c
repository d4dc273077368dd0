/* SPDX-License-Identifier: Apache-2.0 */
/* bench: what it counts is right, what it measures hangs together. */
#include "program.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 2, DIM = 64, FFN = 96, CONTEXT = 128, KV_DIM = DIM / 2 };

static const char *small(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(&(struct made_model) { .layers = LAYERS, .dim = DIM, .ffn = FFN, .context = CONTEXT });
    return folder;
}

static json_t *bench(const char *const *more)
{
    const char *arguments[24] = { "bench", "-m", small(), "--json", "-q" };
    struct program p;
    for (int i = 0; more[i]; i++)
        arguments[5 + i] = more[i];
    program_run(&p, 0, NULL, arguments);
    assert_int_equal(p.errors.used, 0);
    json_t *out = program_json(&p);
    program_release(&p);
    return out;
}
#define BENCH(...) bench((const char *const[]) { __VA_ARGS__, NULL })

/* The flat number is the median of the object beside it, and no median passes the best. */
static void check_rate(const json_t *out, const char *name)
{
    char flat[64];
    const json_t *detail = json_object_get(out, name);
    snprintf(flat, sizeof flat, "%s_tokens_per_second", name);
    double median = json_real_of(detail, "median", -1), best = json_real_of(detail, "best", -1);
    double spread = json_real_of(detail, "spread", -1);
    assert_true(median > 0 && best >= median && spread >= 0);
    assert_true(json_real_of(out, flat, -1) == median);
}

static void rates_hang_together(void **state)
{
    (void)state;
    json_t *out = BENCH("-p", "48", "-n", "20", "--depth", "30", "-b", "5", "-r", "4", "-t", "2");
    check_rate(out, "prefill");
    check_rate(out, "decode");
    check_rate(out, "batch_decode");
    assert_int_equal(json_whole(out, "prompt_tokens", -1), 48);
    assert_int_equal(json_whole(out, "generated_tokens", -1), 20);
    assert_int_equal(json_whole(out, "depth", -1), 30);
    assert_int_equal(json_whole(out, "batch", -1), 5);
    assert_int_equal(json_whole(out, "rounds", -1), 4);
    assert_int_equal(json_whole(out, "threads", -1), 2);
    double prefill = json_real_of(out, "prefill_tokens_per_second", 0);
    double peak = json_real_of(out, "peak_prefill_tokens_per_second", 0);
    assert_true(prefill < peak);
    double share = json_real_of(out, "arithmetic_peak_share", -1);
    assert_true(share > 0 && share < 1);
    assert_true(json_real_of(out, "read_bandwidth_share", -1) > 0); /* may pass 1: so small a model lies in caches */
    assert_true(json_real_of(out, "read_bytes_per_second", 0) > 1e8);
    assert_true(json_whole(out, "peak_rss_bytes", 0) > (LAYERS * (3 * FFN + 3 * DIM) * DIM + 2 * MADE_VOCABULARY * DIM)
            * (long long)sizeof(float));
    assert_true(json_whole(out, "planned_bytes", 0) > 0);
    json_decref(out);
}

/* Weights once, but of the embedding a row; and the keys and values of all positions up to the token's own. */
static long long expected_bytes(int depth, int generated)
{
    long long values = LAYERS * (2LL * DIM * DIM + 2LL * KV_DIM * DIM + 3LL * FFN * DIM + 2LL * DIM);
    values += DIM + (MADE_VOCABULARY + 1LL) * DIM;
    long long positions = 0;
    for (int i = 0; i < generated; i++)
        positions += depth + i + 1;
    return values * 4 + positions * LAYERS * 2 * KV_DIM * 2 / generated; /* f16 */
}

static void a_token_reads_what_it_reads(void **state)
{
    (void)state;
    json_t *out = BENCH("-p", "8", "-n", "16", "-b", "0", "-r", "1");
    assert_int_equal(json_whole(out, "bytes_per_token", -1), expected_bytes(0, 16));
    assert_null(json_object_get(out, "batch_decode_tokens_per_second"));
    json_decref(out);
    out = BENCH("-p", "8", "-n", "16", "--depth", "100", "-r", "1");
    assert_int_equal(json_whole(out, "bytes_per_token", -1), expected_bytes(100, 16));
    json_decref(out);
}

static void people_get_a_table(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 0, NULL, "bench", "-m", small(), "-n", "8", "-r", "2"); /* -p: what the model holds */
    assert_non_null(strstr(p.output.data, "prompts of 128 tokens; 8 generated behind 0; 2 rounds\n"));
    assert_non_null(strstr(p.output.data, "\nprefill "));
    assert_non_null(strstr(p.output.data, "\ndecode "));
    assert_non_null(strstr(p.output.data, "\nbatch 16 "));
    assert_non_null(strstr(p.output.data, "\nmemory: planned "));
    assert_non_null(strstr(p.errors.data, "plan: weights"));
    program_release(&p);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][5] = { { "-p", "129" }, { "--depth", "128" }, { "--depth", "100", "-n", "29" },
        { "-n", "0" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *arguments[8] = { "bench", "-m", small() };
        struct program p;
        for (int k = 0; cases[i][k]; k++)
            arguments[3 + k] = cases[i][k];
        program_run(&p, 2, NULL, arguments);
        assert_non_null(strstr(p.errors.data, i < 3 ? "pass the 128 that" : "-n is 0"));
        assert_int_equal(p.output.used, 0);
        program_release(&p);
    }
}

static void interrupt_prints_nothing(void **state)
{
    (void)state;
    const char *slow = make_model(&(struct made_model) { .layers = 4, .dim = 256, .ffn = 512, .context = 4096 });
    struct program p;
    const char *const arguments[] = { "bench", "-m", slow, "-p", "4096", "-r", "1000", "--json", NULL };
    program_start(&p, arguments);
    program_wait_for(&p, true, "plan: weights");
    kill(p.pid, SIGINT);
    program_end(&p);
    assert_int_equal(p.status, 130);
    assert_int_equal(p.output.used, 0);
    assert_non_null(strstr(p.errors.data, "stopped"));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_hang_together),
        cmocka_unit_test(a_token_reads_what_it_reads),
        cmocka_unit_test(people_get_a_table),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(interrupt_prints_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
