/* SPDX-License-Identifier: Apache-2.0 */
/* Harmony against openai-harmony: data/harmony_render.json and harmony_parse.json, written by tools/golden/harmony.py.
 * With one token per byte the text is compared, with the real vocabulary (WAZN_DATA) the ids. */
#include "small_spm.h"
#include "support.h"
#include "text/chat/chat.h"

#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char *const controls[] = {
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"};

static json_t *golden_new(const char *name)
{
    struct error err = {0};
    json_t *root;
    char path[64];
    snprintf(path, sizeof path, "tests/golden/data/%s", name);
    if (json_read_file_new(&root, test_repo(path), 1 << 22, &err))
        fail_msg("%s", err.text);
    return root;
}

static struct tokenizer *byte_vocabulary(void)
{
    struct tokenizer *t = small_byte_tokenizer(controls, sizeof controls / sizeof *controls, NULL, "<|return|>");
    assert_non_null(t);
    return t;
}

static void hash(char out[17], const void *data, size_t n)
{
    const unsigned char *bytes = data;
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    snprintf(out, 17, "%016" PRIx64, h);
}

/* ---- renderings ---- */

static enum chat_effort effort_of(const char *name)
{
    for (int e = CHAT_EFFORT_NONE; name && e < CHAT_EFFORT_COUNT; e++)
        if (strcmp(chat_effort_name(e), name) == 0)
            return e;
    return CHAT_EFFORT_DEFAULT;
}

static int render_case(const struct tokenizer *t, const json_t *c, struct tokens *out, struct error *err)
{
    struct chat_message *messages;
    const json_t *list = json_object_get(c, "messages"), *response = json_object_get(c, "response");
    const json_t *builtins = json_object_get(c, "builtins");
    struct chat_request r = {.tools = json_object_get(c, "tools"),
        .add_generation_prompt = json_flag(c, "prompt", false),
        .date = json_text(c, "date", NULL),
        .effort = effort_of(json_text(c, "effort", NULL)),
        .identity = json_text(c, "identity", NULL),
        .cutoff = json_text(c, "cutoff", NULL),
        .keep_reasoning = json_flag(c, "keep", false),
        .response_name = json_text(response, "name", NULL),
        .response_description = json_text(response, "description", NULL),
        .response_schema = json_object_get(response, "schema")};
    for (size_t i = 0; i < json_array_size(builtins); i++)
        r.builtins |= strcmp(json_string_value(json_array_get(builtins, i)), "browser") == 0 ? CHAT_BROWSER
                                                                                             : CHAT_PYTHON;
    assert_int_equal(chat_messages_new(&messages, &r.n_messages, list, err), 0);
    for (size_t i = 0; i < r.n_messages; i++) {
        messages[i].channel = json_text(json_array_get(list, i), "channel", NULL);
        messages[i].recipient = json_text(json_array_get(list, i), "recipient", NULL);
        messages[i].content_type = json_text(json_array_get(list, i), "content_type", NULL);
    }
    r.messages = messages;
    int rc = chat_render(chat_format_find("harmony"), t, &r, out, err);
    free(messages);
    return rc;
}

static void check_ids(const json_t *c, const struct tokens *ids, size_t number)
{
    char got[17];
    const json_t *all = json_object_get(c, "all");
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (i >= ids->used || ids->ids[i] != json_integer_value(json_array_get(all, i)))
            fail_msg("case %zu differs at token %zu", number, i);
    }
    hash(got, ids->ids, ids->used * sizeof *ids->ids);
    assert_int_equal(ids->used, json_whole(c, "n", -1));
    assert_string_equal(got, json_text(c, "ids", ""));
}

/* Returns whether the case is as the library has it. */
static bool check_rendering(const struct tokenizer *t, const json_t *c, size_t number, bool real)
{
    struct error err = {0};
    struct tokens ids = {0};
    struct buffer text = {0};
    char got[17];
    int rc = render_case(t, c, &ids, &err);
    if (rc)
        fail_msg("case %zu: %s", number, err.text);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.used, true, &text, &err), 0);
    hash(got, text.data, text.used);
    bool same = strcmp(got, json_text(c, "text", "")) == 0;
    if (!same)
        print_message("case %zu differs:\n%s\n", number, text.data);
    else if (real)
        check_ids(c, &ids, number);
    tokens_release(&ids);
    buffer_release(&text);
    return same;
}

