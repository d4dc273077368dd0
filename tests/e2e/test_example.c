/* SPDX-License-Identifier: Apache-2.0 */
/* The example program, which is built with the public header and the shared library alone. WAZN_TEST_BINARY names it.
 */
#include "program.h"

#include <string.h>

static void it_continues_a_text(void **state)
{
    (void)state;
    struct program p = { 0 }, again = { 0 };
    const char *model = make_model(&(struct made_model) { .layers = 2, .dim = 32, .ffn = 48, .context = 64 });
    RUN(&p, 0, NULL, model, "ab", "12");
    RUN(&again, 0, NULL, model, "ab", "12");
    assert_true(p.output.used > 1);
    assert_string_equal(p.output.data, again.output.data);
    program_release(&p);
    program_release(&again);
}

static void it_tells_the_story(void **state)
{
    (void)state;
    struct program p = { 0 };
    const char *model = test_data("weights/stories260K/hf");
    if (!model)
        skip();
    RUN(&p, 0, NULL, model, "Once upon a time", "12");
    assert_non_null(strstr(p.output.data, ", there was a little girl"));
    program_release(&p);
}

static void it_says_what_is_wrong(void **state)
{
    (void)state;
    struct program p = { 0 };
    RUN(&p, 2, NULL, "model");
    program_release(&p);
    RUN(&p, 1, NULL, "/no/such/model", "x");
    assert_non_null(strstr(p.errors.data, "/no/such/model"));
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_continues_a_text),
        cmocka_unit_test(it_tells_the_story),
        cmocka_unit_test(it_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
