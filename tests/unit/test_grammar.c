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
    json_t *root = json_pack("{s:s, s:[{s:i, s:s, s:b}], s:n, s:{s:s, s:b, s:b, s:b}, s:n, s:{s:s}, s:{s:s, s:o, "
        "s:[]}}",
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
        "\"left\": {\"anyOf\": [{\"$ref\": \"#/$defs/tree\"}, {\"type\": \"null\"}]}}, \"required\": [\"v\", "
        "\"left\"], "
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

/* ---- what is accepted, and what is not ---- */

static bool accepts(const struct grammar *g, const char *text)
{
    struct matcher *m;
    assert_int_equal(matcher_open(&m, g, NULL), 0);
    bool accepted = matcher_advance(m, text, strlen(text)) && matcher_complete(m);
    matcher_close(m);
    return accepted;
}

struct example {
    const char *schema;
    const char *good[7], *bad[9];
};

static const struct example examples[] = {
    { "{}", { "1", "-0.5e-3", "[1, {\"a\": null}]", "\"\\ud83d\\ude00\"", "{\n  \"a\":1\n}" },
        { "", "01", "[1,]", "{\"a\"}", "\"\\ud83d\"", "\"\\u0000\"", "\"\xc0\xaf\"", " 1", "tru" } },
    { "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {}}, \"required\": [\"a\"]}",
        { "{\"a\":1}", "{ \"a\": 1, \"b\": []}", "{\n  \"a\": -7\n}" },
        { "{}", "{\"b\":1}", "{\"b\":1,\"a\":1}", "{\"a\":1,}", "{\"a\":1.5}", "{\"a\":1,\"c\":1}", "{\"a\" :1}",
            "{\"a\":1}x" } },
    { "{\"properties\": {\"ab\": {\"const\": 1}}, \"additionalProperties\": {\"type\": \"null\"}}",
        { "{}", "{\"ab\":1}", "{\"ab\":1,\"a\":null,\"abc\":null,\"\xc3\xa9\":null}", "{\"\":null}" },
        { "{\"ab\":null}", "{\"x\":1}", "{\"x\":null,\"ab\":null}", "{\"a\\u0062\":null}", "{\"ab\":1,\"ab\":1}" } },
    { "{\"type\": \"array\", \"items\": {\"type\": \"boolean\"}, \"minItems\": 1, \"maxItems\": 2}",
        { "[true]", "[true, false]", "[\n  true\n]" }, { "[]", "[true,true,true]", "[1]", "[true", "[ ,true]" } },
    { "{\"type\": \"array\", \"maxItems\": 0}", { "[]" }, { "[1]", "[[]]" } },
    { "{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}",
        { "\"ab\"", "\"\xe2\x82\xac\xf0\x9f\x98\x80z\"", "\"\\n\\u00e9\"", "\"\\ud83d\\ude00-\"" },
        { "\"a\"", "\"abcd\"", "\"\xe2\x82\xac\"", "\"\\n\"", "\"ab" } },
    { "{\"type\": \"integer\", \"minimum\": -12, \"exclusiveMaximum\": 105}",
        { "-12", "-1", "0", "9", "104", "99" }, { "-13", "-0", "105", "1000", "1.0", "1e1", "007", "-20" } },
    { "{\"type\": \"number\", \"exclusiveMinimum\": -0.25, \"maximum\": 1.5}",
        { "-0.24", "-0.2499", "0", "0.000", "1.5", "1.500", "1.49999" },
        { "-0.25", "-0.250", "-0.3", "1.51", "1.5001", "2", "-1", "1e0" } },
    { "{\"type\": \"integer\", \"multipleOf\": 7, \"minimum\": 8}", { "14", "70", "700000000000007" }, { "7", "0",
        "15", "-14" } },
    { "{\"type\": \"number\", \"minimum\": 0.1}", { "0.1", "0.10", "123.4", "1" }, { "0.09", "0", "0.0999", "-1" } },
    { "{\"enum\": [\"a\", \"ab\", 1, 12, null, 0.1, {\"k\": [1]}]}",
        { "\"a\"", "\"ab\"", "1", "12", "null", "0.1", "{\"k\":[1]}" }, { "\"abc\"", "\"\"", "2", "123",
            "{\"k\":[]}" } },
    { "{\"type\": \"string\", \"enum\": [\"a\", 1]}", { "\"a\"" }, { "1" } },
    { "{\"type\": [\"integer\", \"null\"]}", { "5", "null" }, { "\"5\"", "5.5", "true" } },
    { "{\"type\": \"string\", \"pattern\": \"^a[^b]+$|^\\\"$\"}", { "\"ac\"", "\"a\xc3\xa9\\n\"", "\"\\\"\"" },
        { "\"a\"", "\"ab\"", "\"xac\"", "\"\"" } },
    { "{\"type\": \"string\", \"pattern\": \"b\"}", { "\"b\"", "\"abc\"" }, { "\"ac\"", "\"\"" } },
    { "{\"type\": \"string\", \"format\": \"date\"}", { "\"2024-02-29\"", "\"2000-02-29\"", "\"1999-12-31\"" },
        { "\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\"", "\"0000-01-01\"", "\"2024-1-1\"" } },
    { "{\"type\": \"string\", \"format\": \"ipv6\"}", { "\"::\"", "\"::1\"", "\"1:2:3:4:5:6:7:8\"", "\"fe80::a:b\"" },
        { "\"1:2\"", "\":::\"", "\"1::2::3\"", "\"1:2:3:4:5:6:7:8:9\"", "\"12345::\"" } },
    { "{\"$defs\": {\"a/b\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/a~1b\"}}}, \"$ref\": "
        "\"#/$defs/a~1b\"}",
        { "[]", "[[],[[]]]" }, { "[1]", "[[]" } },
};

static void examples_are_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const struct example *e = &examples[i];
        json_t *schema = json_of(e->schema);
        struct grammar *g = grammar_of(schema);
        for (size_t k = 0; k < sizeof e->good / sizeof e->good[0] && e->good[k]; k++)
            if (!accepts(g, e->good[k]))
                fail_msg("refused: %s under %s", e->good[k], e->schema);
        for (size_t k = 0; k < sizeof e->bad / sizeof e->bad[0] && e->bad[k]; k++)
            if (accepts(g, e->bad[k]))
                fail_msg("accepted: %s under %s", e->bad[k], e->schema);
        grammar_close(g);
        json_decref(schema);
    }
}

