/* SPDX-License-Identifier: Apache-2.0 */
/* A model folder whose JSON files are hostile: the first byte of the input says which file the rest is. */
#include "base/filemap.h"
#include "file/source.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "config.json", "generation_config.json", "tokenizer_config.json",
    "chat_template.json", "chat_template.jinja", "model.safetensors.index.json" };
#define NAMES (sizeof names / sizeof names[0])

/* In memory where the system offers that: a fuzzer writes some thousand files a second. */
static char in_memory[] = "/dev/shm/wazn-fuzz-XXXXXX", on_disk[] = "/tmp/wazn-fuzz-XXXXXX";
static const char *folder;

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *data, size_t size)
{
    FILE *f = fopen(in_folder(name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

static void clean(void)
{
    for (size_t i = 0; i < NAMES; i++)
        unlink(in_folder(names[i]));
    unlink(in_folder("model.safetensors"));
    rmdir(folder);
}

static void prepare(void)
{
    static const char weights[] =
        "\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}      abcd";
    folder = mkdtemp(in_memory);
    if (!folder)
        folder = mkdtemp(on_disk);
    if (!folder)
        abort();
    atexit(clean);
    put("model.safetensors", weights, sizeof weights - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct source *s;
    if (!folder)
        prepare();
    if (size == 0)
        return 0;
    const char *name = names[data[0] % NAMES];
    put("config.json", "{}", 2);
    put(name, data + 1, size - 1);
    int rc = source_open(&s, folder, NULL, NULL, &err);
    assert((rc == 0) == (err.code == 0) && (rc == 0) == (s != NULL));
    if (rc == 0) {
        assert(json_is_object(source_config(s)));
        assert(!source_generation(s) || json_is_object(source_generation(s)));
        assert(source_tensor_count(s) == 1 && source_find(s, "w")->bytes == 4);
    }
    source_close(s);
    unlink(in_folder(name));
    return 0;
}
