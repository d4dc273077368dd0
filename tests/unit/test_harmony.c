/* SPDX-License-Identifier: Apache-2.0 */
/* Harmony where openai-harmony is no measure: whose words become control tokens, which thoughts stay, replayed turns,
 * replies that break the format, headers kept by the grammar, schemas without end. */
#include "base/random.h"
#include "infer/sampler.h"
#include "small_spm.h"
#include "support.h"
#include "text/chat/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const controls[] = {
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"};
#define N_CONTROLS ((int)(sizeof controls / sizeof *controls))
#define SYSTEM                                                                                            \
    "<|start|>system<|message|>s\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. " \
    "Channel must be included for every message.<|end|>"

static const struct chat_format *harmony(void)
{
    return chat_format_find("harmony");
}

static struct tokenizer *vocabulary(void)
{
    struct tokenizer *t = small_byte_tokenizer(controls, N_CONTROLS, NULL, "<|return|>");
    assert_non_null(t);
    return t;
}

/* Text with control tokens by name to ids. */
static struct tokens ids_new(const struct tokenizer *t, const char *text)
{
    struct tokens ids = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), TOKENIZE_SPECIAL | TOKENIZE_CONTINUE, &ids, NULL), 0);
    return ids;
}

static void check_rendering(const struct tokenizer *t, struct chat_request r, const char *want)
{
    struct error err = {0};
    struct tokens ids = {0};
    struct buffer text = {0};
    r.identity = "s";
    r.cutoff = "";
    if (chat_render(harmony(), t, &r, &ids, &err))
        fail_msg("%s", err.text);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &text, &err), 0);
    assert_true(strncmp(text.data, SYSTEM, strlen(SYSTEM)) == 0);
    assert_string_equal(text.data + strlen(SYSTEM), want);
    tokens_release(&ids);
    buffer_release(&text);
}

