/* SPDX-License-Identifier: Apache-2.0 */
/* Samples go in and come out; each epoch's passes hold every sample once, nearly full, the same at every call. */
#include "support.h"

#include "base/random.h"
#include "train/packing.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST 200

/* Samples of 1 to LONGEST tokens; the first id tells which. Every third one is masked. */
static struct dataset *made(size_t n, uint64_t seed)
{
    struct dataset_builder *b;
    struct dataset *d;
    struct random r;
    int32_t ids[LONGEST + 1], targets[LONGEST];
    random_seed(&r, seed);
    assert_int_equal(dataset_builder_open(&b, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        int count = 1 + (int)random_below(&r, LONGEST);
        for (int k = 0; k <= count; k++)
            ids[k] = k ? (int32_t)random_below(&r, 1000) : (int32_t)i;
        memcpy(targets, ids + 1, sizeof targets);
        for (int k = 0; i % 3 == 0 && k < count - 1; k++)
            targets[k] = TRAIN_SKIP;
        assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, targets, count}, 10 + i, NULL), 0);
    }
    assert_int_equal(dataset_builder_finish(&d, b, NULL), 0);
    dataset_builder_close(b);
    return d;
}

static void samples_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct dataset_builder *b;
    struct dataset *d;
    struct train_text out;
    const int32_t ids[] = {5, 6, 7, 8}, masked[] = {TRAIN_SKIP, 7, TRAIN_SKIP}, other[] = {6, 9, 1};
    int32_t *large = calloc(3000001, sizeof *large);
    assert_non_null(large);
    large[3000000] = 4;
    assert_int_equal(dataset_builder_open(&b, NULL), 0);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, ids + 1, 3}, 30, NULL), 0);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, masked, 3}, 4, NULL), 0);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){large, large + 1, 3000000}, 0, NULL), 0);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, other, 3}, 5, NULL), 0);
    assert_int_equal(dataset_builder_finish(&d, b, NULL), 0);
    const struct dataset_size *size = dataset_size(d);
    assert_int_equal(size->samples, 4);
    assert_int_equal(size->tokens, 3000009);
    assert_int_equal(size->counted, 3000007);
    assert_int_equal(size->counted_bytes, 39);
    assert_int_equal(size->longest, 3000000);
    dataset_sample(d, 0, &out);
    assert_int_equal(out.count, 3);
    assert_memory_equal(out.ids, ids, sizeof masked);
    assert_memory_equal(out.targets, ids + 1, sizeof masked);
    dataset_sample(d, 1, &out);
    assert_memory_equal(out.ids, ids, sizeof masked);
    assert_memory_equal(out.targets, masked, sizeof masked);
    dataset_sample(d, 2, &out);
    assert_int_equal(out.targets[2999999], 4);
    assert_int_equal(out.targets[2999998], 0);
    dataset_sample(d, 3, &out);
    assert_memory_equal(out.targets, other, sizeof other);
    dataset_close(d);
    assert_int_equal(dataset_builder_size(b)->samples, 0);
    assert_int_equal(dataset_builder_finish(&d, b, NULL), ERROR_USAGE);
    dataset_builder_close(b);
    free(large);
}

static void what_is_no_sample_is_refused(void **state)
{
    (void)state;
    struct dataset_builder *b;
    struct error err = {0};
    const int32_t ids[] = {5, 6}, none[] = {TRAIN_SKIP, TRAIN_SKIP}, bad[] = {1, -2};
    assert_int_equal(dataset_builder_open(&b, NULL), 0);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, none, 2}, 0, &err), ERROR_USAGE);
    assert_non_null(strstr(err.text, "none that counts"));
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, ids, 0}, 0, &err), ERROR_USAGE);
    assert_int_equal(dataset_builder_add(b, &(struct train_text){ids, bad, 2}, 0, &err), ERROR_USAGE);
    assert_non_null(strstr(err.text, "token 1 of a sample is 6 with the target -2"));
    assert_int_equal(dataset_builder_add(b, &(struct train_text){bad, ids, 2}, 0, &err), ERROR_USAGE);
    assert_int_equal(dataset_builder_size(b)->samples, 0);
    dataset_builder_close(b);
}

static void the_digest_tells_data_apart(void **state)
{
    (void)state;
    struct dataset *a = made(50, 1), *same = made(50, 1), *other = made(50, 2), *fewer = made(49, 1);
    assert_memory_equal(dataset_digest(a), dataset_digest(same), DATASET_DIGEST);
    assert_memory_not_equal(dataset_digest(a), dataset_digest(other), DATASET_DIGEST);
    assert_memory_not_equal(dataset_digest(a), dataset_digest(fewer), DATASET_DIGEST);
    dataset_close(a);
    dataset_close(same);
    dataset_close(other);
    dataset_close(fewer);
}

static size_t id_of(const struct train_text *text)
{
    return (size_t)text->ids[0];
}

