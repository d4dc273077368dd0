/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"

#include "support.h"

#include "file/safetensors.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 seeded by the FNV-1a hash of a name. */
static uint64_t seed_of(const char *name)
{
    uint64_t x = 0xcbf29ce484222325u;
    for (const char *p = name; *p; p++)
        x = (x ^ (unsigned char)*p) * 0x100000001b3u;
    return x;
}

static uint64_t next_of(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t *case_bits_new(const char *name, int64_t n)
{
    uint64_t *bits = malloc((size_t)n * sizeof *bits), x = seed_of(name);
    assert_non_null(bits);
    for (int64_t i = 0; i < n; i++)
        bits[i] = next_of(&x);
    return bits;
}

/* Long texts are not listed: `length` ids from the case's name. */
static void make_ids(struct golden_case *c)
{
    uint64_t x = seed_of(c->name), vocabulary = (uint64_t)json_whole(c->text, "vocab_size", 1);
    c->n_ids = (int)json_whole(c->json, "length", 0);
    assert_in_range(c->n_ids, 1, CASE_IDS_MAX);
    for (int i = 0; i < c->n_ids; i++)
        c->ids[i] = (int32_t)(next_of(&x) % vocabulary);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

int case_list(char (*paths)[CASE_PATH_MAX], int most, const char *folder, const char *start)
{
    char path[CASE_PATH_MAX / 2];
    int n = 0;
    snprintf(path, sizeof path, "%s", test_repo(folder));
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, start, strlen(start)) != 0 || !strstr(e->d_name, ".json"))
            continue;
        if (n < most)
            snprintf(paths[n], CASE_PATH_MAX, "%s/%s", path, e->d_name);
        n++;
    }
    if (dir)
        closedir(dir);
    if (n < 1 || n > most) {
        fprintf(stderr, "%s has %d cases, expected 1 to %d\n", path, n, most);
        exit(1);
    }
    qsort(paths, (size_t)n, CASE_PATH_MAX, by_name);
    return n;
}

void case_read(struct golden_case *c, const char *path)
{
    struct error err = { 0 };
    const char *name = strrchr(path, '/') + 1;
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%.*s", (int)(strlen(name) - strlen(".json")), name);
    if (json_read_file_new(&c->json, path, 1 << 20, &err) != 0)
        fail_msg("%s", err.text);
    c->config = json_object_get(c->json, "config");
    c->text = json_object_get(c->config, "text_config");
    if (!c->text)
        c->text = c->config;
    const json_t *ids = json_object_get(c->json, "ids"), *id;
    size_t i;
    if (!ids) {
        make_ids(c);
        return;
    }
    assert_true(json_array_size(ids) > 0 && json_array_size(ids) <= CASE_IDS_MAX);
    json_array_foreach(ids, i, id) c->ids[c->n_ids++] = (int32_t)json_integer_value(id);
}

void case_release(struct golden_case *c)
{
    json_decref(c->json);
}

size_t case_tensors(const struct golden_case *c)
{
    return json_array_size(json_object_get(c->json, "tensors"));
}

bool case_is_bf16(const struct golden_case *c)
{
    return strcmp(json_text(c->json, "dtype", "F32"), "BF16") == 0;
}

/* base + k 2^-exponent with k in -127 .. 127. */
static void generate(float *out, int64_t n, const char *name, int exponent, double base)
{
    uint64_t x = seed_of(name);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(base + ldexp((double)((next_of(&x) >> 32) % 255) - 127, -exponent));
}

/* E2M1 values times 2^(s - exponent), s in 0 .. 2 for 32 values along dimension 1, the first of which is +-6. Drawn in
 * the order of (experts, out, in). */
static void generate_mxfp4(struct case_tensor *t, int exponent)
{
    static const double values[] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };
    char scales[128];
    snprintf(scales, sizeof scales, "%s.scales", t->name);
    uint64_t x = seed_of(t->name), y = seed_of(scales);
    int64_t in = t->shape[1], out = t->shape[2], s = 0;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t expert = i / (in * out), o = i / in % out, k = i % in;
        int nibble = (int)((next_of(&x) >> 32) % 16);
        if (k % 32 == 0) {
            nibble |= 7;
            s = (int64_t)((next_of(&y) >> 32) % 3);
        }
        double value = ldexp(values[nibble & 7], (int)s - exponent);
        t->data[(expert * in + k) * out + o] = (float)(nibble > 8 ? -value : value);
    }
}

float *case_turned_new(const struct case_tensor *t, int first, int step)
{
    int64_t in = t->shape[1], out = t->shape[2];
    float *turned = malloc((size_t)(t->count / step) * sizeof *turned), *at = turned;
    assert_non_null(turned);
    for (int64_t e = 0; e < t->shape[0]; e++)
        for (int64_t o = first; o < out; o += step)
            for (int64_t k = 0; k < in; k++)
                *at++ = t->data[(e * in + k) * out + o];
    return turned;
}

float *case_picked_new(const struct case_tensor *t, int first, int step)
{
    float *picked = malloc((size_t)(t->count / step) * sizeof *picked), *at = picked;
    assert_non_null(picked);
    for (int64_t r = 0; r < t->shape[0]; r++)
        for (int64_t c = first; c < t->shape[1]; c += step)
            *at++ = t->data[r * t->shape[1] + c];
    return picked;
}

