/* SPDX-License-Identifier: Apache-2.0 */
/* Every storage format: bit-exact with the reference decoders and encoders, defined for hostile bytes and floats. */
#include "support.h"

#include "base/filemap.h"
#include "base/json.h"
#include "base/random.h"
#include "tensor/block.h"
#include "tensor/format.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 64

/* Memory of exactly `size` bytes, aligned for any block, with guard bytes on both sides. */
static unsigned char *guarded_new(size_t size)
{
    unsigned char *base = NULL;
    assert_int_equal(posix_memalign((void **)&base, 64, size + 2 * GUARD), 0);
    memset(base, 0xa5, size + 2 * GUARD);
    return base + GUARD;
}

static void guarded_free(unsigned char *bytes, size_t size)
{
    for (int i = 0; i < GUARD; i++) {
        assert_int_equal(bytes[-1 - i], 0xa5);
        assert_int_equal(bytes[size + (size_t)i], 0xa5);
    }
    free(bytes - GUARD);
}

static void fill_random(unsigned char *bytes, size_t n, struct random *r)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)random_next(r);
}

/* Hexadecimal text to bytes; the caller frees. */
static unsigned char *unhex_new(const char *text, size_t *size)
{
    *size = strlen(text) / 2;
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    for (size_t i = 0; i < *size; i++) {
        char pair[3] = { text[2 * i], text[2 * i + 1], 0 };
        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return bytes;
}

/* Eight digits a float, most significant first; the caller frees. */
static float *floats_new(const char *text, size_t *n)
{
    *n = strlen(text) / 8;
    float *x = malloc(*n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < *n; i++) {
        char word[9] = { 0 };
        memcpy(word, text + 8 * i, 8);
        x[i] = f32_from_bits((uint32_t)strtoul(word, NULL, 16));
    }
    return x;
}

static json_t *golden_new(void)
{
    json_t *golden = NULL;
    assert_int_equal(json_read_file_new(&golden, test_repo("tests/golden/data/formats.json"), 1 << 20, NULL), 0);
    return golden;
}

static const struct format *golden_case(const json_t *entry, unsigned char **bytes, size_t *size, float **x, size_t *n)
{
    const struct format *f = format_find(json_text(entry, "format", ""));
    assert_non_null(f);
    *bytes = unhex_new(json_text(entry, "bytes", ""), size);
    *x = floats_new(json_text(entry, "values", ""), n);
    assert_true(*n > 0 && *n % (size_t)f->block == 0);
    assert_int_equal(*size, format_row_bytes(f, (int64_t)*n));
    return f;
}

static void same_floats(const char *what, const float *got, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t g = bits_from_f32(got[i]), e = bits_from_f32(expected[i]);
        if (g != e && !(isnan(got[i]) && isnan(expected[i])))
            fail_msg("%s: value %zu is %.9g (%08x), expected %.9g (%08x)", what, i, got[i], g, expected[i], e);
    }
}

static void decode_is_exact(void **state)
{
    (void)state;
    json_t *golden = golden_new(), *entry;
    size_t index, seen = 0;
    json_array_foreach(json_object_get(golden, "decode"), index, entry)
    {
        unsigned char *bytes;
        float *expected;
        size_t size, n;
        const struct format *f = golden_case(entry, &bytes, &size, &expected, &n);
        float *got = malloc(n * sizeof *got);
        unsigned char *odd = malloc(size + 1); /* blocks of files start anywhere */
        assert_true(got && odd);
        memcpy(odd + 1, bytes, size);
        f->decode(got, odd + 1, (int64_t)n);
        same_floats(f->name, got, expected, n);
        free(odd);
        free(got);
        free(bytes);
        free(expected);
        seen |= (size_t)1 << f->id;
    }
    json_decref(golden);
    assert_int_equal(seen, ((size_t)1 << FORMAT_q8_1) - 1); /* every format that files hold */
}

static void encode_is_exact(void **state)
{
    (void)state;
    json_t *golden = golden_new(), *entry;
    size_t index, seen = 0;
    json_array_foreach(json_object_get(golden, "encode"), index, entry)
    {
        unsigned char *expected;
        float *x;
        size_t size, n;
        const struct format *f = golden_case(entry, &expected, &size, &x, &n);
        unsigned char *got = malloc(size);
        assert_non_null(got);
        f->encode(got, x, NULL, (int64_t)n);
        for (size_t i = 0; i < size; i++)
            if (got[i] != expected[i])
                fail_msg("%s: byte %zu of block %zu is %02x, expected %02x", f->name, i % (size_t)f->block_bytes,
                    i / (size_t)f->block_bytes, got[i], expected[i]);
        free(got);
        free(expected);
        free(x);
        seen++;
    }
    json_decref(golden);
    assert_int_equal(seen, 9);
}