static void schemas_are_refused_by_place(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        int code;
        const char *text;
    } cases[] = {
        { "{\"oneOf\": [{}]}", ERROR_UNSUPPORTED, "#: \"oneOf\" is not supported" },
        { "{\"properties\": {\"a\": {\"items\": {\"uniqueItems\": true}}}}", ERROR_UNSUPPORTED,
            "#/properties/a/items: \"uniqueItems\" is not supported" },
        { "{\"$ref\": \"#/$defs/x\"}", ERROR_FORMAT, "leads nowhere" },
        { "{\"$ref\": \"other.json\"}", ERROR_UNSUPPORTED, "out of the document" },
        { "{\"$ref\": \"#\"}", ERROR_UNSUPPORTED, "refers to itself before any text" },
        { "{\"anyOf\": [{\"type\": \"null\"}, {\"$ref\": \"#/anyOf/1\"}]}", ERROR_UNSUPPORTED,
            "#/anyOf/1: the schema refers" },
        { "{\"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}", ERROR_UNSUPPORTED,
            "no finite JSON value" },
        { "{\"type\": \"string\", \"pattern\": \"(?=a)\"}", ERROR_UNSUPPORTED, "ahead and behind" },
        { "{\"type\": \"string\", \"pattern\": \"(a)\\\\1\"}", ERROR_UNSUPPORTED, "escape is not supported" },
        { "{\"type\": \"string\", \"pattern\": \"a^\"}", ERROR_UNSUPPORTED, "anchor" },
        { "{\"type\": \"string\", \"format\": \"iri\"}", ERROR_UNSUPPORTED, "format \"iri\"" },
        { "{\"type\": \"string\", \"pattern\": \"a\", \"maxLength\": 3}", ERROR_UNSUPPORTED, "beside" },
        { "{\"type\": \"integer\", \"minimum\": 5, \"maximum\": 4}", ERROR_UNSUPPORTED, "no finite JSON value" },
        { "{\"type\": \"number\", \"multipleOf\": 0.01}", ERROR_UNSUPPORTED, "multipleOf" },
        { "{\"type\": \"array\", \"minItems\": 1e12}", ERROR_LIMIT, "minItems" },
        { "{\"type\": \"array\", \"minItems\": -1}", ERROR_FORMAT, "minItems" },
        { "{\"enum\": []}", ERROR_UNSUPPORTED, "empty" },
        { "{\"type\": \"text\"}", ERROR_FORMAT, "\"type\" is not one of" },
        { "{\"anyOf\": [{}], \"type\": \"object\"}", ERROR_UNSUPPORTED, "\"type\" beside \"anyOf\"" },
        { "{\"required\": [\"a\"]}", ERROR_UNSUPPORTED, "\"a\" is required" },
        { "false", ERROR_UNSUPPORTED, "allows nothing" },
        { "[]", ERROR_FORMAT, "an object or true" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = { 0 };
        struct grammar *g;
        json_t *schema = json_of(cases[i].schema);
        int rc = grammar_open(&g, schema, &err);
        if (rc != cases[i].code || !strstr(err.text, cases[i].text))
            fail_msg("%s: %d \"%s\"", cases[i].schema, rc, err.text);
        json_decref(schema);
    }
}

