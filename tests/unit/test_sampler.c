/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json.h"
#include "base/random.h"
#include "infer/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 300 };

/* ---- a plain implementation of every filter: sorts everything, keeps flags ---- */

struct naive {
    double logit[VOCABULARY], p[VOCABULARY];
    bool kept[VOCABULARY];
    int order[VOCABULARY];
};

static const double *sort_keys;

static int by_key(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    if (sort_keys[i] != sort_keys[j])
        return sort_keys[i] > sort_keys[j] ? -1 : 1;
    return i - j;
}

static void naive_normalize(struct naive *x)
{
    double best = -INFINITY, sum = 0;
    for (int i = 0; i < VOCABULARY; i++)
        best = x->kept[i] && x->logit[i] > best ? x->logit[i] : best;
    for (int i = 0; i < VOCABULARY; i++) {
        x->p[i] = x->kept[i] ? exp(x->logit[i] - best) : 0;
        sum += x->p[i];
    }
    for (int i = 0; i < VOCABULARY; i++)
        x->p[i] /= sum;
}

static void naive_sort(struct naive *x, const double *keys)
{
    for (int i = 0; i < VOCABULARY; i++)
        x->order[i] = i;
    sort_keys = keys;
    qsort(x->order, VOCABULARY, sizeof *x->order, by_key);
}

static void naive_keep_mass(struct naive *x, const double *keys, double mass)
{
    double above = 0;
    naive_sort(x, keys);
    for (int i = 0, first = 1; i < VOCABULARY; i++) {
        int id = x->order[i];
        if (!x->kept[id])
            continue;
        x->kept[id] = first || above < mass;
        first = 0;
        above += x->p[id];
    }
}

static void naive_chain(struct naive *x, const struct sampling *s, const float *logits)
{
    double keys[VOCABULARY], entropy = 0, best = 0;
    for (int i = 0; i < VOCABULARY; i++) {
        x->logit[i] = (double)logits[i] / s->at[SAMPLING_temperature];
        x->kept[i] = true;
    }
    naive_sort(x, x->logit);
    for (int i = 0; i < VOCABULARY; i++)
        x->kept[x->order[i]] = s->at[SAMPLING_top_k] == 0 || i < s->at[SAMPLING_top_k];
    naive_normalize(x);
    if (s->at[SAMPLING_top_p] < 1)
        naive_keep_mass(x, x->logit, s->at[SAMPLING_top_p]);
    naive_normalize(x);
    for (int i = 0; i < VOCABULARY; i++)
        best = x->p[i] > best ? x->p[i] : best;
    for (int i = 0; i < VOCABULARY; i++)
        x->kept[i] = x->kept[i] && x->p[i] >= s->at[SAMPLING_min_p] * best;
    naive_normalize(x);
    if (s->at[SAMPLING_typical] < 1) {
        for (int i = 0; i < VOCABULARY; i++)
            entropy -= x->p[i] > 0 ? x->p[i] * log(x->p[i]) : 0;
        for (int i = 0; i < VOCABULARY; i++)
            keys[i] = x->p[i] > 0 ? -fabs(-log(x->p[i]) - entropy) : -INFINITY;
        naive_keep_mass(x, keys, s->at[SAMPLING_typical]);
    }
    naive_normalize(x);
}

/* ---- helpers ---- */

static void make_logits(struct random *r, float *logits, int n, double spread)
{
    for (int i = 0; i < n; i++)
        logits[i] = (float)(spread * random_normal(r));
}

static struct sampler *open_sampler(const struct sampling *s, int64_t vocabulary)
{
    struct sampler *sampler;
    struct error e = { 0 };
    if (sampler_open(&sampler, s, vocabulary, &e) != 0)
        fail_msg("%s", e.text);
    return sampler;
}

static struct sampling plain(void)
{
    struct sampling s;
    assert_int_equal(sampling_init(&s, NULL, false, NULL), 0);
    const double off[SAMPLING_COUNT] = {
#define X(id, key, off, standard, low, high) off,
        SAMPLING_SETTINGS(X)
#undef X
    };
    memcpy(s.at, off, sizeof off);
    return s;
}

