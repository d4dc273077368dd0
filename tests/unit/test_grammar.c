/* SPDX-License-Identifier: Apache-2.0 */
/* Grammars of JSON schemas: what is written by chance under one parses and is valid. */
#include "support.h"
#include "validate.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/utf8.h"
#include "infer/constraint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMAS 400
#define WALKS 8
#define WALK_SOON 150  /* bytes behind which a walk prefers to close what is open */
#define WALK_MAX 20000
#define STOP 0

/* ---- a vocabulary: single bytes, runs of them, JSON's usual pieces, parts of UTF-8 sequences ---- */

static struct tokenizer *vocabulary_of(int32_t n_random)
{
    static const char *const pieces[] = { "\": ", "\":", "\",", "\", \"", "{\"", "\"}", "}]", "[[", "},{", "]}", "null",
        "true", "false", ", ", ",\n", "\n  ", "\n    ", "{\n  \"", "\\u", "\\n", "\\\"", "00", "10", "-1", ".5", "e+",
        "\xc3\xa9", "\xe2\x82", "\x82\xac", "\xf0\x9f", "\x98\x80", "\"a\"", "\"b", "name", "\": \"", "2024-", "T12:" };
    size_t n_pieces = sizeof pieces / sizeof pieces[0];
    struct buffer b = { 0 };
    struct tokenizer *t = NULL;
    struct error err;
    struct random r;
    int next = 256;
    char spelt[256][4];
    int spelt_n[256];
    random_seed(&r, 5);
    for (int byte = 0; byte < 256; byte++) {
        bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        spelt_n[byte] = utf8_encode(spelt[byte], itself ? byte : next++);
    }
    json_t *vocabulary = json_object();
    assert_int_equal(json_object_set_new(vocabulary, "<|end|>", json_integer(STOP)), 0);
    for (int32_t i = 0; i < 256 + (int32_t)n_pieces + n_random; i++) {
        char bytes[32];
        size_t n = 1;
        bytes[0] = (char)i;
        if (i >= 256 && (size_t)(i - 256) < n_pieces) {
            n = strlen(pieces[i - 256]);
            memcpy(bytes, pieces[i - 256], n);
        } else if (i >= 256) {
            static const char letters[] = "etaoinshrdlu etaoinshrdluETAO0123456789.,:\"{}[]\\-_";
            n = 2 + random_below(&r, 10);
            uint32_t of = random_below(&r, 8) ? 25 : sizeof letters - 1;
            for (size_t k = 0; k < n; k++)
                bytes[k] = letters[random_below(&r, of)];
            if (random_below(&r, 2))
                bytes[0] = ' ';
        }
        buffer_clear(&b);
        for (size_t k = 0; k < n; k++)
            buffer_add(&b, spelt[(unsigned char)bytes[k]], (size_t)spelt_n[(unsigned char)bytes[k]]);
        if (!json_object_get(vocabulary, b.data))
            json_object_set_new(vocabulary, b.data, json_integer((json_int_t)json_object_size(vocabulary)));
    }
    json_t *root = json_pack("{s:s, s:[{s:i, s:s, s:b}], s:n, s:{s:s, s:b, s:b, s:b}, s:n, s:{s:s}, s:{s:s, s:o, s:[]}}",
        "version", "1.0", "added_tokens", "id", STOP, "content", "<|end|>", "special", 1, "normalizer", "pre_tokenizer",
        "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1, "post_processor", "decoder",
        "type", "ByteLevel", "model", "type", "BPE", "vocab", vocabulary, "merges");
    assert_non_null(root);
    char *text = json_dumps(root, JSON_COMPACT);
    const char *path = test_join(test_folder(), "tokenizer.json");
    test_write(path, text, strlen(text));
    if (tokenizer_open(&t, path, NULL, &err) != 0)
        fail_msg("%s", err.text);
    free(text);
    json_decref(root);
    buffer_release(&b);
    return t;
}

static struct tokenizer *small;

static int open_small(void **state)
{
    (void)state;
    small = vocabulary_of(600);
    return 0;
}

static int close_small(void **state)
{
    (void)state;
    tokenizer_close(small);
    return 0;
}

static json_t *json_of(const char *text)
{
    json_error_t e;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &e);
    if (!value)
        fail_msg("%s: %s", text, e.text);
    return value;
}

static struct grammar *grammar_of(const json_t *schema)
{
    struct grammar *g;
    struct error err = { 0 };
    if (grammar_open(&g, schema, &err) != 0) {
        char *text = json_dumps(schema, JSON_ENCODE_ANY);
        fail_msg("%s: %s", err.text, text);
    }
    return g;
}

/* ---- schemas by chance ---- */

static uint32_t below(struct random *r, uint32_t n)
{
    return random_below(r, n);
}

