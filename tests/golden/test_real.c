/* SPDX-License-Identifier: Apache-2.0 */
/* Trained weights speak as their authors say. */
#include "runner.h"

#include "support.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_from_a_folder),
        cmocka_unit_test(stories_from_llama2c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
