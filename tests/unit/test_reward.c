/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/clock.h"
#include "train/number.h"
#include "train/reward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

static const struct {
    const char *text;
    double want; /* NAN: there is none */
} answers[] = {
    { "42", 42 }, { "The answer is 42.", 42 }, { "-7", -7 }, { "x = \xe2\x88\x92" "7", -7 }, { "+7", 7 },
    { "1,234,567.5 dollars", 1234567.5 }, { "1,23", 23 }, { "1234,567", 567 }, { "1,2345", 2345 }, { "1,234,56", 56 },
    { "3.14159", 3.14159 }, { ".5", 0.5 }, { "0.", 0 }, { "1e3", 1000 }, { "2.5E-3", 0.0025 }, { "2e", 2 },
    { "3/4", 0.75 }, { "-3/4", -0.75 }, { "3 / 4", 4 }, { "3/0", 0 }, { "\\frac{3}{4}", 0.75 },
    { "-\\dfrac{1}{8}", -0.125 }, { "\\tfrac{-1}{8}", -0.125 }, { "\\frac{1}{0}", 0 }, { "\\frac{x}{4}", 4 },
    { "\\frac{3", 3 }, { "5-3", 3 }, { "x-3", 3 }, { "(2)-3", 3 }, { "from 5 to -3", -3 }, { "50%", 50 },
    { "about $1,000", 1000 }, { "10:30", 30 }, { "first 1 then 2", 2 }, { "1.2.3", 0.3 }, { "1/2/2024", 2024 },
    { "12 apples\n#### 1,200", 1200 }, { "#### 5 of 7", 5 }, { "#### 3\n#### 4", 4 }, { "5\n####", NAN },
    { "\\boxed{17} and 18", 17 }, { "\\boxed{1} \\boxed{\\frac{2}{4}} 9", 0.5 }, { "\\boxed{x = -2}", -2 },
    { "\\boxed{{3}} 4", 3 }, { "\\boxed{3", 3 }, { "\\boxed{} 4", NAN }, { "#### \\boxed{6}", 6 },
    { "", NAN }, { "none", NAN }, { "-", NAN }, { ".", NAN }, { "#", NAN }, { "\\frac{}{}", NAN },
    { "1e999", NAN }, { "7 or 1e999", 7 }, { "\xe2", NAN }, { "\xe2\x88", NAN }, { "3\xe2\x88\x92" "4", 4 },
};

static void numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        double got = NAN;
        char *copy = strndup(answers[i].text, strlen(answers[i].text));
        bool found = number_of_answer(copy, strlen(copy), &got);
        free(copy);
        if (found == isnan(answers[i].want) || (found && !number_equal(got, answers[i].want)))
            fail_msg("\"%s\": %s %.17g, expected %.17g", answers[i].text, found ? "found" : "found nothing", got,
                answers[i].want);
    }
    assert_true(number_equal(1.0 / 3, 0.333333333333333333));
    assert_false(number_equal(1.0 / 3, 0.3333333));
    assert_false(number_equal(1000000001, 1000000000));
    assert_true(number_equal(0, -0.0));
}

/* Long runs of digits are no numbers, and cost no more than reading them a few times. */
static void long_numbers(void **state)
{
    (void)state;
    enum { MANY = 4000000 };
    static const char *const parts[] = { "9", "0/", "\\frac{1", "-", "1,", "\\boxed{", "{", "#### ", "1e", "." };
    char *text = malloc(MANY);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double x, begun = clock_seconds();
        size_t n = strlen(parts[i]);
        for (size_t at = 0; at < MANY; at++)
            text[at] = parts[i][at % n];
        bool found = number_of_answer(text, MANY, &x);
        assert_true(!found || isfinite(x));
        assert_true(clock_seconds() - begun < 20);
        if (i == 0)
            assert_false(found);
    }
    free(text);
}

/* ---- rewards ---- */

static struct reward_text text_of(const char *text)
{
    return (struct reward_text) { text, text ? strlen(text) : 0 };
}

