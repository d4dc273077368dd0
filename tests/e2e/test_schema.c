/* SPDX-License-Identifier: Apache-2.0 */
/* run --json-schema: a model of random weights says nothing but what the schema allows. */
#include "program.h"
#include "validate.h"

#include <stdio.h>
#include <string.h>

#define SEEDS 3

static const char *const schemas[] = {
    "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 20}, \"age\": {\"type\": "
    "\"integer\", \"minimum\": 0, \"maximum\": 130}}, \"required\": [\"name\", \"age\"], "
        "\"additionalProperties\": false}",
    "{\"type\": \"array\", \"items\": {\"enum\": [\"red\", \"green\", null, 7]}, \"minItems\": 3, \"maxItems\": 5}",
    "{\"$defs\": {\"n\": {\"type\": \"object\", \"properties\": {\"v\": {\"type\": \"boolean\"}, \"next\": {\"anyOf\": "
    "[{\"type\": \"null\"}, {\"$ref\": \"#/$defs/n\"}]}}, \"required\": [\"v\", \"next\"]}}, \"$ref\": \"#/$defs/n\"}",
    "{\"type\": \"string\", \"format\": \"date-time\"}",
    "{\"type\": \"string\", \"pattern\": \"^[A-Z]{2}-[0-9]{4,6}$\"}",
    "{\"type\": \"object\", \"properties\": {\"kind\": {\"const\": \"point\"}, \"at\": {\"type\": \"array\", "
        "\"items\": "
    "{\"type\": \"number\", \"minimum\": -1, \"exclusiveMaximum\": 1}, \"minItems\": 2, \"maxItems\": 2}, \"note\": "
    "{\"type\": [\"string\", \"null\"], \"maxLength\": 9}}, \"required\": [\"kind\", \"at\"]}",
};

static const char *model(bool chat)
{
    static const char *folders[2];
    if (!folders[chat])
        folders[chat] = make_model(&(struct made_model) { .layers = 1, .dim = 64, .ffn = 96, .context = 2048,
            .chat = chat ? MADE_CHATML : MADE_NONE });
    return folders[chat];
}

static const char *schema_file(const char *text)
{
    const char *path = test_join(test_folder(), "schema.json");
    test_write(path, text, strlen(text));
    return path;
}

static void answers_are_valid(void **state)
{
    (void)state;
    const char *models[] = { model(false), model(true) };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        json_t *schema = json_loads(schemas[i], 0, NULL);
        assert_non_null(schema);
        for (int seed = 0; seed < SEEDS; seed++) {
            struct program p;
            char text[16];
            snprintf(text, sizeof text, "%d", seed);
            RUN(&p, 0, NULL, "run", "-m", models[seed != 1], "--temp", "1", "--seed", text, "--json-schema",
                schema_file(schemas[i]), "-q", "Answer.");
            json_t *answer = json_loads(p.output.data, JSON_DECODE_ANY, NULL);
            const char *wrong = answer ? validate(schema, schema, answer) : "JSON";
            if (wrong)
                fail_msg("not valid by \"%s\": %s under %s", wrong, p.output.data, schemas[i]);
            assert_int_equal(p.errors.used, 0);
            json_decref(answer);
            program_release(&p);
        }
        json_decref(schema);
    }
}

static void a_cut_answer_is_told(void **state)
{
    (void)state;
    struct program p;
    const char *file = schema_file("{\"type\": \"string\", \"minLength\": 100}");
    RUN(&p, 0, NULL, "run", "-m", model(true), "-q", "-n", "5", "--json-schema", file, "Answer.");
    assert_string_equal(p.errors.data, "wazn: the answer ends before its JSON is whole\n");
    program_release(&p);
}

static void schemas_are_refused_by_place(void **state)
{
    (void)state;
    struct program p;
    RUN(&p, 6, NULL, "run", "-m", model(true), "--json-schema",
        schema_file("{\"properties\": {\"a\": {\"not\": {}}}}"), "Answer.");
    assert_non_null(strstr(p.errors.data, "#/properties/a: \"not\" is not supported"));
    program_release(&p);
    RUN(&p, 3, NULL, "run", "-m", model(true), "--json-schema", test_join(test_folder(), "absent.json"), "Answer.");
    program_release(&p);
    RUN(&p, 5, NULL, "run", "-m", model(true), "--json-schema", schema_file("{"), "Answer.");
    program_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_valid),
        cmocka_unit_test(a_cut_answer_is_told),
        cmocka_unit_test(schemas_are_refused_by_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
