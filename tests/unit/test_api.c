/* SPDX-License-Identifier: Apache-2.0 */
/* The public interface, through the example program and directly. */
#include "support.h"

#include <wazn.h>

#include <string.h>

#define STORY "weights/stories260K/hf"

struct collected {
    char text[4096];
    size_t used;
    int pieces, stop_after;
};

static int collect(void *context, const char *text, size_t length)
{
    struct collected *c = context;
    assert_true(c->used + length < sizeof c->text);
    memcpy(c->text + c->used, text, length);
    c->used += length;
    c->text[c->used] = '\0';
    c->pieces++;
    return c->stop_after && c->pieces >= c->stop_after;
}

static struct wazn_model *open_story(void)
{
    struct wazn_error err = { 0 };
    struct wazn_model *model;
    const char *path = test_data(STORY);
    if (!path)
        skip();
    int rc = wazn_model_open(&model, path, NULL, &err);
    if (rc)
        fail_msg("%s", err.text);
    return model;
}

static void a_story_is_told(void **state)
{
    (void)state;
    struct wazn_error err = { 0 };
    struct wazn_model *model = open_story();
    struct wazn_session *session;
    struct wazn_session_options options = { .temperature = -1, .max_tokens = 30, .threads = 2, .kv_format = "f32" };
    assert_string_equal(wazn_model_family(model), "llama");
    assert_int_equal(wazn_model_vocabulary(model), 512);
    assert_int_equal(wazn_model_context(model), 512);
    assert_true(wazn_model_parameters(model) > 200000 && wazn_model_parameters(model) < 300000);
    assert_int_equal(wazn_session_open(&session, model, &options, &err), 0);
    struct collected first = { 0 }, again = { 0 }, cut = { .stop_after = 3 };
    assert_int_equal(wazn_session_generate(session, "", collect, &first, &err), 0);
    assert_non_null(strstr(first.text, "Once upon a time, there was a little girl named Lily."));
    assert_int_equal(wazn_session_generate(session, "", collect, &again, &err), 0);
    assert_string_equal(again.text, first.text);
    assert_int_equal(wazn_session_generate(session, "", collect, &cut, &err), WAZN_ERROR_CANCELLED);
    assert_int_equal(cut.pieces, 3);
    wazn_session_close(session);
    wazn_model_close(model);
}

static void a_full_context_is_said(void **state)
{
    (void)state;
    struct wazn_error err = { 0 };
    struct wazn_model *model = open_story();
    struct wazn_session *session;
    struct wazn_session_options options = { .temperature = -1, .context = 16 };
    struct collected c = { 0 };
    assert_int_equal(wazn_session_open(&session, model, &options, &err), 0);
    assert_int_equal(wazn_session_generate(session, "Once", collect, &c, &err), WAZN_ERROR_LIMIT);
    assert_non_null(strstr(err.text, "16"));
    assert_true(c.used > 0);
    wazn_session_close(session);
    options.kv_format = "nothing";
    assert_int_equal(wazn_session_open(&session, model, &options, &err), WAZN_ERROR_USAGE);
    assert_null(session);
    wazn_model_close(model);
}

static void tokens_are_counted(void **state)
{
    (void)state;
    int32_t ids[2] = { 0 };
    size_t count;
    struct wazn_model *model = open_story();
    assert_int_equal(wazn_tokenize(model, "a little girl", 13, ids, 2, &count, NULL), 0);
    assert_true(count > 2 && ids[0] > 0 && ids[1] > 0);
    wazn_model_close(model);
}

static void what_is_not_there_is_said(void **state)
{
    (void)state;
    struct wazn_error err = { 0 };
    struct wazn_model *model;
    assert_int_equal(wazn_model_open(&model, "/no/such/model", NULL, &err), WAZN_ERROR_NOT_FOUND);
    assert_null(model);
    assert_non_null(strstr(err.text, "/no/such/model"));
    wazn_model_close(NULL);
    wazn_session_close(NULL);
    assert_true(strlen(wazn_version()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_story_is_told),
        cmocka_unit_test(a_full_context_is_said),
        cmocka_unit_test(tokens_are_counted),
        cmocka_unit_test(what_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