static json_t *random_string(struct random *r)
{
    static const char *const patterns[] = { "^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "abc", "^(foo|bar)+$", "[\"\\\\\\n]x$",
        "^[\\u00e0-\\u00ff\\u4e00-\\u9fff]{1,3}$", "^([A-Z][a-z]*\\s?){1,3}$", "^a?b+c*$|^$", "^[^a-y\\x00]{3}$",
        "^(\\w+)@(\\w+)\\.com$", "^(?:a|b(?:c|d){2,3}){2}$", "^.{0,4}$" };
    static const char *const formats[] = { "date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6",
        "uuid" };
    switch (below(r, 6)) {
    case 0:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
            patterns[below(r, sizeof patterns / sizeof patterns[0])]);
    case 1:
        return json_pack("{s:s, s:s}", "type", "string", "format",
            formats[below(r, sizeof formats / sizeof formats[0])]);
    case 2:
        return json_pack("{s:s, s:i}", "type", "string", "maxLength", (int)below(r, 12));
    case 3:
        return json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", (int)below(r, 5), "maxLength",
            (int)below(r, 5) + 5);
    case 4:
        return json_pack("{s:s, s:i}", "type", "string", "minLength", (int)below(r, 20));
    default:
        return json_pack("{s:s, s:s}", "type", "string", "description", "any text");
    }
}

static json_t *random_bound(struct random *r, double around)
{
    double x = around + (random_unit(r) - 0.3) * (below(r, 2) ? 10 : 100000);
    if (below(r, 2))
        return json_integer((json_int_t)x);
    char text[40];
    snprintf(text, sizeof text, "%.*f", (int)below(r, 6), x);
    return json_real(strtod(text, NULL));
}

static json_t *random_number(struct random *r)
{
    bool whole = below(r, 2), strict = below(r, 3) == 0;
    json_t *s = json_pack("{s:s}", "type", whole ? "integer" : "number");
    double low = (random_unit(r) - 0.5) * (below(r, 2) ? 20 : 200000);
    if (below(r, 3)) {
        json_t *bound = random_bound(r, low);
        low = json_number_value(bound);
        json_object_set_new(s, strict ? "exclusiveMinimum" : "minimum", bound);
    }
    if (below(r, 3)) {
        double high = low + 2 + random_unit(r) * (below(r, 2) ? 5 : 1e6);
        json_object_set_new(s, strict ? "exclusiveMaximum" : "maximum",
            below(r, 2) ? json_integer((json_int_t)high + 1) : json_real(high));
    } else if (whole && below(r, 3) == 0) {
        json_object_set_new(s, "multipleOf", json_integer(1 + below(r, 400)));
    }
    return s;
}

static json_t *random_literal(struct random *r)
{
    static const char *const literals[] = { "null", "true", "\"a\"", "\"ab\"", "\"abc\"", "\"\\\"\\\\\\n\"", "1", "12",
        "1.5", "0.1", "-3e20", "[]", "{\"k\": [1, \"\\u20ac\"]}", "\"\\u00e9t\\u00e9\"", "\"\"", "100000000000" };
    return json_of(literals[below(r, sizeof literals / sizeof literals[0])]);
}

static json_t *random_schema(struct random *r, int depth);

static json_t *random_object(struct random *r, int depth)
{
    static const char *const names[] = { "a", "ab", "name", "\"q\"", "\xc3\xa9", "items", "x/y~", "" };
    json_t *properties = json_object(), *required = json_array();
    for (uint32_t n = below(r, 5); n > 0; n--) {
        const char *name = names[below(r, 8)];
        json_object_set_new(properties, name, random_schema(r, depth + 1));
    }
    const char *name;
    json_t *value;
    json_object_foreach(properties, name, value)
    {
        if (below(r, 2))
            json_array_append_new(required, json_string(name));
    }
    json_t *s = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
    uint32_t kind = below(r, 4);
    if (kind < 2)
        json_object_set_new(s, "additionalProperties", json_boolean(kind));
    else if (kind == 2)
        json_object_set_new(s, "additionalProperties", random_schema(r, depth + 1));
    return s;
}

static json_t *random_schema(struct random *r, int depth)
{
    static const char *const refs[] = { "#/$defs/tree", "#/$defs/list", "#/$defs/leaf" };
    json_t *list = NULL;
    switch (below(r, depth < 3 ? 13 : 7)) {
    case 0:
    case 1:
        return random_string(r);
    case 2:
    case 3:
        return random_number(r);
    case 4:
        return json_pack("{s:s}", "type", below(r, 2) ? "boolean" : "null");
    case 5:
        list = json_array();
        for (uint32_t n = 1 + below(r, 6); n > 0; n--)
            json_array_append_new(list, random_literal(r));
        return json_pack("{s:o}", "enum", list);
    case 6:
        return json_pack("{s:o}", "const", random_literal(r));
    case 7:
        return json_pack("{s:s}", "$ref", refs[below(r, 3)]);
    case 8:
        list = json_array();
        for (uint32_t n = 1 + below(r, 3); n > 0; n--)
            json_array_append_new(list, random_schema(r, depth + 1));
        return json_pack("{s:o}", "anyOf", list);
    case 9:
        return json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", random_schema(r, depth + 1), "minItems",
            (int)below(r, 3), "maxItems", 3 + (int)below(r, 3));
    case 10:
        return json_pack("{s:[s, s, s], s:i, s:i}", "type", "string", "null", "number", "maxLength", 7, "minimum", -2);
    default:
        return random_object(r, depth);
    }
}