static void assert_same(struct sampler *sampler, const float *logits, const bool *kept, const double *p, int vocabulary)
{
    const struct candidate *c;
    size_t n, expected = 0;
    double sum = 0;
    assert_int_equal(sampler_candidates(sampler, logits, &c, &n, NULL), 0);
    for (int i = 0; i < vocabulary; i++)
        expected += kept[i];
    assert_int_equal(n, expected);
    for (size_t i = 0; i < n; i++) {
        assert_true(kept[c[i].id]);
        assert_true(fabs(c[i].probability - p[c[i].id]) <= 1e-10 * (1 + p[c[i].id]));
        sum += c[i].probability;
    }
    assert_true(fabs(sum - 1) < 1e-12);
}

/* ---- tests ---- */

static void filters_equal_the_plain_ones(void **state)
{
    (void)state;
    static const double top_ks[] = { 0, 1, 2, 17, 299, 300, 5000 }, ps[] = { 1, 0.001, 0.3, 0.9, 0.999 };
    static const double min_ps[] = { 0, 0.001, 0.1, 0.9, 1 }, temperatures[] = { 0.2, 1, 1.7 };
    struct random r;
    float logits[VOCABULARY];
    static struct naive x;
    random_seed(&r, 5);
    for (int round = 0; round < 1500; round++) {
        struct sampling s = plain();
        s.at[SAMPLING_temperature] = temperatures[random_below(&r, 3)];
        s.at[SAMPLING_top_k] = top_ks[random_below(&r, 7)];
        s.at[SAMPLING_top_p] = ps[random_below(&r, 5)];
        s.at[SAMPLING_min_p] = min_ps[random_below(&r, 5)];
        s.at[SAMPLING_typical] = ps[random_below(&r, 5)];
        make_logits(&r, logits, VOCABULARY, 4);
        struct sampler *sampler = open_sampler(&s, VOCABULARY);
        naive_chain(&x, &s, logits);
        assert_same(sampler, logits, x.kept, x.p, VOCABULARY);
        sampler_close(sampler);
    }
}

static void read_biases(struct sampling *s, const json_t *settings, struct logit_bias *biases)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(settings, "logit_bias"), key, value)
    {
        double add = json_is_string(value) ? -INFINITY : json_number_value(value);
        biases[s->n_biases++] = (struct logit_bias) { (int32_t)strtol(key, NULL, 10), add };
    }
    s->biases = biases;
}

static void chain_equals_transformers(void **state)
{
    (void)state;
    json_t *file;
    struct error e = { 0 };
    if (json_read_file_new(&file, test_repo("tests/golden/data/sampler.json"), 1 << 20, &e) != 0)
        fail_msg("%s", e.text);
    const json_t *cases = json_object_get(file, "cases");
    assert_true(json_array_size(cases) >= 20);
    for (size_t k = 0; k < json_array_size(cases); k++) {
        const json_t *c = json_array_get(cases, k), *settings = json_object_get(c, "settings");
        const json_t *logit_array = json_object_get(c, "logits"), *kept_array = json_object_get(c, "kept");
        const json_t *prompt = json_object_get(c, "prompt"), *p_array = json_object_get(c, "probabilities");
        float logits[64];
        double p[64] = { 0 };
        bool kept[64] = { false };
        struct logit_bias biases[8];
        struct sampling s = plain();
        for (int i = 0; i < SAMPLING_COUNT; i++)
            s.at[i] = json_real_of(settings, sampling_key((enum sampling_setting)i), s.at[i]);
        read_biases(&s, settings, biases);
        int n = (int)json_array_size(logit_array);
        for (int i = 0; i < n; i++)
            logits[i] = (float)json_number_value(json_array_get(logit_array, (size_t)i));
        for (size_t i = 0; i < json_array_size(kept_array); i++) {
            json_int_t id = json_integer_value(json_array_get(kept_array, i));
            kept[id] = true;
            p[id] = json_number_value(json_array_get(p_array, i));
        }
        struct sampler *sampler = open_sampler(&s, n);
        for (size_t i = 0; i < json_array_size(prompt); i++) {
            int32_t id = (int32_t)json_integer_value(json_array_get(prompt, i));
            sampler_prompt(sampler, &id, 1);
        }
        assert_same(sampler, logits, kept, p, n);
        sampler_close(sampler);
    }
    json_decref(file);
}

