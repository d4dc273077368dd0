/* SPDX-License-Identifier: Apache-2.0 */
/* What steers replies: random logits, and still headers in their grammar, thoughts within their budget, answers that
 * follow the schema. */
#include "base/random.h"
#include "infer/guide.h"
#include "infer/sampler.h"
#include "small_spm.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static const char *const controls[] = { "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>",
    "<|return|>", "<|call|>", "<|endoftext|>", "<think>", "</think>" };
#define N_CONTROLS ((int)(sizeof controls / sizeof *controls))
#define VOCABULARY (256 + N_CONTROLS)
enum { END = 256 + 4, RETURN = 256 + 5, CALL = 256 + 6, OPEN = 256 + 8, CLOSE = 256 + 9 };

struct bench {
    struct tokenizer *tokenizer;
    json_t *schema;
    struct grammar *grammar;
    struct constraint *constraint;
    struct chat_grammar *headers;
    struct sampler *sampler;
    struct random random;
    float logits[VOCABULARY];
    struct buffer said[CHAT_CHANNELS];
};

static void open_bench(struct bench *b, const char *schema)
{
    static const int32_t stops[] = { RETURN, CALL };
    struct error err = { 0 };
    struct sampling sampling;
    *b = (struct bench) { .tokenizer = small_byte_tokenizer(controls, N_CONTROLS, NULL, "<|return|>") };
    assert_non_null(b->tokenizer);
    struct chat_request request = { 0 };
    int rc = sampling_init(&sampling, NULL, false, &err);
    for (int i = 0; i < SAMPLING_COUNT; i++)
        sampling.at[i] = sampling_off((enum sampling_setting)i);
    if (rc == 0)
        rc = sampler_open(&b->sampler, &sampling, VOCABULARY, &err);
    if (schema) {
        b->schema = json_loads(schema, 0, NULL);
        if (rc == 0)
            rc = grammar_open(&b->grammar, b->schema, &err);
        if (rc == 0)
            rc = constraint_open(&b->constraint, b->grammar, b->tokenizer, VOCABULARY, stops, 2, &err);
    }
    if (rc == 0)
        rc = chat_grammar_open(&b->headers, chat_format_find("harmony"), b->tokenizer, VOCABULARY, &request, &err);
    if (rc)
        fail_msg("%s", err.text);
    random_seed(&b->random, 11);
}

static void close_bench(struct bench *b)
{
    for (int i = 0; i < CHAT_CHANNELS; i++)
        buffer_release(&b->said[i]);
    chat_grammar_close(b->headers);
    constraint_close(b->constraint);
    grammar_close(b->grammar);
    json_decref(b->schema);
    sampler_close(b->sampler);
    tokenizer_close(b->tokenizer);
}

static void hear(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct bench *b = context;
    buffer_add(&b->said[channel], bytes, n);
}

struct told {
    size_t tokens[CHAT_CHANNELS], recoveries;
    bool stopped, cut, complete;
};

/* One reply of random logits, in which ends are likelier than other tokens. */
static struct told reply(struct bench *b, const struct guide_options *options, const char *format, int tokens_max)
{
    struct guide *g;
    struct chat_parser p;
    struct told told = { .stopped = false };
    assert_int_equal(guide_open(&g, options, NULL), 0);
    for (int i = 0; i < CHAT_CHANNELS; i++)
        buffer_clear(&b->said[i]);
    chat_parser_init(&p, chat_format_find(format), b->tokenizer, hear, b);
    guide_begin(g, &p);
    for (int n = 0; n < tokens_max && !told.stopped; n++) {
        const uint64_t *mask = NULL;
        int32_t id;
        for (int i = 0; i < VOCABULARY; i++)
            b->logits[i] = (float)random_unit(&b->random) * 4 + (i >= 256 && i < 256 + 8 ? 3.0f : 0.0f);
        assert_int_equal(guide_allow(g, &mask, NULL), 0);
        sampler_allow(b->sampler, mask);
        assert_int_equal(sampler_choose(b->sampler, b->logits, &id, NULL), 0);
        told.stopped = id == RETURN || id == CALL;
        assert_int_equal(guide_accept(g, id, NULL), 0);
        assert_int_equal(chat_parser_push(&p, id, NULL), 0);
    }
    told.cut = guide_cut_thoughts(g);
    told.complete = guide_complete(g);
    assert_int_equal(chat_parser_end(&p, NULL), 0);
    memcpy(told.tokens, p.counts.tokens, sizeof told.tokens);
    told.recoveries = chat_parser_recoveries(&p);
    chat_parser_release(&p);
    guide_close(g);
    return told;
}