/* Check one epoch's steps and return its passes; order: which sample came as the i-th. */
static int64_t check_epoch(struct packing *p, const struct packing_options *o, const struct dataset *d,
    uint64_t first, uint64_t epoch, size_t *order)
{
    size_t n = dataset_size(d)->samples, at = 0;
    uint64_t steps = packing_steps(p, epoch), counted = 0, passes = 0;
    bool *seen = calloc(n, sizeof *seen);
    assert_non_null(seen);
    for (uint64_t s = 0; s < steps; s++) {
        const struct packed_step *step = packing_step(p, first + s);
        int64_t all = 0;
        assert_int_equal(step->epoch, epoch);
        assert_true(step->passes == o->passes || (s + 1 == steps && step->passes > 0));
        for (int i = 0; i < step->passes; i++) {
            int tokens = 0;
            assert_true(step->pass[i].n >= 1 && step->pass[i].n <= o->texts_max);
            for (int k = 0; k < step->pass[i].n; k++) {
                const struct train_text *text = &step->pass[i].texts[k];
                assert_false(seen[id_of(text)]);
                seen[id_of(text)] = true;
                order[at++] = id_of(text);
                tokens += text->count;
            }
            assert_true(tokens <= o->tokens_max);
            all += tokens;
        }
        assert_int_equal(step->tokens, all);
        counted += (uint64_t)step->counted;
        passes += (uint64_t)step->passes;
    }
    assert_int_equal(at, n);
    assert_int_equal(counted, dataset_size(d)->counted);
    free(seen);
    return (int64_t)passes;
}

static void epochs_hold_every_sample_once(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct dataset *d = made(N, 3);
    const struct packing_options cases[] = {{512, 64, 3, 7, true}, {200, 64, 1, 7, true}, {100000, 4, 2, 7, true},
        {2000000, 100000, 5, 7, true}, {512, 64, 3, 7, false}, {512, 2, 4, 7, false}};
    size_t *order = calloc(3 * N, sizeof *order);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct packing *p;
        uint64_t first = 0;
        int64_t passes = 0;
        assert_int_equal(packing_open(&p, d, &cases[c], NULL), 0);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            passes = check_epoch(p, &cases[c], d, first, epoch, order + epoch * N);
            first += packing_steps(p, epoch);
        }
        assert_true((memcmp(order, order + N, N * sizeof *order) != 0) == cases[c].shuffle);
        assert_true((memcmp(order + N, order + 2 * N, N * sizeof *order) != 0) == cases[c].shuffle);
        for (size_t i = 0; !cases[c].shuffle && i < N; i++)
            assert_int_equal(order[i], i);
        if (c == 0) /* nearly full: at most 2 in 100 passes more than the tokens ask for */
            assert_true(passes * 512 * 100 <= (int64_t)dataset_size(d)->tokens * 102 + 512 * 100);
        packing_close(p);
    }
    free(order);
    dataset_close(d);
}

/* Neither how one came to a step nor what was asked before changes it. */
static void steps_are_a_function_of_their_number(void **state)
{
    (void)state;
    struct dataset *d = made(700, 4);
    struct packing_options o = {300, 16, 2, 11, true};
    struct packing *a, *b;
    assert_int_equal(packing_open(&a, d, &o, NULL), 0);
    assert_int_equal(packing_open(&b, d, &o, NULL), 0);
    uint64_t epoch = packing_steps(a, 0);
    assert_true(epoch > 100);
    const uint64_t asked[] = {2 * epoch + 5, 3, epoch, epoch - 1, 2 * epoch + 5, 0};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const struct packed_step *x = packing_step(a, asked[i]), *y = NULL;
        for (uint64_t s = asked[i] < 4 ? 0 : asked[i] - 3; s <= asked[i]; s++)
            y = packing_step(b, s);
        packing_steps(a, i);
        assert_int_equal(x->passes, y->passes);
        for (int k = 0; k < x->passes; k++) {
            assert_int_equal(x->pass[k].n, y->pass[k].n);
            for (int t = 0; t < x->pass[k].n; t++)
                assert_int_equal(id_of(&x->pass[k].texts[t]), id_of(&y->pass[k].texts[t]));
        }
    }
    packing_close(b);
    o.seed = 12;
    assert_int_equal(packing_open(&b, d, &o, NULL), 0);
    assert_int_not_equal(
        id_of(&packing_step(a, 0)->pass[0].texts[0]), id_of(&packing_step(b, 0)->pass[0].texts[0]));
    packing_close(a);
    packing_close(b);
    dataset_close(d);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct dataset *d = made(100, 5);
    struct error err = {0};
    struct packing *p;
    struct packing_options o = {dataset_size(d)->longest - 1, 16, 2, 1, true};
    assert_int_equal(packing_open(&p, d, &o, &err), ERROR_LIMIT);
    assert_non_null(strstr(err.text, "the longest sample has"));
    o = (struct packing_options){1000, 0, 2, 1, true};
    assert_int_equal(packing_open(&p, d, &o, &err), ERROR_USAGE);
    o = (struct packing_options){1000, 1, 0, 1, true};
    assert_int_equal(packing_open(&p, d, &o, &err), ERROR_USAGE);
    assert_null(p);
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_come_out_as_they_went_in),
        cmocka_unit_test(what_is_no_sample_is_refused),
        cmocka_unit_test(the_digest_tells_data_apart),
        cmocka_unit_test(epochs_hold_every_sample_once),
        cmocka_unit_test(steps_are_a_function_of_their_number),
        cmocka_unit_test(what_does_not_fit_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