/* 20,000 draws; the statistic of k - 1 degrees of freedom stays under its 99.9 % point (Wilson and Hilferty). */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { SMALL = 23, DRAWS = 20000 };
    struct random r;
    float logits[SMALL];
    random_seed(&r, 11);
    for (int round = 0; round < 6; round++) {
        struct sampling s = plain();
        s.seed = (uint64_t)round + 100;
        s.at[SAMPLING_top_k] = round % 2 ? 0 : 12;
        s.at[SAMPLING_top_p] = round % 3 ? 1 : 0.9;
        make_logits(&r, logits, SMALL, 1);
        struct sampler *sampler = open_sampler(&s, SMALL);
        double p[SMALL] = { 0 }, statistic = 0;
        int count[SMALL] = { 0 }, k = 0;
        const struct candidate *c;
        size_t n;
        assert_int_equal(sampler_candidates(sampler, logits, &c, &n, NULL), 0);
        for (size_t i = 0; i < n; i++)
            p[c[i].id] = c[i].probability;
        for (int i = 0; i < DRAWS; i++) {
            int32_t id;
            assert_int_equal(sampler_choose(sampler, logits, &id, NULL), 0);
            count[id]++;
        }
        for (int i = 0; i < SMALL; i++) {
            if (p[i] == 0) {
                assert_int_equal(count[i], 0);
                continue;
            }
            statistic += (count[i] - DRAWS * p[i]) * (count[i] - DRAWS * p[i]) / (DRAWS * p[i]);
            k++;
        }
        double df = k - 1, limit = df * pow(1 - 2 / (9 * df) + 3.0902 * sqrt(2 / (9 * df)), 3);
        assert_true(statistic < limit);
        sampler_close(sampler);
    }
}

static void a_seed_gives_the_same_ids(void **state)
{
    (void)state;
    struct sampling s;
    struct random r;
    float logits[VOCABULARY];
    int32_t first[50], id;
    int different = 0;
    assert_int_equal(sampling_init(&s, NULL, false, NULL), 0);
    s.seed = 42;
    random_seed(&r, 1);
    make_logits(&r, logits, VOCABULARY, 1);
    struct sampler *sampler = open_sampler(&s, VOCABULARY);
    for (int i = 0; i < 50; i++)
        assert_int_equal(sampler_choose(sampler, logits, &first[i], NULL), 0);
    sampler_reset(sampler, 42);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sampler_choose(sampler, logits, &id, NULL), 0);
        assert_int_equal(id, first[i]);
    }
    sampler_reset(sampler, 43);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sampler_choose(sampler, logits, &id, NULL), 0);
        different += id != first[i];
    }
    assert_true(different > 10);
    sampler_close(sampler);
}

static void greedy_takes_the_first_of_equals(void **state)
{
    (void)state;
    struct sampling s = plain();
    assert_int_equal(sampling_set(&s, SAMPLING_temperature, 0, NULL), 0);
    struct sampler *sampler = open_sampler(&s, 5);
    const float logits[5] = { 1, 7, -INFINITY, 7, 2 };
    int32_t id;
    assert_int_equal(sampler_choose(sampler, logits, &id, NULL), 0);
    assert_int_equal(id, 1);
    sampler_close(sampler);
}

static void penalties_look_where_they_should(void **state)
{
    (void)state;
    struct sampling s = plain();
    s.at[SAMPLING_repetition_penalty] = 2;
    s.at[SAMPLING_frequency_penalty] = 0.5;
    s.at[SAMPLING_presence_penalty] = 0.25;
    struct sampler *sampler = open_sampler(&s, 4);
    const float logits[4] = { 3, 3, -3, 3 };
    const int32_t prompt[2] = { 0, 2 };
    const double expected[4] = { 1.5, 1.5 - 3 * 0.5 - 0.25, -6, 3 };
    sampler_prompt(sampler, prompt, 2);
    for (int i = 0; i < 3; i++)
        sampler_accept(sampler, 1);
    const struct candidate *c;
    size_t n;
    assert_int_equal(sampler_candidates(sampler, logits, &c, &n, NULL), 0);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(c[i].logit - (expected[c[i].id] - 3)) < 1e-12);
    sampler_close(sampler);
}