static void harmony_is_steered(void **state)
{
    (void)state;
    enum { TURNS = 1500 };
    struct bench b;
    int cut = 0, whole = 0;
    open_bench(&b, "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\", \"minimum\": 0, "
        "\"maximum\": 99}}, \"required\": [\"n\"]}");
    for (int i = 0; i < TURNS; i++) {
        int budget = (int)random_below(&b.random, 12) - 1;
        struct guide_options options = { b.headers, b.constraint, budget, VOCABULARY };
        struct told told = reply(&b, &options, "harmony", 200);
        assert_int_equal(told.recoveries, 0);
        assert_true(budget < 0 || told.tokens[CHAT_REASONING] <= (size_t)budget + 3);
        assert_true(!told.cut || told.tokens[CHAT_REASONING] >= (size_t)budget);
        cut += told.cut;
        if (!told.stopped || told.tokens[CHAT_ANSWER] == 0)
            continue;
        json_t *answer = json_loadb(b.said[CHAT_ANSWER].data, b.said[CHAT_ANSWER].used, 0, NULL);
        if (!told.complete || !json_is_integer(json_object_get(answer, "n")))
            fail_msg("turn %d: \"%.*s\"", i, (int)b.said[CHAT_ANSWER].used, b.said[CHAT_ANSWER].data);
        json_decref(answer);
        whole++;
    }
    print_message("%d turns: thoughts cut in %d, %d whole answers\n", TURNS, cut, whole);
    assert_true(cut > TURNS / 10 && whole > TURNS / 2);
    close_bench(&b);
}

/* A budget of none goes straight to the answer. */
static void no_thoughts_at_all(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, NULL);
    struct guide_options options = { b.headers, NULL, 0, VOCABULARY };
    for (int i = 0; i < 20; i++) {
        struct told told = reply(&b, &options, "harmony", 60);
        assert_int_equal(told.tokens[CHAT_REASONING], 0);
        assert_true(told.cut && told.complete);
    }
    close_bench(&b);
}

/* What the guide makes of a reply that begins with these tokens: the ids it forces then, as text. */
static void forced(struct bench *b, const char *format, const int32_t *ids, int n, int budget, struct buffer *out)
{
    struct guide_options options = { .budget = budget, .vocabulary = VOCABULARY };
    struct guide *g;
    struct chat_parser p;
    buffer_clear(out);
    assert_int_equal(guide_open(&g, &options, NULL), 0);
    chat_parser_init(&p, chat_format_find(format), b->tokenizer, hear, b);
    guide_begin(g, &p);
    for (int i = 0; i < n; i++) {
        const uint64_t *mask = NULL;
        assert_int_equal(guide_allow(g, &mask, NULL), 0);
        if (mask)
            fail_msg("token %d of %s is forced", i, format);
        assert_int_equal(guide_accept(g, ids[i], NULL), 0);
        assert_int_equal(chat_parser_push(&p, ids[i], NULL), 0);
    }
    for (;;) {
        const uint64_t *mask = NULL;
        int32_t id = 0;
        assert_int_equal(guide_allow(g, &mask, NULL), 0);
        if (!mask)
            break;
        while (!(mask[id >> 6] >> (id & 63) & 1))
            id++;
        assert_int_equal(tokenizer_decode(b->tokenizer, &id, 1, true, out, NULL), 0);
        assert_int_equal(guide_accept(g, id, NULL), 0);
        assert_int_equal(chat_parser_push(&p, id, NULL), 0);
    }
    assert_true(out->used == 0 || chat_parser_answers(&p));
    chat_parser_release(&p);
    guide_close(g);
}