static struct reward *open_reward(const char *spec)
{
    struct reward *r;
    struct error err = { 0 };
    if (reward_open(&r, spec, strlen(spec), &err) != 0)
        fail_msg("%s", err.text);
    return r;
}

static double judge(const struct reward *r, const char *completion, const char *answer, int tokens,
    struct reward_failures *failures)
{
    struct reward_case c = { text_of("why?"), text_of(completion), text_of(answer), tokens };
    double total, parts[REWARD_PARTS_MAX];
    assert_int_equal(reward_run(r, &c, 1, NULL, &total, parts, failures, NULL), 0);
    return total;
}

static const struct {
    const char *spec, *completion, *answer;
    int tokens;
    double want;
} cases[] = {
    { "exact", " Paris \n", "Paris", 0, 1 }, { "exact", "paris", "Paris", 0, 0 }, { "exact", "", "", 0, 1 },
    { "exact", "<think>Rome?</think> Paris", "Paris", 0, 1 }, { "exact", NULL, NULL, 0, 1 },
    { "numeric", "<think>7</think>It is 1,000.", "Adding up\n#### 1000", 0, 1 }, { "numeric", "8", "7", 0, 0 },
    { "numeric", "8 <think>7</think>", "8", 0, 0 }, { "numeric", "nothing", "7", 0, 0 },
    { "numeric,exact:0.5", "7", "7", 0, 1.5 }, { "numeric:-2,exact:1e-1", "7.0", "7", 0, -2 },
    { "[{\"kind\":\"regex\",\"pattern\":\"^a+b$\"}]", "aaab", "", 0, 1 },
    { "[{\"kind\":\"regex\",\"pattern\":\"^a+b$\",\"weight\":3}]", "aac", "", 0, 0 },
    { "[{\"kind\":\"regex\",\"pattern\":\"\\\\S\"}]", "", "", 0, 0 },
    { "[{\"kind\":\"regex\",\"pattern\":\".\"}]", "\xff", "", 0, 0 },
    { "[{\"kind\":\"length\",\"least\":3,\"most\":5}]", "", "", 2, 0 },
    { "[{\"kind\":\"length\",\"least\":3,\"most\":5}]", "", "", 3, 1 },
    { "[{\"kind\":\"length\",\"least\":3,\"most\":5}]", "", "", 5, 1 },
    { "[{\"kind\":\"length\",\"most\":5}]", "", "", 6, 0 }, { "length", "", "", 1000, 1 },
    /* The values of TRL's get_soft_overlong_punishment(100, 20). */
    { "[{\"kind\":\"overlong\",\"most\":100,\"margin\":20}]", "", "", 80, 0 },
    { "[{\"kind\":\"overlong\",\"most\":100,\"margin\":20}]", "", "", 90, -0.5 },
    { "[{\"kind\":\"overlong\",\"most\":100,\"margin\":20}]", "", "", 100, -1 },
    { "[{\"kind\":\"overlong\",\"most\":100,\"margin\":20}]", "", "", 101, -1 },
    { "[{\"kind\":\"overlong\",\"most\":100,\"margin\":0}]", "", "", 100, 0 },
    { "format", "<think>hm</think>Yes", "", 0, 1 }, { "format", "<think></think> \n", "", 0, 0 },
    { "format", "Yes", "", 0, 0 }, { "format", "So <think>hm</think>Yes", "", 0, 0 },
    { "format", "<think>hm", "", 0, 0 }, { "format", "<think>a<think>b</think>Yes", "", 0, 0 },
    { "format", "<think>a</think>Yes</think>", "", 0, 0 },
    { "[{\"kind\":\"format\",\"open\":\"[\",\"close\":\"]\"}]", "[hm] yes", "", 0, 1 },
    { "json", "{\"a\": [1, 2]}", "", 0, 1 }, { "json", "<think>x</think>\n[1]\n", "", 0, 1 },
    { "json", "{\"a\": [1, 2}", "", 0, 0 }, { "json", "", "", 0, 0 }, { "json", "{} {}", "", 0, 0 },
};