static json_t *random_root(struct random *r)
{
    json_t *defs = json_of("{\"tree\": {\"type\": \"object\", \"properties\": {\"v\": {\"$ref\": \"#/$defs/leaf\"}, "
        "\"left\": {\"anyOf\": [{\"$ref\": \"#/$defs/tree\"}, {\"type\": \"null\"}]}}, \"required\": [\"v\", \"left\"], "
        "\"additionalProperties\": false}, \"list\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/list\"}}, "
        "\"leaf\": {\"type\": \"integer\", \"minimum\": -5, \"maximum\": 120}}");
    json_t *s = below(r, 10) ? random_object(r, 0) : random_schema(r, 0);
    json_object_set_new(s, "$defs", defs);
    return s;
}

/* ---- walks ---- */

static bool bit(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

/* A token by chance; late in the walk one that begins with a byte that closes something. */
static int32_t choose(struct constraint *c, const uint64_t *mask, struct random *r, size_t length)
{
    static const char closing[] = "\"}]0,";
    int32_t size = tokenizer_size(small), chosen = -1;
    uint32_t seen = 0;
    if (bit(mask, STOP) && (length > WALK_SOON || below(r, 4) == 0))
        return STOP;
    for (const char *close = closing; length > WALK_SOON && *close; close++) {
        int32_t id = tokenizer_find(small, close, 1);
        if (below(r, 10) && id >= 0 && bit(mask, id))
            return id;
    }
    for (int32_t id = 0; id < size; id++)
        if (bit(mask, id) && below(r, ++seen) == 0)
            chosen = id;
    (void)c;
    return chosen;
}

/* Masks are what the bytes of each token say. */
static void check_mask(struct constraint *c, const uint64_t *mask)
{
    struct matcher *m = constraint_matcher(c);
    struct buffer b = { 0 };
    for (int32_t id = 0; id < tokenizer_size(small); id++) {
        buffer_clear(&b);
        assert_int_equal(tokenizer_add_bytes(small, id, &b, NULL), 0);
        bool allowed = id == STOP ? matcher_complete(m) : b.used > 0 && matcher_allows(m, b.data, b.used);
        if (allowed != bit(mask, id))
            fail_msg("token %d \"%.*s\": mask %d, bytes %d", id, (int)b.used, b.data, bit(mask, id), allowed);
    }
    buffer_release(&b);
}

/* One text by chance into `text`; false where it got too long to wait for its end. */
static bool walk(struct constraint *c, struct random *r, struct buffer *text)
{
    matcher_reset(constraint_matcher(c));
    buffer_clear(text);
    buffer_add_text(text, "");
    while (text->used < WALK_MAX) {
        const uint64_t *mask = constraint_mask(c);
        if (below(r, 40) == 0)
            check_mask(c, mask);
        int32_t id = choose(c, mask, r, text->used);
        if (id < 0)
            fail_msg("nothing may follow: %s", text->data);
        assert_int_equal(constraint_accept(c, id, NULL), 0);
        if (id == STOP)
            return true;
        assert_int_equal(tokenizer_add_bytes(small, id, text, NULL), 0);
    }
    return false;
}

static void check_text(const json_t *schema, const struct buffer *text)
{
    json_error_t e;
    json_t *value = json_loadb(text->data, text->used, JSON_DECODE_ANY, &e);
    if (!value)
        fail_msg("does not parse: %s: %s", e.text, text->data);
    const char *wrong = validate(schema, schema, value);
    if (wrong) {
        char *shown = json_dumps(schema, JSON_ENCODE_ANY);
        fail_msg("not valid by \"%s\": %s under %s", wrong, text->data, shown);
    }
    json_decref(value);
}

static void texts_by_chance_are_valid(void **state)
{
    (void)state;
    struct random r;
    struct buffer text = { 0 };
    int texts = 0, too_long = 0;
    size_t bytes = 0;
    random_seed(&r, 2026);
    for (int i = 0; i < SCHEMAS; i++) {
        json_t *schema = random_root(&r);
        struct grammar *g = grammar_of(schema);
        struct constraint *c;
        assert_int_equal(constraint_open(&c, g, small, tokenizer_size(small), (const int32_t[]) { STOP }, 1, NULL), 0);
        for (int k = 0; k < WALKS; k++) {
            if (walk(c, &r, &text)) {
                check_text(schema, &text);
                texts++;
                bytes += text.used;
            } else {
                too_long++;
            }
        }
        constraint_close(c);
        grammar_close(g);
        json_decref(schema);
    }
    print_message("%d schemas, %d texts of %zu bytes are valid, %d walks were given up\n", SCHEMAS, texts, bytes,
        too_long);
    assert_true(texts >= SCHEMAS * WALKS * 99 / 100);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_by_chance_are_valid),
    };
    return cmocka_run_group_tests(tests, open_small, close_small);
}
