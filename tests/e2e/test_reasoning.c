/* SPDX-License-Identifier: Apache-2.0 */
/* Models that think before they answer: what goes where, how much, and what is kept of it. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *thinker(void)
{
    static const char *folder;
    if (!folder)
        folder = make_model(
            &(struct made_model) { .layers = 2, .dim = 64, .ffn = 96, .context = 2048, .chat = MADE_HARMONY });
    return folder;
}

/* A reply of harmony whatever the random weights say: headers are in their grammar, every token is counted once. */
static void headers_are_in_their_grammar(void **state)
{
    (void)state;
    int answered = 0;
    for (int seed = 1; seed <= 5; seed++) {
        char text[16];
        struct program p;
        snprintf(text, sizeof text, "%d", seed);
        RUN(&p, 0, NULL, "run", "-m", thinker(), "-n", "300", "--temp", "1", "--top-k", "0", "--top-p", "1", "--min-p",
            "0", "--seed", text, "--json", "Hi");
        json_t *r = program_json(&p);
        long long sum = json_whole(r, "reasoning_tokens", -1) + json_whole(r, "answer_tokens", -1)
            + json_whole(r, "call_tokens", -1) + json_whole(r, "mark_tokens", -1);
        assert_int_equal(sum, json_whole(r, "generated_tokens", 0));
        assert_int_equal(json_whole(r, "recoveries", -1), 0);
        answered += json_whole(r, "answer_tokens", 0) > 0;
        json_decref(r);
        program_release(&p);
    }
    assert_true(answered > 0);
}

static void free_headers_are_mended_aloud(void **state)
{
    (void)state;
    int mended = 0;
    for (int seed = 1; seed <= 3; seed++) {
        char text[16];
        struct program p;
        snprintf(text, sizeof text, "%d", seed);
        RUN(&p, 0, NULL, "run", "-m", thinker(), "-n", "300", "--temp", "1", "--top-k", "0", "--top-p", "1", "--min-p",
            "0", "--seed", text, "--free-headers", "--json", "Hi");
        json_t *r = program_json(&p);
        bool some = json_whole(r, "recoveries", -1) > 0;
        assert_int_equal(some, strstr(p.errors.data, "broke its format and was mended") != NULL);
        mended += some;
        json_decref(r);
        program_release(&p);
    }
    assert_true(mended > 0);
}

#define SAID "<|channel|>analysis<|message|>Sum of two.\nEasy.<|end|><|start|>assistant<|channel|>final<|message|>" \
    "It is 4.<|return|>"

/* A scripted model that answers a message with SAID; *prompt: the tokens of that message as a prompt. */
static const char *sayer(const char *said)
{
    struct program p;
    struct made_line line = { 1, said };
    const char *folder = make_scripted(MADE_HARMONY, NULL, 0);
    RUN(&p, 0, NULL, "run", "-m", folder, "--temp", "0", "-n", "1", "--date", "none", "--json", "2+2?");
    json_t *r = program_json(&p);
    line.position = (int)json_whole(r, "prompt_tokens", 0);
    json_decref(r);
    program_release(&p);
    return make_scripted(MADE_HARMONY, &line, 1);
}

static void thoughts_and_answer_part_ways(void **state)
{
    (void)state;
    const char *m = sayer(SAID);
    struct program p;
    RUN(&p, 0, NULL, "run", "-m", m, "--temp", "0", "--date", "none", "2+2?");
    assert_string_equal(p.output.data, "It is 4.");
    assert_non_null(strstr(p.errors.data, "Sum of two.\nEasy.\n\n"));
    assert_non_null(strstr(p.errors.data, "(reasoning 17, answer 8, calls 0, marks "));
    assert_non_null(strstr(p.errors.data, "reasoning medium, date none"));
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", m, "--temp", "0", "--date", "none", "--show-reasoning", "dim", "2+2?");
    assert_string_equal(p.output.data, "It is 4.");
    assert_non_null(strstr(p.errors.data, "\033[2mS"));
    assert_non_null(strstr(p.errors.data, "Easy.\033[0m\n\n"));
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", m, "--temp", "0", "--date", "none", "--show-reasoning", "hidden", "2+2?");
    assert_string_equal(p.output.data, "It is 4.");
    assert_null(strstr(p.errors.data, "Easy"));
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", m, "--temp", "0", "--date", "none", "-q", "2+2?");
    assert_string_equal(p.output.data, "It is 4.");
    assert_int_equal(p.errors.used, 0);
    program_release(&p);
    RUN(&p, 0, NULL, "run", "-m", m, "--temp", "0", "--date", "none", "--json", "2+2?");
    json_t *r = program_json(&p);
    assert_string_equal(json_text(r, "text", ""), "It is 4.");
    assert_string_equal(json_text(r, "reasoning", ""), "Sum of two.\nEasy.");
    json_decref(r);
    program_release(&p);
}

/* Behind the budget the answer is opened, with the tokens the model would have used. */
static void thoughts_end_with_their_budget(void **state)
{
    (void)state;
    static const int budgets[] = { 0, 1, 7, 100 };
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        char text[16];
        struct program p;
        snprintf(text, sizeof text, "%d", budgets[i]);
        RUN(&p, 0, NULL, "run", "-m", thinker(), "-n", "60", "--temp", "1", "--seed", "5", "--reasoning-budget", text,
            "--logit-bias", "261=-100,262=-100", "--json", "Hi");
        json_t *r = program_json(&p);
        long long thoughts = json_whole(r, "reasoning_tokens", -1), answer = json_whole(r, "answer_tokens", -1);
        assert_true(thoughts <= budgets[i] + 3); /* a character may be ended */
        assert_int_equal(json_whole(r, "recoveries", -1), 0);
        if (strstr(p.errors.data, "ended by their budget")) {
            assert_true(thoughts >= budgets[i]);
            assert_true(answer > 0);
        } else {
            assert_int_equal(budgets[i], 100);
        }
        json_decref(r);
        program_release(&p);
    }
}

