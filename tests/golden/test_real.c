/* SPDX-License-Identifier: Apache-2.0 */
/* Trained weights speak as their authors say. */
#include "compare.h"
#include "runner.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>

static int greedy(const struct runner *r, int32_t *ids, int n)
{
    struct cut whole = { .format = &format_f16, .threads = 2, .chunk = 512 };
    float *logits = runner_logits_new(r, ids, n, &whole), *last = logits + (n - 1) * r->spec->vocabulary;
    int best = 0;
    for (int i = 1; i < r->spec->vocabulary; i++)
        if (last[i] > last[best])
            best = i;
    free(logits);
    return best;
}

static const int lily[] = { 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396,
    267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433 };
#define LILY_LENGTH (int)(sizeof lily / sizeof lily[0])

static void speak(const char *relative)
{
    const char *path = test_data(relative);
    struct runner r;
    int32_t ids[LILY_LENGTH + 1] = { 1 };
    if (!path)
        skip();
    runner_open(&r, path);
    for (int i = 0; i < LILY_LENGTH; i++) {
        ids[i + 1] = greedy(&r, ids, i + 1);
        assert_int_equal(ids[i + 1], lily[i]);
    }
    runner_close(&r);
}

static void stories_from_a_folder(void **state)
{
    (void)state;
    speak("weights/stories260K/hf");
}

static void stories_from_llama2c(void **state)
{
    (void)state;
    speak("weights/stories260K/stories260K.bin");
}

/* Against a float64 computation of the same checkpoints (tools/golden/llama2c.py). */
static void checkpoints_give_the_same_numbers(void **state)
{
    (void)state;
    json_t *cases, *c, *id;
    size_t i, n;
    struct error err = { 0 };
    if (!test_data("weights"))
        skip();
    if (json_read_file_new(&cases, test_repo("tests/golden/data/llama2c.json"), 1 << 20, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(json_array_size(cases), 2);
    json_array_foreach(cases, i, c)
    {
        struct runner r;
        struct worst worst = { 0 };
        struct cut chunks = { .format = &format_f32, .threads = 2, .chunk = 64 };
        int32_t ids[512];
        json_array_foreach(json_object_get(c, "ids"), n, id) ids[n] = (int32_t)json_integer_value(id);
        runner_open(&r, test_data(json_text(c, "path", "")));
        float *logits = runner_logits_new(&r, ids, (int)n, &chunks);
        compare_rows(&r, json_object_get(c, "rows"), NULL, logits, REFERENCE_FLOAT64, &worst);
        printf("%s: %zu tokens, worst %.1f of %.1f units\n", json_text(c, "path", ""), n, worst.scaled, worst.allowed);
        free(logits);
        runner_close(&r);
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_from_a_folder),
        cmocka_unit_test(stories_from_llama2c),
        cmocka_unit_test(checkpoints_give_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