static void rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reward *r = open_reward(cases[i].spec);
        struct reward_failures f;
        double got = judge(r, cases[i].completion, cases[i].answer, cases[i].tokens, &f);
        if (f.count || fabs(got - cases[i].want) > 1e-12)
            fail_msg("case %zu, %s of \"%s\": %g instead of %g, %d failures", i, cases[i].spec, cases[i].completion,
                got, cases[i].want, f.count);
        reward_close(r);
    }
}

static const struct {
    const char *spec, *words;
    int code;
} senseless[] = {
    { "", "no reward \"\"", ERROR_USAGE }, { "numeric,", "no reward \"\"", ERROR_USAGE },
    { "number", "no reward \"number\"", ERROR_USAGE }, { "numeric:", "weight of reward numeric", ERROR_USAGE },
    { "numeric:x", "weight of reward numeric", ERROR_USAGE }, { "numeric:inf", "weight of", ERROR_USAGE },
    { "numeric:1:2", "weight of", ERROR_USAGE }, { "numeric:1e7", "weight of", ERROR_USAGE },
    { "regex", "it needs a \"pattern\"", ERROR_USAGE }, { "command", "needs an \"argv\"", ERROR_USAGE },
    { "overlong", "its \"most\"", ERROR_USAGE }, { "[", "could not parse the rewards", ERROR_FORMAT },
    { "[]", "there are no rewards", ERROR_USAGE }, { "[1]", "reward 0 has no \"kind\"", ERROR_USAGE },
    { "[{\"kind\":\"exact\",\"weight\":\"2\"}]", "weight of reward exact", ERROR_USAGE },
    { "[{\"kind\":\"regex\",\"pattern\":\"(\"}]", "reward regex: could not compile", ERROR_FORMAT },
    { "[{\"kind\":\"length\",\"least\":5,\"most\":3}]", "its \"most\"", ERROR_USAGE },
    { "[{\"kind\":\"length\",\"least\":\"x\"}]", "its \"least\"", ERROR_USAGE },
    { "[{\"kind\":\"overlong\",\"most\":5,\"margin\":6}]", "is above its \"most\"", ERROR_USAGE },
    { "[{\"kind\":\"format\",\"open\":\"\"}]", "its \"open\" must be a text", ERROR_USAGE },
    { "[{\"kind\":\"format\",\"close\":\"a\\u0000b\"}]", "its \"close\" must be a text", ERROR_USAGE },
    { "[{\"kind\":\"command\",\"argv\":[]}]", "needs an \"argv\"", ERROR_USAGE },
    { "[{\"kind\":\"command\",\"argv\":[\"\"]}]", "word 0 of its", ERROR_USAGE },
    { "[{\"kind\":\"command\",\"argv\":[\"a\",1]}]", "word 1 of its", ERROR_USAGE },
    { "[{\"kind\":\"command\",\"argv\":[\"a\"],\"seconds\":0}]", "its \"seconds\"", ERROR_USAGE },
    { "exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact,exact",
        "more than 16 rewards", ERROR_LIMIT },
};

