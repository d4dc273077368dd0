/* SPDX-License-Identifier: Apache-2.0 */
/* What gguf_write makes, read back: every type of value, arrays, copies, tensors of every format; and what cannot be
 * in a GGUF. */
#include "support.h"

#include "base/json.h"
#include "file/gguf_write.h"
#include "file/source.h"
#include "file/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum gguf_type type;
    int64_t low, high;
} wholes[] = { { GGUF_UINT8, 0, UINT8_MAX }, { GGUF_INT8, INT8_MIN, INT8_MAX }, { GGUF_UINT16, 0, UINT16_MAX },
    { GGUF_INT16, INT16_MIN, INT16_MAX }, { GGUF_UINT32, 0, UINT32_MAX }, { GGUF_INT32, INT32_MIN, INT32_MAX },
    { GGUF_UINT64, 0, INT64_MAX }, { GGUF_INT64, INT64_MIN, INT64_MAX } };
#define WHOLES (sizeof wholes / sizeof wholes[0])

static void put_values(struct gguf_out *o)
{
    char key[32];
    for (size_t i = 0; i < WHOLES; i++) {
        snprintf(key, sizeof key, "low.%s", gguf_type_name(wholes[i].type));
        gguf_put_whole(o, key, wholes[i].type, wholes[i].low);
        snprintf(key, sizeof key, "high.%s", gguf_type_name(wholes[i].type));
        gguf_put_whole(o, key, wholes[i].type, wholes[i].high);
    }
    gguf_put_real(o, "real", 1e-5);
    gguf_put_flag(o, "yes", true);
    gguf_put_flag(o, "no", false);
    gguf_put_text(o, "text", "a\0b\xff", 4);
    gguf_put_text(o, "empty", "", 0);
    gguf_put_array(o, "texts", GGUF_STRING, 3);
    gguf_add_text(o, "x", 1);
    gguf_add_text(o, "", 0);
    gguf_add_text(o, "long", 4);
    gguf_put_array(o, "reals", GGUF_FLOAT32, 2);
    gguf_add_real(o, 0.5);
    gguf_add_real(o, -INFINITY);
    gguf_put_array(o, "none", GGUF_INT32, 0);
}

static void check_values(const struct gguf *g)
{
    char key[32];
    size_t n;
    for (size_t i = 0; i < WHOLES; i++) {
        snprintf(key, sizeof key, "low.%s", gguf_type_name(wholes[i].type));
        assert_int_equal(gguf_find(g, key)->type, wholes[i].type);
        assert_true(gguf_whole(g, key, 7) == wholes[i].low);
        snprintf(key, sizeof key, "high.%s", gguf_type_name(wholes[i].type));
        assert_true(gguf_whole(g, key, 7) == wholes[i].high);
    }
    assert_true(gguf_real(g, "real", 0) == 1e-5); /* the decimal that was written, not the float's own value */
    assert_true(gguf_flag(g, "yes", false));
    assert_false(gguf_flag(g, "no", true));
    assert_memory_equal(gguf_text(g, "text", &n), "a\0b\xff", 4);
    assert_int_equal(n, 4);
    assert_non_null(gguf_text(g, "empty", &n));
    assert_int_equal(n, 0);
    struct gguf_strings it;
    const char *text;
    gguf_strings_begin(&it, gguf_array(g, "texts", GGUF_STRING));
    for (int i = 0; i < 3; i++)
        assert_true(gguf_strings_next(&it, &text, &n));
    assert_memory_equal(text, "long", 4);
    assert_false(gguf_strings_next(&it, &text, &n));
    const struct gguf_value *reals = gguf_array(g, "reals", GGUF_FLOAT32);
    assert_true(gguf_float32_at(reals, 0) == 0.5f && isinf(gguf_float32_at(reals, 1)));
    assert_int_equal(gguf_array(g, "none", GGUF_INT32)->count, 0);
}

