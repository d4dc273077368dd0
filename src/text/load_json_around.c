/* SPDX-License-Identifier: Apache-2.0 */
#include "text/load.h"

#include <string.h>

static bool is_type(const json_t *spec, const char *type)
{
    return strcmp(json_text(spec, "type", ""), type) == 0;
}

static int add_id(struct tokens *to, const json_t *id, struct error *err)
{
    json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
    if (value < 0 || value >= VOCAB_SIZE_MAX)
        return error_set(err, ERROR_FORMAT, "the post-processor names id %lld", (long long)value);
    tokens_add(to, (int32_t)value);
    return tokens_check(to, err);
}

/* "single": special tokens around the text A. */
static int add_template(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *single = json_object_get(spec, "single"), *specials = json_object_get(spec, "special_tokens");
    bool behind = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i), *special = json_object_get(item, "SpecialToken");
        const char *name = json_text(special, "id", "");
        const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
        if (special && json_array_size(ids) == 0)
            return error_set(err, ERROR_FORMAT, "the post-processor does not tell the ids of \"%s\"", name);
        behind |= !special;
        for (size_t k = 0; rc == 0 && special && k < json_array_size(ids); k++)
            rc = add_id(behind ? &t->back : &t->front, json_array_get(ids, k), err);
    }
    return rc;
}

/* "cls" and "sep": [text, id]. */
static int add_pair(struct tokenizer *t, const json_t *spec, struct error *err)
{
    int rc = add_id(&t->front, json_array_get(json_object_get(spec, "cls"), 1), err);
    return rc ? rc : add_id(&t->back, json_array_get(json_object_get(spec, "sep"), 1), err);
}

static int add_processor(struct tokenizer *t, const json_t *spec, struct error *err)
{
    if (is_type(spec, "TemplateProcessing"))
        return add_template(t, spec, err);
    if (is_type(spec, "RobertaProcessing") || is_type(spec, "BertProcessing"))
        return add_pair(t, spec, err);
    if (is_type(spec, "ByteLevel"))
        return 0; /* moves offsets, not ids */
    return error_set(err, ERROR_UNSUPPORTED, "post-processor \"%s\" is not supported", json_text(spec, "type", ""));
}

int load_json_post_processor(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *steps = json_object_get(spec, "processors");
    int rc = 0;
    if (!spec || json_is_null(spec))
        return 0;
    if (!is_type(spec, "Sequence"))
        return add_processor(t, spec, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(steps); i++)
        rc = add_processor(t, json_array_get(steps, i), err);
    return rc;
}

#define UNDERLINE "\xe2\x96\x81" /* U+2581 */

static int add_decoder(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *pattern = json_object_get(spec, "pattern");
    if (is_type(spec, "ByteLevel") || is_type(spec, "ByteFallback") || is_type(spec, "Fuse"))
        return 0; /* pieces are bytes already, and are joined */
    if (is_type(spec, "Metaspace")) {
        const char *scheme = json_text(
            spec, "prepend_scheme", json_flag(spec, "add_prefix_space", true) ? "always" : "never");
        t->decode.spaces = true;
        t->decode.drop_first = strcmp(scheme, "never") != 0;
        return strcmp(json_text(spec, "replacement", UNDERLINE), UNDERLINE) == 0
            ? 0
            : error_set(err, ERROR_UNSUPPORTED, "a \"Metaspace\" decoder of other text than U+2581 is not supported");
    }
    if (is_type(spec, "Replace") && strcmp(json_text(pattern, "String", ""), UNDERLINE) == 0
        && strcmp(json_text(spec, "content", ""), " ") == 0) {
        t->decode.spaces = true;
        return 0;
    }
    if (is_type(spec, "Strip") && strcmp(json_text(spec, "content", ""), " ") == 0 && json_whole(spec, "stop", 0) == 0
        && json_whole(spec, "start", 0) <= 1) {
        t->decode.drop_first = json_whole(spec, "start", 0) == 1;
        return 0;
    }
    return error_set(err, ERROR_UNSUPPORTED, "decoder \"%s\" with these settings is not supported",
        json_text(spec, "type", ""));
}

int load_json_decoder(struct tokenizer *t, const json_t *spec, struct error *err)
{
    const json_t *steps = json_object_get(spec, "decoders");
    int rc = 0;
    if (!spec || json_is_null(spec))
        return 0;
    if (!is_type(spec, "Sequence"))
        return add_decoder(t, spec, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(steps); i++)
        rc = add_decoder(t, json_array_get(steps, i), err);
    return rc;
}