static void broken_logits_are_errors(void **state)
{
    (void)state;
    static const double temperatures[] = { 0, 1, 1e-300 };
    for (int t = 0; t < 3; t++) {
        struct sampling s = plain();
        s.at[SAMPLING_temperature] = temperatures[t];
        s.at[SAMPLING_top_p] = 0.5;
        struct sampler *sampler = open_sampler(&s, 3);
        struct error e = { 0 };
        int32_t id = -1;
        const float nan_logits[3] = { 1, NAN, 2 }, high[3] = { 1, INFINITY, 2 };
        const float none[3] = { -INFINITY, -INFINITY, -INFINITY }, wide[3] = { -3e38f, 3e38f, 0 };
        assert_int_equal(sampler_choose(sampler, nan_logits, &id, &e), ERROR_FORMAT);
        assert_non_null(strstr(e.text, "token 1"));
        assert_int_equal(sampler_choose(sampler, high, &id, &e), ERROR_FORMAT);
        assert_int_equal(sampler_choose(sampler, none, &id, &e), ERROR_FORMAT);
        assert_int_equal(sampler_choose(sampler, wide, &id, &e), 0);
        assert_int_equal(id, 1);
        sampler_close(sampler);
    }
}

static void biases_are_checked(void **state)
{
    (void)state;
    struct sampler *sampler;
    struct sampling s = plain();
    struct logit_bias b = { 5, 1 };
    s.biases = &b;
    s.n_biases = 1;
    assert_int_equal(sampler_open(&sampler, &s, 5, NULL), ERROR_USAGE);
    assert_null(sampler);
    b = (struct logit_bias) { 4, NAN };
    assert_int_equal(sampler_open(&sampler, &s, 5, NULL), ERROR_USAGE);
    assert_int_equal(sampling_set(&s, SAMPLING_top_p, 1.5, NULL), ERROR_USAGE);
    assert_true(sampler_bytes(5) >= 5 * (sizeof(struct candidate) + 5));
}

static struct sampling from_text(const char *text, bool whole, int expected)
{
    json_t *j;
    struct sampling s;
    assert_int_equal(json_read_new(&j, text, strlen(text), "a test", NULL), 0);
    assert_int_equal(sampling_init(&s, j, whole, NULL), expected);
    json_decref(j);
    return s;
}

static void settings_know_their_source(void **state)
{
    (void)state;
    struct sampling s = from_text("{\"bos_token_id\": 1}", false, 0);
    assert_true(s.at[SAMPLING_temperature] == 0.8 && s.source[SAMPLING_temperature] == SAMPLING_DEFAULT);
    s = from_text("{\"do_sample\": true, \"temperature\": 0.6, \"top_p\": 0.9, \"top_k\": null}", false, 0);
    assert_true(s.at[SAMPLING_temperature] == 0.6 && s.source[SAMPLING_temperature] == SAMPLING_MODEL);
    assert_true(s.at[SAMPLING_top_k] == 0 && s.at[SAMPLING_min_p] == 0);
    assert_string_equal(sampling_source_name(s.source[SAMPLING_top_p]), "generation_config.json");
    assert_int_equal(sampling_set(&s, SAMPLING_top_p, 0.5, NULL), 0);
    assert_string_equal(sampling_source_name(s.source[SAMPLING_top_p]), "command line");
    s = from_text("{\"do_sample\": false}", false, 0);
    assert_true(s.at[SAMPLING_temperature] == 0 && s.source[SAMPLING_temperature] == SAMPLING_MODEL);
    s = from_text("{\"top_k\": -1, \"temperature\": 1}", false, 0);
    assert_true(s.at[SAMPLING_top_k] == 0);
    /* Authors who advise to sample from all tokens, unless their file says more. */
    s = from_text("{\"do_sample\": true}", true, 0);
    for (int i = 0; i < SAMPLING_COUNT; i++)
        assert_true(s.at[i] == sampling_off((enum sampling_setting)i) && s.source[i] == SAMPLING_DEFAULT);
    s = from_text("{\"temperature\": 0.5}", true, 0);
    assert_true(s.at[SAMPLING_temperature] == 0.5);
    from_text("{\"top_p\": 3}", false, ERROR_FORMAT);
    from_text("{\"temperature\": -1}", false, ERROR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_equal_the_plain_ones),
        cmocka_unit_test(chain_equals_transformers),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_seed_gives_the_same_ids),
        cmocka_unit_test(greedy_takes_the_first_of_equals),
        cmocka_unit_test(penalties_look_where_they_should),
        cmocka_unit_test(broken_logits_are_errors),
        cmocka_unit_test(biases_are_checked),
        cmocka_unit_test(settings_know_their_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