/* The file of a header and `data` bytes of zeros behind it. */
static struct gguf *read_back(struct buffer *file, const struct gguf_out *o, struct table *tensors)
{
    struct error err = { 0 };
    struct gguf *g;
    buffer_clear(file);
    assert_int_equal(gguf_out_header(o, file, &err), 0);
    for (uint64_t i = 0; i < o->data_bytes; i++)
        buffer_add_byte(file, 0);
    if (gguf_read(&g, file->data, file->used, "made", tensors, &err) != 0)
        fail_msg("%s", err.text);
    return g;
}

static void values_come_back(void **state)
{
    (void)state;
    struct gguf_out o = { 0 }, copy = { 0 };
    struct buffer file = { 0 }, again = { 0 };
    put_values(&o);
    uint64_t place = gguf_out_place(&o) - (8 + 4 + 4 + 4 + 8) - 4; /* the last of "reals", before "none" */
    struct gguf *g = read_back(&file, &o, NULL);
    check_values(g);
    float inf;
    memcpy(&inf, file.data + place, sizeof inf);
    assert_true(isinf(inf));
    for (size_t i = 0; i < gguf_count(g); i++)
        gguf_put_copy(&copy, gguf_value(g, i));
    struct gguf *h = read_back(&again, &copy, NULL);
    check_values(h);
    assert_int_equal(again.used, file.used);
    assert_memory_equal(again.data, file.data, file.used);
    gguf_close(g);
    gguf_close(h);
    gguf_out_release(&o);
    gguf_out_release(&copy);
    buffer_release(&file);
    buffer_release(&again);
}

static void tensors_of_every_format(void **state)
{
    (void)state;
    struct gguf_out o = { 0 };
    struct buffer file = { 0 };
    struct table tensors = { 0 };
    struct error err = { 0 };
    uint64_t place, expected = 0;
    int written = 0;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        int64_t shape[3] = { 2, 3, f->block * 2 };
        int rc = gguf_put_tensor(&o, f->name, 3, shape, f, &place, &err);
        if (!gguf_format_name(f)) {
            assert_int_equal(rc, ERROR_USAGE);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_true(place == expected && place % GGUF_OUT_ALIGNMENT == 0);
        expected = (place + 12 * (uint64_t)f->block_bytes + 31) / 32 * 32;
        written++;
    }
    assert_int_equal(written, FORMAT_COUNT - 3); /* f8_e4m3 and the two of activations */
    struct gguf *g = read_back(&file, &o, &tensors);
    for (size_t i = 0; i < tensors.count; i++) {
        const struct file_tensor *t = &tensors.at[i];
        assert_string_equal(t->name, t->format->name);
        assert_true(t->dims == 3 && t->shape[0] == 2 && t->shape[1] == 3 && t->shape[2] == 2 * t->format->block);
    }
    assert_int_equal(tensors.count, written);
    gguf_close(g);
    table_release(&tensors);
    gguf_out_release(&o);
    buffer_release(&file);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct gguf_out o = { 0 };
    struct error err = { 0 };
    uint64_t place;
    const int64_t fine[] = { 2, 32 }, odd[] = { 2, 33 }, none[] = { 0, 32 }, huge[] = { INT64_MAX, 32 };
    static const char name64[] = "0123456789012345678901234567890123456789012345678901234567890123";
    assert_int_equal(gguf_put_tensor(&o, "a", 2, odd, &format_q8_0, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "a", 2, none, &format_q8_0, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "a", 2, huge, &format_f32, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "a", 0, fine, &format_f32, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "a", 5, fine, &format_f32, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "", 2, fine, &format_f32, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, name64, 2, fine, &format_f32, &place, &err), ERROR_USAGE);
    assert_int_equal(gguf_put_tensor(&o, "a", 2, fine, &format_f8_e4m3, &place, &err), ERROR_USAGE);
    assert_int_equal(o.tensor_count, 0);
    assert_int_equal(gguf_put_tensor(&o, name64 + 1, 2, fine, &format_q8_0, &place, &err), 0);
    json_t *config = json_pack("{s:s}", "model_type", "nothing known");
    assert_int_equal(gguf_put_config(&o, config, &err), ERROR_UNSUPPORTED);
    json_decref(config);
    gguf_out_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(tensors_of_every_format),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