static void marked_thoughts_are_closed(void **state)
{
    (void)state;
    struct bench b;
    struct buffer text = { 0 };
    open_bench(&b, NULL);
    static const int32_t thinks[] = { OPEN, '\n', 'a', 'b', 0xc3, 0xa9 };
    forced(&b, "qwen3", thinks, 4, 3, &text);
    assert_string_equal(text.data, "\n</think>\n\n");
    forced(&b, "qwen3", thinks, 4, 4, &text);
    assert_int_equal(text.used, 0);
    /* The budget is spent inside of a character: that is not torn. */
    forced(&b, "qwen3", thinks, 5, 4, &text);
    assert_int_equal(text.used, 0);
    forced(&b, "qwen3", thinks, 6, 5, &text);
    assert_string_equal(text.data, "\n</think>\n\n");
    static const int32_t answers[] = { 'h', 'i' };
    forced(&b, "deepseek-r1", answers, 2, 2, &text); /* its replies begin inside the thoughts */
    assert_string_equal(text.data, "\n</think>\n\n");
    forced(&b, "deepseek-r1", NULL, 0, 0, &text);
    assert_string_equal(text.data, "\n</think>\n\n");
    forced(&b, "qwen3", answers, 2, 0, &text);
    assert_int_equal(text.used, 0);
    forced(&b, "chatml", answers, 2, 0, &text);
    assert_int_equal(text.used, 0);
    buffer_release(&text);
    close_bench(&b);
}

static void harmony_is_led_to_its_answer(void **state)
{
    (void)state;
    struct bench b;
    struct buffer text = { 0 };
    struct tokens ids = { 0 };
    open_bench(&b, NULL);
    const char *begun = "<|channel|>analysis<|message|>so";
    assert_int_equal(tokenizer_encode(b.tokenizer, begun, strlen(begun), TOKENIZE_SPECIAL | TOKENIZE_CONTINUE, &ids,
        NULL), 0);
    forced(&b, "harmony", ids.ids, (int)ids.used, 2, &text);
    assert_string_equal(text.data, "<|end|><|start|>assistant<|channel|>final<|message|>");
    forced(&b, "harmony", ids.ids, (int)ids.used, 3, &text);
    assert_int_equal(text.used, 0);
    forced(&b, "harmony", NULL, 0, 0, &text);
    assert_string_equal(text.data, "<|channel|>final<|message|>");
    tokens_release(&ids);
    buffer_release(&text);
    close_bench(&b);
}

static void what_cannot_be_said_is_refused(void **state)
{
    (void)state;
    struct bench b;
    struct guide *g;
    struct chat_parser p;
    struct error err = { 0 };
    const uint64_t *mask;
    open_bench(&b, NULL);
    struct guide_options options = { .budget = 0, .vocabulary = 256 }; /* less than the control tokens' ids */
    assert_int_equal(guide_open(&g, &options, &err), 0);
    chat_parser_init(&p, chat_format_find("harmony"), b.tokenizer, hear, &b);
    guide_begin(g, &p);
    assert_int_equal(guide_allow(g, &mask, &err), ERROR_USAGE);
    assert_non_null(strstr(err.text, "vocabulary of 256"));
    chat_parser_release(&p);
    guide_close(g);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmony_is_steered),
        cmocka_unit_test(no_thoughts_at_all),
        cmocka_unit_test(marked_thoughts_are_closed),
        cmocka_unit_test(harmony_is_led_to_its_answer),
        cmocka_unit_test(what_cannot_be_said_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