static void check_renderings(const struct tokenizer *t, bool real)
{
    json_t *golden = golden_new("harmony_render.json");
    const json_t *cases = json_object_get(golden, "cases");
    size_t different = 0;
    assert_true(json_array_size(cases) >= 400);
    for (size_t i = 0; i < json_array_size(cases); i++)
        different += !check_rendering(t, json_array_get(cases, i), i, real);
    assert_int_equal(different, 0);
    json_decref(golden);
}

static void test_text(void **state)
{
    (void)state;
    struct tokenizer *t = byte_vocabulary();
    check_renderings(t, false);
    tokenizer_close(t);
}

/* ---- replies ---- */

struct reading {
    struct chat_parser parser;
    struct buffer said; /* of the message that comes */
    const json_t *want;
    size_t done, calls;
};

static void hear(void *context, enum chat_channel channel, const char *bytes, size_t n)
{
    struct reading *r = context;
    r->calls += n == 0;
    assert_true(n > 0 || channel == CHAT_TOOL_CALL);
    buffer_add(&r->said, bytes, n);
}

static const char *string_at(const json_t *list, size_t i)
{
    return json_string_value(json_array_get(list, i));
}

static const char *text_of(const struct buffer *b)
{
    return b->used ? b->data : "";
}

/* A message is complete. */
static void compare(struct reading *r)
{
    const json_t *m = json_array_get(r->want, r->done);
    const struct chat_header *h = &r->parser.header;
    assert_non_null(m);
    assert_string_equal(text_of(&h->channel), string_at(m, 1));
    /* The library takes a word alone for a recipient even where <|constrain|> says that it is a type. */
    if (strncmp(string_at(m, 2), "<|constrain|>", 13) == 0) {
        assert_string_equal(text_of(&h->recipient), "");
        assert_string_equal(text_of(&h->content_type), string_at(m, 2));
    } else {
        assert_string_equal(text_of(&h->recipient), string_at(m, 2));
        assert_string_equal(text_of(&h->content_type), string_at(m, 3));
    }
    assert_string_equal(text_of(&r->said), string_at(m, 4));
    buffer_clear(&r->said);
    r->done++;
}

static void check_reply(const struct tokenizer *t, const json_t *c)
{
    struct error err = {0};
    struct tokens ids = {0};
    struct reading r = {.want = json_object_get(c, "messages")};
    const char *text = json_text(c, "text", "");
    size_t counted = 0;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), TOKENIZE_SPECIAL | TOKENIZE_CONTINUE, &ids, &err), 0);
    chat_parser_init(&r.parser, chat_format_find("harmony"), t, hear, &r);
    for (size_t i = 0; i <= ids.used; i++) {
        size_t before = r.parser.messages;
        int rc = i < ids.used ? chat_parser_push(&r.parser, ids.ids[i], &err) : chat_parser_end(&r.parser, &err);
        assert_int_equal(rc, 0);
        if (r.parser.messages > before)
            compare(&r);
    }
    assert_int_equal(r.done, json_array_size(r.want));
    for (int i = 0; i < CHAT_CHANNELS; i++)
        counted += r.parser.counts.tokens[i];
    assert_int_equal(counted + r.parser.counts.marks, ids.used);
    tokens_release(&ids);
    buffer_release(&r.said);
    chat_parser_release(&r.parser);
}

static void check_replies(const struct tokenizer *t)
{
    json_t *golden = golden_new("harmony_parse.json");
    const json_t *replies = json_object_get(golden, "replies");
    assert_true(json_array_size(replies) >= 200);
    for (size_t i = 0; i < json_array_size(replies); i++)
        check_reply(t, json_array_get(replies, i));
    json_decref(golden);
}

static void test_replies(void **state)
{
    (void)state;
    struct tokenizer *t = byte_vocabulary();
    check_replies(t);
    tokenizer_close(t);
}

/* ---- the real vocabulary ---- */

static const char *unpack(const char *packed)
{
    extern char **environ;
    char *arguments[] = {"gzip", "-dc", (char *)(uintptr_t)packed, NULL};
    const char *path = test_join(test_folder(), "o200k_base.tiktoken");
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(posix_spawnp(&child, "gzip", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return path;
}

static void test_real(void **state)
{
    (void)state;
    struct error err = {0};
    struct tokenizer *t;
    const char *packed = test_data("tokenizers/o200k/o200k_base.tiktoken.gz");
    const struct chat_format *f;
    if (!packed)
        skip();
    if (tokenizer_open(&t, unpack(packed), "o200k_harmony", &err))
        fail_msg("%s", err.text);
    check_renderings(t, true);
    check_replies(t);
    assert_int_equal(chat_detect(&f, NULL, t, &err), 0);
    assert_string_equal(f->name, "harmony");
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_replies), cmocka_unit_test(test_real)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
