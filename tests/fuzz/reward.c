/* SPDX-License-Identifier: Apache-2.0 */
#include "train/number.h"
#include "train/reward.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Specifications are the user's own, and may name programs: those are read, not run. */
static bool runs_programs(const struct reward *r)
{
    for (int i = 0; i < reward_parts(r); i++)
        if (strcmp(reward_part_name(r, i), "command") == 0)
            return true;
    return false;
}

static void judge(const struct reward *r, struct reward_text completion, struct reward_text answer)
{
    struct reward_case c = { .completion = completion, .answer = answer, .tokens = (int)completion.n };
    struct reward_failures failures;
    double total, parts[REWARD_PARTS_MAX], sum = 0;
    assert(reward_run(r, &c, 1, NULL, &total, parts, &failures, NULL) == 0);
    assert((failures.count == 0) == (failures.first.code == 0));
    for (int i = 0; i < reward_parts(r); i++) {
        assert(parts[i] >= -1 && parts[i] <= 1);
        sum += reward_part_weight(r, i) * parts[i];
    }
    assert(total == sum);
}

/* A line that says what is rewarded, then a completion; an answer is a part of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct reward *r;
    const char *text = (const char *)data, *end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - text) : size;
    struct reward_text completion = { text + n, size - n }, answer = { text + n, (size - n) / 2 };
    double x = 0;
    assert(!number_of_answer(completion.data, completion.n, &x) || isfinite(x));
    int rc = reward_open(&r, text, n, &err);
    assert((rc == 0) == (r != NULL) && (rc == 0) == (err.code == 0));
    if (rc == 0 && !runs_programs(r))
        judge(r, completion, answer);
    reward_close(r);
    return 0;
}