static void wishes_a_model_lacks_are_told(void **state)
{
    (void)state;
    static const struct { enum made_chat chat; const char *wish, *told; } cases[] = {
        { MADE_HARMONY, "none", "harmony has no such level, it is told low (--reasoning-budget 0" },
        { MADE_HARMONY, "minimal", "it is told low\n" },
        { MADE_HARMONY, "high", "told: reasoning high" },
        { MADE_QWEN3, "low", "qwen3 only knows to think or not; it thinks" },
        { MADE_CHATML, "high", "the chat format chatml has no thoughts" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program p;
        const char *m = make_model(
            &(struct made_model) { .layers = 1, .dim = 64, .ffn = 64, .context = 1024, .chat = cases[i].chat });
        RUN(&p, 0, NULL, "run", "-m", m, "-n", "1", "--reasoning", cases[i].wish, "Hi");
        if (!strstr(p.errors.data, cases[i].told))
            fail_msg("case %zu: %s", i, p.errors.data);
        program_release(&p);
    }
}

static int prompt_tokens(const char *model, const char *option, const char *value)
{
    struct program p;
    RUN(&p, 0, NULL, "run", "-m", model, "-n", "1", "--json", "-q", option, value, "Hi");
    json_t *r = program_json(&p);
    int n = (int)json_whole(r, "prompt_tokens", -1);
    json_decref(r);
    program_release(&p);
    return n;
}

/* "none" writes empty thoughts for Qwen3; efforts and dates are words of harmony's system message. */
static void wishes_reach_the_prompt(void **state)
{
    (void)state;
    const char *qwen = make_model(
        &(struct made_model) { .layers = 1, .dim = 64, .ffn = 64, .context = 1024, .chat = MADE_QWEN3 });
    int plain = prompt_tokens(qwen, "--seed", "1");
    assert_int_equal(prompt_tokens(qwen, "--reasoning", "none"), plain + (int)strlen("<think>\n\n</think>\n\n"));
    assert_int_equal(prompt_tokens(qwen, "--reasoning-budget", "0"), plain + (int)strlen("<think>\n\n</think>\n\n"));
    assert_int_equal(prompt_tokens(qwen, "--reasoning", "high"), plain);
    int dated = prompt_tokens(thinker(), "--seed", "1"), none = prompt_tokens(thinker(), "--date", "none");
    assert_int_equal(dated, none + (int)strlen("\nCurrent date: 2026-01-01"));
    int spring = prompt_tokens(thinker(), "--date", "a day in May");
    int low = prompt_tokens(thinker(), "--reasoning", "low");
    assert_int_equal(spring, none + (int)strlen("\nCurrent date: a day in May"));
    assert_int_equal(low, dated - (int)strlen("medium") + (int)strlen("low"));
}

static void a_text_without_format_has_no_thoughts(void **state)
{
    (void)state;
    static const char *const options[][2] = { { "--reasoning", "low" }, { "--reasoning-budget", "3" },
        { "--date", "x" } };
    for (size_t i = 0; i < 3; i++) {
        struct program p;
        RUN(&p, 2, NULL, "run", "-m", thinker(), "--raw", options[i][0], options[i][1], "Hi");
        assert_non_null(strstr(p.errors.data, "needs a chat format"));
        program_release(&p);
    }
}

/* Numbers of the last /stats line at or behind *at. */
static void read_stats(const char **at, int *prompt, int *reused)
{
    *at = strstr(*at, "; prompt ");
    assert_non_null(*at);
    assert_int_equal(sscanf(*at, "; prompt %d tokens (%d reused)", prompt, reused), 2);
    *at += 1;
}

/* Ten turns with long thoughts, over layers whose rings forget them: every turn goes on from the border of the one
 * before, and reads again only what the history keeps of its reply. */
static void turns_go_on_from_their_borders(void **state)
{
    (void)state;
    enum { TURNS = 10, THOUGHTS = 600, REPLY = 640 };
    const char *m = make_model(&(struct made_model) { .layers = 2, .dim = 64, .ffn = 64, .context = 16384,
        .chat = MADE_HARMONY, .window = 24 });
    struct buffer script = { 0 };
    struct program p;
    for (int i = 0; i < TURNS; i++)
        buffer_printf(&script, "message %d\n/stats\n", i);
    RUN(&p, 0, script.data, "chat", "-m", m, "-n", "640", "--ctx", "8192", "--reasoning-budget", "600", "--seed", "1",
        "--show-reasoning", "hidden", "--date", "none", "--logit-bias", "261=-100,262=-100");
    const char *at = p.errors.data;
    int before = 0, prompt, reused;
    for (int i = 0; i < TURNS; i++, before = prompt) {
        read_stats(&at, &prompt, &reused);
        assert_true(reused >= before);
        if (i > 0)
            assert_true(prompt - reused < (REPLY - THOUGHTS) + 60); /* the answer and the new message, no thoughts */
    }
    buffer_release(&script);
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_in_their_grammar),
        cmocka_unit_test(free_headers_are_mended_aloud),
        cmocka_unit_test(thoughts_and_answer_part_ways),
        cmocka_unit_test(thoughts_end_with_their_budget),
        cmocka_unit_test(wishes_a_model_lacks_are_told),
        cmocka_unit_test(wishes_reach_the_prompt),
        cmocka_unit_test(a_text_without_format_has_no_thoughts),
        cmocka_unit_test(turns_go_on_from_their_borders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