/* Rows in equal pairs: every second one is the one before it. */
static void tie_rows(struct case_tensor *t)
{
    int64_t row = t->count / t->shape[0];
    for (int64_t r = 1; r < t->shape[0]; r += 2)
        memcpy(t->data + r * row, t->data + (r - 1) * row, (size_t)row * sizeof *t->data);
}

void case_tensor_make(struct case_tensor *t, const struct golden_case *c, size_t i)
{
    const json_t *entry = json_array_get(json_object_get(c->json, "tensors"), i), *shape = json_array_get(entry, 1);
    *t = (struct case_tensor) { .name = json_string_value(json_array_get(entry, 0)), .count = 1 };
    t->dims = (int)json_array_size(shape);
    assert_in_range(t->dims, 1, 3);
    for (int d = 0; d < t->dims; d++) {
        t->shape[d] = json_integer_value(json_array_get(shape, (size_t)d));
        t->count *= t->shape[d];
    }
    t->data = malloc((size_t)t->count * sizeof *t->data);
    assert_non_null(t->data);
    const char *mark = json_string_value(json_array_get(entry, 4));
    int exponent = (int)json_integer_value(json_array_get(entry, 2));
    t->mxfp4 = mark && strcmp(mark, "mxfp4") == 0;
    if (t->mxfp4)
        generate_mxfp4(t, exponent);
    else
        generate(t->data, t->count, t->name, exponent, json_number_value(json_array_get(entry, 3)));
    if (mark && strcmp(mark, "tied") == 0)
        tie_rows(t);
}

bool case_tensor_find(struct case_tensor *t, const struct golden_case *c, const char *name)
{
    const json_t *list = json_object_get(c->json, "tensors"), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        if (strcmp(json_string_value(json_array_get(entry, 0)), name) == 0) {
            case_tensor_make(t, c, i);
            return true;
        }
    }
    return false;
}

void case_tensor_release(struct case_tensor *t)
{
    free(t->data);
    memset(t, 0, sizeof *t);
}

/* Values are exact in bf16: cutting is rounding. */
static void cut_to_bf16(void *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        uint16_t half;
        memcpy(&bits, (unsigned char *)data + 4 * i, 4);
        assert_int_equal(bits & 0xffff, 0);
        half = (uint16_t)(bits >> 16);
        memcpy((unsigned char *)data + 2 * i, &half, 2);
    }
}

static const char *prefixed(char *out, size_t size, const struct golden_case *c, const char *name)
{
    const json_t *prefix = json_object_get(c->json, "prefix");
    const char *plain = json_string_value(json_array_get(prefix, 0));
    if (!plain || strncmp(name, plain, strlen(plain)) != 0)
        return name;
    snprintf(out, size, "%s%s", json_string_value(json_array_get(prefix, 1)), name + strlen(plain));
    return out;
}

#define SHARD_TENSORS_MAX 128

/* Every shards-th tensor from `first` on. */
static void write_shard(const struct golden_case *c, const char *path, size_t first, size_t shards, json_t *places)
{
    struct case_tensor made[SHARD_TENSORS_MAX];
    struct file_tensor list[SHARD_TENSORS_MAX];
    char names[SHARD_TENSORS_MAX][128];
    size_t n = 0;
    struct error err = { 0 };
    bool bf16 = case_is_bf16(c);
    for (size_t i = first; i < case_tensors(c); i += shards, n++) {
        assert_true(n < SHARD_TENSORS_MAX);
        case_tensor_make(&made[n], c, i);
        if (bf16)
            cut_to_bf16(made[n].data, made[n].count);
        list[n] = (struct file_tensor) { .name = prefixed(names[n], sizeof names[n], c, made[n].name),
            .type_name = bf16 ? "BF16" : "F32", .dims = made[n].dims, .data = made[n].data,
            .bytes = (uint64_t)made[n].count * (bf16 ? 2 : 4) };
        memcpy(list[n].shape, made[n].shape, sizeof made[n].shape);
        json_object_set_new(places, list[n].name, json_string(strrchr(path, '/') + 1));
    }
    if (safetensors_write(path, list, n, NULL, &err) != 0)
        fail_msg("%s", err.text);
    while (n > 0)
        case_tensor_release(&made[--n]);
}

static void write_json(const char *folder, const char *name, const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    assert_non_null(text);
    test_write(test_join(folder, name), text, strlen(text));
    free(text);
}

void case_write_folder(const struct golden_case *c, const char *folder)
{
    size_t shards = (size_t)json_whole(c->json, "shards", 1);
    json_t *places = json_object();
    char name[64] = "model.safetensors";
    for (size_t i = 0; i < shards; i++) {
        if (shards > 1)
            snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards);
        write_shard(c, test_join(folder, name), i, shards, places);
    }
    json_t *index = json_pack("{s:{}, s:o}", "metadata", "weight_map", places);
    if (shards > 1)
        write_json(folder, "model.safetensors.index.json", index);
    json_decref(index);
    write_json(folder, "config.json", c->config);
}