/* Time and memory stay small whatever the schema is: it is refused, or has an automaton that goes on. */
static void hostile_schemas_end_soon(void **state)
{
    (void)state;
    json_t *deep = json_pack("{s:s}", "type", "null"), *enormous = json_array(), *wide = json_object();
    for (int i = 0; i < 1000; i++)
        deep = json_pack("{s:s, s:o}", "type", "array", "items", deep);
    for (int i = 0; i < 100000; i++)
        json_array_append_new(enormous, json_sprintf("value %d", i));
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        json_object_set_new(wide, name, json_object());
    }
    json_t *nested = json_object();
    for (int level = 0; level < 20; level++) {
        json_t *list = json_array();
        for (int i = 0; i < 400; i++)
            json_array_append_new(list, json_pack("{s:i}", "const", i));
        json_array_append_new(list, nested);
        nested = json_pack("{s:o}", "anyOf", list);
    }
    json_t *schemas[] = { deep, json_pack("{s:o}", "enum", enormous), json_pack("{s:o}", "properties", wide), nested,
        json_of("{\"type\": \"string\", \"pattern\": \"^(((a{1,1000}){1,1000}){1,1000}b?)*c$\"}"),
        json_of("{\"type\": \"string\", \"minLength\": 100000, \"maxLength\": 4000000000}"),
        json_of("{\"type\": \"array\", \"minItems\": 100000, \"items\": {\"$ref\": \"#\"}}") };
    const int codes[] = { ERROR_LIMIT, 0, 0, 0, 0, 0, ERROR_UNSUPPORTED };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        struct error err = { 0 };
        struct grammar *g;
        struct matcher *m;
        double start = clock_seconds();
        assert_int_equal(grammar_open(&g, schemas[i], &err), codes[i]);
        if (g) {
            struct random r;
            random_seed(&r, i);
            assert_int_equal(matcher_open(&m, g, &err), 0);
            for (int n = 0; n < 300; n++) {
                int next = -1;
                uint32_t seen = 0;
                for (int byte = 0; byte < 256; byte++)
                    if (matcher_allows(m, &(char) { (char)byte }, 1) && below(&r, ++seen) == 0)
                        next = byte;
                assert_true(next >= 0 || matcher_complete(m));
                if (next < 0)
                    break;
                assert_true(matcher_advance(m, &(char) { (char)next }, 1));
            }
            matcher_close(m);
        }
        grammar_close(g);
        json_decref(schemas[i]);
        print_message("hostile schema %zu: %.0f ms\n", i, (clock_seconds() - start) * 1e3);
    }
}