/* What is said, a span as [CHANNEL:text=>last]. */
static void marks_are_what_the_model_writes(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    struct tokens ids = {0};
    struct chat_said_list said = {0};
    struct buffer text = {0};
    struct error err = {0};
    json_t *calls = json_pack("[{s:s, s:{s:s, s:s}}]", "id", "c", "function", "name", "f", "arguments", "{}");
    const struct chat_message messages[] = {{.role = "user", .content = "q"},
        {.role = "assistant", .reasoning = "t", .content = "p", .tool_calls = calls},
        {.role = "tool", .tool_call_id = "c", .content = "r"}, {.role = "assistant", .content = "a"},
        {.role = "user", .content = "q"}, {.role = "assistant", .reasoning = "u", .channel = "analysis"},
        {.role = "assistant", .content = "b"}};
    struct chat_request r = {.messages = messages, .n_messages = 7, .keep_reasoning = true};
    assert_non_null(calls);
    if (chat_render_said(harmony(), t, &r, &ids, &said, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < said.n; i++) {
        const struct chat_said *s = &said.at[i];
        buffer_printf(&text, "[%d:", (int)s->channel);
        assert_int_equal(tokenizer_decode(t, ids.ids + s->from, s->to - s->from, true, &text, NULL), 0);
        buffer_add_text(&text, s->last >= 0 ? "=>" : "");
        if (s->last >= 0)
            assert_int_equal(tokenizer_decode(t, &s->last, 1, true, &text, NULL), 0);
        buffer_add_text(&text, "]");
    }
    assert_string_equal(text.data,
        "[1:<|channel|>analysis<|message|>t<|end|>]"
        "[0:<|start|>assistant<|channel|>commentary<|message|>p<|end|>]"
        "[2:<|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>]"
        "[0:<|channel|>final<|message|>a<|end|>=><|return|>]"
        "[1:<|channel|>analysis<|message|>u<|end|>]"
        "[0:<|start|>assistant<|channel|>final<|message|>b<|end|>=><|return|>]");
    json_decref(calls);
    buffer_release(&text);
    chat_said_release(&said);
    tokens_release(&ids);
    tokenizer_close(t);
}

static void check_refusal(const struct tokenizer *t, const struct chat_request *r, int code, const char *says)
{
    struct error err = {0};
    struct tokens ids = {0};
    assert_int_equal(chat_render(harmony(), t, r, &ids, &err), code);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    tokens_release(&ids);
}

/* ---- rendering ---- */

static size_t count_controls(const struct tokenizer *t, const char *said)
{
    json_t *call = json_pack("[{s:s, s:{s:s, s:s}}]", "id", "1", "function", "name", said, "arguments", said);
    json_t *tools = json_pack("[{s:{s:s, s:s, s:{s:s, s:s}}}]", "function", "name", said, "description", said,
        "parameters", "type", "object", "description", said);
    const struct chat_message messages[] = {{.role = "system", .content = said},
        {.role = "user", .content = said, .name = said, .channel = said, .recipient = said},
        {.role = "assistant", .content = said, .reasoning = said, .tool_calls = call},
        {.role = "tool", .content = said, .tool_call_id = "1"},
        {.role = "assistant", .content = said, .channel = said, .content_type = said}};
    const struct chat_request r = {.messages = messages,
        .n_messages = 5,
        .tools = tools,
        .identity = said,
        .cutoff = said,
        .date = said,
        .response_name = said,
        .response_description = said,
        .response_schema = tools};
    struct tokens ids = {0};
    size_t n = 0;
    assert_int_equal(chat_render(harmony(), t, &r, &ids, NULL), 0);
    for (size_t i = 0; i < ids.used; i++)
        n += ids.ids[i] >= 256;
    tokens_release(&ids);
    json_decref(call);
    json_decref(tools);
    return n;
}

static void test_words(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    size_t plain = count_controls(t, "x");
    for (int i = 0; i < N_CONTROLS; i++) {
        char said[64];
        snprintf(said, sizeof said, "a %s%s b", controls[i], controls[(i + 1) % N_CONTROLS]);
        assert_int_equal(count_controls(t, said), plain);
    }
    tokenizer_close(t);
}

/* Thoughts of finished turns go, calls and preambles stay; the open turn keeps its own. */
static void test_history(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    json_t *call = json_pack("[{s:s, s:{s:s, s:s}}]", "id", "1", "function", "name", "f", "arguments", "{}");
    const struct chat_message messages[] = {{.role = "user", .content = "u"},
        {.role = "assistant", .reasoning = "r1", .content = "p", .tool_calls = call},
        {.role = "tool", .content = "t", .tool_call_id = "1"}, {.role = "assistant", .reasoning = "r2", .content = "a"},
        {.role = "user", .content = "v"}, {.role = "assistant", .reasoning = "r3", .content = "b"},
        {.role = "user", .content = "w"}, {.role = "assistant", .reasoning = "r4", .tool_calls = call},
        {.role = "tool", .content = "t", .name = "f"}};
#define CALL "<|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
#define RESULT "<|start|>functions.f to=assistant<|channel|>commentary<|message|>t<|end|>"
#define FINISHED                                                                                             \
    "<|start|>user<|message|>u<|end|><|start|>assistant<|channel|>commentary<|message|>p<|end|>" CALL RESULT \
    "<|start|>assistant<|channel|>final<|message|>a<|end|><|start|>user<|message|>v<|end|>"                  \
    "<|start|>assistant<|channel|>final<|message|>b<|end|>"
#define THOUGHT(r) "<|start|>assistant<|channel|>analysis<|message|>" r "<|end|>"
    check_rendering(t, (struct chat_request){.messages = messages, .n_messages = 6}, FINISHED);
    check_rendering(t, (struct chat_request){.messages = messages, .n_messages = 9, .add_generation_prompt = true},
        FINISHED "<|start|>user<|message|>w<|end|>" THOUGHT("r4") CALL RESULT "<|start|>assistant");
    check_rendering(t, (struct chat_request){.messages = messages, .n_messages = 4, .keep_reasoning = true},
        "<|start|>user<|message|>u<|end|>" THOUGHT(
            "r1") "<|start|>assistant<|channel|>commentary<|message|>p<|end|>" CALL RESULT
            THOUGHT("r2") "<|start|>assistant<|channel|>final<|message|>a<|end|>");
    check_rendering(t, (struct chat_request){.messages = messages, .n_messages = 3},
        "<|start|>user<|message|>u<|end|>" THOUGHT(
            "r1") "<|start|>assistant<|channel|>commentary<|message|>p<|end|>" CALL RESULT);
    json_decref(call);
    tokenizer_close(t);
}

/* A sampled turn between two users' messages. */
static void check_replay(const struct tokenizer *t, const char *sampled, bool more, const char *want)
{
    struct tokens ids = ids_new(t, sampled);
    struct buffer whole = {0};
    const struct chat_message messages[] = {{.role = "user", .content = "u"},
        {.role = "assistant", .content = "not this", .ids = ids.ids, .n_ids = ids.used},
        {.role = "assistant", .content = "end"}};
    buffer_printf(&whole, "<|start|>user<|message|>u<|end|>%s%s", want,
        more ? "<|start|>assistant<|channel|>final<|message|>end<|end|>" : "");
    check_rendering(t, (struct chat_request){.messages = messages, .n_messages = more ? 3 : 2}, whole.data);
    buffer_release(&whole);
    tokens_release(&ids);
}

static void test_replay(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    static const char finished[] =
        "<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>final<|message|>a<|return|>";
    static const char called[] = "<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>commentary "
                                 "to=functions.f <|constrain|>json<|message|>{}<|call|>";
    check_replay(t, finished, false, "<|start|>assistant<|channel|>final<|message|>a<|end|>");
    check_replay(t, called, false,
        "<|start|>assistant<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>"
        "commentary to=functions.f <|constrain|>json<|message|>{}<|call|>");
    check_replay(t, called, true,
        "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}"
        "<|call|>");
    /* Cut by a limit, without an end; in a second message; not begun; ends and starts out of place. */
    check_replay(
        t, "<|channel|>analysis<|message|>r", false, "<|start|>assistant<|channel|>analysis<|message|>r<|end|>");
    check_replay(t, "<|channel|>final<|message|>a", false, "<|start|>assistant<|channel|>final<|message|>a<|end|>");
    check_replay(t, "<|channel|>final<|message|>a<|start|>assistant<|channel|>final<|message|>b<|return|>", false,
        "<|start|>assistant<|channel|>final<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|end|>");
    check_replay(t, "<|return|>", false, "<|start|>assistant<|end|>");
    int32_t wrong = tokenizer_size(t);
    const struct chat_message beyond = {.role = "assistant", .ids = &wrong, .n_ids = 1};
    check_refusal(
        t, &(struct chat_request){.messages = &beyond, .n_messages = 1}, ERROR_USAGE, "not in the vocabulary");
    tokenizer_close(t);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    const struct chat_message nameless = {.role = "tool", .content = "x", .tool_call_id = "9"};
    const struct chat_message other = {.role = "critic", .content = "x"};
    check_refusal(t, &(struct chat_request){.messages = &nameless, .n_messages = 1}, ERROR_USAGE, "needs its name");
    check_refusal(t, &(struct chat_request){.messages = &other, .n_messages = 1}, ERROR_USAGE, "no role \"critic\"");
    struct tokenizer *bare = small_byte_tokenizer(controls, 3, NULL, NULL);
    const struct chat_message user = {.role = "user", .content = "x"};
    check_refusal(bare, &(struct chat_request){.messages = &user, .n_messages = 1}, ERROR_USAGE, "<|message|>");
    tokenizer_close(bare);
    tokenizer_close(t);
}

/* Schemas that would not end: deep ones, long ones; $ref is not followed. */
static void test_schemas(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
    json_t *deep = json_pack("{s:s}", "type", "string"), *many = json_array();
    for (int i = 0; i < 70; i++)
        deep = json_pack("{s:s, s:o}", "type", "array", "items", deep);
    for (int i = 0; i < 200000; i++)
        json_array_append_new(many, json_string("value"));
    json_t *tools = json_pack("[{s:{s:s, s:o}}]", "function", "name", "f", "parameters", deep);
    struct chat_request r = {.tools = tools};
    check_refusal(t, &r, ERROR_LIMIT, "\"f\" to the model: a schema is more than 64 levels deep");
    json_decref(tools);
    r.tools = tools = json_pack(
        "[{s:{s:s, s:{s:s, s:o}}}]", "function", "name", "f", "parameters", "type", "string", "enum", many);
    check_refusal(t, &r, ERROR_LIMIT, "more than 1048576 bytes");
    json_decref(tools);
    r.tools = tools = json_pack("[{s:i}]", "function", 1);
    check_refusal(t, &r, ERROR_USAGE, "tool 1 names no function");
    json_decref(tools);
    r.tools = tools = json_loads(
        "[{\"name\": \"f\", \"parameters\": {\"$ref\": \"#\", \"type\": \"object\", \"properties\": "
        "{\"x\": {\"$ref\": \"#/properties/x\"}}}}]",
        0, NULL);
    struct tokens ids = {0};
    assert_int_equal(chat_render(harmony(), t, &r, &ids, NULL), 0);
    tokens_release(&ids);
    json_decref(tools);
    tokenizer_close(t);
}

static void test_effort(void **state)
{
    (void)state;
    assert_int_equal(chat_effort_of(harmony(), CHAT_EFFORT_NONE), CHAT_EFFORT_LOW);
    assert_int_equal(chat_effort_of(harmony(), CHAT_EFFORT_MINIMAL), CHAT_EFFORT_LOW);
    assert_int_equal(chat_effort_of(harmony(), CHAT_EFFORT_HIGH), CHAT_EFFORT_HIGH);
    assert_int_equal(chat_effort_of(harmony(), CHAT_EFFORT_DEFAULT), CHAT_EFFORT_DEFAULT);
    assert_int_equal(chat_effort_of(chat_format_find("chatml"), CHAT_EFFORT_HIGH), CHAT_EFFORT_DEFAULT);
    assert_string_equal(chat_effort_name(CHAT_EFFORT_MINIMAL), "minimal");
}

static void test_detection(void **state)
{
    (void)state;
    const struct chat_format *f;
    struct error err = {0};
    struct tokenizer *t = vocabulary();
    assert_int_equal(chat_detect(&f, NULL, t, &err), 0);
    assert_ptr_equal(f, harmony());
    assert_int_equal(
        chat_detect(&f, "{{- \"<|start|>assistant<|channel|>analysis<|message|>\" + m.thinking }}", t, &err), 0);
    assert_ptr_equal(f, harmony());
    struct tokens stops = {0};
    assert_int_equal(chat_stops(f, t, &stops, &err), 0);
    assert_int_equal(stops.used, 3);
    assert_int_equal(stops.ids[0], 256 + 5); /* return, call, endoftext; never <|end|> */
    assert_int_equal(stops.ids[1], 256 + 6);
    assert_int_equal(stops.ids[2], 256 + 7);
    tokens_release(&stops);
    tokenizer_close(t);
}

/* ---- replies ---- */

/* What was heard, as "R:thought|T:f:{}|A:answer|": parts of one channel and message together. */
struct heard {
    struct chat_parser parser;
    struct buffer text;
    size_t message;
    int channel;
};

static void hear(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct heard *h = context;
    bool new = h->channel != (int)channel || h->message != h->parser.messages;
    if (n == 0 && !new)
        return;
    if (new && h->channel >= 0)
        buffer_add_byte(&h->text, '|');
    if (new)
        buffer_printf(&h->text, "%c:", "ARTP"[channel]);
    if (new &&channel == CHAT_TOOL_CALL)
        buffer_printf(&h->text, "%s:", chat_parser_recipient(&h->parser));
    h->channel = (int)channel;
    h->message = h->parser.messages;
    buffer_add(&h->text, bytes, n);
}

struct broken {
    const char *text, *heard;
    int recovery; /* -1: none */
};

static void check_broken(const struct tokenizer *t, const struct broken *b)
{
    struct error err = {0};
    struct tokens ids = ids_new(t, b->text);
    struct heard h = {.channel = -1};
    size_t counted = 0;
    chat_parser_init(&h.parser, harmony(), t, hear, &h);
    for (size_t i = 0; i < ids.used; i++)
        assert_int_equal(chat_parser_push(&h.parser, ids.ids[i], &err), 0);
    assert_int_equal(chat_parser_end(&h.parser, &err), 0);
    if (strcmp(h.text.used ? h.text.data : "", b->heard) != 0)
        fail_msg("%s: heard \"%s\", expected \"%s\"", b->text, h.text.data, b->heard);
    if (b->recovery < 0 ? chat_parser_recoveries(&h.parser) > 0 : h.parser.counts.recoveries[b->recovery] == 0)
        fail_msg("%s: %zu recoveries, expected %s", b->text, chat_parser_recoveries(&h.parser),
            b->recovery < 0 ? "none" : chat_recovery_text((enum chat_recovery)b->recovery));
    for (int i = 0; i < CHAT_CHANNELS; i++)
        counted += h.parser.counts.tokens[i];
    assert_int_equal(counted + h.parser.counts.marks, ids.used);
    chat_parser_release(&h.parser);
    buffer_release(&h.text);
    tokens_release(&ids);
}

static void test_broken(void **state)
{
    (void)state;
    struct tokenizer *t = vocabulary();
#define C "<|channel|>"
#define M "<|message|>"
#define NEXT "<|end|><|start|>assistant"
    static const struct broken replies[] = {
        {C "analysis" M "r" NEXT C "commentary" M "p" NEXT C "final" M "a<|return|>", "R:r|P:p|A:a", -1},
        {C "commentary to=functions.f <|constrain|>json" M "{}<|call|>", "T:functions.f:{}", -1},
        {" to=browser.search" C "analysis code" M "", "T:browser.search:", -1},
        {C "final <|constrain|>json" M "{}", "A:{}", -1},
        {C "final" M "\xe6\x9d", "A:\xef\xbf\xbd", -1},
        {"", "", -1},
        {C "musing" M "r" NEXT C "final" M "a" NEXT C "odd" M "b", "R:r|A:a|A:b", CHAT_RECOVERY_CHANNEL},
        {C "commentary?" M "p", "P:p", CHAT_RECOVERY_CHANNEL},
        {C M "x", "R:x", CHAT_RECOVERY_CHANNEL},
        {M "a", "A:a", CHAT_RECOVERY_NO_CHANNEL},
        {C "analysis" C "final" M "a", "A:a", CHAT_RECOVERY_CHANNELS},
        {C "analysis" M "r<|end|><|start|>user" M "u" NEXT C "final" M "a", "R:r|R:u|A:a", CHAT_RECOVERY_ROLE},
        {C "analysis" M "r<|end|><|start|>functions.f to=assistant" C "commentary" M "t", "R:r|R:t",
            CHAT_RECOVERY_ROLE},
        {C "analysis" M "r<|end|><|start|>who" C "final" M "a", "R:r|A:a", CHAT_RECOVERY_ROLE},
        {C "final one two three four" M "a", "T:three:a", CHAT_RECOVERY_WORDS},
        {C "final The answer is 4.<|return|>", "A: The answer is 4.", CHAT_RECOVERY_NO_MESSAGE},
        {"It is 4.<|return|>", "A:It is 4.", CHAT_RECOVERY_NO_MESSAGE},
        {C "analysis" M "r" NEXT " It is 4.", "R:r|A: It is 4.", CHAT_RECOVERY_NO_MESSAGE},
        {C "commentary to=functions.f {}<|call|>", "T:functions.f: {}", CHAT_RECOVERY_NO_MESSAGE},
        {C "analysis" M "r" NEXT C "comm", "R:r", -1},
        {C "analysis" M "r" NEXT " to=functions.f", "R:r", -1},
        {C "analysis" M "r<|end|><|start|>assis", "R:r", -1},
        {C "analysis r<|start|>assistant" C "final" M "a", "R: r|A:a", CHAT_RECOVERY_NO_MESSAGE},
        {C "analysis" M "r<|end|>assistant" C "final" M "a", "R:r|A:a", CHAT_RECOVERY_NO_START},
        {C "analysis" M "r<|end|>" C "final" M "a", "R:r|A:a", CHAT_RECOVERY_NO_START},
        {C "analysis" M "r" C "final" M "a", "R:r|A:a", CHAT_RECOVERY_TOKEN},
        {C "analysis" M "r<|start|>assistant" C "final" M "a", "R:r|A:a", CHAT_RECOVERY_TOKEN},
        {C "final" M "a" M "b<|constrain|>c<|endoftext|>d", "A:abcd", CHAT_RECOVERY_TOKEN},
        {C "final" M "a<|end|><|end|><|return|>", "A:a", CHAT_RECOVERY_TOKEN},
        {"<|start|><|start|>assistant" C "final" M "a", "A:a", CHAT_RECOVERY_TOKEN},
    };
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        check_broken(t, &replies[i]);
    struct buffer text = {0}, heard = {0};
    buffer_printf(&text, C "analysis%0300d and on" NEXT C "final" M "a", 0);
    buffer_printf(&heard, "R:%0300d and on|A:a", 0);
    memmove(text.data + strlen(C "analysis"), " ", 1); /* a channel's name, then 299 zeros */
    memmove(heard.data + 2, " ", 1);
    check_broken(t, &(struct broken){text.data, heard.data, CHAT_RECOVERY_LONG_HEADER});
    buffer_release(&text);
    buffer_release(&heard);
    tokenizer_close(t);
}

/* ---- headers kept by the grammar ---- */

#define TURNS 10000
#define TURN_TOKENS_MAX 150

/* A source of tokens that mostly goes on as a model would, and often does not. */
struct source {
    struct random random;
    struct tokens plan;
    size_t at;
    int32_t vocabulary;
    float *logits;
};

static void plan_turn(struct source *s, const struct tokenizer *t)
{
    static const char *const openings[] = {C "analysis" M "so" NEXT, C "commentary" M "p" NEXT, ""};
    static const char *const ends[] = {C "final" M "an answer<|return|>",
        " to=functions.f" C "commentary json" M "{}<|call|>",
        C "commentary to=functions.get_it <|constrain|>json" M "{}<|call|>", C "commentary? to=nobody" M "x<|return|>",
        C C "final the" M "<|end|>", C "final" M "<|channel|>final" M "<|start|>"};
    char text[256];
    snprintf(text, sizeof text, "%s%s", openings[random_below(&s->random, 3)], ends[random_below(&s->random, 6)]);
    tokens_release(&s->plan);
    s->plan = ids_new(t, text);
    s->at = 0;
}

/* Random logits; the planned token and the control tokens are likelier. */
static void next_logits(struct source *s)
{
    for (int32_t i = 0; i < s->vocabulary; i++)
        s->logits[i] = (float)(random_next(&s->random) >> 40) * 4e-7f; /* to 6.7 */
    for (int32_t i = 256; i < 256 + N_CONTROLS; i++)
        s->logits[i] += 2;
    if (s->at < s->plan.used)
        s->logits[s->plan.ids[s->at]] += 9;
    s->at++;
}

static void ignore(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    (void)context;
    assert_true(channel < CHAT_CHANNELS && (n == 0 || bytes));
}

static size_t sample_turn(
    struct source *s, struct sampler *sampler, const struct tokenizer *t, const struct chat_grammar *g, bool *stopped)
{
    struct error err = {0};
    struct chat_parser p;
    size_t pushed = 0, counted = 0;
    *stopped = false;
    chat_parser_init(&p, harmony(), t, ignore, NULL);
    for (; pushed < TURN_TOKENS_MAX && !*stopped; pushed++) {
        int32_t id;
        next_logits(s);
        sampler_allow(sampler, g ? chat_grammar_next(g, &p) : NULL);
        assert_int_equal(sampler_choose(sampler, s->logits, &id, &err), 0);
        assert_int_equal(chat_parser_push(&p, id, &err), 0);
        *stopped = id == 256 + 5 || id == 256 + 6;
    }
    assert_int_equal(chat_parser_end(&p, &err), 0);
    for (int i = 0; i < CHAT_CHANNELS; i++)
        counted += p.counts.tokens[i];
    assert_int_equal(counted + p.counts.marks, pushed);
    size_t recoveries = chat_parser_recoveries(&p);
    chat_parser_release(&p);
    return recoveries;
}

static size_t sample_turns(const struct tokenizer *t, const struct chat_grammar *g, size_t *with)
{
    struct error err = {0};
    struct sampling sampling;
    struct sampler *sampler;
    struct source s = {.vocabulary = 256 + N_CONTROLS};
    size_t recoveries = 0, stops = 0;
    assert_int_equal(sampling_init(&sampling, NULL, false, &err), 0);
    for (int i = 0; i < SAMPLING_COUNT; i++)
        sampling.at[i] = i == SAMPLING_top_p || i == SAMPLING_typical || i == SAMPLING_temperature ||
                         i == SAMPLING_repetition_penalty;
    sampling.seed = 3;
    assert_int_equal(sampler_open(&sampler, &sampling, s.vocabulary, &err), 0);
    s.logits = calloc((size_t)s.vocabulary, sizeof *s.logits);
    assert_non_null(s.logits);
    random_seed(&s.random, 20);
    for (int i = 0; i < TURNS; i++) {
        bool stopped;
        plan_turn(&s, t);
        size_t n = sample_turn(&s, sampler, t, g, &stopped);
        recoveries += n;
        *with += n > 0;
        stops += stopped;
    }
    assert_true(stops > TURNS / 2);
    free(s.logits);
    tokens_release(&s.plan);
    sampler_close(sampler);
    return recoveries;
}

static void test_grammar(void **state)
{
    (void)state;
    struct error err = {0};
    struct chat_grammar *g;
    struct tokenizer *t = vocabulary();
    json_t *tools = json_loads("[{\"function\": {\"name\": \"f\"}}, {\"name\": \"get_it\"}]", 0, NULL);
    const struct chat_request r = {.tools = tools, .response_schema = tools, .builtins = CHAT_BROWSER | CHAT_PYTHON};
    size_t with = 0, without = 0;
    assert_int_equal(chat_grammar_open(&g, harmony(), t, 256 + N_CONTROLS, &r, &err), 0);
    assert_int_equal(sample_turns(t, g, &with), 0);
    size_t recoveries = sample_turns(t, NULL, &without);
    print_message(
        "%d turns: %zu had recoveries with the grammar, %zu without (%zu in all)\n", TURNS, with, without, recoveries);
    assert_int_equal(with, 0);
    assert_true(without > TURNS / 10); /* else the source is too tame to show anything */
    chat_grammar_close(g);
    json_decref(tools);
    assert_int_equal(chat_grammar_open(&g, chat_format_find("chatml"), t, 264, &r, &err), 0);
    assert_null(g);
    assert_int_equal(chat_grammar_open(&g, harmony(), t, 256, &r, &err), ERROR_USAGE);
    assert_null(g);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(marks_are_what_the_model_writes),
        cmocka_unit_test(test_words), cmocka_unit_test(test_history),
        cmocka_unit_test(test_replay), cmocka_unit_test(test_refusals), cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_effort), cmocka_unit_test(test_detection), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_grammar)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