static void senseless_rewards(void **state)
{
    (void)state;
    struct reward *r;
    struct error err;
    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) {
        err = (struct error) { 0 };
        assert_int_equal(reward_open(&r, senseless[i].spec, strlen(senseless[i].spec), &err), senseless[i].code);
        assert_null(r);
        if (!strstr(err.text, senseless[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", senseless[i].spec, err.text, senseless[i].words);
    }
    assert_int_equal(reward_open(&r, "exact", REWARD_SPEC_MAX + 1, &err), ERROR_LIMIT);
    reward_close(NULL);
}

/* ---- programs ---- */

static struct reward *open_shell(const char *script, const char *seconds)
{
    char spec[1024];
    int n = snprintf(spec, sizeof spec,
        "[{\"kind\":\"exact\"},"
        "{\"kind\":\"command\",\"argv\":[\"/bin/sh\",\"-c\",\"%s\"],\"seconds\":%s,\"weight\":2}]",
        script, seconds);
    assert_in_range(n, 1, sizeof spec - 1);
    return open_reward(spec);
}

static void programs(void **state)
{
    (void)state;
    static const struct { const char *script; double want; const char *failure; } all[] = {
        { "echo 0.25", 1.5, NULL }, { "printf -- ' -1e0 '", -1, NULL }, { "true", 1, "wrote \"\", which is no number" },
        { "echo 1 2", 1, "wrote \"1 2\", which is no number" }, { "echo nan", 1, "which is no number" },
        { "printf '1\\\\000'", 1, "which is no number" },
        { "echo broken >&2; exit 3", 1, "ended with status 3: broken" }, { "kill -9 $$", 1, "ended with signal 9" },
        { "head -c 100000 /dev/zero | tr '\\\\0' 1", 1, "which is no number" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct reward *r = open_shell(all[i].script, "60");
        struct reward_failures f;
        double got = judge(r, "yes", "yes", 0, &f);
        if (got != all[i].want || f.count != (all[i].failure != NULL))
            fail_msg("%s: %g, %d failures (%s)", all[i].script, got, f.count, f.first.text);
        if (all[i].failure && !strstr(f.first.text, all[i].failure))
            fail_msg("\"%s\" does not say \"%s\"", f.first.text, all[i].failure);
        reward_close(r);
    }
    struct reward_failures f;
    struct reward *r = open_shell("sleep 600", "0.2");
    assert_true(judge(r, "yes", "yes", 0, &f) == 1 && f.count == 1);
    assert_non_null(strstr(f.first.text, "reward command of completion 0: \"/bin/sh\" was still judging after 0.2 s"));
    reward_close(r);
    r = open_reward("[{\"kind\":\"command\",\"argv\":[\"/nonexistent/judge\"]}]");
    assert_true(judge(r, "yes", "yes", 0, &f) == 0 && f.count == 1);
    assert_string_equal(reward_part_name(r, 0), "command");
    assert_true(reward_parts(r) == 1 && reward_part_weight(r, 0) == 1);
    reward_close(r);
}

/* What a program reads: one object, whatever bytes were sampled. */
static void programs_read_json(void **state)
{
    (void)state;
    struct reward *r = open_shell("read -r line; [ \\\"$line\\\" = '{\\\"prompt\\\":\\\"why?\\\",\\\"completion\\\":"
        "\\\"a\xef\xbf\xbd \\\\n\\\\\\\"\\\",\\\"answer\\\":\\\"\\\"}' ] && echo 1 || echo 0", "60");
    struct reward_failures f;
    double got = judge(r, "a\xff \n\"", "", 0, &f);
    if (got != 2)
        fail_msg("%g, %d failures (%s)", got, f.count, f.first.text);
    reward_close(r);
}

static void many_at_once(void **state)
{
    (void)state;
    enum { CASES = 24 };
    struct reward_case list[CASES];
    char texts[CASES][16];
    double totals[CASES], parts[2 * CASES];
    struct reward_failures f;
    struct pool *pool;
    struct reward *r = open_reward(
        "[{\"kind\":\"numeric\"},{\"kind\":\"command\",\"weight\":0.5,"
        "\"argv\":[\"sed\",\"s/.*completion.:.\\\\([0-9]*\\\\).*/\\\\1/\"]}]");
    for (int i = 0; i < CASES; i++) {
        snprintf(texts[i], sizeof texts[i], i == 7 || i == 9 ? "none" : "%d", i);
        list[i] = (struct reward_case) { .completion = text_of(texts[i]), .answer = text_of("5") };
    }
    assert_int_equal(pool_open(&pool, 3, NULL), 0);
    assert_int_equal(reward_run(r, list, CASES, pool, totals, parts, &f, NULL), 0);
    pool_close(pool);
    for (int i = 0; i < CASES; i++) {
        double want = i == 7 || i == 9 ? 0 : i;
        assert_true(parts[2 * i] == (i == 5) && parts[2 * i + 1] == want);
        assert_true(totals[i] == (i == 5) + 0.5 * want);
    }
    assert_int_equal(f.count, 2);
    assert_non_null(strstr(f.first.text, "of completion 7"));
    reward_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(long_numbers),
        cmocka_unit_test(rules),
        cmocka_unit_test(senseless_rewards),
        cmocka_unit_test(programs),
        cmocka_unit_test(programs_read_json),
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