/* A state that was saved is the same later, in another matcher too, and memory in use is given up on the way. */
static void states_are_restored(void **state)
{
    (void)state;
    json_t *schema = json_of("{\"type\": \"array\", \"items\": {\"type\": \"string\", \"maxLength\": 100000}}");
    struct grammar *g = grammar_of(schema);
    struct constraint *c;
    struct buffer saved = { 0 };
    struct matcher *other;
    assert_int_equal(constraint_open(&c, g, small, tokenizer_size(small), (const int32_t[]) { STOP }, 1, NULL), 0);
    struct matcher *m = constraint_matcher(c);
    assert_true(matcher_advance(m, "[\"a", 3));
    matcher_save(m, &saved);
    uint32_t epoch = matcher_epoch(m);
    for (int i = 0; i < 20000; i++)
        assert_true(matcher_advance(m, "x", 1));
    assert_true(matcher_epoch(m) > epoch);
    check_mask(c, constraint_mask(c));
    assert_true(matcher_advance(m, "\"]", 2) && matcher_complete(m));
    matcher_restore(m, saved.data, saved.used);
    assert_false(matcher_complete(m));
    check_mask(c, constraint_mask(c));
    assert_int_equal(matcher_open(&other, g, NULL), 0);
    matcher_restore(other, saved.data, saved.used);
    assert_true(matcher_advance(other, "\", \"\"]", 6) && matcher_complete(other));
    matcher_close(other);
    assert_true(matcher_advance(m, "\"]", 2) && matcher_complete(m));
    assert_int_equal(constraint_accept(c, 1, NULL), ERROR_USAGE);
    buffer_release(&saved);
    constraint_close(c);
    grammar_close(g);
    json_decref(schema);
}

/* Shown, not judged: clocks of machines under load say little. */
static void masks_are_timed(void **state)
{
    (void)state;
    static const char schema_text[] = "{\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": "
        "{\"name\": "
        "{\"type\": \"string\"}, \"short\": {\"type\": \"string\", \"maxLength\": 40}, \"n\": {\"type\": \"integer\", "
        "\"minimum\": 0, \"maximum\": 9999}}, \"required\": [\"name\", \"short\", \"n\"]}}";
    static const char text[] = "[{\"name\": \"John Ronald\", \"short\": \"a b c d e f g h\", \"n\": 1234}, {\"name\": "
        "\"etaoin shrdlu\", \"short\": \"\", \"n\": 7}]";
    struct tokenizer *t = vocabulary_of(270000);
    json_t *schema = json_of(schema_text);
    struct grammar *g = grammar_of(schema);
    struct constraint *c;
    double start = clock_seconds(), worst = 0, sum = 0;
    assert_int_equal(constraint_open(&c, g, t, tokenizer_size(t), (const int32_t[]) { STOP }, 1, NULL), 0);
    double open = clock_seconds() - start;
    for (size_t i = 0; i < strlen(text); i++) {
        start = clock_seconds();
        constraint_mask(c);
        double its = clock_seconds() - start;
        worst = its > worst ? its : worst;
        sum += its;
        assert_true(matcher_advance(constraint_matcher(c), text + i, 1));
    }
    print_message("%d tokens: tree %.0f ms, mask %.2f ms on average, %.2f ms at most, over %zu steps\n",
        tokenizer_size(t), open * 1e3, sum / (double)strlen(text) * 1e3, worst * 1e3, strlen(text));
    constraint_close(c);
    grammar_close(g);
    json_decref(schema);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_kept),
        cmocka_unit_test(schemas_are_refused_by_place),
        cmocka_unit_test(hostile_schemas_end_soon),
        cmocka_unit_test(states_are_restored),
        cmocka_unit_test(masks_are_timed),
        cmocka_unit_test(texts_by_chance_are_valid),
    };
    return cmocka_run_group_tests(tests, open_small, close_small);
}