static void names_and_pairs(void **state)
{
    (void)state;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        assert_int_equal(f->id, i);
        assert_ptr_equal(format_find(f->name), f);
        assert_true(f->block > 0 && f->block_bytes > 0);
        assert_in_range(f->pair, 0, FORMAT_COUNT - 1);
        assert_non_null(f->decode);
        assert_non_null(formats[f->pair]->encode);
        assert_int_equal(f->block % formats[f->pair]->block, 0);
    }
    assert_ptr_equal(format_find("Q4_K"), &format_q4_k);
    assert_null(format_find("q4"));
    assert_null(format_find(""));
    assert_int_equal(format_row_bytes(&format_q6_k, 512), 420);
}

static void random_bytes_decode(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 7);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        for (int blocks = 1; blocks <= 301; blocks += 100) {
            int64_t n = (int64_t)blocks * f->block;
            size_t in_size = format_row_bytes(f, n), out_size = (size_t)n * sizeof(float);
            unsigned char *in = guarded_new(in_size), *out = guarded_new(out_size);
            fill_random(in, in_size, &r);
            f->decode((float *)(void *)out, in, n);
            guarded_free(in, in_size);
            guarded_free(out, out_size);
        }
    }
}

/* What an encoder may meet beside ordinary numbers. */
static float strange(struct random *r)
{
    static const float odd[] = { 0.0f, -0.0f, NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-40f,
        65504.0f, 65536.0f, 1e20f, -1e-20f, 0.49999997f, 1.0f };
    return odd[random_below(r, sizeof odd / sizeof *odd)];
}

static void strange_values_encode(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 8);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        for (int round = 0; f->encode && round < 64; round++) {
            int64_t n = (int64_t)(1 + round % 5) * f->block;
            size_t in_size = (size_t)n * sizeof(float), out_size = format_row_bytes(f, n);
            unsigned char *in = guarded_new(in_size), *out = guarded_new(out_size);
            unsigned char *weights = guarded_new(in_size);
            float *x = (float *)(void *)in, *w = (float *)(void *)weights;
            for (int64_t k = 0; k < n; k++) {
                x[k] = random_below(&r, 64) < (uint32_t)round ? strange(&r) : (float)random_normal(&r);
                w[k] = random_below(&r, 64) < (uint32_t)round ? strange(&r) : (float)random_unit(&r);
            }
            f->encode(out, x, round % 2 ? w : NULL, n);
            f->decode(x, out, n);
            guarded_free(weights, in_size);
            guarded_free(in, in_size);
            guarded_free(out, out_size);
        }
    }
}

static void constant_blocks(void **state)
{
    (void)state;
    static const float values[] = { 0.0f, 1.0f, -1.0f, 0.125f };
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        for (size_t v = 0; f->encode && v < sizeof values / sizeof *values; v++) {
            float x[3 * 256], y[3 * 256];
            unsigned char *bytes = guarded_new(format_row_bytes(f, 3 * f->block));
            for (int k = 0; k < 3 * f->block; k++)
                x[k] = values[v];
            f->encode(bytes, x, NULL, 3 * f->block);
            f->decode(y, bytes, 3 * f->block);
            for (int k = 0; k < 3 * f->block; k++)
                if (!(fabsf(y[k] - x[k]) <= 0.002f * fabsf(x[k]))) /* a binary16 scale and one product */
                    fail_msg("%s: %.9g comes back as %.9g", f->name, x[k], y[k]);
            guarded_free(bytes, format_row_bytes(f, 3 * f->block));
        }
    }
}

/* The documented arithmetic of activation blocks, step by step: vector versions must equal it bit for bit. */
static void activation_blocks_are_exact(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 9);
    for (int turn = 0; turn < 200; turn++) {
        float x[256], scale = ldexpf(1.0f, (int)random_below(&r, 60) - 40);
        struct q8_1_block small[8];
        struct q8_k_block large;
        for (int i = 0; i < 256; i++)
            x[i] = scale * (turn % 2 ? (float)random_normal(&r) : (float)((int)random_below(&r, 255) - 127) / 2.0f);
        for (int i = 0; i < 256 && turn % 2 == 0; i += 32) /* d = scale: halves stay halves */
            x[i] = scale * 127.0f;
        format_q8_1.encode(small, x, NULL, 256);
        format_q8_k.encode(&large, x, NULL, 256);
        int peak = 0, total = 0;
        for (int i = 0; i < 256; i++)
            peak = fabsf(x[i]) > fabsf(x[peak]) ? i : peak;
        float inverse = -127.0f / x[peak];
        assert_true(large.d == 1.0f / inverse);
        assert_int_equal(large.q[peak], -127);
        for (int i = 0; i < 256; i++) {
            assert_int_equal(large.q[i], (int)rint((double)(x[i] * inverse)));
            total = (i % 16 ? total : 0) + large.q[i];
            assert_true(i % 16 < 15 || large.sums[i / 16] == total);
        }
        for (int b = 0; b < 8; b++) {
            float most = 0.0f;
            for (int i = 32 * b; i < 32 * b + 32; i++)
                most = fmaxf(most, fabsf(x[i]));
            float d = most / 127.0f;
            total = 0;
            for (int i = 0; i < 32; i++) {
                assert_int_equal(small[b].q[i], d > 0.0f ? (int)round((double)(x[32 * b + i] * (1.0f / d))) : 0);
                total += small[b].q[i];
            }
            assert_true(small[b].d == d && small[b].sum == d * (float)total);
        }
    }
}

/* A file of the collection; the caller closes it. False: the collection is absent. */
static int collection_open(struct filemap *file, const char *name)
{
    const char *path = test_data(test_join("formats/quant", name));
    if (path)
        assert_int_equal(filemap_open(file, path, NULL), 0);
    return path != NULL;
}

static const float *floats_of(const struct filemap *file)
{
    return (const float *)(const void *)file->data;
}

static void collected_mxfp4(void **state)
{
    (void)state;
    struct filemap blocks, expected, scales;
    float got[128];
    if (!collection_open(&blocks, "mxfp4_gguf_test_blocks.bin"))
        skip();
    collection_open(&expected, "mxfp4_gguf_test_expected.f32");
    collection_open(&scales, "e8m0_decode.f32");
    assert_int_equal(blocks.size, 4 * 17);
    assert_int_equal(expected.size, sizeof got);
    assert_int_equal(scales.size, 1024);
    format_mxfp4.decode(got, blocks.data, 128);
    for (int i = 0; i < 128; i++)
        assert_true(got[i] == floats_of(&expected)[i]); /* level 8: -0 there, 0 in GGUF's reader */
    for (int e = 0; e < 255; e++) {
        float whole = 2.0f * f32_from_e8m0_half((uint8_t)e);
        same_floats("e8m0", &whole, floats_of(&scales) + e, 1);
    }
    assert_true(isnan(floats_of(&scales)[255])); /* as OCP says; GGUF's blocks read it as a number */
    filemap_close(&blocks);
    filemap_close(&expected);
    filemap_close(&scales);
}

static void collected_e4m3(void **state)
{
    (void)state;
    struct filemap decoded, inputs, encoded;
    unsigned char every[256];
    float got[256];
    if (!collection_open(&decoded, "fp8_e4m3fn_decode.f32"))
        skip();
    collection_open(&inputs, "fp8_test_inputs.f32");
    collection_open(&encoded, "fp8_e4m3fn_encoded.u8");
    assert_int_equal(decoded.size, sizeof got);
    assert_int_equal(inputs.size, 4 * encoded.size);
    for (int i = 0; i < 256; i++)
        every[i] = (unsigned char)i;
    format_f8_e4m3.decode(got, every, 256);
    same_floats("f8_e4m3", got, floats_of(&decoded), 256);
    for (size_t i = 0; i < encoded.size; i++) {
        float x = floats_of(&inputs)[i];
        unsigned char b;
        format_f8_e4m3.encode(&b, &x, NULL, 1);
        if (fabsf(x) > 464.0f) /* the collection does not saturate */
            assert_int_equal(b, x > 0 ? 0x7e : 0xfe);
        else if (isnan(x))
            assert_int_equal(b & 0x7f, 0x7f);
        else
            assert_int_equal(b, encoded.data[i]);
    }
    filemap_close(&decoded);
    filemap_close(&inputs);
    filemap_close(&encoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_pairs),
        cmocka_unit_test(decode_is_exact),
        cmocka_unit_test(encode_is_exact),
        cmocka_unit_test(random_bytes_decode),
        cmocka_unit_test(strange_values_encode),
        cmocka_unit_test(constant_blocks),
        cmocka_unit_test(activation_blocks_are_exact),
        cmocka_unit_test(collected_mxfp4),
        cmocka_unit_test(collected_e4m3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
